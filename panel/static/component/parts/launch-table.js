// The table of the recent launches, with its filters.

/** @import { Launch, LaunchFilter, Messages, Zone } from "../types.js" */

import { dayAndTime, duration, fieldTime, timeOfField } from "../log/format.js";
import { keyOf, milliseconds } from "../log/line-key.js";
import { element } from "./dom.js";
import { withCode } from "./notices.js";
import { isEnded, lastHeard, shownState, stateElement } from "./state.js";

const STATES = ["starting", "ready", "unhealthy", "failed", "crashed", "lost", "stopping", "stopped"];
/** @type {("modelName" | "engine" | "env" | "host")[]} */
const LABELS = ["modelName", "engine", "env", "host"];
const HOURS = ["1", "24", "48", "168", "720"];
/** In place of the hours: between two times. */
const BETWEEN = "between";
const DAY_MS = 86_400_000;

/**
 * @typedef {object} LaunchTableHandlers
 * @property {(traceId: string, launchId?: string) => void} choose a trace, or one launch of it
 * @property {(launchId: string) => void} compare
 * @property {(launch: Launch) => void} history
 * @property {(filter: LaunchFilter) => void} filter
 * @property {() => void} more show further launches
 * @property {() => void} language change to the other language
 */

export class LaunchTable {
  #text;
  #zone;
  #filter;
  #addressOf;
  #on;
  #body;
  #empty;
  #more;
  /** @type {Record<string, HTMLSelectElement>} */
  #selects = {};
  /** @type {Map<string, HTMLTableRowElement>} By launchId. */
  #rows = new Map();

