// The bar of search and filters: what is searched for, how far the search is, which levels and process are shown.

/** @import { Counts, Filter, Messages, SearchQuery, SearchState, SearchStep } from "../types.js" */

import { levelsFrom } from "../log/levels.js";
import { element, icon, wordButton } from "./dom.js";

/** @type {("info" | "warning" | "error")[]} */
const OFFERED_LEVELS = ["info", "warning", "error"];
const TYPING_MS = 350;

/** @typedef {{query: SearchQuery, only: boolean}} SearchBarState */

export class SearchBar {
  #text;
  #on;
  #typing = 0;
  #requestId = "";

  /**
   * @param {Messages} t
   * @param {SearchBarState} state only: whether only the lines that match are shown
   * @param {object} on
   * @param {(query: SearchQuery, step: SearchStep) => void} on.search
   * @param {(filter: Filter) => void} on.filter
   * @param {() => void} on.leave
   */
  constructor(t, { query, only }, on) {
    this.#text = t;
    this.#on = on;
    this.query = query;
    this.only = only;
    this.input = element("input", {
      class: "search", type: "search", placeholder: t.search, "aria-label": t.search, autocomplete: "off", value: query.q,
      oninput: () => this.#typed(), onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
    });
    this.input.spellcheck = false;
    this.result = element("span", { class: "result", role: "status", "aria-live": "polite" });
    const onlyButton = wordButton(t.onlyMatches, icon("filter"), () => this.#toggleOnly(onlyButton), only);
    this.element = element("span", { class: "group searching", role: "search" },
      this.input, this.#switch(".*", t.regex, "regex"), this.#switch("Aa", t.matchCase, "case"), onlyButton, this.result,
      wordButton(t.previousMatch, "‹", () => this.#search("previous")),
      wordButton(t.nextMatch, "›", () => this.#search("next")));
    this.level = element("select", { "aria-label": t.level, title: t.level, onchange: () => this.#filter() },
      element("option", { value: "" }, t.allLevels),
      ...OFFERED_LEVELS.map((level) => element("option", { value: level }, `≥ ${t.levels[level]}`)));
    this.process = element("select", {
      "aria-label": t.process, title: t.process, hidden: true, onchange: () => this.#filter(),
    });
    this.request = element("button", {
      class: "request-filter", type: "button", hidden: true, title: t.clearRequest, onclick: () => this.#clearRequest(),
    });
    this.filters = element("span", { class: "group" }, this.level, this.process, this.request);
  }

  destroy() {
    clearTimeout(this.#typing);
  }

  /** @returns {SearchBarState} */
  get state() {
    return { query: this.query, only: this.only };
  }

  focus() {
    this.input.focus();
    this.input.select();
  }

  clear() {
    if (!this.input.value) return;
    this.input.value = "";
    this.#search("first");
  }

  /** @param {Filter} filter */
  showFilter({ level, process, requestId }) {
    this.level.value = level ? level.split(",")[0] : "";
    this.process.value = process;
    this.#requestId = requestId;
    this.showRequestSeconds(null);
  }

  /** @param {number | null} seconds from the first line about the request to the last; null while unknown */
  showRequestSeconds(seconds) {
    this.request.hidden = !this.#requestId;
    const took = seconds === null ? "" : ` · ${seconds.toFixed(3)} s`;
    this.request.textContent = `${this.#text.request} ${this.#requestId}${took} ✕`;
  }

  /** @param {Counts} processes numbers of lines */
  showProcesses(processes) {
    const names = Object.keys(processes).filter(Boolean).sort();
    const chosen = this.process.value;
    this.process.hidden = names.length < 2;
    this.process.replaceChildren(
      element("option", { value: "" }, this.#text.allProcesses),
      ...names.map((name) => element("option", { value: name }, `${name} (${processes[name].toLocaleString()})`)),
    );
    this.process.value = names.includes(chosen) ? chosen : "";
  }

  /** @param {SearchState} search */
  showResult(search) {
    const t = this.#text;
    let text = "";
    if (search.state === "searching") text = t.searching;
    else if (search.state === "no-match") text = t.noMatch;
    else if (search.state === "found") text = t.matches(search.number.toLocaleString(), search.count.toLocaleString());
    else if (search.state === "failed") text = failure(t, search);
    this.result.textContent = text.slice(0, 80);
    this.result.title = text.slice(80) && text;
  }

  /**
   * @param {string} face
   * @param {string} label
   * @param {"regex" | "case"} name
   */
  #switch(face, label, name) {
    const button = wordButton(label, face, () => {
      this.query[name] = !this.query[name];
      button.setAttribute("aria-pressed", String(this.query[name]));
      if (this.input.value) this.#search("first");
    }, this.query[name]);
    return button;
  }

  /** @param {HTMLElement} button */
  #toggleOnly(button) {
    this.only = !this.only;
    button.setAttribute("aria-pressed", String(this.only));
    this.#filter();
  }

  #typed() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#search("first"), TYPING_MS);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    event.stopPropagation();
    if (event.key === "Enter") {
      event.preventDefault();
      clearTimeout(this.#typing);
      if (this.input.value !== this.query.q) this.#search("first");
      else this.#search(event.shiftKey ? "previous" : "next");
    } else if (event.key === "Escape") {
      event.preventDefault();
      this.input.value = "";
      this.#search("first");
      this.#on.leave();
    }
  }

  /** @param {SearchStep} step */
  #search(step) {
    this.query = { ...this.query, q: this.input.value };
    if (this.only) this.#filter();
    this.#on.search(this.query, step);
  }

  #clearRequest() {
    this.#requestId = "";
    this.#filter();
  }

  #filter() {
    const filter = { level: levelsFrom(this.level.value), process: this.process.value, requestId: this.#requestId };
    this.#on.filter(this.only && this.input.value ? { ...filter, ...this.query, q: this.input.value } : filter);
  }
}

/**
 * Why a search failed, as the language has it.
 * @param {Messages} t
 * @param {{code: string, message: string}} answer
 */
function failure(t, { code, message }) {
  if (code === "search_too_expensive") return t.searchTooExpensive;
  if (message.startsWith("q is too large an expression")) return t.expressionTooLarge;
  const [, reason, of = ""] = /^q is not a regular expression \(RE2\): (.*?)(?:: (.*))?$/s.exec(message) ?? [];
  return reason ? t.noExpression(t.expressionReasons[reason] ?? reason, of) : message;
}
