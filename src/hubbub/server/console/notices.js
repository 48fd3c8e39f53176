/** Notifications to this user and broadcasts to everybody, shown until they are dismissed. */

import { byId, h, timeOf } from "./dom.js";

const AT_MOST = 4;
const KINDS = new Set(["info", "success", "warning", "error"]);

/**
 * @param {{kind?: string, title: string, text?: string, at?: string}} notice
 */
export function showNotice({ kind = "info", title, text, at }) {
  const region = byId("notices");
  const card = h(
    "article",
    { class: "notice-card", "data-kind": KINDS.has(kind) ? kind : "info", "data-testid": "notice-card" },
    h("h2", { dir: "auto" }, title),
    text ? h("p", { dir: "auto" }, text) : null,
    h("footer", {}, timeOf(at ? new Date(at) : new Date()), h("button", { type: "button", class: "link", onclick: () => card.remove() }, "Dismiss")),
  );
  region.prepend(card);
  while (region.childElementCount > AT_MOST) region.lastElementChild?.remove();
}

/** Take away the newest. @returns {boolean} whether there was one */
export function dismissNewest() {
  const newest = byId("notices").firstElementChild;
  newest?.remove();
  return Boolean(newest);
}

/** @param {import("../hubbub.js").HubbubClient} client */
export function showNotices(client) {
  client.on("notification", ({ data }) => showNotice({ kind: data.type, title: data.title, text: data.message, at: data.created_at }));
  client.on("event", ({ event, data, timestamp }) => event !== "job" && showNotice({ title: event, text: words(data), at: timestamp }));
  client.on("message", ({ user_id: user, content, timestamp }) => showNotice({ title: user || "Message", text: content, at: timestamp }));
  client.on("broadcast", ({ event, data, timestamp }) => showNotice({ kind: "warning", title: `To everybody: ${event}`, text: words(data), at: timestamp }));
  client.on("lost", () => showNotice({ title: "Notifications may be missing", text: "The connection was away for longer than they are kept." }));
}

/** What a person can read of an event's data. @param {any} data */
function words(data) {
  if (data === null || data === undefined) return "";
  if (typeof data !== "object") return String(data);
  for (const name of ["message", "text", "content"]) if (typeof data[name] === "string") return data[name];
  return JSON.stringify(data);
}