  /**
   * @param {Messages} t
   * @param {object} options
   * @param {Zone} options.zone
   * @param {LaunchFilter} options.filter
   * @param {(traceId: string, launchId?: string) => string} options.addressOf
   * @param {LaunchTableHandlers} options.on
   */
  constructor(t, { zone, filter, addressOf, on }) {
    this.#text = t;
    this.#zone = zone;
    this.#filter = { ...filter };
    this.#addressOf = addressOf;
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
   * @param {object} more
   * @param {boolean} more.hasMore whether there are older ones
   * @param {Record<string, string[]>} more.labels by field, what can be filtered by
   * @param {(launchId: string) => Launch | null} more.lastReady the last one of its service that was ready before it
   */
  show(launches, { hasMore, labels, lastReady }) {
    const isFiltered = Object.values(this.#filter).some(Boolean);
    const rows = [...byTrace(launches).values()].flatMap((ofTrace) =>
      ofTrace.map((launch, index) => this.#currentRow(launch, this.#row(launch, index ? 0 : ofTrace.length, lastReady(launch.launchId)))));
    for (const row of [...this.#body.rows]) if (!rows.includes(row)) row.remove();
    // A row that stays is not moved, so that it keeps the focus.
    rows.forEach((row, index) => { if (this.#body.rows[index] !== row) this.#body.insertBefore(row, this.#body.rows[index]); });
    this.#empty.hidden = launches.length > 0;
    this.#empty.replaceChildren(...withCode(isFiltered ? this.#text.noLaunchMatches : this.#text.noLaunches));
    this.#more.hidden = !hasMore;
    for (const name of LABELS) this.#fillSelect(name, labels[name] ?? [], (value) => value);
  }

  /** @param {string} traceId */
  focusTrace(traceId) {
    const row = [...this.#body.rows].find(({ dataset }) => dataset.trace === traceId);
    row?.querySelector("a")?.focus();
  }

  /**
   * The row of a launch as it is shown, with those cells of a new one that differ.
   * @param {Launch} launch
   * @param {HTMLTableRowElement} row
   */
  #currentRow({ launchId }, row) {
    const shown = this.#rows.get(launchId);
    if (!shown) {
      this.#rows.set(launchId, row);
      return row;
    }
    shown.className = row.className;
    const cells = [...row.cells];
    [...shown.cells].forEach((cell, index) => { if (!cell.isEqualNode(cells[index])) cell.replaceWith(cells[index]); });
    return shown;
  }

  #filterBar() {
    const t = this.#text;
    const input = element("input", { type: "search", class: "find", placeholder: t.findLaunch, "aria-label": t.findLaunch });
    input.value = this.#filter.q;
    input.addEventListener("input", () => this.#changed({ q: input.value.trim() }));
    const labels = {
      state: t.stateColumn, modelName: t.model, engine: t.engine, env: t.env, host: t.host, hours: t.within,
    };
    /** @type {Record<string, string>} */
    const stateNames = t.state;
    for (const [name, label] of Object.entries(labels)) {
      const select = element("select", { "aria-label": label });
      if (name !== "hours") select.addEventListener("change", () => this.#changed({ [name]: select.value }));
      this.#selects[name] = select;
    }
    this.#fillSelect("state", STATES, (state) => stateNames[state]);
    this.#fillSelect("hours", [...HOURS, BETWEEN], (hours) => t.withinHours[hours]);
    return element("div", { class: "filters", role: "search" }, input, ...Object.values(this.#selects), this.#betweenFields(),
      element("button", { class: "icon word language", type: "button", onclick: this.#on.language }, t.language));
  }

  /** The fields of two times, beside the choice of hours that shows them. */
  #betweenFields() {
    const { hours } = this.#selects;
    const since = this.#timeField("since", this.#text.since);
    const until = this.#timeField("until", this.#text.until);
    const fields = element("span", { class: "between" }, since, "–", until);
    const show = () => {
      fields.hidden = hours.value !== BETWEEN;
      since.value = fieldTime(this.#filter.since, this.#zone);
      until.value = fieldTime(this.#filter.until, this.#zone);
    };
    if (this.#filter.since || this.#filter.until) hours.value = BETWEEN;
    show();
    hours.addEventListener("change", () => {
      const isBetween = hours.value === BETWEEN;
      const yesterday = keyOf(Date.now() - DAY_MS);
      this.#changed({ hours: isBetween ? "" : hours.value, since: isBetween ? yesterday : "", until: "" });
      show();
    });
    return fields;
  }

  /**
   * @param {"since" | "until"} name
   * @param {string} label
   */
  #timeField(name, label) {
    const field = element("input", { type: "datetime-local", "aria-label": label });
    field.addEventListener("change", () => this.#changed({ [name]: timeOfField(field.value, this.#zone) }));
    return field;
  }

  /** @param {Partial<LaunchFilter>} change */
  #changed(change) {
    Object.assign(this.#filter, change);
    this.#on.filter({ ...this.#filter });
  }

  /**
   * @param {keyof LaunchFilter} name
   * @param {string[]} values
   * @param {(value: string) => string} label
   */
  #fillSelect(name, values, label) {
    const select = this.#selects[name];
    const chosen = this.#filter[name];
    const all = chosen && !values.includes(chosen) ? [...values, chosen] : values;
    if ([...select.options].map(({ value }) => value).join("\n") === ["", ...all].join("\n")) return;
    select.replaceChildren(
      element("option", { value: "" }, this.#text.labelled(select.ariaLabel ?? "", name === "hours" ? this.#text.recently : this.#text.any)),
      ...all.map((value) => element("option", { value }, label(value))),
    );
    select.value = chosen;
  }

  /**
   * @param {Launch} launch
   * @param {number} ofTrace how many launches of its trace are shown; 0 for one that is below another one of its trace
   * @param {Launch | null} ready the last one of its service that was ready before it
   */
  #row(launch, ofTrace, ready) {
    const t = this.#text;
    const trace = ofTrace > 1 ? `${launch.traceId} · ${t.launchesOfTrace(ofTrace)}` : launch.traceId;
    return element("tr", { "data-trace": launch.traceId, class: ofTrace ? "" : "same-trace", title: `${launch.launchId} · trace ${launch.traceId}` },
      element("td", {}, stateElement(t, shownState(launch)),
        ...(launch.lostContact ? [element("small", {}, lastHeard(t, launch))] : [])),
      element("td", { class: "title" }, this.#link(launch.modelName || launch.launchId, launch.traceId),
        element("small", {}, trace)),
      element("td", {}, launch.engine),
      element("td", { class: "host" }, launch.host),
      element("td", {}, launch.env),
      element("td", { class: "when" }, launch.startedAt ? dayAndTime(launch.startedAt, this.#zone) : ""),
      element("td", { class: "when" }, lasted(launch),
        element("button", { class: "history-button", type: "button", title: t.startHistory, onclick: () => this.#on.history(launch) }, t.starts)),
      element("td", { class: "why" }, launch.exit ? t.exitText(launch.exit).cause : "", ready && this.#before(launch, ready)));
  }

  /**
   * When the service was ready for the last time, and the ways to that launch and to what has changed since.
   * @param {Launch} launch
   * @param {Launch} ready
   */
  #before(launch, ready) {
    const t = this.#text;
    const link = this.#link(dayAndTime(ready.startedAt ?? "", this.#zone), ready.traceId, ready.launchId);
    const compare = element("button", { type: "button", onclick: () => this.#on.compare(launch.launchId) }, t.compareShort);
    return element("small", { class: "before" }, t.labelled(t.lastReady, ""), link, " ", compare);
  }

  /**
   * @param {string} label
   * @param {string} traceId
   * @param {string} [launchId] of one launch of the trace
   */
  #link(label, traceId, launchId) {
    /** @param {MouseEvent} event */
    const chosen = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // in another tab
      event.preventDefault();
      this.#on.choose(traceId, launchId);
    };
    return element("a", { href: this.#addressOf(traceId, launchId), onclick: chosen }, label);
  }
}

/**
 * Launches by their traces, in the order of the first one of each.
 * @param {Launch[]} launches
 */
function byTrace(launches) {
  /** @type {Map<string, Launch[]>} */
  const traces = new Map();
  for (const launch of launches) {
    const ofTrace = traces.get(launch.traceId);
    if (ofTrace) ofTrace.push(launch);
    else traces.set(launch.traceId, [launch]);
  }
  return traces;
}

/**
 * How long a launch ran, or has been running as far as is known.
 * @param {Launch} launch
 */
function lasted({ startedAt, endedAt, state, lostContact, lastHeardAt }) {
  if (!startedAt || (isEnded(state) && !endedAt)) return "";
  const known = endedAt ?? (lostContact ? lastHeardAt : undefined);
  const end = known ? milliseconds(known) : Date.now();
  return duration((end - milliseconds(startedAt)) / 1000);
}
