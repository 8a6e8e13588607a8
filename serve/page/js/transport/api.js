// The server's HTTP interface; errors say what the page should show.

/** kind: "token", "full", "gone", "refused" or "unsupported"; wait: seconds until the next try. */
export class ServerError extends Error {
  constructor(kind, message, wait = 0) {
    super(message);
    this.kind = kind;
    this.wait = wait;
  }
}

const ERROR_KINDS = { 401: "token", 429: "full" };

/** The Response. Throws ServerError. The token, where one is needed, is a cookie. */
async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-store" });
  } catch {
    throw new ServerError("gone", "");
  }
  if (response.ok) return response;
  const detail = await response.json().then((problem) => problem.detail ?? "", () => "");
  const wait = Number(response.headers.get("Retry-After")) || 0;
  throw new ServerError(ERROR_KINDS[response.status] ?? "refused", toSentence(detail || response.statusText), wait);
}

/** {models, source}: what there is. */
export async function fetchModels() {
  return (await ask("v1/models")).json();
}

/** An SDP answer for an SDP offer. */
export async function webrtc(offer) {
  const headers = { "Content-Type": "application/json" };
  return (await ask("v1/webrtc", { method: "POST", headers, body: JSON.stringify(offer) })).json();
}

/** A picture's translation: Blob in, Blob out. selection: {model, precision, size}. */
export async function translate(blob, selection) {
  const headers = { "Content-Type": blob.type, Accept: "image/png" };
  return (await ask(`v1/translate?${new URLSearchParams(selection)}`, { method: "POST", headers, body: blob })).blob();
}

/** The address of the WebSocket. */
export function streamUrl() {
  const url = new URL("v1/stream", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = url.search = "";
  return url;
}

/** Tells the server a token; it answers with a cookie, or without, and the page again. */
export function submitToken(token) {
  sessionStorage.setItem("tried", "yes");
  location.href = `./?${new URLSearchParams({ token })}`;
}

/** Whether a token was shown that did not fit. */
export function wasTokenRejected() {
  const tried = sessionStorage.getItem("tried") !== null;
  sessionStorage.removeItem("tried");
  return tried;
}

export function toSentence(words) {
  const text = words.trim();
  return text && text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
