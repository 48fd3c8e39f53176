/**
 * The browser client of Hubbub: one ES module, no build step, no dependencies.
 *
 *     import { HubbubClient } from "/hubbub.js";
 *
 *     const client = new HubbubClient({ token: () => fetchToken() });
 *     const room = client.join("general");
 *     room.on("message", (message) => console.log(message.user_id, message.content));
 *     client.connect();
 *     await room.send("hi");
 *
 * The connection may be lost at any time; the client comes back, asks for what it missed and repeats what was
 * not acknowledged, so that every message arrives once and in order, or the application is told (`lost`).
 */

// ---------------------------------------------------------------------------------------------- messages

/** @typedef {{epoch: string, offset: number, id?: string}} Position where a reader stands in a channel */
/** @typedef {{channel: string, offset?: number, id?: string, timestamp?: string}} Push `offset` and `id` where it is stored */

/** @typedef {Push & {type: "message", room_id?: string, user_id?: string, content: any}} ChatMessage `content` is a string unless a program published something else; no `user_id`: the server */
/** @typedef {Push & {type: "event", event: string, data: any, user_id?: string}} EventMessage */
/** @typedef {{id: string, title: string, message: string, type: string, data: any, read: boolean, created_at: string}} NotificationData */
/** @typedef {Push & {type: "notification", data: NotificationData}} Notification */
/** @typedef {"pending" | "running" | "completed" | "failed" | "cancelled"} JobStatus */
/** @typedef {{id: string, kind: string, status: JobStatus, progress: number, message: string | null, result: any, error: string | null, result_is_left_out?: true}} JobState `progress`: 0 to 100 */
/** @typedef {JobState & {cancelling: boolean, attempt: number, attempts: number, created_at: string, started_at: string | null, finished_at: string | null}} JobData */
/** @typedef {Push & {type: "job", data: JobData}} Job */
/** @typedef {ChatMessage | EventMessage | Notification | Job} Publication */

/** @typedef {{type: "ack", ref: number, channel?: string}} Ack */
/** @typedef {Ack & {id: string, epoch: string, offset: number}} Published */
/** @typedef {Ack & {epoch: string, offset: number, messages: Publication[]}} HistoryPage */
/** @typedef {Ack & {members: string[], active_users: number, next_cursor: string | null}} PresencePage */
/** @typedef {{type: "error", code: string, message: string, ref?: number, channel?: string}} ErrorMessage */

/** @typedef {Position & {recovered?: boolean, messages: Publication[]}} Start */
/** @typedef {Start & {type: "joined", room_id: string, channel?: string, members?: string[], active_users?: number}} Joined */
/** @typedef {Start & {type: "subscribed", channel: string}} Subscribed */
/** @typedef {{type: "left", room_id: string, channel?: string, code?: number, reason?: string}} Left */
/** @typedef {{type: "unsubscribed", channel: string, code: number, reason: string}} Unsubscribed */
/** @typedef {{type: "reset", channel: string, epoch: string, offset: number}} Reset */
/** @typedef {{type: "gap", channel: string, from: number, to: number}} Gap */
/** @typedef {Push & {type: "typing", room_id: string, user_id: string}} Typing */
/** @typedef {Push & {type: "user_joined" | "user_left", room_id: string, user_id: string, active_users: number}} JoinLeave */
/** @typedef {Joined | Subscribed | Left | Unsubscribed | Reset | Gap | Typing | JoinLeave | Publication} ChannelMessage */

/** @typedef {{type: "welcome", user_id: string, session_id: string, heartbeat: number, channel?: string} & Partial<Position>} Welcome */
/** @typedef {{type: "broadcast", event: string, data: any, timestamp: string}} Broadcast */
/** @typedef {{type: "reconnect", after: number} | {type: "ping"} | {type: "pong"}} Control */
/** @typedef {Welcome | Ack | ErrorMessage | Broadcast | Control | ChannelMessage} ServerMessage */

// ------------------------------------------------------------------------------------- options and events

/** @typedef {string | (() => string | undefined | Promise<string | undefined>)} TokenSource nothing means that the session cookie speaks for the user */
/** @typedef {{now: () => number, setTimeout: (call: () => void, ms: number) => any, clearTimeout: (timer: any) => void}} Clock */

/**
 * @typedef {object} ClientOptions
 * @property {string | URL} [url] the WebSocket endpoint; by default `ws` beside this module
 * @property {string | URL} [api] the HTTP API; by default `api/v1` beside the WebSocket endpoint
 * @property {TokenSource} [token] fetched before every connection; without it the session cookie counts
 * @property {number} [outboxLimit] commands kept while there is no connection (100)
 * @property {number} [maxMessageBytes] the server's MAX_MESSAGE_BYTES: larger frames are not sent (65536)
 * @property {number} [backoffBase] seconds: the first wait is between 0 and this (0.5)
 * @property {number} [backoffCap] seconds: no wait is longer (20)
 * @property {number} [connectTimeout] seconds from the start of an attempt to `welcome` (10)
 * @property {number} [replyTimeout] seconds in which something must arrive after a command (10)
 * @property {() => number} [random] between 0 and 1, for the jitter
 * @property {Clock} [clock]
 * @property {typeof WebSocket} [WebSocket]
 * @property {typeof fetch} [fetch]
 */

/** @typedef {{name: "idle" | "connecting" | "connected"}} Moving */
/** @typedef {{name: "waiting", delay: number, error: HubbubError}} Waiting `delay`: milliseconds to the next attempt */
/** @typedef {{name: "closed", error: HubbubError}} Closed it will not come back by itself */
/** @typedef {Moving | Waiting | Closed} State */

