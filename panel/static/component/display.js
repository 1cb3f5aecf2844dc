// What the parts show, kept so that they can be built again in another language. Controllers report to it and ask it
// nothing.

/** @import { Actions } from "./actions.js" */
/** @import { Child } from "./parts/dom.js" */
/** @import { LayoutHandlers } from "./parts/layout.js" */
/** @import { SearchBarState } from "./parts/search-bar.js" */
/** @import { Counts, Filter, Histogram, Launch, LinkState, Messages, SearchState, Settings, StatsPoint } from "./types.js" */

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
    histogram: /** @type {Histogram} */ ({ stepMs: 1000, slices: [] }),
    visible: { from: /** @type {string | undefined} */ (undefined), to: /** @type {string | undefined} */ (undefined) },
    points: /** @type {StatsPoint[]} */ ([]),
    processes: /** @type {Counts} */ ({}),
    filter: /** @type {Filter} */ ({ level: "", process: "" }),
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
    this.layers = new Layers(options.panel, () => options.scroller.focus());
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
    this.showHistogram(shown.histogram);
    this.showVisible(shown.visible.from, shown.visible.to);
    this.showPoints(shown.points);
    this.showProcesses(shown.processes);
    this.showFilter(shown.filter);
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
    this.showPosition(this.#shown.position);
    this.#showConnection();
  }

  /** @param {Histogram} histogram */
  showHistogram(histogram) {
    this.#shown.histogram = histogram;
    this.#layout.histogram.show(histogram);
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
    this.#layout.statusBar.showFollowing(position.following, position.total, this.#isEnded);
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

  /** Whether none of the launches that are shown prints any more. */
  get #isEnded() {
    const { launches, chosenLaunch } = this.#shown;
    const shown = launches.filter((launch) => !chosenLaunch || launch.launchId === chosenLaunch);
    return shown.length > 0 && shown.every((launch) => isEnded(launch.state));
  }

  #markVisible() {
    this.#layout.histogram.mark(this.#shown.visible.from, this.#shown.visible.to);
  }

  #showConnection() {
    this.#layout.statusBar.showLink(this.#shown.link, this.#shown.isLokiDown, this.#isEnded);
  }
}
