// <tracetail-panel>: the log of one trace, live, in an element. Its attributes, life cycle, methods and events; what it
// shows is panel.js. docs/embedding.md describes it for pages that use it.

/** @import { Filter, ListView, Settings, View } from "./types.js" */

import { isChinese, messagesFor } from "./messages.js";
import { Panel } from "./panel.js";
import { stylesheet } from "./parts/style.js";
import { Scope } from "./scope.js";

const HERE = new URL(import.meta.url).origin;

/** Events: ready, token-needed, state, phase, first-error, line-selected, view, list-view, gap, trace-chosen. */
export class TracetailPanel extends HTMLElement {
  static observedAttributes = ["src", "trace-id", "launch-id", "instance-id", "token", "locale", "theme", "line", "home", "link"];
  static restAfterMs = 30_000;

  /** @type {Panel | null} What is shown while the element is in a page. Not for pages to use. */
  panel = null;
  #root;
  #scope = new Scope();
  /** @type {Settings} */
  #settings = { wrap: false, wrapIsChosen: false, fold: false, charts: false, times: "absolute", zone: "local" };
  /** @type {View} */
  #begin = { level: "", process: "", requestId: "", q: "", regex: false, case: false, only: false, from: "", to: "" };
  /** @type {ListView} */
  #listView = { q: "", state: "", modelName: "", engine: "", env: "", host: "", hours: "", since: "", until: "", through: "", chosen: "" };
  /**
   * The address of a trace, or of one launch of it, in the page around, for the links of the list.
   * @type {(traceId: string, launchId?: string) => string}
   */
  addressOf = (traceId, launchId) => `?${new URLSearchParams({ traceId, ...(launchId && { launchId }) })}`;
  /** @type {string[]} Parameters of the page's address that nothing knows, for a note to the reader. */
  unknownParameters = [];
  /** @type {string | undefined} */
  #token;
  #darkScheme = matchMedia("(prefers-color-scheme: dark)");
  #schemeChanged = () => this.#applyTheme();

  constructor() {
    super();
    this.#root = this.attachShadow({ mode: "open" });
    this.#root.adoptedStyleSheets = [stylesheet()];
  }

