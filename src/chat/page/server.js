// Where the chat server is: beside the page, wherever a proxy has put that. Where
// `camera-agent page` wrote the page for another place, its config.json says so.

const SCHEMES = ["wss:", "ws:", "https:", "http:"];

/** Resolves to {socket, base, name}; to null where config.json cannot be used. */
export const server = find();

/** Asks the server for something; by a POST, since browsers send the page's origin with that. */
export async function ask(path, options) {
  const { base } = await server;
  return fetch(new URL(path, base), { method: "POST", ...options });
}

async function find() {
  const beside = new URL("./", location.href);
  if (document.documentElement.dataset.config === undefined) return at(beside);
  try {
    const answer = await fetch("config.json", { cache: "no-store" });
    const { server: told, name } = await answer.json();
    const url = new URL(told);
    // Else what is before the colon may be a host.
    if (!SCHEMES.includes(url.protocol)) return null;
    return at(url, typeof name === "string" ? name : undefined);
  } catch {
    return null;
  }
}

/** By its address, of WebSockets or of pages. */
function at(url, name) {
  const encrypted = url.protocol === "https:" || url.protocol === "wss:";
  const [socket, base] = [new URL(url), new URL(url)];
  socket.protocol = encrypted ? "wss:" : "ws:";
  base.protocol = encrypted ? "https:" : "http:";
  return { socket, base, name };
}
