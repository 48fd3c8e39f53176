/** The view of background jobs: one's own as they go, and the way to start one. */

import { byId } from "./dom.js";
import { isFinished, JobCard, WORDS } from "./job_card.js";
import { Queue } from "./queue.js";

/** @typedef {import("../hubbub.js").JobData} JobData */

const PAGE = 20;
/** So many are followed at once; a connection reads a bounded number of channels. */
const FOLLOWED = 60;
/** Milliseconds after which those for which there was no place are looked at. */
const EVERY = 2_000;
/** More than one may have unfinished. */
const MOST = 500;

export class JobsView {
  /** Those that are not finished. */
  open = 0;
  visible = false;
  /** @type {Map<string, JobCard>} */ #cards = new Map();
  /** @type {Map<string, import("../hubbub.js").JobWatch>} */ #watches = new Map();
  /** @type {string | null} */ #cursor = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #client;
  #changed;
  #queue;
  #stop = new AbortController();
  /** @type {(() => void)[]} */ #offs;

  /**
   * @param {import("../hubbub.js").HubbubClient} client
   * @param {() => void} changed called when what the sidebar shows of it changes
   * @param {() => Promise<boolean>} isAdministrator
   */
  constructor(client, changed, isAdministrator) {
    this.#client = client;
    this.#changed = changed;
    this.#queue = new Queue(client, isAdministrator);
    const { signal } = this.#stop;
    byId("job-list").replaceChildren();
    byId("demo-form").addEventListener("submit", (/** @type {SubmitEvent} */ event) => void this.#start(event), { signal });
    byId("jobs-older").addEventListener("click", () => void this.#load(this.#cursor), { signal });
    this.#offs = [
      client.jobs.on("started", (job) => this.#show(job)),
      client.on("state", ({ name }) => name === "connected" && void this.#load(null)),
    ];
  }

  /** @param {boolean} visible */
  show(visible) {
    this.visible = visible;
    byId("jobs").hidden = !visible;
    this.#queue.show(visible);
  }

  end() {
    this.show(false);
    this.#stop.abort();
    clearTimeout(this.#timer);
    this.#queue.end();
    for (const off of this.#offs) off();
    for (const watch of this.#watches.values()) watch.stop();
    byId("job-list").replaceChildren();
  }

  /** @param {SubmitEvent} event */
  async #start(event) {
    event.preventDefault();
    const [steps, seconds] = [byId("demo-steps").valueAsNumber, byId("demo-seconds").valueAsNumber];
    byId("demo-error").textContent = "";
    try {
      const job = await this.#client.jobs.start("demo", { steps, seconds, fail: byId("demo-fail").checked });
      this.#show(job);
      this.#cards.get(job.id)?.element.scrollIntoView({ block: "nearest" });
    } catch (error) {
      byId("demo-error").textContent = told(error);
    }
  }

  /** @param {string | null} cursor */
  async #load(cursor) {
    try {
      const { tasks, next_cursor: next } = await this.#client.jobs.list({ limit: PAGE, cursor: cursor ?? undefined });
      if (this.#stop.signal.aborted) return;
      // The first page is read again with every connection: the older ones that are shown stay, and so does their place.
      if (cursor !== null || this.#cards.size === 0) this.#cursor = next;
      for (const job of tasks) this.#show(job);
      byId("jobs-problem").textContent = "";
      if (cursor === null && next !== null) await this.#readUnfinished();
    } catch (error) {
      byId("jobs-problem").textContent = told(error);
    }
    byId("jobs-empty").hidden = this.#cards.size > 0;
    byId("jobs-older").hidden = this.#cursor === null;
  }

  /** @param {JobData} job */
  #show(job) {
    if (this.#stop.signal.aborted) return;
    const known = this.#cards.get(job.id);
    // What is followed is known better than what was listed or told in passing.
    if (!known) this.#add(job);
    else if (!this.#watches.has(job.id)) this.#update(known, job);
    if (!isFinished(job)) this.#follow(job.id);
    this.#count();
  }

  /** Read all that are not finished: those that are not followed are known from here only, and take the places that are free. */
  async #readUnfinished() {
    const [running, pending] = await Promise.all([
      this.#client.jobs.list({ status: "running", limit: MOST }), this.#client.jobs.list({ status: "pending", limit: MOST }),
    ]);
    // Those that began first end first.
    const listed = [...running.tasks.reverse(), ...pending.tasks.reverse()];
    for (const job of listed) this.#show(job);
    const ids = new Set(listed.map(({ id }) => id));
    for (const { job } of this.#unfollowed()) {
      if (!ids.has(job.id) && !this.#stop.signal.aborted) await this.#reread(job.id);
    }
  }

  /** @param {string} id */
  async #reread(id) {
    try {
      this.#show(await this.#client.jobs.get(id));
    } catch (error) {
      if (/** @type {any} */ (error).code !== "not_found") throw error;
      this.#cards.get(id)?.element.remove();
      this.#cards.delete(id);
      this.#count();
    }
  }

  /** Those that are not finished, as far as is known, and for which there was no place. */
  #unfollowed() {
    return [...this.#cards.values()].filter(({ job }) => !isFinished(job) && !this.#watches.has(job.id));
  }

  /** As long as there are such, look at them now and then. */
  #lookLater() {
    if (this.#timer !== undefined || this.#stop.signal.aborted || this.#unfollowed().length === 0) return;
    this.#timer = setTimeout(async () => {
      // What fails now is tried again then.
      if (!document.hidden && this.#client.state.name === "connected") await this.#readUnfinished().catch(() => {});
      this.#timer = undefined;
      this.#lookLater();
    }, EVERY);
  }

  /** @param {JobData} job */
  #add(job) {
    const card = new JobCard(job, { cancel: (which) => void this.#act(which, "cancel"), retry: (which) => void this.#act(which, "retry") });
    const list = byId("job-list");
    // Ids begin with the time.
    const next = [...list.children].find((/** @type {any} */ element) => element.dataset.job < job.id) ?? null;
    list.insertBefore(card.element, next);
    this.#cards.set(job.id, card);
    byId("jobs-empty").hidden = true;
  }

  /** @param {JobCard} card @param {JobData} job */
  #update(card, job) {
    if (card.job.status !== job.status && this.visible) {
      byId("jobs-said").textContent = `${job.kind}: ${(WORDS[job.status] ?? job.status).toLowerCase()}`;
    }
    card.say("");
    card.update(job);
    this.#count();
  }

  /** @param {string} id */
  #follow(id) {
    if (this.#watches.has(id) || this.#watches.size >= FOLLOWED) return;
    const watch = this.#client.jobs.watch(id);
    this.#watches.set(id, watch);
    const card = this.#cards.get(id);
    watch.on("job", (job) => card && this.#update(card, job));
    watch.done.catch(() => {}).finally(() => this.#watches.delete(id) && this.#count());
  }

  /** @param {JobCard} card @param {"cancel" | "retry"} what */
  async #act(card, what) {
    try {
      const job = await this.#client.jobs[what](card.job.id);
      // A retried one may have got on already; and one that ended while it was being cancelled is told by its watch.
      if (what === "retry") {
        if (isFinished(card.job)) this.#update(card, job);
        this.#follow(job.id);
      } else if (!isFinished(card.job)) this.#update(card, job);
    } catch (error) {
      card.say(told(error));
    }
  }

  #count() {
    this.#lookLater();
    const open = [...this.#cards.values()].filter(({ job }) => !isFinished(job)).length;
    if (open === this.open) return;
    this.open = open;
    this.#changed();
  }
}

/** @param {any} error */
function told(error) {
  return error.code === "connection_lost" ? "The server cannot be reached. Try again when you are connected." : error.message;
}
