// What some browsers that are served lack, done without it: docs/browsers.md.

/** A button that stays down; Firefox before 119 knows no `ariaPressed`. */
export function press(button, down) {
  button.setAttribute("aria-pressed", String(down));
}

export function isPressed(button) {
  return button.getAttribute("aria-pressed") === "true";
}

/** Kept for the next visit, where storage is allowed. */
export function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Then it is for this visit alone.
  }
}

/** What was kept; null for nothing. */
export function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/** Shows a dialog before all else, with the focus on `first`; `role` is for where it is none by itself. */
export function openDialog(dialog, first, role = "dialog") {
  if (dialog.hasAttribute("open")) return;
  if (dialog.showModal) return dialog.showModal();
  // Safari before 15.4 has the element's style alone.
  dialog.setAttribute("role", role);
  dialog.setAttribute("open", "");
  first.focus();
}

export function closeDialog(dialog) {
  if (dialog.close) dialog.close();
  else dialog.removeAttribute("open");
}
