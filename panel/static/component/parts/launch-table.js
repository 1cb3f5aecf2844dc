// The table of the recent launches, with its filters.

/** @import { Launch, LaunchFilter, Messages, Zone } from "../types.js" */

import { dayAndTime, duration } from "../log/format.js";
import { milliseconds } from "../log/line-key.js";
import { element } from "./dom.js";
import { isEnded, stateElement } from "./state.js";

const STATES = ["starting", "ready", "failed", "crashed", "stopping", "stopped"];
/** @type {("engine" | "env" | "host")[]} */
const LABELS = ["engine", "env", "host"];

/**
 * @typedef {object} LaunchTableHandlers
 * @property {(traceId: string) => void} choose
 * @property {(filter: LaunchFilter) => void} filter
 * @property {() => void} more show further launches
 */

export class LaunchTable {
  #text;
  #zone;
  #filter;
  #on;
  #body;
  #empty;
  #more;
  /** @type {Record<string, HTMLSelectElement>} */
  #selects = {};
  /** @type {Record<string, Set<string>>} The values of labels that were seen, for the filters. */
  #values = { engine: new Set(), env: new Set(), host: new Set() };

  /**
   * @param {Messages} t
   * @param {{zone: Zone, filter: LaunchFilter, on: LaunchTableHandlers}} options
   */
  constructor(t, { zone, filter, on }) {
    this.#text = t;
    this.#zone = zone;
    this.#filter = { ...filter };
    this.#on = on;
    const names = [t.stateColumn, t.model, t.engine, t.host, t.env, t.startedAt, t.lasted, t.cause];
    this.#body = element("tbody");
    const table = element("table", { class: "list" },
      element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)))), this.#body);
    this.#empty = element("p", { hidden: true });
    this.#more = element("button", { class: "further", type: "button", hidden: true, onclick: on.more }, t.moreLaunches);
    this.elements = [element("h2", {}, t.recent), this.#filterBar(), table, this.#empty, this.#more];
  }

  /**
   * @param {Launch[]} launches the newest first
   * @param {boolean} hasMore
   */
  show(launches, hasMore) {
    const isFiltered = Object.values(this.#filter).some(Boolean);
    this.#body.replaceChildren(...launches.map((launch, index) => this.#row(launch, launches[index - 1])));
    this.#empty.hidden = launches.length > 0;
    this.#empty.textContent = isFiltered ? this.#text.noLaunchMatches : this.#text.noLaunches;
    this.#more.hidden = !hasMore;
    for (const name of LABELS) {
      for (const launch of launches) if (launch[name]) this.#values[name].add(launch[name]);
      this.#fillSelect(name, [...this.#values[name]].sort(), (value) => value);
    }
  }

  #filterBar() {
    const t = this.#text;
    const input = element("input", { type: "search", class: "find", placeholder: t.findLaunch, "aria-label": t.findLaunch });
    input.value = this.#filter.q;
    input.addEventListener("input", () => this.#changed({ q: input.value.trim() }));
    const labels = { state: t.stateColumn, engine: t.engine, env: t.env, host: t.host };
    /** @type {Record<string, string>} */
    const stateNames = t.state;
    for (const [name, label] of Object.entries(labels)) {
      const select = element("select", { "aria-label": label });
      select.addEventListener("change", () => this.#changed({ [name]: select.value }));
      this.#selects[name] = select;
    }
    this.#fillSelect("state", STATES, (state) => stateNames[state]);
    return element("div", { class: "filters", role: "search" }, input, ...Object.values(this.#selects));
  }

  /** @param {Partial<LaunchFilter>} change */
  #changed(change) {
    Object.assign(this.#filter, change);
    this.#on.filter({ ...this.#filter });
  }

  /**
   * @param {"state" | "engine" | "env" | "host"} name
   * @param {string[]} values
   * @param {(value: string) => string} label
   */
  #fillSelect(name, values, label) {
    const select = this.#selects[name];
    const chosen = this.#filter[name];
    const all = chosen && !values.includes(chosen) ? [...values, chosen] : values;
    if (select.options.length === all.length + 1) return;
    select.replaceChildren(
      element("option", { value: "" }, `${select.ariaLabel}: ${this.#text.any}`),
      ...all.map((value) => element("option", { value }, label(value))),
    );
    select.value = chosen;
  }

  /**
   * @param {Launch} launch
   * @param {Launch | undefined} above
   */
  #row(launch, above) {
    const t = this.#text;
    /** @param {MouseEvent} event */
    const chosen = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // in another tab
      event.preventDefault();
      this.#on.choose(launch.traceId);
    };
    const href = `?traceId=${encodeURIComponent(launch.traceId)}`;
    const isSameTrace = above?.traceId === launch.traceId;
    return element("tr", { class: isSameTrace ? "same-trace" : "", title: `${launch.launchId} · trace ${launch.traceId}` },
      element("td", {}, stateElement(t, launch.state)),
      element("td", { class: "title" }, element("a", { href, onclick: chosen }, launch.modelName || launch.launchId),
        element("small", {}, launch.traceId)),
      element("td", {}, launch.engine),
      element("td", {}, launch.host),
      element("td", {}, launch.env),
      element("td", { class: "when" }, launch.startedAt ? dayAndTime(launch.startedAt, this.#zone) : ""),
      element("td", { class: "when" }, lasted(launch)),
      element("td", { class: "why" }, launch.exit ? t.exitText(launch.exit).cause : ""));
  }
}

/**
 * How long a launch ran, or has been running.
 * @param {Launch} launch
 */
function lasted({ startedAt, endedAt, state }) {
  if (!startedAt || (isEnded(state) && !endedAt)) return "";
  const end = endedAt ? milliseconds(endedAt) : Date.now();
  return duration((end - milliseconds(startedAt)) / 1000);
}
