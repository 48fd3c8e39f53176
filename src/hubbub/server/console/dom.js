/** Elements and words. Text is only ever set as text: no string from the network becomes markup. */

/**
 * Find an element of the page that is known to exist.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no #${id}.`);
  return element;
}

/**
 * Make an element. Attributes that start with `on` are listeners; those that are null, undefined or false are left out.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string | null)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/**
 * A user's initial on a colour of their own. It repeats the name beside it, so it is hidden from screen readers.
 * @param {string} user
 */
export function avatar(user) {
  let sum = 0;
  for (const character of user) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) >>> 0;
  const [initial = "?"] = user;
  return h("span", { class: "avatar", "data-hue": sum % 8, "aria-hidden": "true" }, initial.toLocaleUpperCase());
}

/** Who wrote it: nobody when the server did, "" when a visitor without a name did. @param {string | undefined} user */
export const displayName = (user) => (user === undefined ? "Server" : user || "Visitor");

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const date = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const dateWithYear = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });

/**
 * The local time of day, with the whole date to hover.
 * @param {Date} at
 */
export function timeOf(at) {
  return h("time", { datetime: at.toISOString(), title: full.format(at) }, clock.format(at));
}

/**
 * “Today”, “Yesterday”, or the date.
 * @param {Date} at
 */
export function dayName(at) {
  const now = new Date();
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate());
  const days = Math.floor((midnight.getTime() - at.getTime()) / 86_400_000) + 1;
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  return (at.getFullYear() === now.getFullYear() ? date : dateWithYear).format(at);
}

/**
 * “ada”, “ada and bob”, “ada, bob and 3 others”.
 * @param {string[]} names
 */
export function enumerate(names) {
  if (names.length <= 1) return names.join("");
  if (names.length === 2) return `${names[0]} and ${names[1]}`;
  return names.length === 3 ? `${names[0]}, ${names[1]} and ${names[2]}` : `${names[0]}, ${names[1]} and ${names.length - 2} others`;
}