/** @typedef {{reason: "not_recovered" | "gap" | "reset", from?: number, to?: number}} Lost what may be missing from here on */
/** @typedef {{members: string[] | null, activeUsers: number, joined?: string, left?: string}} Presence */
/** @typedef {{message: ChatMessage, event: EventMessage, notification: Notification, job: Job, lost: Lost}} Deliveries */
/** @typedef {Deliveries & {joined: Joined | Subscribed, left: Left | Unsubscribed, error: HubbubError}} SubscriptionEvents */
/** @typedef {SubscriptionEvents & {typing: Typing, presence: Presence}} RoomEvents */
/** @typedef {Deliveries & {state: State, broadcast: Broadcast, error: HubbubError}} ClientEvents */

// ------------------------------------------------------------------------------------------------- values

/** An answer that was no. `code` is the server's error code, or one of the client's own (see the docs). */
export class HubbubError extends Error {
  /** @param {string} code @param {string} message @param {number} [closeCode] of the WebSocket, where a close was the reason */
  constructor(code, message, closeCode) {
    super(message);
    this.name = "HubbubError";
    this.code = code;
    this.closeCode = closeCode;
  }
}

/** Closes after which coming back by itself would be wrong. @type {Record<number, string>} */
const FINAL = {
  1000: "closed", 1002: "protocol_error", 1003: "unsupported_data", 1007: "invalid_text", 1008: "policy_violation", 1009: "too_large",
  4001: "unauthorized", 4003: "forbidden", 4010: "revoked",
};
/** Closes after which it comes back; every other one is `connection_lost`. @type {Record<number, string>} */
const PASSING = { 1011: "internal", 1012: "restarting", 1013: "try_again_later", 4002: "token_expired", 4008: "slow_consumer" };
/** Errors after which the same command may be sent again: it was not taken, or its idempotency key protects it. */
const REPEATABLE = new Set(["rate_limited", "unavailable", "uncertain", "timeout"]);
const REPEATS = 5;
/** Above so many users the server lists no members. */
const CROWD = 100;
const TICK = 5_000;
const TYPING_INTERVAL = 2_000;

/** @type {Clock} */
const SYSTEM_CLOCK = {
  now: () => Date.now(), setTimeout: (call, ms) => setTimeout(call, ms), clearTimeout: (timer) => clearTimeout(timer),
};

/**
 * Full jitter: anything between nothing and the doubled wait, so that clients who left together return apart.
 * `base` and `cap` are seconds, the result is milliseconds; `random` is between 0 and 1.
 * @param {number} attempt 0 for the first wait @param {number} base @param {number} cap @param {number} random
 */
export function backoff(attempt, base, cap, random) {
  return random * Math.min(cap, base * 2 ** Math.min(attempt, 30)) * 1000;
}

/**
 * How many milliseconds a JWT is still good for, read without verifying it; null if it does not say.
 * @param {string | undefined} token @param {number} now @returns {number | null}
 */
export function remainingLife(token, now) {
  try {
    const payload = (token ?? "").split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    const { exp, iat } = JSON.parse(atob(payload));
    const left = exp * 1000 - now;
    const whole = (exp - iat) * 1000;
    // A clock that is wrong by more than the token's life says nothing; the life itself is the better guess.
    if (whole > 0 && (left <= 0 || left > whole)) return whole;
    return left > 0 ? left : null;
  } catch {
    return null;
  }
}

/** @param {TokenSource | undefined} source @returns {Promise<string | undefined>} */
const freshToken = async (source) => (typeof source === "function" ? source() : source);

/** @param {string | undefined} token */
const fitsHeader = (token) => token === undefined || /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(token);

/**
 * Write a frame as JSON; the server refuses one with half a pair of surrogates, and cannot say which it was. JSON.stringify
 * escapes such halves alone as \udXXX; a backslash that somebody wrote is doubled, so an even run of them is text.
 * @param {object} frame @returns {string} @throws {HubbubError} `bad_request`: a text in it is not well-formed Unicode
 */
function encode(frame) {
  const text = JSON.stringify(frame);
  const half = /[^\\](?:\\\\)*(\\ud[89a-f]..)/.exec(text);
  if (half) throw new HubbubError("bad_request", `The text is not well-formed Unicode: ${half[1]} is half of a pair of surrogates.`);
  return text;
}

/** @param {{channel?: string, room_id?: string}} message */
const channelOf = ({ channel, room_id: room }) => channel ?? `room:${room}`;

/** Works on plain http too, where `crypto.randomUUID` is missing. */
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** @template {Record<string, any>} Events */
class Emitter {
  /** @type {Map<keyof Events, Set<(event: any) => void>>} */ #listeners = new Map();

  /**
   * Call `listener` whenever `name` happens, until the function that is returned is called.
   * @template {keyof Events} Name @param {Name} name @param {(event: Events[Name]) => void} listener @returns {() => void}
   */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** @internal @template {keyof Events} Name @param {Name} name @param {Events[Name]} event */
  _emit(name, event) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(event);
      } catch (error) {
        queueMicrotask(() => { throw error; }); // the application's fault: reported, and nobody else misses the event
      }
    }
  }
}

// ----------------------------------------------------------------------------------------------- channels

/**
 * One channel that this client reads, made by `client.subscribe`.
 * @template {SubscriptionEvents} [Events=SubscriptionEvents]
 * @extends {Emitter<Events>}
 */
