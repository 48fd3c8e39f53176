/** The list of rooms and the list of people slide in where the window is too narrow to hold them. */

import { byId } from "./dom.js";

const WIDTHS = { sidebar: "(max-width: 719px)", here: "(max-width: 1079px)" };

/** @typedef {keyof typeof WIDTHS} Drawer */

/** @type {{name: Drawer, opener: HTMLElement} | null} */
let opened = null;

/** Make the buttons work; once, at the start. */
export function prepareDrawers() {
  for (const button of document.querySelectorAll("[data-open]")) {
    button.addEventListener("click", () => open(/** @type {HTMLElement} */ (button)));
  }
  for (const button of document.querySelectorAll("[data-close]")) button.addEventListener("click", () => closeDrawer());
  byId("scrim").addEventListener("click", () => closeDrawer());
  for (const query of Object.values(WIDTHS)) matchMedia(query).addEventListener("change", () => closeDrawer());
}

/** @param {HTMLElement} opener */
function open(opener) {
  const name = /** @type {Drawer} */ (opener.dataset.open);
  if (!matchMedia(WIDTHS[name]).matches) return;
  closeDrawer();
  opened = { name, opener };
  opener.setAttribute("aria-expanded", "true");
  byId(name).classList.add("open");
  byId("scrim").hidden = false;
  for (const other of rest(name)) other.inert = true;
  byId(name).querySelector("button, input")?.focus();
}

/** @returns {boolean} whether one was open */
export function closeDrawer() {
  if (!opened) return false;
  const { name, opener } = opened;
  opened = null;
  opener.setAttribute("aria-expanded", "false");
  byId(name).classList.remove("open");
  byId("scrim").hidden = true;
  for (const other of rest(name)) other.inert = false;
  opener.focus();
  return true;
}

/** What cannot be used while a drawer lies over it. @param {Drawer} name @returns {HTMLElement[]} */
const rest = (name) => [...byId("shell").children].filter((child) => child.id !== name && child.id !== "scrim" && child.id !== "notices");
