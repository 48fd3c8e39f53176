/** The console page: signs the person in, then connects one client and shows its rooms. */

import { HubbubClient } from "../hubbub.js";
import { byId } from "./dom.js";
import { closeDrawer, prepareDrawers } from "./drawers.js";
import { dismissNewest, showNotices } from "./notices.js";
import { exchange, fromText, isAdministrator, restore, signOut, SignInError, takeCode } from "./session.js";
import { Shell } from "./shell.js";
import { showStatus } from "./status.js";

/** @typedef {import("./session.js").Session} Session */

/** What is on the page; null while nobody is signed in. @type {{session: Session, client: HubbubClient, end: () => void} | null} */
let current = null;

/** @param {string} [reason] why it is asked */
function askToSignIn(reason = "") {
  byId("shell").hidden = true;
  byId("sign-in").hidden = false;
  byId("sign-in-reason").textContent = reason;
  byId("sign-in-reason").hidden = !reason;
  byId("sign-in-error").textContent = "";
  byId("credential").focus();
}

/** @param {Session} session */
function signedIn(session) {
  byId("sign-in").hidden = true;
  byId("shell").hidden = false;
  if (current?.session.userId === session.userId) {
    current.session.token = session.token; // the same person again: the rooms and what was not sent are still there
  } else {
    end();
    current = begin(session);
  }
  current.client.connect();
  byId("composer-text").focus();
}

/** @param {Session} session */
function begin(session) {
  // Asked before every connection, and undefined where the cookie speaks for the user.
  const client = new HubbubClient({ token: () => session.token });
  const shell = new Shell(client, session.userId, () => isAdministrator(session));
  const stopStatus = showStatus(client, () => askToSignIn("Your sign-in has ended. What you wrote is kept."));
  showNotices(client);
  const stop = () => {
    client.close();
    stopStatus();
    shell.end();
  };
  return { session, client, end: stop };
}

function end() {
  current?.end();
  current = null;
}

/** @param {() => Promise<Session | null>} attempt */
async function signIn(attempt) {
  try {
    const session = await attempt();
    if (session) signedIn(session);
    else askToSignIn();
  } catch (error) {
    if (!(error instanceof SignInError)) throw error;
    askToSignIn(error.message);
  }
}

/** @param {SubmitEvent} event */
async function submitted(event) {
  event.preventDefault();
  const input = byId("credential");
  try {
    signedIn(await fromText(input.value));
    input.value = "";
  } catch (error) {
    if (!(error instanceof SignInError)) throw error;
    byId("sign-in-error").textContent = error.message;
    input.select();
  }
}

prepareDrawers();
byId("sign-in-form").addEventListener("submit", submitted);
byId("sign-out").addEventListener("click", () => {
  void signOut();
  end();
  askToSignIn();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing && !closeDrawer()) dismissNewest();
});
window.addEventListener("hashchange", () => {
  const code = takeCode();
  if (code) void signIn(() => exchange(code));
});

const code = takeCode();
void signIn(() => (code ? exchange(code) : restore()));