  get src() { return this.getAttribute("src") || HERE; }
  set src(value) { this.setAttribute("src", value); }
  get traceId() { return this.getAttribute("trace-id") || ""; }
  set traceId(value) { this.setAttribute("trace-id", value); }
  get launchId() { return this.getAttribute("launch-id") || ""; }
  set launchId(value) { this.setAttribute("launch-id", value); }
  get instanceId() { return this.getAttribute("instance-id") || ""; }
  set instanceId(value) { this.setAttribute("instance-id", value); }
  get token() { return this.#token ?? this.getAttribute("token") ?? ""; }
  set token(value) { this.#setToken(value); }
  get locale() { return this.getAttribute("locale") || navigator.language || "en"; }
  set locale(value) { this.setAttribute("locale", value); }
  get theme() { return this.getAttribute("theme") || "auto"; }
  set theme(value) { this.setAttribute("theme", value); }
  get line() { return this.getAttribute("line") || ""; }
  set line(value) { this.setAttribute("line", value); }
  /** The address of the page around, with {traceId} and {line} in it, for links to lines; by default the panel's own. */
  get link() { return this.getAttribute("link") || ""; }
  set link(value) { this.setAttribute("link", value); }
  /** The address of the list of launches, to which the head then has a link. */
  get home() { return this.getAttribute("home") || ""; }
  set home(value) { this.setAttribute("home", value); }

  /**
   * Go to a line (its id), or to the first line from a time on (nanoseconds, or an ISO date).
   * @param {string} place
   */
  async seek(place) {
    await this.panel?.navigation.seek(place);
  }

  /**
   * What to filter and search for at first, before the element is in a page. The event `view` has the same fields.
   * @param {Partial<View>} view
   */
  beginWith(view) {
    Object.assign(this.#begin, view);
    const { level, process, requestId, q, regex, case: isCase, only, from, to } = this.#begin;
    this.#scope.range = isTime(from) && isTime(to) ? { from, to } : null;
    this.#scope.filter = { level, process, requestId, ...(only && q ? { q, regex, case: isCase } : {}) };
  }

  /**
   * What of the list of launches to show at first, before the element is in a page. The event `list-view` has the same
   * fields.
   * @param {Partial<ListView>} view
   */
  listWith(view) {
    Object.assign(this.#listView, view);
  }

  /**
   * Let the log have the keys.
   * @override
   */
  focus() {
    this.panel?.view.scroller.focus();
  }

  /** Go to the end and follow. */
  async follow() {
    await this.panel?.navigation.toEnd();
  }

  /**
   * Show only lines of these levels (separated by commas), of this process, about this request.
   * @param {Partial<Filter>} filter
   */
  async setFilter(filter) {
    await this.panel?.setFilter(filter);
  }

  connectedCallback() {
    this.#darkScheme.addEventListener("change", this.#schemeChanged);
    this.#scope.change(this.traceId, this.launchId, this.instanceId);
    this.#applyTheme();
    this.#applyLocale();
    this.panel = this.#newPanel();
    this.panel.open();
  }

  disconnectedCallback() {
    this.#darkScheme.removeEventListener("change", this.#schemeChanged);
    this.panel?.destroy();
    this.panel = null;
  }

  /**
   * @param {string} name
   * @param {string | null} before
   * @param {string | null} after
   */
  attributeChangedCallback(name, before, after) {
    if (!this.panel || before === after) return;
    if (name === "theme") this.#applyTheme();
    else if (name === "locale") this.#applyLocale();
    else if (name === "token") this.#setToken(undefined);
    else if (name === "home") this.panel.launchesChanged();
    else if (name === "link") return;
    else if (name !== "line") this.#reopen();
    else if (after) void this.seek(after);
  }

  #newPanel() {
    const host = {
      src: () => this.src,
      token: () => this.token,
      line: () => this.line,
      home: () => this.home,
      link: () => this.link,
      unknownParameters: () => this.unknownParameters,
      listView: () => this.#listView,
      addressOf: (/** @type {string} */ traceId, /** @type {string | undefined} */ launchId) => this.addressOf(traceId, launchId),
      restAfterMs: () => TracetailPanel.restAfterMs,
      announce: (/** @type {string} */ name, /** @type {object} */ detail) => {
        this.dispatchEvent(new CustomEvent(name, { detail }));
      },
      setToken: (/** @type {string} */ token) => { this.token = token; },
      setTrace: (/** @type {string} */ traceId, /** @type {string} */ launchId = "") => {
        for (const name of ["launch-id", "instance-id", "line"]) this.removeAttribute(name);
        if (launchId) this.launchId = launchId;
        this.traceId = traceId;
        this.dispatchEvent(new CustomEvent("trace-chosen", { detail: { traceId, launchId } }));
      },
      nextTheme: () => { this.theme = this.dataset.theme === "dark" ? "light" : "dark"; },
      nextLocale: () => { this.locale = isChinese(this.locale) ? "en" : "zh"; },
    };
    const { q, regex, case: isCase, only } = this.#begin;
    const search = { query: { q, regex, case: isCase }, only };
    const options = { host, scope: this.#scope, settings: this.#settings, search };
    return new Panel(this.#root, messagesFor(this.locale), options);
  }

  #reopen() {
    this.#scope.change(this.traceId, this.launchId, this.instanceId);
    this.panel?.open();
  }

  /** @param {string | undefined} token undefined: that of the attribute */
  #setToken(token) {
    this.#token = token;
    this.panel?.tokenChanged();
  }

  #applyTheme() {
    const dark = this.theme === "dark" || (this.theme !== "light" && this.#darkScheme.matches);
    this.dataset.theme = dark ? "dark" : "light";
    this.panel?.redraw();
  }

  #applyLocale() {
    this.setAttribute("lang", isChinese(this.locale) ? "zh" : "en");
    this.panel?.setLanguage(messagesFor(this.locale));
  }
}

/** @param {string} text whether it is a time in nanoseconds */
function isTime(text) {
  return /^\d{1,19}$/.test(text);
}

if (!customElements.get("tracetail-panel")) customElements.define("tracetail-panel", TracetailPanel);
