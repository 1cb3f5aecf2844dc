// Makes elements and icons. Text always becomes text nodes, never HTML.

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | null | undefined} Child */

/**
 * An element with properties, attributes and children. "class" is the class name, "onclick" and the like are listeners,
 * what is no property becomes an attribute; undefined, null and false are left out, as are children that are null.
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, any>} [properties]
 * @param {Child[]} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made) Object.assign(made, { [key]: value });
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/**
 * A button with an icon; pressed is for a switch.
 * @param {string} label
 * @param {keyof typeof ICONS} name
 * @param {() => void} act
 * @param {boolean} [pressed]
 */
export function iconButton(label, name, act, pressed) {
  const state = pressed === undefined ? undefined : String(pressed);
  return element("button", {
    class: "icon", type: "button", title: label, "aria-label": label, "aria-pressed": state, onclick: act,
  }, icon(name));
}

/**
 * A button with a few characters on it, which `label` explains.
 * @param {string} label
 * @param {Child} face
 * @param {() => void} act
 * @param {boolean} [pressed]
 */
export function wordButton(label, face, act, pressed) {
  const state = pressed === undefined ? undefined : String(pressed);
  return element("button", {
    class: "icon word", type: "button", title: label, "aria-label": label, "aria-pressed": state, onclick: act,
  }, face);
}

/** @param {keyof typeof ICONS} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

const ICONS = {
  wrap: "M2 4h12M2 8h9.5a2.5 2.5 0 0 1 0 5H8m2-2-2 2 2 2M2 12h3",
  fold: "M3 3h10M5 8h8M5 13h8M3 6l2 2-2 2",
  clock: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 0 0 0-11M8 5v3.2l2 1.3",
  zone: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 0 0 0-11M2.5 8h11M8 2.5c3.4 3.6 3.4 7.4 0 11M8 2.5c-3.4 3.6-3.4 7.4 0 11",
  theme: "M13 9.5A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.5",
  download: "M8 2.5v8m-3-3 3 3 3-3M3 13.5h10",
  top: "M3 2.5h10M8 13.5v-8m-3 3 3-3 3 3",
  bottom: "M3 13.5h10M8 2.5v8m-3-3 3 3 3-3",
  error: "M8 2.5 14 13H2zM8 6.5v3M8 11.2v.1",
  errors: "M5 2.5 8.5 8.5H1.5zM5 5v1.5M10.5 4h4M10.5 7.5h4M2 11h12.5M2 14h12.5",
  filter: "M2.5 3h11L9.5 8v5l-3-1.5V8z",
  goto: "M3 8h9m-3.5-3.5L12 8l-3.5 3.5M14 3v10",
  help: "M6 6.2a2 2 0 1 1 2.7 1.9c-.5.2-.7.6-.7 1.2v.4M8 12v.1",
  charts: "M2.5 13.5h11M3 10l3-4 3 2.5L13 3",
};
