/** The messages of one room as a person sees them: stored ones in their order, then the ones still on their way. */

import { avatar, dayName, displayName, h, timeOf } from "./dom.js";

/** @typedef {{segment: number, order: number, id?: string, user?: string, at?: Date, node: HTMLElement, day?: HTMLElement}} Entry */
/** @typedef {{node: HTMLElement, content: string, note: HTMLElement, settled: boolean, id?: string}} Pending */

const GROUP_FOR = 5 * 60_000;
const NEAR_END = 80;

export class MessageLog {
  /** @type {Entry[]} in order */
  #entries = [];
  /** @type {Set<string>} */
  #ids = new Set();
  /** @type {Pending[]} */
  #pending = [];
  #stored = h("div", { class: "stored" });
  #waiting = h("div", { class: "waiting" });
  #older;
  #toEnd;
  #self;

  /**
   * @param {string} name of the room
   * @param {string} self the user who reads
   * @param {() => void} loadOlder
   */
  constructor(name, self, loadOlder) {
    this.#self = self;
    this.#older = h("div", { class: "older" }, h("button", { type: "button", class: "quiet", onclick: loadOlder }, "Load older messages"));
    this.#older.hidden = true;
    this.scroller = h(
      "div",
      { class: "log", role: "log", tabindex: "0", "aria-label": `Messages in ${name}`, "data-testid": "log", onscroll: () => this.#scrolled() },
      this.#older, this.#stored, this.#waiting,
    );
    this.#toEnd = h("button", { type: "button", class: "to-end", onclick: () => this.scrollToEnd() }, "New messages");
    this.#toEnd.hidden = true;
    this.element = h("div", { class: "log-frame" }, this.scroller, this.#toEnd);
    new ResizeObserver(() => this.#follow && this.scrollToEnd()).observe(this.scroller);
  }

  /** Whether the reader is at the end, and new messages should stay in view. */
  #follow = true;

  /** @param {string | undefined} id */
  has(id) {
    return id !== undefined && this.#ids.has(id);
  }

  /** The order of the newest stored entry of a segment; -1 if it has none. @param {number} segment */
  lastOrder(segment) {
    const last = this.#entries.at(-1);
    return last?.segment === segment ? last.order : -1;
  }

  /** The offset of the oldest message of a segment. @param {number} segment */
  firstOrder(segment) {
    return this.#entries.find((entry) => entry.segment === segment && entry.at !== undefined)?.order;
  }

  /**
   * Show a stored publication at its place, once.
   * @param {number} segment
   * @param {number} order
   * @param {import("../hubbub.js").ChatMessage | import("../hubbub.js").EventMessage} message
   */
  add(segment, order, message) {
    if (this.has(message.id)) return;
    if (message.id) this.#ids.add(message.id);
    const user = message.user_id;
    const at = new Date(message.timestamp ?? Date.now());
    if (message.type === "message" && user === this.#self) this.#adopt(message);
    const body = message.type === "message"
      ? h("p", { class: "content", dir: "auto" }, typeof message.content === "string" ? message.content : JSON.stringify(message.content))
      : h("div", { class: "content event" }, h("strong", {}, message.event), h("code", { dir: "auto" }, JSON.stringify(message.data)));
    const day = h("p", { class: "day" }, dayName(at));
    const node = this.#frame(user, body, h("span", { class: "stamp" }, timeOf(at)));
    node.prepend(day);
    this.#insert({ segment, order, id: message.id, user, at, node, day });
  }

  /**
   * Say something in the course of the log that nobody wrote.
   * @param {number} segment
   * @param {number} order
   * @param {string} text
   * @returns {() => void} takes it back
   */
  addNotice(segment, order, text) {
    const entry = { segment, order, node: h("p", { class: "notice", "data-testid": "notice" }, text) };
    this.#insert(entry);
    return () => {
      this.#entries.splice(this.#entries.indexOf(entry), 1);
      entry.node.remove();
      this.#entries.forEach((_, index) => this.#arrange(index));
    };
  }

  /**
   * Show what the reader has written and the server has not yet stored.
   * @param {string} content
   * @returns {Pending}
   */
  addPending(content) {
    const note = h("span", { class: "stamp note" }, "Sending…");
    const node = this.#frame(this.#self, h("p", { class: "content", dir: "auto" }, content), note);
    node.classList.add("pending");
    const pending = { node, content, note, settled: false };
    this.#pending.push(pending);
    this.#waiting.append(node);
    this.#follow = true;
    this.scrollToEnd();
    return pending;
  }

  /** The server has it. @param {Pending} pending @param {string} id */
  stored(pending, id) {
    pending.settled = true;
    pending.id = id;
    pending.note.textContent = "";
    pending.node.classList.remove("pending");
    if (this.has(id)) this.#drop(pending);
  }

  /**
   * The server does not have it, and will not get it by itself.
   * @param {Pending} pending
   * @param {string} reason
   * @param {() => void} retry
   */
  failed(pending, reason, retry) {
    pending.settled = true;
    pending.node.classList.add("failed");
    const again = h("button", { type: "button", class: "link", onclick: () => { this.#drop(pending); retry(); } }, "Retry");
    const discard = h("button", { type: "button", class: "link", onclick: () => this.#drop(pending) }, "Discard");
    pending.note.replaceChildren(h("span", { role: "alert" }, `Not sent: ${reason} `), again, " ", discard);
    if (!pending.node.isConnected) { // a push that only looked like it took its place
      this.#pending.push(pending);
      this.#waiting.append(pending.node);
    }
    this.#keepEnd();
  }

  /** @param {boolean} offline */
  setOffline(offline) {
    for (const pending of this.#pending) {
      if (!pending.settled) pending.note.textContent = offline ? "Waiting for the connection" : "Sending…";
    }
  }

  /** @param {"more" | "loading" | "start" | "unknown"} state of what lies before the first message */
  setOlder(state) {
    const button = /** @type {HTMLButtonElement} */ (this.#older.firstElementChild);
    this.#older.hidden = state === "unknown";
    this.#older.classList.toggle("is-start", state === "start");
    button.disabled = state === "loading" || state === "start";
    button.textContent = { more: "Load older messages", loading: "Loading…", start: "This is where it begins", unknown: "" }[state];
    this.scroller.setAttribute("aria-busy", String(state === "loading"));
  }

  /** Do something that adds above, without moving what the reader looks at. @param {() => void} change */
  keepPlace(change) {
    const fromEnd = this.scroller.scrollHeight - this.scroller.scrollTop;
    change();
    if (this.#follow) this.scrollToEnd();
    else this.scroller.scrollTop = this.scroller.scrollHeight - fromEnd;
  }

  scrollToEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#follow = true;
    this.#toEnd.hidden = true;
  }

  #scrolled() {
    this.#follow = this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight < NEAR_END;
    if (this.#follow) this.#toEnd.hidden = true;
  }

  #keepEnd() {
    if (this.#follow) this.scrollToEnd();
    else this.#toEnd.hidden = false;
  }

  /**
   * @param {string | undefined} user
   * @param {HTMLElement} body
   * @param {HTMLElement} stamp
   */
  #frame(user, body, stamp) {
    const own = user === this.#self;
    const name = h("span", { class: own ? "name visually-hidden" : "name", dir: "auto" }, own ? "You" : displayName(user));
    const bubble = h("div", { class: "bubble" }, name, body, stamp);
    return h("article", { class: own ? "message own" : "message", "data-testid": "message" }, own ? null : avatar(displayName(user)), bubble);
  }

  /** @param {Entry} entry */
  #insert(entry) {
    let index = this.#entries.length;
    while (index > 0 && isAfter(this.#entries[index - 1], entry)) index--;
    this.#stored.insertBefore(entry.node, this.#entries[index]?.node ?? null);
    this.#entries.splice(index, 0, entry);
    this.#arrange(index);
    this.#arrange(index + 1);
    if (index === this.#entries.length - 1) this.#keepEnd();
  }

  /** Messages of one person in a few minutes look like one; a new day is named. @param {number} index */
  #arrange(index) {
    const entry = this.#entries[index];
    if (!entry?.at || !entry.day) return;
    const before = this.#entries[index - 1];
    const earlier = this.#entries.slice(0, index).findLast(({ at }) => at !== undefined);
    const newDay = earlier?.at?.toDateString() !== entry.at.toDateString();
    entry.day.hidden = !newDay;
    const near = before?.at !== undefined && Math.abs(entry.at.getTime() - before.at.getTime()) < GROUP_FOR;
    entry.node.classList.toggle("follows", !newDay && near && before.user === entry.user);
  }

  /** A push of one's own takes the place of what was pending. @param {import("../hubbub.js").ChatMessage} message */
  #adopt({ id, content }) {
    const pending = this.#pending.find((candidate) => candidate.id !== undefined && candidate.id === id)
      ?? this.#pending.find((candidate) => !candidate.settled && candidate.content === content);
    if (pending) this.#drop(pending);
  }

  /** @param {Pending} pending */
  #drop(pending) {
    const index = this.#pending.indexOf(pending);
    if (index >= 0) this.#pending.splice(index, 1);
    pending.node.remove();
  }
}

/** @param {Entry} one @param {Entry} other */
const isAfter = (one, other) => one.segment > other.segment || (one.segment === other.segment && one.order > other.order);
