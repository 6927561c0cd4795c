// The API. Requests go to where this module came from, which is another origin only where the element is embedded.

export const SERVER = new URL(import.meta.url).origin;
export const isOurs = SERVER === location.origin;

let token = null;

/** What a WebSocket says of who asks: a browser sends no header with it. */
export const protocols = () => (token ? ["vocal", `vocal.token.${token}`] : []);

/** A page elsewhere says who it is for: by a token, or by a code that serves once. Otherwise a session's cookie does. */
export async function signIn(given) {
  token = given.code ? (await post("/v1/login/code", { code: given.code })).token : given.token ?? null;
}

/** What the page's own address asks for; the address of a page elsewhere is none of our business. */
export const asked = (name) => (isOurs ? new URLSearchParams(location.search).get(name) : null);

export class ApiError extends Error {
  constructor(status, message, retryAfter) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export async function request(method, path, body, more = {}) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const credentials = token ? "omit" : isOurs ? "same-origin" : "include";
  let answer;
  try {
    answer = await fetch(SERVER + path, { method, headers, credentials, body: JSON.stringify(body), ...more });
  } catch {
    throw new ApiError(0, "unreachable");
  }
  const text = await answer.text();
  let found = null;
  try {
    found = text ? JSON.parse(text) : null;
  } catch {
    // no JSON: the status says enough
  }
  if (answer.ok) return found;
  const detail = typeof found?.detail === "string" ? found.detail : `${answer.status}`;
  throw new ApiError(answer.status, detail, Number(answer.headers.get("Retry-After")) || null);
}

export const getJson = (path) => request("GET", path);
export const post = (path, body) => request("POST", path, body);
export const callPath = (call, rest = "") => `/v1/calls/${encodeURIComponent(call)}${rest}`;