export class Subscription extends Emitter {
  /** Where this reader stands; sent as `since` when the connection returns. @type {Position | null} */
  position = null;
  /** @type {"joining" | "joined" | "refused" | "left"} */ state = "joining";
  /** It was joined before: what comes without being recovered has a hole in front. */
  #started = false;
  /** Pushes that overtook the answer to a resume. @type {Publication[]} */
  #held = [];

  /** @internal @type {{join: object, leave: object}} */
  _commands;

  /** @internal @param {HubbubClient} client @param {string} channel @param {TokenSource} [token] */
  constructor(client, channel, token) {
    super();
    this.client = client;
    this.channel = channel;
    /** @internal */
    this._token = token;
    this._commands = { join: { type: "subscribe", channel }, leave: { type: "unsubscribe", channel } };
  }

  /**
   * Publish an event in this channel; resolved when the server has stored it.
   * @param {string} event @param {any} data @returns {Promise<Published>}
   */
  publish(event, data) {
    return this.client.publish(this.channel, event, data);
  }

  /**
   * Read stored publications, in ascending order; `before` is an offset, exclusive.
   * @param {{limit?: number, before?: number}} [options] @returns {Promise<HistoryPage>}
   */
  history({ limit = 50, before } = {}) {
    return this.client._command({ type: "history", channel: this.channel, limit, before });
  }

  /**
   * Read who is here, page by page.
   * @param {{limit?: number, cursor?: string}} [options] @returns {Promise<PresencePage>}
   */
  presence({ limit, cursor } = {}) {
    return this.client._command({ type: "presence", channel: this.channel, limit, cursor });
  }

  /** Stop reading. Joining again makes a new object, without a position. */
  leave() {
    this.client._leave(this);
  }

  /** Wait for the server's answer to a join; what the last connection brought meanwhile will come again. @internal */
  _await() {
    this.state = "joining";
    this.#held = [];
  }

  /** @internal @param {Joined | Subscribed} message */
  _joined(message) {
    const { recovered, messages = [] } = message;
    const whole = recovered === true || !this.#started;
    if (!whole) this.position = null;
    this.#started = true;
    this.state = "joined";
    this._emit("joined", message);
    if (!whole) this._emit("lost", { reason: "not_recovered" });
    for (const missed of messages) this._deliver(missed, message.epoch);
    // The top may be a publication that excludes this reader: then this one is not the place to resume from.
    if (this.position?.offset !== message.offset || this.position.epoch !== message.epoch) this._startAt(message);
    for (const push of this.#held.splice(0)) this._deliver(push);
  }

  /** @internal @param {Partial<Position>} place without an epoch in a channel that has no positions */
  _startAt({ epoch, offset = 0, id }) {
    this.#started = true;
    this.position = epoch ? { epoch, offset, id } : null;
    this.state = "joined";
  }

  /** @internal @param {Reset | Gap} message */
  _lost(message) {
    if (message.type === "reset") {
      this._startAt(message);
      this._emit("lost", { reason: "reset" });
    } else {
      if (this.position && this.position.offset < message.to) this._startAt({ epoch: this.position.epoch, offset: message.to });
      this._emit("lost", { reason: "gap", from: message.from, to: message.to });
    }
  }

  /** @internal @param {Publication} message @param {string} [epoch] of the answer that brought it */
  _deliver(message, epoch = this.position?.epoch) {
    if (this.state === "joining") {
      this.#held.push(message);
      return;
    }
    if (message.offset !== undefined && epoch) {
      if (this.position && message.offset <= this.position.offset) return; // seen already
      this.position = { epoch, offset: message.offset, id: message.id };
    }
    this._emit(message.type, /** @type {any} */ (message));
  }
}

/**
 * A channel whose members see each other, made by `client.join`.
 * @extends {Subscription<RoomEvents>}
 */
export class Room extends Subscription {
  /** Who is here, sorted; null when there are too many to list. @type {string[] | null} */
  members = null;
  /** How many users are here, each counted once however many devices they hold. */
  activeUsers = 0;
  #typedAt = -Infinity;

  /** @internal @param {HubbubClient} client @param {string} name @param {TokenSource} [token] */
  constructor(client, name, token) {
    super(client, `room:${name}`, token);
    this.name = name;
    this._commands = { join: { type: "join_room", room_id: name }, leave: { type: "leave_room", room_id: name } };
  }

  /**
   * Say something; resolved when the server has stored it. Without a connection it waits, and is sent when there is one.
   * @param {string} content @returns {Promise<Published>}
   */
  send(content) {
    this.#typedAt = -Infinity;
    return this.client._command({ type: "message", room_id: this.name, content, idempotency_key: newKey() });
  }

