// The bar of search and filters.

import { element, icon, ICONS } from "./dom.js";

const LEVELS = ["debug", "info", "warning", "error", "critical"];

export class SearchBar {
  /** on: {search(query, direction), filter(filter)}; the query: {q, regex, case}; the filter: {level, process}. */
  constructor(text, on) {
    this.text = text;
    this.on = on;
    this.query = { q: "", regex: false, case: false };
    this.only = false;
    const t = text;
    this.input = element("input", {
      class: "search", type: "search", placeholder: t.search, "aria-label": t.search, spellcheck: false, autocomplete: "off",
    });
    this.result = element("span", { class: "result", role: "status", "aria-live": "polite" });
    this.regex = this.switch(".*", t.regex, "regex");
    this.case = this.switch("Aa", t.matchCase, "case");
    this.onlyButton = element("button", {
      type: "button", class: "icon word", title: t.onlyMatches, "aria-label": t.onlyMatches, "aria-pressed": "false",
      onclick: () => { this.only = !this.only; this.onlyButton.setAttribute("aria-pressed", String(this.only)); this.changed(); },
    }, icon(ICONS.filter));
    this.level = element("select", { "aria-label": t.level, title: t.level, onchange: () => this.changed() },
      element("option", { value: "" }, t.allLevels),
      ...LEVELS.slice(1, 4).map((level) => element("option", { value: level }, `≥ ${t.levels[level]}`)));
    this.process = element("select", { "aria-label": t.process, title: t.process, hidden: true, onchange: () => this.changed() });
    this.input.addEventListener("input", () => {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.search("first"), 350);
    });
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        clearTimeout(this.waiting);
        if (this.input.value !== this.query.q) this.search("first");
        else this.search(event.shiftKey ? "previous" : "next");
      } else if (event.key === "Escape") {
        event.preventDefault();
        this.clear();
        on.leave();
      }
      event.stopPropagation();
    });
    this.element = element("span", { class: "group searching", role: "search" },
      this.input, this.regex, this.case, this.onlyButton, this.result,
      element("button", { type: "button", class: "icon word", title: t.previousMatch, "aria-label": t.previousMatch,
        onclick: () => this.search("previous") }, "‹"),
      element("button", { type: "button", class: "icon word", title: t.nextMatch, "aria-label": t.nextMatch,
        onclick: () => this.search("next") }, "›"));
    this.filters = element("span", { class: "group" }, this.level, this.process);
  }

  switch(label, title, name) {
    const made = element("button", {
      type: "button", class: "icon word", title, "aria-label": title, "aria-pressed": "false",
      onclick: () => {
        this.query[name] = !this.query[name];
        made.setAttribute("aria-pressed", String(this.query[name]));
        if (this.input.value) this.search("first");
      },
    }, label);
    return made;
  }

  search(which) {
    this.query = { ...this.query, q: this.input.value };
    if (this.only) this.changed();
    this.on.search(this.query, which);
  }

  clear() {
    this.input.value = "";
    this.search("first");
  }

  changed() {
    const from = LEVELS.indexOf(this.level.value);
    const filter = { level: from < 0 ? "" : LEVELS.slice(from).join(","), process: this.process.value };
    if (this.only && this.input.value) Object.assign(filter, { q: this.input.value, regex: this.query.regex, case: this.query.case });
    this.on.filter(filter);
  }

  /** Show a filter that was set from outside. */
  setFilter({ level, process }) {
    this.level.value = level ? level.split(",")[0] : "";
    if (process !== undefined) this.process.value = process;
  }

  showProcesses(processes) {
    const names = Object.keys(processes).filter(Boolean).sort();
    const chosen = this.process.value;
    this.process.hidden = names.length < 2;
    this.process.replaceChildren(
      element("option", { value: "" }, this.text.allProcesses),
      ...names.map((name) => element("option", { value: name }, `${name} (${processes[name].toLocaleString()})`)),
    );
    this.process.value = names.includes(chosen) ? chosen : "";
  }

  showResult(text) {
    this.result.textContent = text;
  }

  /** What marks the matches in a row; null if nothing is searched for or the browser does not know the expression. */
  get pattern() {
    const { q, regex } = this.query;
    if (!q) return null;
    try {
      return new RegExp(regex ? q : q.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), this.query.case ? "gu" : "giu");
    } catch {
      return null;
    }
  }
}
