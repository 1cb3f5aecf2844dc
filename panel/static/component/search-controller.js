// Search through the whole log, which the server does: from match to match, with the number of each.

/** @import { PanelApi } from "./api/panel-api.js" */
/** @import { LogView } from "./parts/log-view.js" */
/** @import { Scope } from "./scope.js" */
/** @import { Parameters, SearchQuery, SearchResult, SearchState, SearchStep } from "./types.js" */

import { ApiError, messageOf } from "./api/panel-api.js";
import { LAST } from "./log/line-key.js";

export class SearchController {
  /** @type {string | null} The id of the line that the search is at. */
  match = null;
  /** @type {RegExp | null} What marks the matches in rows. */
  pattern = null;
  /** @type {SearchState} */
  state = { state: "none" };
  #api;
  #scope;
  #view;
  #show;
  #onChange;
  #query = { q: "", regex: false, case: false };
  #searches = 0;

  /**
   * @param {object} options
   * @param {PanelApi} options.api
   * @param {Scope} options.scope
   * @param {LogView} options.view
   * @param {(id: string) => Promise<void>} options.show goes to a line
   * @param {(state: SearchState) => void} options.onChange
   */
  constructor({ api, scope, view, show, onChange }) {
    this.#api = api;
    this.#scope = scope;
    this.#view = view;
    this.#show = show;
    this.#onChange = onChange;
  }

  /** Leave the match; the query stays. */
  reset() {
    this.match = null;
  }

  /**
   * Mark the matches, and stay where the reader is.
   * @param {SearchQuery} query
   */
  mark(query) {
    this.#query = query;
    this.pattern = matchPattern(query);
    this.#view.refresh();
  }

  /**
   * Search for something else, from what is in sight on.
   * @param {SearchQuery} query
   * @param {SearchStep} step
   */
  async search(query, step) {
    this.mark(query);
    await this.step(step);
  }

  /** @param {SearchStep} step */
  async step(step) {
    const number = ++this.#searches;
    if (!this.#query.q) this.match = null;
    this.#change({ state: this.#query.q ? "searching" : "none" });
    this.#view.refresh();
    if (!this.#query.q) return;
    try {
      const found = await this.#find(step);
      if (this.#searches !== number) return;
      this.match = found.line?.id ?? null;
      this.#change(found.line ? { state: "found", number: found.number, count: found.count } : { state: "no-match" });
      if (this.match) await this.#show(this.match);
    } catch (error) {
      if (this.#searches === number) this.#change({ state: "failed", ...failureOf(error) });
    }
  }

  /**
   * The match of a step; behind the last one comes the first, and the other way round.
   * @param {SearchStep} step
   * @returns {Promise<SearchResult>}
   */
  async #find(step) {
    const seen = this.#view.visibleLines[0]?.entry.id;
    /** @type {Parameters} */
    const parameters = { ...this.#scope.parameters, ...this.#query };
    /** @type {Parameters} */
    let from = {};
    if (step === "previous") from = { before: this.match ?? seen ?? LAST };
    else if (step === "next" && this.match) from = { after: this.match };
    const found = await this.#api.get("/api/logs/search", { ...parameters, ...from });
    if (found.line || !found.count) return found;
    const end = step === "previous" ? { before: LAST } : {};
    return this.#api.get("/api/logs/search", { ...parameters, ...end });
  }

  /** @param {SearchState} state */
  #change(state) {
    this.state = state;
    this.#onChange(state);
  }
}

/** @param {unknown} error */
function failureOf(error) {
  return { code: error instanceof ApiError ? error.code : "", message: messageOf(error) };
}

/**
 * What marks the matches in a row; null if nothing is searched for or the browser does not know the expression.
 * @param {SearchQuery} query
 */
function matchPattern({ q, regex, case: isCase }) {
  if (!q) return null;
  try {
    return new RegExp(regex ? q : q.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), isCase ? "gu" : "giu");
  } catch {
    return null;
  }
}
