/** One room of the page: joins what the client tells about it with its log, who types and what is unread. */

import { MessageLog } from "./log.js";

const PAGE = 50;
const TYPING_FADES = 4_000;

/** Why a message was not sent, where the error's own words are for programmers. @type {Record<string, string>} */
const NOT_SENT = {
  closed: "there is no connection.",
  replaced: "you are signed in elsewhere.",
  unauthorized: "your sign-in has ended.",
  token_expired: "your sign-in has ended.",
  revoked: "your sign-in was taken back.",
  outbox_full: "too many messages are waiting for the connection already.",
  rate_limited: "too many messages in a short time.",
  too_large: "it is too long.",
  not_subscribed: "you are not in this room any more.",
};

export class RoomView {
  unread = 0;
  /** @type {string | null} */
  problem = null;
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #typing = new Map();
  /** Counts the epochs seen: the offsets of one say nothing about those of the next. */
  #segment = 0;
  /** @type {string | null} */
  #epoch = null;
  /** Up to here nothing of the epoch is missing, as far as is known. */
  #known = 0;
  #visible = false;
  #changed;

  /**
   * @param {import("../hubbub.js").Room} room
   * @param {string} self
   * @param {() => void} changed called when anything around the log changes
   */
  constructor(room, self, changed) {
    this.room = room;
    this.self = self;
    this.#changed = changed;
    this.log = new MessageLog(room.name, self, () => void this.#loadOlder());
    this.log.element.hidden = true;
    room.on("joined", (joined) => this.#joined(joined));
    room.on("message", (message) => this.#arrived(message));
    room.on("event", (message) => this.#arrived(message));
    room.on("typing", ({ user_id: user }) => this.#types(user));
    room.on("presence", ({ left }) => this.#stopsTyping(left));
    room.on("lost", (lost) => void this.#lost(lost));
    room.on("error", (error) => this.#ended(error.message));
    room.on("left", ({ reason }) => this.#ended(reason || "The server ended it."));
  }

  /** Who is writing now, in order of beginning. */
  get typing() {
    return [...this.#typing.keys()];
  }

  /** @param {boolean} visible */
  show(visible) {
    this.#visible = visible;
    this.log.element.hidden = !visible;
    if (visible) this.seen();
  }

  /** The reader has looked. */
  seen() {
    if (!this.#visible || document.hidden) return;
    this.unread = 0;
    this.#changed();
  }

  /** @param {string} content */
  send(content) {
    const pending = this.log.addPending(content);
    this.log.setOffline(this.room.client.state.name !== "connected");
    this.room.send(content).then(
      ({ id }) => this.log.stored(pending, id),
      (/** @type {import("../hubbub.js").HubbubError} */ error) => this.log.failed(pending, NOT_SENT[error.code] ?? error.message, () => this.send(content)),
    );
  }

  /** @param {boolean} connected */
  setConnected(connected) {
    this.log.setOffline(!connected);
    if (!connected) for (const user of this.typing) this.#stopsTyping(user);
  }

  leave() {
    for (const timer of this.#typing.values()) clearTimeout(timer);
    this.room.leave();
    this.log.element.remove();
  }

  /** @param {import("../hubbub.js").Joined | import("../hubbub.js").Subscribed} joined */
  #joined({ epoch, offset }) {
    const first = this.#epoch === null;
    if (first) this.#known = offset ?? 0;
    this.#follow(epoch);
    this.problem = null;
    this.#changed();
    if (first) void this.#load(offset === undefined ? undefined : offset + 1);
  }

  /** Nothing of another epoch is known to be whole. @param {string | undefined} epoch */
  #follow(epoch = "") {
    if (this.#epoch !== null && epoch !== this.#epoch) {
      this.#segment++;
      this.#known = -Infinity;
    }
    this.#epoch = epoch;
  }

  /** @param {import("../hubbub.js").ChatMessage | import("../hubbub.js").EventMessage} message */
  #arrived(message) {
    this.#show(message);
    this.#known = Math.max(this.#known, message.offset ?? 0);
    this.#stopsTyping(message.user_id);
    if (message.user_id === this.self || (this.#visible && !document.hidden)) return;
    this.unread++;
    this.#changed();
  }

  /** What is not stored has no offset: it stands where it came. @param {import("../hubbub.js").ChatMessage | import("../hubbub.js").EventMessage} message */
  #show(message) {
    this.log.add(this.#segment, message.offset ?? this.log.lastOrder(this.#segment) + 1e-3, message);
  }

  /** @param {number | undefined} before */
  async #load(before) {
    const segment = this.#segment;
    this.log.setOlder("loading");
    try {
      const { messages } = await this.room.history({ limit: PAGE, before });
      if (segment !== this.#segment) return;
      this.log.keepPlace(() => this.#showAll(messages));
      const start = messages.length === 0 || (messages[0].offset ?? 0) <= 1;
      this.log.setOlder(start ? "start" : "more");
    } catch {
      this.log.setOlder("unknown"); // no history is kept here, or the room is gone
    }
  }

  #loadOlder() {
    return this.#load(this.log.firstOrder(this.#segment));
  }

  /** @param {import("../hubbub.js").Publication[]} messages */
  #showAll(messages) {
    for (const message of messages) if (message.type === "message" || message.type === "event") this.#show(message);
  }

  /** Say where messages may be missing, and look whether history still has them. @param {import("../hubbub.js").Lost} lost */
  async #lost({ reason, from }) {
    if (reason === "reset") this.#follow(this.room.position?.epoch);
    const segment = this.#segment;
    const known = this.#known;
    const place = from === undefined ? this.log.lastOrder(segment) + 0.5 : from - 0.5;
    const withdraw = this.log.addNotice(segment, place, "Some messages may be missing here.");
    try {
      const { messages, offset } = await this.room.history({ limit: PAGE });
      if (segment !== this.#segment) return;
      this.log.keepPlace(() => this.#showAll(messages));
      this.#known = Math.max(this.#known, offset);
      const oldest = messages[0]?.offset ?? offset + 1;
      if (oldest <= known + 1) withdraw();
    } catch {
      // The notice stays: it is all that is known.
    }
  }

  /** @param {string} reason */
  #ended(reason) {
    this.problem = reason;
    this.#changed();
  }

  /** @param {string} user */
  #types(user) {
    clearTimeout(this.#typing.get(user));
    this.#typing.set(user, setTimeout(() => this.#stopsTyping(user), TYPING_FADES));
    this.#changed();
  }

  /** @param {string | undefined} user */
  #stopsTyping(user) {
    clearTimeout(this.#typing.get(user ?? ""));
    this.#typing.delete(user ?? "");
    this.#changed();
  }
}
