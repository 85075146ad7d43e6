// What some browsers that are served lack, done without it: docs/browsers.md.

/** A button that stays down; Firefox before 119 knows no `ariaPressed`. */
export function press(button, down) {
  button.setAttribute("aria-pressed", String(down));
}

export function isPressed(button) {
  return button.getAttribute("aria-pressed") === "true";
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
