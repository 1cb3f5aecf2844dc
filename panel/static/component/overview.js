// The log from afar: lines over time, processes and levels, the engine's figures, the first error. All of it comes from
// the server, at most every few seconds while lines arrive.

/** @import { PanelApi } from "./api/panel-api.js" */
/** @import { Scope } from "./scope.js" */
/** @import { Attempt, Counts, Facets, Histogram, Line, LogPage, Settings, StatsPoint, TimeRange } from "./types.js" */

import { ERROR_LEVELS } from "./log/levels.js";
import { FIRST } from "./log/line-key.js";
import { statsOf } from "./log/stats.js";

const REFRESH_MS = 5_000;
const POINTS_MAX = 900;

/**
 * @typedef {object} OverviewHandlers
 * @property {(histogram: Histogram, zoom: TimeRange | null) => void} histogram zoom: the part of the time that it is of
 * @property {(processes: Counts) => void} processes with the number of lines of each
 * @property {(points: StatsPoint[]) => void} points
 * @property {(line: Line) => void} firstError
 * @property {(seconds: number | null) => void} requestSeconds from the first line about the filtered request to the last
 */

export class Overview {
  #api;
  #scope;
  #settings;
  #attempt;
  #on;
  #timer = 0;
  #generation = 0;
  /** @type {StatsPoint[]} */
  #points = [];
  /** @type {Line | null} */
  #firstError = null;

  /**
   * @param {object} options
   * @param {PanelApi} options.api
   * @param {Scope} options.scope
   * @param {Settings} options.settings
   * @param {Attempt} options.attempt
   * @param {OverviewHandlers} options.on
   */
  constructor({ api, scope, settings, attempt, on }) {
    this.#api = api;
    this.#scope = scope;
    this.#settings = settings;
    this.#attempt = attempt;
    this.#on = on;
  }

  /** Forget all: another log is opened. */
  reset() {
    this.destroy();
    this.#firstError = null;
    this.#on.histogram({ stepMs: 1000, slices: [] }, null);
    this.#setPoints([]);
  }

  /** Stop, and ignore the answers to requests that are under way. */
  destroy() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#generation++;
  }

  /**
   * Lines arrived.
   * @param {Line[]} lines
   */
  receive(lines) {
    const error = lines.find((line) => line.level === "error" || line.level === "critical");
    if (error) this.foundError(error);
    const points = lines.map(statsOf).filter((point) => point !== null);
    if (points.length) this.#setPoints([...this.#points, ...points].slice(-POINTS_MAX));
    this.#timer ||= setTimeout(() => this.refresh(), REFRESH_MS);
  }

  /**
   * Report the first error, once.
   * @param {Line} line
   */
  foundError(line) {
    if (this.#firstError) return;
    this.#firstError = line;
    this.#on.firstError(line);
  }

  async refresh() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const generation = this.#generation;
    const { ids, parameters, range } = this.#scope;
    const part = range ? { start: range.from, before: range.to } : {};
    try {
      /** @type {[Histogram, Facets]} */
      const [histogram, facets] = await Promise.all([
        this.#api.get("/api/logs/histogram", { ...parameters, ...part }),
        this.#api.get("/api/logs/facets", ids),
      ]);
      if (this.#generation !== generation) return;
      this.#on.histogram(histogram, range);
      this.#on.processes(facets.processes);
      if (facets.levels.error || facets.levels.critical) await this.#findFirstError(generation);
      await this.#measureRequest(generation);
    } catch {
      // The overview is an extra: the log itself shows that the server cannot be reached.
    }
    if (this.#settings.charts && this.#points.length === 0 && this.#generation === generation) await this.loadCharts();
  }

  /** The filter has changed: what is shown of the lines that pass it is not true any more. */
  async filtered() {
    this.#generation++;
    this.#on.requestSeconds(null);
    await this.refresh();
  }

  /**
   * Show the lines over this part of the time; null: over all of it.
   * @param {TimeRange | null} range
   */
  async zoom(range) {
    this.#generation++;
    this.#scope.range = range;
    await this.refresh();
  }

  /** Load the figures of the whole log. */
  async loadCharts() {
    const generation = this.#generation;
    await this.#attempt(async () => {
      const { points } = await this.#api.get("/api/logs/stats", this.#scope.ids);
      if (this.#generation === generation) this.#setPoints(points);
    });
  }

  /** @param {number} generation */
  async #findFirstError(generation) {
    if (this.#firstError) return;
    /** @type {LogPage} */
    const page = await this.#api.get("/api/logs", {
      ...this.#scope.ids, level: ERROR_LEVELS, direction: "forward", start: FIRST, limit: 1,
    });
    if (page.lines.length && this.#generation === generation) this.foundError(page.lines[0]);
  }

  /**
   * How long the request took that is filtered for, by its first and last lines.
   * @param {number} generation
   */
  async #measureRequest(generation) {
    if (!this.#scope.filter.requestId) return;
    const one = { ...this.#scope.parameters, limit: 1 };
    /** @type {[LogPage, LogPage]} */
    const [first, last] = await Promise.all([
      this.#api.get("/api/logs", { ...one, direction: "forward", start: FIRST }),
      this.#api.get("/api/logs", one),
    ]);
    if (this.#generation !== generation || !first.lines.length || !last.lines.length) return;
    this.#on.requestSeconds(secondsBetween(first.lines[0].time, last.lines[0].time));
  }

  /** @param {StatsPoint[]} points */
  #setPoints(points) {
    this.#points = points;
    this.#on.points(points);
  }
}

/**
 * @param {string} from nanoseconds
 * @param {string} to nanoseconds
 */
function secondsBetween(from, to) {
  return Number(BigInt(to) - BigInt(from)) / 1e9;
}
