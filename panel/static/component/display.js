// What the parts show, kept so that they can be built again in another language. Controllers report to it and ask it
// nothing.

/** @import { Actions } from "./actions.js" */
/** @import { Child } from "./parts/dom.js" */
/** @import { LayoutHandlers } from "./parts/layout.js" */
/** @import { SearchBarState } from "./parts/search-bar.js" */
/** @import { Comparison, Counts, Filter, Histogram, Launch, LinkState, Messages, SearchState, Settings, StatsPoint, TimeRange } from "./types.js" */

import { compareKeys } from "./log/line-key.js";
import { Layers } from "./parts/layers.js";
import { Layout } from "./parts/layout.js";
import { isEnded } from "./parts/state.js";

/** @typedef {(t: Messages) => Child[]} Notice */

export class Display {
  #options;
  #layout;
  #shown = {
    launches: /** @type {Launch[]} */ ([]),
    chosenLaunch: "",
    comparison: /** @type {Comparison | null} */ (null),
    histogram: /** @type {Histogram} */ ({ stepMs: 1000, slices: [] }),
    zoom: /** @type {TimeRange | null} */ (null),
    visible: { from: /** @type {string | undefined} */ (undefined), to: /** @type {string | undefined} */ (undefined) },
    points: /** @type {StatsPoint[]} */ ([]),
    processes: /** @type {Counts} */ ({}),
    filter: /** @type {Filter} */ ({ level: "", process: "", requestId: "" }),
    requestSeconds: /** @type {number | null} */ (null),
    search: /** @type {SearchState} */ ({ state: "none" }),
    position: { following: false, total: /** @type {number | null} */ (null), unseen: 0 },
    isSelected: false,
    link: /** @type {LinkState} */ (""),
    isLokiDown: false,
    isMetadataKept: true,
    notice: /** @type {Notice | null} */ (null),
    isNoticeAlone: true,
  };

  /**
   * @param {Messages} t
   * @param {object} options
   * @param {HTMLElement} options.panel
   * @param {HTMLElement} options.scroller a child of panel
   * @param {Settings} options.settings
   * @param {SearchBarState} options.search what is searched for at first
   * @param {Actions} options.actions
   * @param {LayoutHandlers} options.on
   */
  constructor(t, options) {
    this.text = t;
    this.#options = options;
    this.#layout = new Layout(t, options);
    this.layers = new Layers(options.panel, (focusedBefore) => {
      if (!options.scroller.hidden) options.scroller.focus();
      else if (focusedBefore instanceof HTMLElement) focusedBefore.focus();
    });
  }

  destroy() {
    this.#layout.destroy();
  }

  /** What stands in the search bar. */
  get search() {
    return this.#layout.searchBar.state;
  }

  /** @param {Messages} t */
  setLanguage(t) {
    const { search } = this;
    this.layers.close();
    this.#layout.destroy();
    this.text = t;
    this.#layout = new Layout(t, { ...this.#options, search });
    const shown = this.#shown;
    this.showLaunches(shown.launches, shown.chosenLaunch);
    this.showComparison(shown.comparison);
    this.showHistogram(shown.histogram, shown.zoom);
    this.showVisible(shown.visible.from, shown.visible.to);
    this.showPoints(shown.points);
    this.showProcesses(shown.processes);
    this.showFilter(shown.filter);
    this.showRequestSeconds(shown.requestSeconds);
    this.showSearch(shown.search);
    this.showPosition(shown.position);
    this.showSelection(shown.isSelected);
    this.#showConnection();
    this.showMetadata(shown.isMetadataKept);
    this.showNotice(shown.notice, shown.isNoticeAlone);
  }

  /** Draw what has the colours of the theme in it. */
  redraw() {
    this.#layout.redraw();
  }

  /**
   * @param {Launch[]} launches
   * @param {string} chosen
   */
  showLaunches(launches, chosen) {
    this.#shown.launches = launches;
    this.#shown.chosenLaunch = chosen;
    this.#layout.header.show(launches, chosen);
    this.showHeard();
    this.showPosition(this.#shown.position);
    this.#showConnection();
  }

  /** When the machines were last heard of: launches or lines have come. */
  showHeard() {
    this.#layout.statusBar.showHeard(this.#heardAt);
  }

  /** @param {Comparison | null} comparison of the launch that is shown with the last one that was ready */
  showComparison(comparison) {
    this.#shown.comparison = comparison;
    this.#layout.header.cause.showComparison(comparison);
  }

  /** The launch that the head shows. */
  get launch() {
    return this.#layout.header.launch;
  }

  /** What differs between the launch that is shown and the last one that was ready; null if that is not known. */
  get comparison() {
    return this.#shown.comparison;
  }

  /**
   * @param {Histogram} histogram
   * @param {TimeRange | null} zoom the part of the time that it is of; null: all
   */
  showHistogram(histogram, zoom) {
    this.#shown.histogram = histogram;
    this.#shown.zoom = zoom;
    this.#layout.histogram.show(histogram, zoom);
    this.#markVisible();
  }

  /**
   * What of the log is in sight.
   * @param {string | undefined} from key of the first line
   * @param {string | undefined} to key of the last line
   */
  showVisible(from, to) {
    this.#shown.visible = { from, to };
    this.#markVisible();
  }

  /** @param {StatsPoint[]} points */
  showPoints(points) {
    this.#shown.points = points;
    this.#layout.charts.show(points);
  }

  /** @param {Counts} processes */
  showProcesses(processes) {
    this.#shown.processes = processes;
    this.#layout.searchBar.showProcesses(processes);
  }

  /** @param {number | null} seconds from the first line about the request to the last; null while unknown */
  showRequestSeconds(seconds) {
    this.#shown.requestSeconds = seconds;
    this.#layout.searchBar.showRequestSeconds(seconds);
  }

  /** @param {Filter} filter */
  showFilter(filter) {
    this.#shown.filter = filter;
    this.#layout.searchBar.showFilter(filter);
  }

  /** @param {SearchState} search */
  showSearch(search) {
    this.#shown.search = search;
    this.#layout.searchBar.showResult(search);
  }

  /** @param {{following: boolean, total: number | null, unseen: number}} position */
  showPosition(position) {
    this.#shown.position = position;
    this.#layout.statusBar.showFollowing(position.following, position.total, this.#over !== "");
    this.#layout.showJump(position.following ? 0 : position.unseen);
  }

  /** @param {boolean} isSelected whether lines are selected */
  showSelection(isSelected) {
    this.#shown.isSelected = isSelected;
    this.#layout.statusBar.showSelection(isSelected);
  }

  /** @param {LinkState} link */
  showLink(link) {
    this.#shown.link = link;
    if (link === "live") this.#shown.isLokiDown = false;
    this.#showConnection();
  }

  /** @param {boolean} isLokiDown */
  showLoki(isLokiDown) {
    this.#shown.isLokiDown = isLokiDown;
    this.#showConnection();
  }

  /** @param {boolean} isKept whether Loki keeps structured metadata */
  showMetadata(isKept) {
    this.#shown.isMetadataKept = isKept;
    this.#layout.showMetadata(isKept);
  }

  /**
   * Show a notice in place of the log, or (alone = false) above it; null: none.
   * @param {Notice | null} notice
   * @param {boolean} [alone]
   */
  showNotice(notice, alone = true) {
    this.#shown.notice = notice;
    this.#shown.isNoticeAlone = alone;
    this.#layout.showNotice(notice && notice(this.text), alone);
  }

  get hasNotice() {
    return this.#shown.notice !== null;
  }

  /**
   * Show a message in the status bar for a moment.
   * @param {string} message
   */
  showMessage(message) {
    this.#layout.statusBar.showMessage(message);
  }

  /** Show a switch, or the charts, as the settings are now. */
  showSettings() {
    const { settings } = this.#options;
    this.#layout.toolbar.showSwitches(settings);
    this.#layout.showCharts(settings.charts);
  }

  focusSearch() {
    this.#layout.searchBar.focus();
  }

  clearSearch() {
    this.#layout.searchBar.clear();
  }

  /** @param {(format: "text" | "jsonl") => void} choose */
  openDownloads(choose) {
    const { menu, first } = this.#layout.toolbar.downloadMenu(this.#options.panel, choose);
    this.layers.open(menu, first);
  }

  /** Why none of the launches that are shown prints any more; "" if one does. */
  get #over() {
    const { launches, chosenLaunch } = this.#shown;
    const shown = launches.filter((launch) => !chosenLaunch || launch.launchId === chosenLaunch);
    if (!shown.length || !shown.every((launch) => launch.lostContact || isEnded(launch.state))) return "";
    return shown.some((launch) => launch.lostContact) ? "silent" : "ended";
  }

  /** When the machine that was silent for the longest time was last heard of, of those that run. */
  get #heardAt() {
    const { launches, chosenLaunch } = this.#shown;
    const times = launches
      .filter((launch) => !chosenLaunch || launch.launchId === chosenLaunch)
      .map((launch) => launch.lastHeardAt ?? "")
      .filter(Boolean);
    return times.sort(compareKeys)[0];
  }

  #markVisible() {
    this.#layout.histogram.mark(this.#shown.visible.from, this.#shown.visible.to);
  }

  #showConnection() {
    this.#layout.statusBar.showLink(this.#shown.link, this.#shown.isLokiDown, this.#over);
  }
}
