/** One job as a card: its bar, what it says, and what can be done with it. */

import { h, timeOf } from "./dom.js";

/** @typedef {import("../hubbub.js").JobData} JobData */

/** @type {Record<string, string>} */
export const WORDS = { pending: "Waiting", running: "Running", completed: "Completed", failed: "Failed", cancelled: "Cancelled" };

/** @param {JobData} job */
export const isFinished = ({ status }) => status !== "pending" && status !== "running";

export class JobCard {
  /** @type {JobData} */ job;
  #status = h("span", { class: "job-status", "data-testid": "job-status" });
  #fill = h("span", { class: "fill" });
  #bar;
  #percent = h("span", { class: "percent", "aria-hidden": "true" });
  #message = h("p", { class: "job-message", dir: "auto", "data-testid": "job-message" });
  #outcome = h("pre", { class: "job-outcome", dir: "auto", "data-testid": "job-outcome" });
  #times = h("span", { class: "job-times" });
  #problem = h("p", { class: "error", role: "alert" });
  #cancel;
  #retry;

  /**
   * @param {JobData} job
   * @param {{cancel: (card: JobCard) => void, retry: (card: JobCard) => void}} actions
   */
  constructor(job, { cancel, retry }) {
    this.job = job;
    const name = `${job.kind}, ${timeOf(new Date(job.created_at)).textContent}`;
    this.#bar = h("div", { class: "bar", role: "progressbar", "aria-label": `Progress of ${name}`, "aria-valuemin": 0, "aria-valuemax": 100 }, this.#fill);
    this.#cancel = h("button", { type: "button", class: "quiet", "aria-label": `Cancel ${name}`, onclick: () => this.job.cancelling || cancel(this) }, "Cancel");
    this.#retry = h("button", { type: "button", class: "quiet", "aria-label": `Retry ${name}`, onclick: () => retry(this) }, "Retry");
    this.element = h(
      "li", { class: "job", "data-job": job.id, "data-testid": "job" },
      h("header", {}, h("h3", { dir: "auto" }, job.kind), this.#status, h("span", { class: "job-actions" }, this.#cancel, this.#retry)),
      h("div", { class: "progress" }, this.#bar, this.#percent),
      this.#message, this.#outcome, this.#problem,
      h("footer", {}, this.#times),
    );
    this.update(job);
  }

  /** @param {JobData} job */
  update(job) {
    this.job = job;
    const { status, progress, cancelling, error } = job;
    const isOpen = !isFinished(job);
    const words = cancelling && isOpen ? "Cancelling" : WORDS[status] ?? status;
    this.element.dataset.status = status;
    this.#status.textContent = words;
    this.#fill.style.setProperty("inline-size", `${progress}%`);
    this.#percent.textContent = `${progress} %`;
    this.#bar.setAttribute("aria-valuenow", String(progress));
    this.#bar.setAttribute("aria-valuetext", `${progress} %, ${words.toLowerCase()}`);
    this.#message.textContent = isOpen ? job.message ?? "" : "";
    this.#outcome.textContent = error ?? (job.result === null || job.result === undefined ? "" : JSON.stringify(job.result));
    this.#times.replaceChildren(...this.#when());
    this.#moveFocus(isOpen);
    this.#cancel.hidden = !isOpen;
    this.#cancel.setAttribute("aria-disabled", String(Boolean(cancelling))); // one that is disabled would lose the focus
    this.#retry.hidden = status !== "failed" && status !== "cancelled";
  }

  /** Say what could not be done. @param {string} text */
  say(text) {
    this.#problem.textContent = text;
  }

  /** Whoever stands on a button that goes away is not left nowhere. @param {boolean} isOpen */
  #moveFocus(isOpen) {
    const active = document.activeElement;
    if ((active === this.#cancel && !isOpen) || (active === this.#retry && isOpen)) {
      this.element.tabIndex = -1;
      this.element.focus();
    }
  }

  #when() {
    const { created_at: created, started_at: started, finished_at: finished, attempt, attempts } = this.job;
    /** @type {Node[]} */
    const parts = [timeOf(new Date(created))];
    if (started && finished) parts.push(h("span", {}, ` · took ${duration(Date.parse(finished) - Date.parse(started))}`));
    if (attempt > 1) parts.push(h("span", {}, ` · attempt ${attempt} of ${attempts}`));
    return parts;
  }
}

/** @param {number} ms */
function duration(ms) {
  const seconds = Math.max(ms, 0) / 1000;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}
