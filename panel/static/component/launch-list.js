// The recent launches of all traces: loads them page by page, filtered by the server, and keeps the list current while it
// is shown.

/** @import { PanelApi } from "./api/panel-api.js" */
/** @import { Attempt, Launch, LaunchesPage, LaunchFilter, ListView, Messages, Parameters, Zone } from "./types.js" */

import { keyOf } from "./log/line-key.js";
import { LastReadyLaunches } from "./last-ready.js";
import { LaunchTable } from "./parts/launch-table.js";

const PAGE_LAUNCHES = 50;
const PAGE_LAUNCHES_MAX = 200;
const REFRESH_MS = 5_000;
const TYPING_MS = 250;
const HOUR_MS = 3_600_000;

/**
 * @typedef {object} LaunchListHandlers
 * @property {(traceId: string, launchId?: string) => void} choose a trace, or one launch of it
 * @property {(launchId: string) => void} compare show what differs from the last time that it was ready
 * @property {(launch: Launch) => void} history show the last starts of its model
 * @property {(view: ListView, isStep: boolean) => void} viewed something else is shown; isStep: as a step that can be
 *   taken back
 * @property {() => void} language change to the other language
 */

export class LaunchList {
  #api;
  #zone;
  #attempt;
  #addressOf;
  #on;
  #lastReady;
  /** @type {LaunchTable | null} */
  #table = null;
  /** @type {Launch[]} The newest first. */
  #launches = [];
  /** @type {Record<string, string[]>} By field, what can be filtered by. */
  #labels = {};
  /** Where the next page begins; "" if there is none. */
  #next = "";
  /** @type {LaunchFilter} */
  #filter;
  /** The launchId of the oldest launch that is shown, if more than a page is. */
  #through;
  /** The trace whose row gets the focus when the list is shown for the first time. */
  #chosen;
  #isTyping = false;
  #timer = 0;
  #request = new AbortController();

  /**
   * @param {object} options
   * @param {PanelApi} options.api
   * @param {() => Zone} options.zone
   * @param {ListView} options.view what to show at first
   * @param {(traceId: string, launchId?: string) => string} options.addressOf
   * @param {Attempt} options.attempt
   * @param {LaunchListHandlers} options.on
   */
  constructor({ api, zone, view, addressOf, attempt, on }) {
    const { through, chosen, ...filter } = view;
    this.#api = api;
    this.#zone = zone;
    this.#filter = filter;
    this.#through = through;
    this.#chosen = chosen;
    this.#addressOf = addressOf;
    this.#attempt = attempt;
    this.#on = on;
    this.#lastReady = new LastReadyLaunches({ api, onFound: () => this.#show() });
  }

