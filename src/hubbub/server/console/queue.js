/** For administrators: everybody's jobs, looked at anew every other second while somebody looks. */

import { byId, displayName, h, timeOf } from "./dom.js";
import { WORDS } from "./job_card.js";

const EVERY = 2_000;
const LATEST = 20;

export class Queue {
  #client;
  #isAdministrator;
  /** Whether the user may look; null where that is not known. @type {boolean | null} */ #allowed = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #visible = false;
  #over = false;

  /**
   * @param {import("../hubbub.js").HubbubClient} client
   * @param {() => Promise<boolean>} isAdministrator
   */
  constructor(client, isAdministrator) {
    this.#client = client;
    this.#isAdministrator = isAdministrator;
    byId("queue").hidden = true;
  }

  /** @param {boolean} visible */
  show(visible) {
    if (visible === this.#visible) return;
    this.#visible = visible;
    clearTimeout(this.#timer);
    this.#allowed = null; // whoever signed in again may have another token
    if (visible) void this.#look();
  }

  end() {
    this.#over = true;
    this.show(false);
    byId("queue").hidden = true;
  }

  async #look() {
    if (!document.hidden) await this.#read();
    clearTimeout(this.#timer);
    if (this.#visible && !this.#over && this.#allowed !== false) this.#timer = setTimeout(() => void this.#look(), EVERY);
  }

  async #read() {
    try {
      this.#allowed ??= await this.#isAdministrator();
      byId("queue").hidden ||= !this.#allowed;
      if (!this.#allowed || this.#over) return;
      const page = await this.#client.jobs.all({ limit: LATEST });
      if (!this.#over) this.#draw(page);
    } catch (error) {
      const { code, message } = /** @type {import("../hubbub.js").HubbubError} */ (error);
      if (code === "forbidden" || code === "unauthorized") this.#allowed = false;
      byId("queue-problem").textContent = message;
      byId("queue-problem").hidden = false;
    }
  }

  /** @param {import("../hubbub.js").QueuePage} page */
  #draw({ tasks, counts }) {
    byId("queue").hidden = false;
    byId("queue-problem").hidden = true;
    byId("queue-counts").replaceChildren(...Object.entries(counts).map(
      ([status, count]) => h("div", { "data-status": status }, h("dt", {}, WORDS[status] ?? status), h("dd", {}, String(count))),
    ));
    byId("queue-rows").replaceChildren(...tasks.map((job) => h(
      "tr", { "data-status": job.status },
      h("td", { dir: "auto" }, job.owner === null ? "–" : displayName(job.owner)), h("td", { dir: "auto" }, job.kind),
      h("td", {}, WORDS[job.status] ?? job.status), h("td", { class: "number" }, `${job.progress} %`), h("td", {}, timeOf(new Date(job.created_at))),
    )));
  }
}
