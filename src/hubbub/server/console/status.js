/** The connection in words that a person understands, and the one thing they can do about it. */

import { byId } from "./dom.js";

/** A short interruption is mended before anybody needs to read about it. */
const PATIENCE = 600;

/** What is said when the connection will not come back by itself: the words, and the label of the button. @type {Record<string, [string, string]>} */
const ENDED = {
  replaced: ["Signed in elsewhere: a newer connection of yours took the place of this one.", "Connect here"],
  unauthorized: ["Your sign-in is not valid any more. Sign in again to go on.", "Sign in again"],
  token_expired: ["Your sign-in has ended. Sign in again to go on.", "Sign in again"],
  revoked: ["Your sign-in was taken back by the server.", "Sign in again"],
  forbidden: ["The server does not let this page connect.", "Try again"],
};
const SIGN_IN = new Set(["unauthorized", "token_expired", "revoked"]);

/** @type {Record<string, string>} */
const LOST = {
  restarting: "The server restarts",
  try_again_later: "The server is full",
  slow_consumer: "The connection is too slow",
  no_token: "Your sign-in could not be renewed",
};

/**
 * Show the state of `client` in the page.
 * @param {import("../hubbub.js").HubbubClient} client
 * @param {() => void} signIn called when the person wants to sign in again
 * @returns {() => void} stops it
 */
export function showStatus(client, signIn) {
  const label = byId("connection");
  const banner = byId("banner");
  const text = byId("banner-text");
  const countdown = byId("banner-countdown");
  const action = byId("banner-action");
  const stop = new AbortController();
  let wasConnected = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let patience;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let ticking;
  let act = () => {};

  /** @param {string} words @param {string} button @param {() => void} call */
  const say = (words, button, call) => {
    text.textContent = words;
    action.textContent = button;
    action.hidden = !button;
    act = call;
  };
  /** @param {boolean} now */
  const show = (now) => {
    if (now) banner.hidden = false;
    else patience ??= setTimeout(() => (banner.hidden = false), PATIENCE);
  };
  /** @param {number} until */
  const count = (until) => {
    const seconds = Math.ceil((until - Date.now()) / 1000);
    countdown.textContent = seconds > 0 ? `in ${seconds} s…` : "now…";
  };

  /** @param {import("../hubbub.js").State} state */
  const render = (state) => {
    clearInterval(ticking);
    countdown.textContent = "";
    document.documentElement.dataset.connection = state.name;
    if (state.name === "connected") {
      wasConnected = true;
      clearTimeout(patience);
      patience = undefined;
      banner.hidden = true;
      label.textContent = "Connected";
      say("", "", () => {});
    } else if (state.name === "closed") {
      if (state.error.code === "closed" && state.error.closeCode === undefined) return;
      const [words, button] = ENDED[state.error.code] ?? [`The server ended the connection: ${state.error.message}`, "Connect again"];
      label.textContent = "Not connected";
      say(words, button, SIGN_IN.has(state.error.code) ? signIn : () => client.connect());
      show(true);
    } else if (state.name === "waiting") {
      const offline = navigator.onLine === false;
      const words = LOST[state.error.code] ?? (wasConnected ? "Connection lost" : "The server cannot be reached");
      label.textContent = offline ? "Offline" : "Connection lost";
      say(offline ? "You are offline. What you write is kept, and sent when you are back." : `${words}, trying again`, "Try now", () => client.connect());
      if (!offline) {
        const until = Date.now() + state.delay;
        count(until);
        ticking = setInterval(() => count(until), 250);
      }
      show(false);
    } else {
      label.textContent = "Connecting…";
      if (banner.hidden) say("Connecting…", "", () => {});
      else action.hidden = true;
      show(false);
    }
  };

  action.addEventListener("click", () => act(), { signal: stop.signal });
  for (const name of ["online", "offline"]) window.addEventListener(name, () => render(client.state), { signal: stop.signal });
  const off = client.on("state", render);
  render(client.state);
  return () => {
    off();
    stop.abort();
    clearInterval(ticking);
    clearTimeout(patience);
  };
}
