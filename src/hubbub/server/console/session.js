/** Who the person at this tab is: by a one-time link, a token kept for the tab, or the browser's cookie. */

/** @typedef {{userId: string, token?: string}} Session without a token the cookie speaks for the user */

const KEY = "hubbub.session";
const SIGNED_OUT = "signed-out";

/** Why nobody could be signed in, in words for the person. */
export class SignInError extends Error {}

/**
 * Take the code of a sign-in link out of the address, so that it is not shown, copied or used twice.
 * @returns {string | null}
 */
export function takeCode() {
  const code = codeIn(location.hash);
  if (code) history.replaceState(null, "", location.pathname + location.search);
  return code;
}

/** @param {string} text */
function codeIn(text) {
  const match = /#(?:.*&)?sign-in=([^&\s]+)/.exec(text);
  return match ? decodeURIComponent(match[1]) : null;
}

/**
 * Exchange the one-time code of a link.
 * @param {string} code
 * @returns {Promise<Session>}
 */
export async function exchange(code) {
  const response = await ask("api/v1/sign-in", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ code }) });
  if (!response.ok) throw new SignInError(await detail(response, "The link was not accepted."));
  const { access_token: token, user_id: userId } = await response.json();
  return remember({ userId, token });
}

/**
 * Sign in by what the person pasted: a link or a token.
 * @param {string} text
 * @returns {Promise<Session>}
 */
export async function fromText(text) {
  const code = codeIn(text);
  if (code) return exchange(code);
  const token = text.trim().replace(/^Bearer\s+/i, "");
  if (!/^[\x21-\x7e]+$/.test(token)) throw new SignInError("This is neither a link nor a token.");
  const response = await ask("api/v1/me", { headers: { authorization: `Bearer ${token}` } });
  if (!response.ok) throw new SignInError(await detail(response, "The token was not accepted."));
  const { user_id: userId } = await response.json();
  return remember({ userId, token });
}

/**
 * Who was signed in here before: in this tab, or in this browser.
 * @returns {Promise<Session | null>}
 */
export async function restore() {
  const kept = sessionStorage.getItem(KEY);
  if (kept === SIGNED_OUT) return null;
  if (kept) return JSON.parse(kept);
  const response = await ask("api/v1/me", {});
  if (!response.ok) return null;
  const { user_id: userId } = await response.json();
  return { userId };
}

/**
 * Whether a session has the scope `admin`.
 * @param {Session} session
 */
export async function isAdministrator({ token }) {
  const response = await ask("api/v1/me", token ? { headers: { authorization: `Bearer ${token}` } } : {});
  if (response.status === 401) return false;
  if (!response.ok) throw new SignInError(await detail(response, "The server does not say who you are."));
  const { scopes } = await response.json();
  return scopes.includes("admin");
}

/** Forget who was signed in at this tab, and the browser's cookie. */
export async function signOut() {
  sessionStorage.setItem(KEY, SIGNED_OUT);
  await ask("api/v1/sign-out", { method: "POST" }).catch(() => {}); // without a server the tab is signed out all the same
}

/** @param {Session} session */
function remember(session) {
  sessionStorage.setItem(KEY, JSON.stringify(session));
  return session;
}

/** @param {string} path @param {RequestInit} options */
async function ask(path, options) {
  try {
    return await fetch(path, { cache: "no-store", credentials: "same-origin", ...options });
  } catch {
    throw new SignInError("The server cannot be reached.");
  }
}

/** @param {Response} response @param {string} otherwise */
async function detail(response, otherwise) {
  const problem = await response.json().catch(() => ({}));
  return typeof problem.detail === "string" ? problem.detail : otherwise;
}
