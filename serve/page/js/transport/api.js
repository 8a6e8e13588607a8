// Client of the server's HTTP API. Its errors carry the notice to show.

/** kind: "token", "full", "gone", "refused"; retryAfter: seconds until the next attempt. */
export class ServerError extends Error {
  constructor(kind, message, retryAfter = 0) {
    super(message);
    this.kind = kind;
    this.retryAfter = retryAfter;
  }
}

const ERROR_KINDS = { 401: "token", 429: "full" };

/** Sends a request and returns the Response. The browser adds the token's cookie. Throws ServerError. */
async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-store" });
  } catch {
    throw new ServerError("gone", "");
  }
  if (response.ok) return response;
  const detail = await response.json().then((problem) => problem.detail ?? "", () => "");
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  const kind = ERROR_KINDS[response.status] ?? "refused";
  throw new ServerError(kind, toSentence(detail || response.statusText), retryAfter);
}

/** Returns {models, source}: the models served, and whether the server has its own source. */
export async function fetchModels() {
  return (await request("v1/models")).json();
}

/** Sends an SDP offer and returns the SDP answer. */
export async function sendOffer(offer) {
  const headers = { "Content-Type": "application/json" };
  return (await request("v1/webrtc", { method: "POST", headers, body: JSON.stringify(offer) })).json();
}

/** Translates an image, Blob to Blob. selection: {model, precision, size}. */
export async function translate(blob, selection) {
  const headers = { "Content-Type": blob.type, Accept: "image/png" };
  const path = `v1/translate?${new URLSearchParams(selection)}`;
  return (await request(path, { method: "POST", headers, body: blob })).blob();
}

/** Returns the URL of the WebSocket. */
export function streamUrl() {
  const url = new URL("v1/stream", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = url.search = "";
  return url;
}

const TOKEN_SUBMITTED = "token-submitted"; // key in the session storage

/** Submits a token. The server sets a cookie if it is valid, and reloads the page in either case. */
export function submitToken(token) {
  sessionStorage.setItem(TOKEN_SUBMITTED, "yes");
  location.href = `./?${new URLSearchParams({ token })}`;
}

/** Returns whether a token was submitted since the last call; if one is still needed, it was invalid. */
export function wasTokenRejected() {
  const submitted = sessionStorage.getItem(TOKEN_SUBMITTED) !== null;
  sessionStorage.removeItem(TOKEN_SUBMITTED);
  return submitted;
}

export function toSentence(message) {
  const text = message.trim();
  return text && text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