  /** Tell the others that the user is typing; call it on every key, one in two seconds is sent. */
  typing() {
    const now = this.client._clock.now();
    if (now - this.#typedAt < TYPING_INTERVAL || this.state !== "joined") return;
    if (this.client._send({ type: "typing", room_id: this.name })) this.#typedAt = now;
  }

  /** @internal @param {Joined | Subscribed} message */
  _joined(message) {
    if (message.type === "joined") {
      this.members = message.members ?? null;
      this.activeUsers = message.active_users ?? this.members?.length ?? 0;
    }
    super._joined(message);
    this._emit("presence", { members: this.members, activeUsers: this.activeUsers });
  }

  /** @internal @param {JoinLeave} message */
  _joinLeave({ type, user_id: user, active_users: count }) {
    // A crowd is counted, not listed: of those who come and go in it, one a second is told.
    const others = count > CROWD ? undefined : this.members?.filter((member) => member !== user);
    this.members = others ? (type === "user_joined" ? [...others, user].sort() : others) : null;
    this.activeUsers = count;
    const change = type === "user_joined" ? { joined: user } : { left: user };
    this._emit("presence", { members: this.members, activeUsers: count, ...change });
  }
}

// --------------------------------------------------------------------------------------------------- jobs

/** @typedef {{tasks: JobData[], next_cursor: string | null}} JobPage */
/** @typedef {{tasks: (JobData & {owner: string | null})[], next_cursor: string | null, counts: Record<JobStatus, number>}} QueuePage */
/** @typedef {{status?: JobStatus, kind?: string, limit?: number, cursor?: string}} JobQuery */
/** @typedef {{attempt: number, at: string, level: string, text: string}} JobLine */

/** A job in one of these is finished, unless somebody retries it. */
const FINISHED = new Set(["completed", "failed", "cancelled"]);
/** Answers that asking again may change. */
const PASSING_ANSWERS = new Set([...REPEATABLE, "connection_lost", "no_token"]);
/** What a status says where the body does not. @type {Record<number, string>} */
const ANSWERS = {
  400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 409: "conflict", 413: "too_large", 422: "bad_request",
  429: "rate_limited", 502: "unavailable", 503: "unavailable", 504: "timeout",
};

/**
 * The user's background jobs, at `client.jobs`. What it asks goes over HTTP, with the client's token or the session cookie.
 * @extends {Emitter<{started: JobData}>}
 */
export class Jobs extends Emitter {
  #client;
  /** @type {Map<string, JobWatch>} */ #watches = new Map();

  /** @internal @param {HubbubClient} client */
  constructor(client) {
    super();
    this.#client = client;
    client.on("event", ({ event, data }) => event === "job" && this._emit("started", data));
  }

  /**
   * Start a task; it runs in the background, whatever becomes of this page.
   * @param {string} kind @param {Record<string, any>} [params]
   * @param {{idempotencyKey?: string}} [options] while a job of this kind with this key is not finished, it starts no other
   * @returns {Promise<JobData>}
   */
  start(kind, params = {}, { idempotencyKey } = {}) {
    return this.#client._ask("POST", "tasks/", { kind, params, idempotency_key: idempotencyKey });
  }

  /** List the user's jobs, the newest first. @param {JobQuery} [query] @returns {Promise<JobPage>} */
  list(query = {}) {
    return this.#client._ask("GET", `tasks/${queryText(query)}`);
  }

  /** List everybody's; for administrators. @param {JobQuery & {owner?: string}} [query] @returns {Promise<QueuePage>} */
  all(query = {}) {
    return this.#client._ask("GET", `admin/tasks${queryText(query)}`);
  }

  /** @param {string} id @returns {Promise<JobData>} */
  get(id) {
    return this.#client._ask("GET", `tasks/${encodeURIComponent(id)}`);
  }

  /** End it; one that runs ends within about a second, unless it completes. @param {string} id @returns {Promise<JobData>} */
  cancel(id) {
    return this.#client._ask("POST", `tasks/${encodeURIComponent(id)}/cancel`);
  }

  /** Have one that failed or was cancelled begin anew. @param {string} id @returns {Promise<JobData>} */
  retry(id) {
    return this.#client._ask("POST", `tasks/${encodeURIComponent(id)}/retry`);
  }

  /** Read the last lines that it noted. @param {string} id @param {{limit?: number}} [query] @returns {Promise<{lines: JobLine[], omitted: number}>} */
  logs(id, query = {}) {
    return this.#client._ask("GET", `tasks/${encodeURIComponent(id)}/logs${queryText(query)}`);
  }

  /** Follow a job to its end. The same id gives the same watch until it has ended. @param {string} id @returns {JobWatch} */
  watch(id) {
    const known = this.#watches.get(id);
    if (known) return known;
    const watch = new JobWatch(this.#client, id, () => this.#watches.delete(id));
    this.#watches.set(id, watch);
    return watch;
  }
}

/** @param {Record<string, any>} query */
function queryText(query) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  return given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : "";
}

/**
 * One job that is followed, made by `client.jobs.watch`; it ends with the job, or by `stop()`.
 * @extends {Emitter<{job: JobData, error: HubbubError}>}
 */
export class JobWatch extends Emitter {
  /** What is known of it; null before anything is. @type {JobData | null} */
  job = null;
  /** Resolved with the result; rejected with `job_failed`, `job_cancelled`, why it cannot be read, or `stopped`. @type {Promise<any>} */
  done;
  #client;
  #channel;
  #ended;
  /** @type {(result: any) => void} */ #resolve = () => {};
  /** @type {(error: HubbubError) => void} */ #reject = () => {};
  #over = false;
  #pushes = 0;
  #asking = 0;
  #failures = 0;
  /** @type {(() => void)[]} */ #offs;