  /**
   * The first page, or all pages down to the oldest launch that is to be shown.
   * @param {AbortSignal} signal
   * @returns {Promise<LaunchesPage>}
   */
  async load(signal) {
    const through = this.#through;
    if (!through) return this.#page({ limit: PAGE_LAUNCHES }, signal);
    const page = await this.#page({ limit: PAGE_LAUNCHES_MAX }, signal);
    while (page.next && page.next > through) {
      const older = await this.#page({ limit: PAGE_LAUNCHES_MAX, before: page.next }, signal);
      page.launches.push(...older.launches);
      page.next = older.next;
    }
    const count = page.launches.filter((launch) => launch.launchId >= through).length;
    const launches = page.launches.slice(0, Math.max(count, PAGE_LAUNCHES));
    const isCut = launches.length < page.launches.length;
    return { ...page, launches, next: isCut ? launches[launches.length - 1].launchId : page.next };
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
      addressOf: this.#addressOf,
      on: {
        choose: this.#on.choose,
        compare: this.#on.compare,
        history: this.#on.history,
        language: this.#on.language,
        filter: (filter) => this.#filterChanged(filter),
        more: () => void this.#attempt(() => this.#loadMore()),
      },
    });
    this.#show();
    return this.#table.elements;
  }

  /** Once the elements are in the page: return the focus to the trace that the reader comes back from. */
  focusChosen() {
    if (this.#chosen) this.#table?.focusTrace(this.#chosen);
    this.#chosen = "";
  }

  /** @param {LaunchFilter} filter */
  #filterChanged(filter) {
    const isTyping = filter.q !== this.#filter.q;
    this.#filter = filter;
    this.#through = "";
    this.#viewed(!(isTyping && this.#isTyping));
    this.#isTyping = isTyping;
    this.stop();
    this.#schedule(TYPING_MS, (signal) => this.load(signal));
  }

  /** @param {boolean} isStep */
  #viewed(isStep) {
    this.#on.viewed({ ...this.#filter, through: this.#through, chosen: "" }, isStep);
  }

  /**
   * Show what is loaded after a delay, and keep it current.
   * @param {number} delay
   * @param {(signal: AbortSignal) => Promise<LaunchesPage>} load
   */
  #schedule(delay, load = (signal) => this.#current(signal)) {
    clearTimeout(this.#timer);
    this.#request = new AbortController();
    const { signal } = this.#request;
    this.#timer = setTimeout(() => void this.#attempt(() => this.#refresh(signal, load)), delay);
  }

  /**
   * @param {AbortSignal} signal
   * @param {(signal: AbortSignal) => Promise<LaunchesPage>} load
   */
  async #refresh(signal, load) {
    try {
      const page = await load(signal);
      if (!signal.aborted) this.#take(page);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      if (!signal.aborted) this.#schedule(REFRESH_MS);
    }
  }

  /**
   * As many launches as are shown, as they are now; what was read on stays.
   * @param {AbortSignal} signal
   */
  async #current(signal) {
    const limit = Math.min(PAGE_LAUNCHES_MAX, Math.max(PAGE_LAUNCHES, this.#launches.length));
    const page = await this.#page({ limit }, signal);
    const last = page.launches[page.launches.length - 1]?.launchId ?? "";
    const older = page.next ? this.#launches.filter((launch) => launch.launchId < last) : [];
    return { ...page, launches: [...page.launches, ...older], next: older.length ? this.#next : page.next };
  }

  async #loadMore() {
    const { signal } = this.#request;
    const page = await this.#page({ limit: PAGE_LAUNCHES, before: this.#next }, signal);
    if (signal.aborted) return;
    this.#take({ ...page, launches: [...this.#launches, ...page.launches] });
    this.#through = this.#launches[this.#launches.length - 1].launchId;
    this.#isTyping = false;
    this.#viewed(false);
  }

  /**
   * @param {Parameters} parameters
   * @param {AbortSignal} signal
   * @returns {Promise<LaunchesPage>}
   */
  async #page(parameters, signal) {
    const { hours, ...filter } = this.#filter;
    const since = hours ? keyOf(Date.now() - Number(hours) * HOUR_MS) : filter.since;
    return this.#api.get("/api/launches", { ...filter, since, ...parameters }, signal);
  }

  /** @param {LaunchesPage} page */
  #take({ launches, next, labels }) {
    this.#launches = launches;
    this.#next = next ?? "";
    this.#labels = labels ?? {};
    this.#show();
    void this.#lastReady.load(launches);
  }

  #show() {
    this.#table?.show([...this.#launches].sort(byTime), {
      hasMore: this.#next !== "", labels: this.#labels, lastReady: (launchId) => this.#lastReady.before(launchId),
    });
  }
}

/**
 * Newest first. Pages are in the order of ids, which begin with the second of the start; the rest of an id is chance.
 * @param {Launch} one
 * @param {Launch} other
 */
function byTime(one, other) {
  const [second, otherSecond] = [one, other].map(({ launchId }) => launchId.split("-")[0]);
  if (second !== otherSecond) return second < otherSecond ? 1 : -1;
  return Number(BigInt(other.startedAt ?? 0) - BigInt(one.startedAt ?? 0));
}
