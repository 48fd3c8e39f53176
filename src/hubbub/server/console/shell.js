/** The page of somebody who is signed in: the list of rooms, the room in view, and who is there. */

import { closeDrawer } from "./drawers.js";
import { avatar, byId, displayName, enumerate, h } from "./dom.js";
import { JobsView } from "./jobs.js";
import { RoomView } from "./room.js";

const FIRST_ROOM = "general";

export class Shell {
  /** @type {Map<string, RoomView>} in the order of joining */
  #views = new Map();
  /** @type {RoomView | null} */
  #current = null;
  #client;
  #self;
  #jobs;
  #stop = new AbortController();
  /** Changes come in bursts; the page is drawn once for each burst. */
  #drawing = false;

  /**
   * @param {import("../hubbub.js").HubbubClient} client
   * @param {string} self the user's id
   * @param {() => Promise<boolean>} isAdministrator
   */
  constructor(client, self, isAdministrator) {
    this.#client = client;
    this.#self = self;
    this.#jobs = new JobsView(client, () => this.#changed(), isAdministrator);
    const { signal } = this.#stop;
    byId("user-id").textContent = displayName(self);
    byId("avatar-self").replaceChildren(avatar(displayName(self)));
    byId("join-form").addEventListener("submit", (/** @type {SubmitEvent} */ event) => this.#joinByForm(event), { signal });
    byId("leave").addEventListener("click", () => this.#current && this.leave(this.#current.room.name), { signal });
    byId("composer").addEventListener("submit", (/** @type {SubmitEvent} */ event) => this.#send(event), { signal });
    byId("composer-text").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event), { signal });
    byId("composer-text").addEventListener("input", () => this.#written(), { signal });
    byId("jobs-button").addEventListener("click", () => this.#showJobs(), { signal });
    document.addEventListener("visibilitychange", () => this.#current?.seen(), { signal });
    window.addEventListener("hashchange", () => this.#fromAddress(), { signal });
    client.on("state", ({ name }) => this.#connection(name === "connected"));
    const names = this.#remembered();
    for (const name of names) this.join(name, false);
    if (!this.#fromAddress()) this.#look(this.#views.get(names[0] ?? "") ?? null);
  }

  /** Forget the page; the client is closed by whoever made it. */
  end() {
    this.#stop.abort();
    this.#jobs.end();
    for (const view of this.#views.values()) view.leave();
    this.#views.clear();
  }

  /**
   * Enter a room and look at it.
   * @param {string} name
   * @param {boolean} [look]
   */
  join(name, look = true) {
    let view = this.#views.get(name);
    if (view?.problem) {
      this.leave(name);
      view = undefined;
    }
    if (!view) {
      view = new RoomView(this.#client.join(name), this.#self, () => this.#changed());
      this.#views.set(name, view);
      byId("logs").append(view.log.element);
    }
    if (look) this.#look(view);
    this.#remember();
    this.#changed();
  }

  /** @param {string} name */
  leave(name) {
    const names = [...this.#views.keys()];
    const next = names[names.indexOf(name) + 1] ?? names[names.indexOf(name) - 1] ?? "";
    const view = this.#views.get(name);
    this.#views.delete(name);
    view?.leave();
    this.#remember();
    if (view === this.#current) this.#look(this.#views.get(next) ?? null);
    this.#changed();
  }

  #showJobs() {
    this.#look(null, true);
    closeDrawer();
  }

  /** @param {RoomView | null} view @param {boolean} [jobs] whether at the jobs instead */
  #look(view, jobs = false) {
    this.#current?.show(false);
    this.#current = view;
    this.#jobs.show(jobs);
    const hash = view ? `#room=${encodeURIComponent(view.room.name)}` : jobs ? "#jobs" : "";
    history.replaceState(null, "", location.pathname + location.search + hash);
    view?.show(true);
    view?.log.scrollToEnd();
    this.#draw();
  }

  /** The room that the address names, as in `/#room=general`; or the jobs, `/#jobs`. */
  #fromAddress() {
    if (location.hash === "#jobs") {
      this.#look(null, true);
      return true;
    }
    const match = /^#room=(.+)$/.exec(location.hash);
    if (match) this.join(decodeURIComponent(match[1]));
    return match !== null;
  }

  /** @param {SubmitEvent} event */
  #joinByForm(event) {
    event.preventDefault();
    const input = byId("join-name");
    const name = input.value.trim();
    if (!name) return;
    input.value = "";
    this.join(name);
    closeDrawer();
    byId("composer-text").focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId("composer").requestSubmit();
  }

  #written() {
    fitText();
    this.#current?.room.typing();
  }

  /** @param {SubmitEvent} event */
  #send(event) {
    event.preventDefault();
    const text = byId("composer-text");
    const content = text.value.replace(/^\s*\n|\s+$/g, "");
    if (!content || !this.#current) return;
    this.#current.send(content);
    text.value = "";
    fitText();
    text.focus();
  }

  /** @param {boolean} connected */
  #connection(connected) {
    for (const view of this.#views.values()) view.setConnected(connected);
    this.#changed();
  }

  #changed() {
    if (this.#drawing) return;
    this.#drawing = true;
    queueMicrotask(() => {
      this.#drawing = false;
      if (!this.#stop.signal.aborted) this.#draw();
    });
  }

  #draw() {
    const view = this.#current;
    const unread = [...this.#views.values()].reduce((sum, { unread: count }) => sum + count, 0);
    const jobs = this.#jobs.visible;
    const title = jobs ? "Jobs" : view?.room.name;
    document.title = `${unread ? `(${unread}) ` : ""}${title ? `${title} · ` : ""}Hubbub`;
    byId("unread-elsewhere").hidden = unread === 0;
    this.#drawRooms();
    byId("room-title").textContent = title ?? "Hubbub";
    byId("shell").classList.toggle("no-here", jobs);
    byId("here").hidden = byId("logs").hidden = byId("skip").hidden = jobs;
    if (jobs) byId("jobs-button").setAttribute("aria-current", "page");
    else byId("jobs-button").removeAttribute("aria-current");
    byId("jobs-badge").hidden = this.#jobs.open === 0;
    byId("jobs-badge").replaceChildren(String(this.#jobs.open), h("span", { class: "visually-hidden" }, " running or waiting"));
    byId("empty").hidden = view !== null || jobs;
    byId("composer").hidden = byId("leave").hidden = byId("here-button").hidden = view === null;
    byId("composer-text").disabled = Boolean(view?.problem);
    const typing = view?.typing.map(displayName) ?? [];
    byId("typing").textContent = typing.length ? `${enumerate(typing)} ${typing.length === 1 ? "is" : "are"} typing…` : "";
    this.#drawPeople();
  }

  #drawRooms() {
    const list = byId("rooms");
    const focused = list.contains(document.activeElement) ? document.activeElement?.getAttribute("data-room") : null;
    list.replaceChildren(...[...this.#views.values()].map((view) => this.#roomItem(view)));
    if (focused) list.querySelector(`[data-room="${CSS.escape(focused)}"]`)?.focus();
  }

  /** @param {RoomView} view */
  #roomItem(view) {
    const { name } = view.room;
    const badge = view.unread ? h("span", { class: "badge" }, String(view.unread), h("span", { class: "visually-hidden" }, " unread")) : null;
    const go = () => {
      this.#look(view);
      closeDrawer();
    };
    const button = h(
      "button",
      { type: "button", "data-room": name, "aria-current": view === this.#current && "page", onclick: go },
      h("span", { class: "room-name", dir: "auto" }, name), badge,
    );
    return h("li", {}, button, view.problem ? h("p", { class: "error", role: "alert" }, view.problem) : null);
  }

  #drawPeople() {
    const room = this.#current?.room;
    const members = room?.members ?? null;
    const count = room?.activeUsers ?? 0;
    byId("here-count").textContent = room ? String(count) : "";
    byId("here-button").textContent = `${count} here`;
    byId("members").replaceChildren(...(members ?? []).map((member) => h(
      "li", {}, avatar(displayName(member)), h("span", { class: "member-name", dir: "auto" }, displayName(member)),
      member === this.#self ? h("span", { class: "you" }, "you") : null,
    )));
    const many = byId("here-many");
    many.hidden = members !== null || !room || count === 0;
    many.textContent = `${count} people are here.`;
  }

  get #storageKey() {
    return `hubbub.rooms.${this.#self}`;
  }

  #remember() {
    localStorage.setItem(this.#storageKey, JSON.stringify([...this.#views.keys()]));
  }

  /** @returns {string[]} */
  #remembered() {
    const kept = localStorage.getItem(this.#storageKey);
    return kept ? JSON.parse(kept) : [FIRST_ROOM];
  }
}

/** The field grows with what is written; newer browsers do it by themselves (`field-sizing`). */
function fitText() {
  if (CSS.supports("field-sizing", "content")) return;
  const text = byId("composer-text");
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight}px`;
}
