// The recent launches of all traces: loads them page by page, filtered by the server, and keeps the list current while it
// is shown.

/** @import { PanelApi } from "./api/panel-api.js" */
/** @import { Attempt, Launch, LaunchesPage, LaunchFilter, Messages, Zone } from "./types.js" */

import { LaunchTable } from "./parts/launch-table.js";

const PAGE_LAUNCHES = 50;
const REFRESH_MS = 5_000;
const TYPING_MS = 250;

export class LaunchList {
  #api;
  #zone;
  #choose;
  #attempt;
  /** @type {LaunchTable | null} */
  #table = null;
  /** @type {Launch[]} The newest first. */
  #launches = [];
  /** Where the next page begins; "" if there is none. */
  #next = "";
  /** @type {LaunchFilter} */
  #filter = { q: "", state: "", engine: "", env: "", host: "" };
  #timer = 0;
  #request = new AbortController();

  /**
   * @param {object} options
   * @param {PanelApi} options.api
   * @param {() => Zone} options.zone
   * @param {(traceId: string) => void} options.choose
   * @param {Attempt} options.attempt
   */
  constructor({ api, zone, choose, attempt }) {
    this.#api = api;
    this.#zone = zone;
    this.#choose = choose;
    this.#attempt = attempt;
  }

  /** @param {LaunchesPage} page */
  begin(page) {
    this.stop();
    this.#take(page);
    this.#schedule(REFRESH_MS);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#request.abort();
  }

  /**
   * The list as elements, in one language.
   * @param {Messages} t
   */
  elements(t) {
    this.#table = new LaunchTable(t, {
      zone: this.#zone(),
      filter: this.#filter,
      on: {
        choose: this.#choose,
        filter: (filter) => this.#filterChanged(filter),
        more: () => void this.#attempt(() => this.#loadMore()),
      },
    });
    this.#show();
    return this.#table.elements;
  }

  /** @param {LaunchFilter} filter */
  #filterChanged(filter) {
    this.#filter = filter;
    this.stop();
    this.#schedule(TYPING_MS);
  }

  /** @param {number} delay */
  #schedule(delay) {
    clearTimeout(this.#timer);
    this.#request = new AbortController();
    const { signal } = this.#request;
    this.#timer = setTimeout(() => void this.#attempt(() => this.#refresh(signal)), delay);
  }

  /** @param {AbortSignal} signal */
  async #refresh(signal) {
    try {
      // As many as are shown, so that what was read on stays.
      const limit = Math.min(200, Math.max(PAGE_LAUNCHES, this.#launches.length));
      const page = await this.#api.get("/api/launches", { ...this.#filter, limit }, signal);
      if (signal.aborted) return;
      const last = page.launches[page.launches.length - 1]?.launchId ?? "";
      const older = page.next ? this.#launches.filter((launch) => launch.launchId < last) : [];
      this.#take({ launches: [...page.launches, ...older], next: older.length ? this.#next : page.next });
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      if (!signal.aborted) this.#schedule(REFRESH_MS);
    }
  }

  async #loadMore() {
    const { signal } = this.#request;
    const parameters = { ...this.#filter, limit: PAGE_LAUNCHES, before: this.#next };
    /** @type {LaunchesPage} */
    const page = await this.#api.get("/api/launches", parameters, signal);
    if (!signal.aborted) this.#take({ launches: [...this.#launches, ...page.launches], next: page.next });
  }

  /** @param {LaunchesPage} page */
  #take({ launches, next }) {
    this.#launches = launches;
    this.#next = next ?? "";
    this.#show();
  }

  #show() {
    this.#table?.show(this.#launches, this.#next !== "");
  }
}