  /** @internal @param {HubbubClient} client @param {string} id @param {() => void} ended */
  constructor(client, id, ended) {
    super();
    this.id = id;
    this.#client = client;
    this.#ended = ended;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.done.catch(() => {}); // whoever only listens to `job` has nothing to catch
    const channel = (this.#channel = client.subscribe(`job:${id}`));
    this.#offs = [
      channel.on("job", ({ data }) => this.#pushed(data)),
      channel.on("joined", ({ recovered }) => recovered !== true && void this.#ask()), // what fell before it, or between
      channel.on("lost", ({ reason }) => reason !== "not_recovered" && void this.#ask()),
      channel.on("error", (error) => channel.state === "refused" && this.#fail(error)),
      channel.on("left", ({ reason }) => this.#fail(new HubbubError("forbidden", reason || "The server ended it."))),
    ];
    if (channel.state === "joined") void this.#ask();
  }

  /** Follow it no more; the job itself goes on. */
  stop() {
    this.#fail(new HubbubError("stopped", "It is not followed any more."));
  }

  /** @param {JobData} job */
  #pushed(job) {
    this.#pushes++;
    if (job.result_is_left_out) void this.#ask();
    else this.#take(job);
  }

  /** Read it as it stands; what arrived meanwhile is newer, unless that says that it is finished. */
  async #ask() {
    const asking = ++this.#asking;
    const pushes = this.#pushes;
    let job;
    try {
      job = await this.#client.jobs.get(this.id);
    } catch (error) {
      if (asking === this.#asking && !this.#over) this.#unanswered(/** @type {HubbubError} */ (error));
      return;
    }
    if (asking !== this.#asking || this.#over) return;
    this.#failures = 0;
    // Stored progress is up to a second older than what was told.
    const older = this.job?.attempt === job.attempt && this.job.status === job.status && this.job.progress > job.progress;
    if (FINISHED.has(job.status) || (pushes === this.#pushes && !older)) this.#take(job);
  }

  /** @param {HubbubError} error */
  #unanswered(error) {
    if (!PASSING_ANSWERS.has(error.code)) {
      this.#fail(error);
      return;
    }
    const asking = this.#asking;
    const again = () => asking === this.#asking && !this.#over && void this.#ask();
    this.#client._clock.setTimeout(again, 500 + backoff(this.#failures++, 0.5, 20, 1));
  }

  /** @param {JobData} job */
  #take(job) {
    if (this.#over) return;
    this.job = job;
    if (FINISHED.has(job.status)) this.#end();
    this._emit("job", job);
    if (job.status === "completed") this.#resolve(job.result);
    else if (job.status === "failed") this.#reject(new HubbubError("job_failed", job.error ?? "It failed."));
    else if (job.status === "cancelled") this.#reject(new HubbubError("job_cancelled", "It was cancelled."));
  }

  /** @param {HubbubError} error */
  #fail(error) {
    if (this.#over) return;
    this.#end();
    this._emit("error", error);
    this.#reject(error);
  }

  #end() {
    this.#over = true;
    for (const off of this.#offs) off();
    this.#channel.leave();
    this.#ended();
  }
}

// ------------------------------------------------------------------------------------------------- client

/** @typedef {{text: string, channel: string, resolve: (ack: any) => void, reject: (error: HubbubError) => void, sent: boolean, repeats: number}} Command */

/**
 * One connection to the server, kept alive from `connect()` to `close()`.
 * @extends {Emitter<ClientEvents>}
 */
export class HubbubClient extends Emitter {
  /** @type {State} */ state = { name: "idle" };
  /** Who the server says we are; null before the first welcome, "" for an anonymous visitor. @type {string | null} */
  userId = null;
  #options;
  /** @internal */ _clock;
  #api;
  /** @type {WebSocket | null} */ #socket = null;
  /** Changes with every attempt and every end, so that whoever awaited something notices that it came too late. */
  #generation = 0;
  #welcomed = false;
  /** The outbox moves: every channel has been asked for again. */
  #flowing = false;
  /** One command at a time, until what had to wait is through: so a repeated one keeps its place. */
  #serial = false;
  #attempts = 0;
  #welcomedAt = 0;
  #heardAt = 0;
  #heardCount = 0;
  #heartbeat = 25;
  #nextTick = 0;
  #returnAt = 0;
  #ref = 0;
  /** @type {string | undefined} */
  #token;
  /** A 4002 was answered by fetching a fresh token; the next one before a welcome is final. @type {{token?: string} | null} */
  #expired = null;
  /** @type {Map<string, Subscription<any>>} */ #channels = new Map();
  /** The user's own channel, which every connection of theirs reads. @type {Subscription<any> | null} */
  #personal = null;
  /** Joins without an answer. @type {Map<number, Subscription<any>>} */
  #joins = new Map();
  /** Commands without an answer, in order. @type {Map<number, Command>} */
  #outbox = new Map();
  /** @type {Map<string, any>} */ #timers = new Map();
  /** @type {AbortController | null} */ #listening = null;

  /** @param {ClientOptions} [options] */
  constructor(options = {}) {
    super();
    const url = options.url ? new URL(options.url, globalThis.location?.href) : new URL("ws", import.meta.url);
    url.protocol = url.protocol.replace("http", "ws");
    /** @type {ClientOptions} */
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
    this.#options = {
      outboxLimit: 100, maxMessageBytes: 65_536, backoffBase: 0.5, backoffCap: 20, connectTimeout: 10, replyTimeout: 10,
      random: Math.random, WebSocket: globalThis.WebSocket, ...given, url: url.href,
    };
    this._clock = options.clock ?? SYSTEM_CLOCK;
    const api = options.api ? new URL(options.api, globalThis.location?.href) : new URL("api/v1", url);
    this.#api = api.href.replace(/^ws/, "http").replace(/\/*$/, "/");
    /** The user's background jobs. */
    this.jobs = new Jobs(this);
  }

  /** Connect; or try again at once while it waits to. Rooms and subscriptions outlive a `close()`. */
  connect() {
    if (this.state.name === "connecting" || this.state.name === "connected") return;
    this.#expired = null;
    if (!this.#listening) this.#listen();
    void this.#open();
  }

  /** Close for good; what is still unanswered is rejected with `closed`. */
  close() {
    if (this.state.name !== "closed") this.#end(new HubbubError("closed", "Closed by the application."));
  }

  /**
   * Enter a room, with a token where rooms ask for one. The same name gives the same room until it is left.
   * @param {string} name @param {{token?: TokenSource}} [options] @returns {Room}
   */
  join(name, { token } = {}) {
    const known = this.#channels.get(`room:${name}`);
    return known instanceof Room ? known : this.#add(new Room(this, name, token));
  }

  /**
   * Read any channel, such as `topic:orders`.
   * @param {string} channel @param {{token?: TokenSource}} [options] @returns {Subscription}
   */
  subscribe(channel, { token } = {}) {
    return this.#channels.get(channel) ?? this.#add(new Subscription(this, channel, token));
  }

  /**
   * Publish an event where the channel's policy lets this user; resolved when the server has stored it.
   * @param {string} channel @param {string} event @param {any} data @returns {Promise<Published>}
   */
  publish(channel, event, data) {
    return this._command({ type: "publish", channel, event, data, idempotency_key: newKey() });
  }

  /**
   * Ask the HTTP API.
   * @internal @param {"GET" | "POST"} method @param {string} path @param {object} [body] @returns {Promise<any>}
   */
  async _ask(method, path, body) {
    const { token: source, replyTimeout, fetch: call = globalThis.fetch } = this.#options;
    let token;
    try {
      token = await freshToken(source);
    } catch (error) {
      throw error instanceof HubbubError ? error : new HubbubError("no_token", `No token could be fetched: ${error}`);
    }
    /** @type {Record<string, string>} */
    const headers = body ? { "content-type": "application/json" } : {};
    if (token !== undefined) headers.authorization = `Bearer ${token}`;
    const content = body && encode(body);
    try {
      const response = await call(this.#api + path, {
        method, headers, body: content, cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(replyTimeout * 1000),
      });
      const answer = await response.json().catch(() => ({}));
      if (response.ok) return answer;
      const [, code = ANSWERS[response.status] ?? "internal"] = /^urn:hubbub:error:(\w+)$/.exec(answer.type) ?? [];
      throw new HubbubError(code, answer.detail ?? `The server answered ${response.status}.`);
    } catch (error) {
      if (error instanceof HubbubError) throw error;
      throw new HubbubError("connection_lost", `The server cannot be reached: ${error}`);
    }
  }

  // --------------------------------------------------------------------------------- the connection's life

  async #open() {
    this.#disconnect();
    const generation = ++this.#generation;
    this.#after("connect", this.#options.connectTimeout * 1000, () => this.#lose("No answer from the server."));
    this.#setState({ name: "connecting" });
    let token;
    try {
      token = await freshToken(this.#options.token);
    } catch (error) {
      if (generation !== this.#generation) return;
      if (error instanceof HubbubError) this.#end(error);
      else this.#comeBack(new HubbubError("no_token", `No token could be fetched: ${error}`));
      return;
    }
    if (generation !== this.#generation) return;
    if (this.#expired && token !== undefined && token === this.#expired.token) {
      this.#end(new HubbubError("token_expired", "The token expired, and no new one was given.", 4002));
    } else if (!fitsHeader(token)) {
      this.#end(new HubbubError("unauthorized", "The token has characters that no header can carry."));
    } else {
      this.#token = token;
      const protocols = token === undefined ? ["hubbub"] : ["hubbub", `hubbub.bearer.${token}`];
      const socket = new this.#options.WebSocket(this.#options.url, protocols);
      socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
      socket.onclose = (event) => this.#closed(event.code, event.reason);
      this.#socket = socket;
    }
  }

  /**
   * Forget the socket, whatever becomes of it. What was sent and not answered will be sent again.
   * @param {number} [code] 1000 is a goodbye, after which presence ends at once; with any other it has its grace
   */
  #disconnect(code = 4000) {
    for (const name of ["connect", "reply", "retry", "renew", "return", "flush"]) this.#cancel(name);
    if (this.#socket) {
      this.#socket.onmessage = this.#socket.onclose = null;
      this.#socket.close(code);
      this.#socket = null;
    }
    if (this.#welcomed && this._clock.now() - this.#welcomedAt > TICK) this.#attempts = 0;
    this.#welcomed = this.#flowing = false;
    this.#serial = true;
    this.#joins.clear();
    for (const command of this.#outbox.values()) command.sent = false;
    for (const channel of this.#channels.values()) channel._await();
  }

  /** @param {HubbubError} error */
  #comeBack(error) {
    this.#disconnect();
    this.#generation++;
    const { backoffBase, backoffCap, random } = this.#options;
    if (error.code === "try_again_later") this.#attempts = Math.max(this.#attempts, 3);
    const asked = this.#returnAt - this._clock.now();
    const delay = asked > 0 ? asked : backoff(this.#attempts++, backoffBase, backoffCap, random());
    this.#returnAt = 0;
    this.#after("retry", delay, () => void this.#open());
    this.#setState({ name: "waiting", delay, error });
  }

  /** @param {string} message */
  #lose(message) {
    this.#comeBack(new HubbubError("connection_lost", message));
  }

  /** @param {HubbubError} error */
  #end(error) {
    this.#disconnect(1000);
    this.#generation++;
    this.#attempts = 0;
    this.#cancel("tick");
    this.#listening?.abort();
    this.#listening = null;
    for (const { reject } of this.#outbox.values()) reject(error);
    this.#outbox.clear();
    this.#setState({ name: "closed", error });
  }

  /** @param {number} code @param {string} reason */
  #closed(code, reason) {
    const name = reason.startsWith("Replaced") ? "replaced" : (FINAL[code] ?? PASSING[code] ?? "connection_lost");
    const error = new HubbubError(name, reason || "The connection was lost.", code);
    if (code in FINAL) this.#end(error);
    else if (code !== 4002) this.#comeBack(error);
    else if (this.#expired || typeof this.#options.token === "string") this.#end(error);
    else {
      this.#expired = { token: this.#token };
      void this.#open();
    }
  }

  /** @param {State} state */
  #setState(state) {
    this.state = state;
    this._emit("state", state);
  }

  // ------------------------------------------------------------------------------------------ being alive

  #listen() {
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    const wake = () => this.#wake();
    for (const name of ["online", "offline", "pageshow"]) globalThis.addEventListener?.(name, wake, { signal });
    globalThis.document?.addEventListener("visibilitychange", () => document.visibilityState === "visible" && wake(), { signal });
    this.#tick();
  }

  #tick() {
    const now = this._clock.now();
    const slept = this.#nextTick > 0 && now - this.#nextTick > 2 * TICK;
    this.#nextTick = now + TICK;
    this.#after("tick", TICK, () => this.#tick());
    if (slept) this.#wake();
    else if (this.#welcomed && now - this.#heardAt > this.#heartbeat * 1500 + TICK) this.#lose("Nothing was heard from the server.");
  }

  /** Something changed outside: use the moment, and learn within seconds whether the connection still lives. */
  #wake() {
    if (this.state.name === "waiting" && globalThis.navigator?.onLine !== false) void this.#open();
    else if (this._send({ type: "ping" })) {
      this.#cancel("reply");
      this.#expectReply(TICK);
    }
  }

  /** @param {number} ms */
  #expectReply(ms) {
    if (this.#timers.has("reply")) return;
    const count = this.#heardCount;
    this.#after("reply", ms, () => {
      if (this.#heardCount === count) this.#lose("The server did not answer.");
      else if (this.#outbox.size > 0) this.#expectReply(ms);
    });
  }

  #renewLater() {
    const life = typeof this.#options.token === "function" ? remainingLife(this.#token, this._clock.now()) : null;
    if (life !== null) this.#after("renew", Math.max(life - Math.min(60_000, life / 4), 1000), () => void this.#renew());
  }

  /** A live identity goes on with a fresh token; when none comes, the server's 4002 decides. */
  async #renew() {
    const generation = this.#generation;
    const token = await freshToken(this.#options.token).catch(() => undefined);
    if (generation !== this.#generation || token === undefined || token === this.#token || !fitsHeader(token)) return;
    this.#token = token;
    this._send({ type: "auth", token, ref: ++this.#ref });
    this.#renewLater();
  }

  /** @param {string} name @param {number} ms @param {() => void} call */
  #after(name, ms, call) {
    this.#cancel(name);
    const run = () => {
      this.#timers.delete(name);
      call();
    };
    this.#timers.set(name, this._clock.setTimeout(run, Math.min(ms, 2 ** 31 - 1)));
  }

  /** @param {string} name */
  #cancel(name) {
    this._clock.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  // ---------------------------------------------------------------------------------------- what is asked

  /**
   * Send what will be answered, now or when the connection is back.
   * @internal @param {{channel?: string, room_id?: string, [field: string]: any}} frame @returns {Promise<any>}
   */
  _command(frame) {
    return new Promise((resolve, reject) => {
      const ref = ++this.#ref;
      const text = encode({ ...frame, ref }); // what it throws, rejects the promise
      const command = { text, channel: channelOf(frame), resolve, reject, sent: false, repeats: 0 };
      const { outboxLimit, maxMessageBytes } = this.#options;
      if (new TextEncoder().encode(text).length > maxMessageBytes) {
        reject(new HubbubError("too_large", `Larger than ${maxMessageBytes} bytes.`));
      } else if (this.state.name === "closed") {
        reject(this.state.error);
      } else if (!this.#flowing && this.#outbox.size >= outboxLimit) {
        reject(new HubbubError("outbox_full", `${outboxLimit} commands already wait for the connection.`));
      } else {
        this.#outbox.set(ref, command);
        this.#flush();
      }
    });
  }

  #flush() {
    if (!this.#flowing || this.#timers.has("flush")) return;
    for (const command of this.#outbox.values()) {
      if (!command.sent) {
        command.sent = this.#write(command.text);
        this.#expectReply(this.#options.replyTimeout * 1000);
      }
      if (this.#serial) return;
    }
    this.#serial = false;
  }

  /** @internal @param {object} frame @returns {boolean} whether there was a connection to send it on */
  _send(frame) {
    return this.#write(encode(frame));
  }

  /** @param {string} text */
  #write(text) {
    if (!this.#welcomed || this.#socket?.readyState !== 1) return false;
    this.#socket.send(text);
    return true;
  }

  /** @template {Subscription<any>} Kind @param {Kind} channel @returns {Kind} */
  #add(channel) {
    try {
      encode(channel._commands.join);
    } catch (error) {
      queueMicrotask(() => this.#joinRefused(channel, /** @type {HubbubError} */ (error))); // when it has listeners
      return channel;
    }
    this.#channels.set(channel.channel, channel);
    if (this.#welcomed) void this.#join(channel);
    return channel;
  }

  /** @param {Subscription<any>} channel */
  async #join(channel) {
    channel._await();
    let token;
    if (channel._token) {
      const generation = this.#generation;
      try {
        token = await freshToken(channel._token);
      } catch (error) {
        channel._emit("error", new HubbubError("no_token", `No token could be fetched: ${error}`));
        this.#joinLater(channel, generation);
        return;
      }
      if (generation !== this.#generation) return;
    }
    if (this.#channels.get(channel.channel) !== channel) return; // left meanwhile
    const ref = ++this.#ref;
    this.#joins.set(ref, channel);
    try {
      this._send({ ...channel._commands.join, token, since: channel.position ?? undefined, ref });
    } catch (error) {
      this.#joins.delete(ref);
      this.#joinRefused(channel, /** @type {HubbubError} */ (error));
    }
  }

  /** @param {Subscription<any>} channel @param {number} [generation] */
  #joinLater(channel, generation = this.#generation) {
    channel._await();
    const wanted = () => generation === this.#generation && this.#channels.get(channel.channel) === channel;
    this._clock.setTimeout(() => wanted() && void this.#join(channel), 500 + 1000 * this.#options.random());
  }

  /** @internal @param {Subscription<any>} channel */
  _leave(channel) {
    if (this.#channels.get(channel.channel) !== channel) return;
    this.#channels.delete(channel.channel);
    channel.state = "left";
    this._send(channel._commands.leave);
  }

  // ----------------------------------------------------------------------------------------- what arrives

  /** @param {ServerMessage} message */
  #receive(message) {
    this.#heardAt = this._clock.now();
    this.#heardCount++;
    switch (message.type) {
      case "welcome": return this.#welcome(message);
      case "ack": return this.#acknowledged(message);
      case "error": return this.#refused(message);
      case "broadcast": return this._emit("broadcast", message);
      case "ping": return void this._send({ type: "pong" });
      case "pong": return undefined;
      case "reconnect":
        this.#returnAt = this.#heardAt + message.after * 1000;
        return this.#after("return", message.after * 1000, () => void this.#open());
      default: return this.#inChannel(message);
    }
  }

  /** @param {Welcome} message */
  #welcome(message) {
    const { user_id: userId, heartbeat, channel: own } = message;
    const generation = this.#generation;
    this.#cancel("connect");
    this.#welcomed = true;
    this.#welcomedAt = this.#heardAt;
    this.#expired = null;
    this.#returnAt = 0;
    this.#heartbeat = heartbeat;
    this.userId = userId;
    if (own && own !== this.#personal?.channel) this.#becomePersonal(own);
    if (own && !this.#personal?.position) this.#personal?._startAt(message);
    this.#setState({ name: "connected" });
    if (generation !== this.#generation) return;
    this.#renewLater();
    const channels = [...this.#channels.values()].filter(({ state }) => state === "joining");
    void Promise.all(channels.map((channel) => this.#join(channel))).then(() => {
      if (generation !== this.#generation) return;
      this.#flowing = true;
      this.#flush();
    });
  }

  /** @param {string} name */
  #becomePersonal(name) {
    if (this.#personal) this.#channels.delete(this.#personal.channel);
    this.#personal = this.#channels.get(name) ?? new Subscription(this, name);
    this.#channels.set(name, this.#personal);
    const events = /** @type {const} */ (["message", "event", "notification", "job", "lost"]);
    for (const event of events) this.#personal.on(event, (value) => this._emit(event, value));
  }

  /** @param {Ack} message */
  #acknowledged(message) {
    this.#joins.delete(message.ref);
    this.#outbox.get(message.ref)?.resolve(message);
    if (this.#outbox.delete(message.ref)) this.#flush();
  }

  /** @param {ErrorMessage} message */
  #refused({ code, message: text, ref = 0, channel: name = "" }) {
    const error = new HubbubError(code, text);
    const command = this.#outbox.get(ref);
    const joining = this.#joins.get(ref);
    const early = code === "not_subscribed" && command && this.#channels.get(command.channel)?.state === "joining";
    if (command && (early || REPEATABLE.has(code)) && command.repeats++ < REPEATS) {
      command.sent = false;
      this.#serial = true;
      this.#after("flush", 1000 * command.repeats, () => this.#flush());
    } else if (command) {
      this.#outbox.delete(ref);
      command.reject(error);
      this.#flush();
    } else if (joining) {
      this.#joins.delete(ref);
      if (REPEATABLE.has(code)) this.#joinLater(joining);
      else this.#joinRefused(joining, error);
    } else {
      const channel = this.#channels.get(name);
      if (channel) channel._emit("error", error);
      else this._emit("error", error);
    }
  }

  /** @param {Subscription<any>} channel @param {HubbubError} error */
  #joinRefused(channel, error) {
    if (channel === this.#personal) { // it is read all the same: only what was missed stays unknown
      channel._joined({ type: "subscribed", channel: channel.channel, epoch: "", offset: 0, messages: [] });
      return;
    }
    channel.state = "refused";
    if (this.#channels.get(channel.channel) === channel) this.#channels.delete(channel.channel);
    channel._emit("error", error);
  }

  /** @param {ChannelMessage} message */
  #inChannel(message) {
    const name = channelOf(message);
    const channel = this.#channels.get(name);
    if (!channel) return;
    switch (message.type) {
      case "joined":
      case "subscribed": return channel._joined(message);
      case "reset":
      case "gap": return channel._lost(message);
      case "left":
      case "unsubscribed":
        if (channel.state === "joining") return; // the answer to a leave before this join
        if ((message.code ?? 0) >= 2500) return this.#joinLater(channel); // lost by the server, or the token's time is over
        this.#channels.delete(name);
        channel.state = "left";
        return channel._emit("left", message);
      case "typing": return channel._emit("typing", message);
      case "user_joined":
      case "user_left": return channel instanceof Room ? channel._joinLeave(message) : undefined;
      default: return channel._deliver(message);
    }
  }
}
