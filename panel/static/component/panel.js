// The panel in the element: makes the controllers and connects them. Data flows from the session through the controllers
// to the display; what the reader does comes back as actions.

/** @import { LayoutHandlers } from "./parts/layout.js" */
/** @import { SearchBarState } from "./parts/search-bar.js" */
/** @import { Scope } from "./scope.js" */
/** @import { Attempt, Filter, Host, Launch, LaunchesPage, LinesMessage, LogPage, Messages, Settings, TimeRange } from "./types.js" */

import { Actions } from "./actions.js";
import { messageOf, PanelApi, refusalCode } from "./api/panel-api.js";
import { Compact } from "./compact.js";
import { Comparisons } from "./comparisons.js";
import { Display } from "./display.js";
import { actOnKey } from "./keyboard.js";
import { LaunchList } from "./launch-list.js";
import { LaunchTracker } from "./launch-tracker.js";
import { LogController } from "./log-controller.js";
import { LogRows } from "./log-rows.js";
import { Navigation } from "./navigation.js";
import { Overview } from "./overview.js";
import { endOf } from "./parts/cause-banner.js";
import { element } from "./parts/dom.js";
import { LogView } from "./parts/log-view.js";
import { newestOrWorst } from "./parts/nodes.js";
import { emptyNotice, failureNotice, tokenNotice } from "./parts/notices.js";
import { isEnded } from "./parts/state.js";
import { SearchController } from "./search-controller.js";
import { SelectionController } from "./selection-controller.js";
import { Session } from "./session.js";

export class Panel {
  #host;
  #scope;
  #settings;
  #api;
  #actions;
  /** @type {Display} */
  #display;
  /** @type {Overview} */
  #overview;
  /** @type {Compact} */
  #compact;
  /** @type {Comparisons} */
  #comparisons;
  /** @type {LaunchList} */
  #list;
  /** @type {SearchController} */
  #search;
  /** @type {SelectionController} */
  #selection;
  /** @type {Session} */
  #session;
  #isDestroyed = false;
  /** Whether the log was just opened, so that a launch that has failed is shown at the cause. */
  #opensAtCause = false;
  /** How often the reader has done something: who has is not taken to the cause any more. */
  #acts = 0;

  /**
   * @param {ShadowRoot} root
   * @param {Messages} t
   * @param {{host: Host, scope: Scope, settings: Settings, search: SearchBarState}} options
   */
  constructor(root, t, { host, scope, settings, search }) {
    this.#host = host;
    this.#scope = scope;
    this.#settings = settings;
    /** @type {Attempt} */
    const attempt = (act) => this.#attempt(act);
    const api = (this.#api = new PanelApi({ base: host.src, token: host.token }));
    const view = (this.view = this.#newView());
    const panel = element("div", { class: "panel" }, view.scroller);
    const actions = (this.#actions = new Actions(() => this.#actionParts(panel, attempt)));
    this.#display = new Display(t, {
      ...{ panel, settings, actions, search }, scroller: view.scroller, on: this.#layoutHandlers(),
    });
    this.#comparisons = new Comparisons({ api, onFound: () => this.#showComparison() });
    this.launches = this.#newLaunches();
    this.#selection = this.#newSelection(attempt);
    this.rows = this.#newRows();
    this.log = this.#newLog();
    this.#overview = this.#newOverview(attempt);
    this.navigation = new Navigation({
      api, scope, settings, view, log: this.log, selection: this.#selection, attempt,
      origin: () => this.#origin,
      onError: (line) => this.#overview.foundError(line),
    });
    this.#list = this.#newList(attempt);
    this.#search = new SearchController({
      api, scope, view,
      show: (id) => this.navigation.show(id),
      onChange: (state) => this.#display.showSearch(state),
    });
    this.#session = this.#newSession();
    panel.addEventListener("keydown", (event) => actOnKey(event, actions));
    for (const kind of ["keydown", "pointerdown", "input"]) {
      panel.addEventListener(kind, () => { this.#acts += 1; this.#opensAtCause = false; }, { capture: true });
    }
    root.replaceChildren(panel);
    view.mount();
    view.setWrap(settings.wrap);
    this.#display.showFilter(scope.filter);
    this.#compact = new Compact(panel, (isNarrow) => this.#fitWidth(isNarrow));
  }

  destroy() {
    this.#isDestroyed = true;
    this.#session.destroy();
    this.#compact.destroy();
    this.#list.stop();
    this.log.destroy();
    this.#overview.destroy();
    this.#display.destroy();
    this.view.destroy();
  }

  // --- what the element asks for ------------------------------------------------------------------------------------

  /** Open the log that the scope names now. */
  open() {
    void this.#session.open();
  }

  tokenChanged() {
    if (!this.#session.isLive) this.open();
    else {
      this.#display.showNotice(null);
      this.#session.retry();
    }
  }

  /** @param {Messages} t */
  setLanguage(t) {
    this.#display.setLanguage(t);
    this.view.refresh();
  }

  /** Draw what has the colours of the theme in it. */
  redraw() {
    this.#display.redraw();
  }

  /** @param {Partial<Filter>} filter */
  async setFilter(filter) {
    const next = { level: "", process: "", requestId: "", ...filter };
    if (JSON.stringify(next) === JSON.stringify(this.#scope.filter)) return;
    this.#scope.filter = next;
    this.#display.showFilter(next);
    this.#announceView();
    await this.#reload();
  }

  /** What the head shows has changed. */
  launchesChanged() {
    this.#showLaunches();
  }

  /** Report what is filtered and searched for. */
  #announceView() {
    const { level, process, requestId } = this.#scope.filter;
    const { query, only } = this.#display.search;
    const { from, to } = this.#scope.range ?? { from: "", to: "" };
    this.#host.announce("view", { level, process, requestId, ...query, only, from, to });
  }

  // --- making the parts ---------------------------------------------------------------------------------------------

  /** @returns {LogView} */
  #newView() {
    return new LogView({
      renderRow: (into, row) => this.rows.fill(into, row),
      hole: (block, side) => void this.log.loadVisible(block, side),
      moved: () => this.#moved(),
      followed: () => this.#showPosition(),
      canFollow: () => this.log.document.tailIsLoaded,
    });
  }

  /** @returns {LogRows} */
  #newRows() {
    return new LogRows({
      view: this.view,
      settings: this.#settings,
      text: () => this.#display.text,
      lookOf: (row) => ({
        launches: this.launches.launches,
        origin: this.#origin,
        numbered: !this.#scope.isFiltered,
        selected: this.#selection.has(row),
        match: this.#search.match,
        pattern: this.#search.pattern,
      }),
      onSelect: (row, extend) => this.#selection.click(row, extend),
      onRequest: (requestId) => void this.setFilter({ requestId }),
    });
  }

  /** @returns {LogController} */
  #newLog() {
    return new LogController({
      api: this.#api,
      scope: this.#scope,
      view: this.view,
      rows: this.rows,
      on: {
        changed: () => this.#showPosition(),
        gap: ({ time, reason }) => this.#host.announce("gap", { time, reason }),
        tokenNeeded: (code) => this.#needToken(code),
      },
    });
  }

  /** @returns {LaunchTracker} */
  #newLaunches() {
    const { announce } = this.#host;
    return new LaunchTracker({
      changed: () => this.#showLaunches(),
      heard: () => this.#display.showHeard(),
      state: (launch) => announce("state", { launchId: launch.launchId, state: launch.state, launch }),
      phase: ({ launchId }, phase) => announce("phase", { launchId, ...phase }),
    });
  }

  /**
   * @param {Attempt} attempt
   * @returns {SelectionController}
   */
  #newSelection(attempt) {
    return new SelectionController({
      api: this.#api,
      scope: this.#scope,
      base: this.#host.src,
      template: this.#host.link,
      attempt,
      on: {
        changed: () => this.#showSelection(),
        selected: (line) => this.#host.announce("line-selected", line),
        copy: (text) => this.#actions.copy(text),
      },
    });
  }

  /**
   * @param {Attempt} attempt
   * @returns {Overview}
   */
  #newOverview(attempt) {
    return new Overview({
      api: this.#api,
      scope: this.#scope,
      settings: this.#settings,
      attempt,
      on: {
        histogram: (histogram, zoom) => this.#display.showHistogram(histogram, zoom),
        processes: (processes) => this.#display.showProcesses(processes),
        points: (points) => this.#display.showPoints(points),
        requestSeconds: (seconds) => this.#display.showRequestSeconds(seconds),
        firstError: ({ id, time, text }) => this.#host.announce("first-error", { id, time, text }),
      },
    });
  }

  /**
   * @param {Attempt} attempt
   * @returns {LaunchList}
   */
  #newList(attempt) {
    const { listView, addressOf, setTrace, announce } = this.#host;
    return new LaunchList({
      ...{ api: this.#api, attempt, addressOf },
      view: listView(),
      zone: () => this.#settings.zone,
      on: {
        choose: setTrace,
        compare: (launchId) => this.#actions.compareLaunch(launchId),
        history: (launch) => this.#actions.openHistoryOf(launch),
        viewed: (view, isStep) => announce("list-view", { ...view, isStep }),
        language: this.#host.nextLocale,
      },
    });
  }

  /** @returns {Session} */
  #newSession() {
    return new Session({
      api: this.#api,
      scope: this.#scope,
      launches: (signal) => this.#list.load(signal),
      restAfterMs: this.#host.restAfterMs,
      on: {
        opening: () => this.#opening(),
        page: (page) => this.#showPage(page),
        opened: (traceId) => this.#opened(traceId),
        offered: (page) => this.#offerLaunches(page),
        failed: (error) => this.#display.showNotice((t) => failureNotice(t, error, this.#host.src(), this.#scope.isGiven ? this.#host.home() : "")),
        lines: (data) => this.#receive(data),
        launches: (launches) => this.#receiveLaunches(launches),
        status: ({ loki }) => this.#display.showLoki(loki !== "ok"),
        link: (link) => this.#display.showLink(link),
        tokenNeeded: (code) => this.#needToken(code),
      },
    });
  }

  /**
   * @param {HTMLElement} panel
   * @param {Attempt} attempt
   */
  #actionParts(panel, attempt) {
    const { view, log, navigation } = this;
    return {
      ...{ view, log, navigation, panel, attempt },
      api: this.#api,
      scope: this.#scope,
      settings: this.#settings,
      overview: this.#overview,
      search: this.#search,
      selection: this.#selection,
      display: this.#display,
      setFilter: (/** @type {Partial<Filter>} */ filter) => this.setFilter(filter),
      open: this.#host.setTrace,
      addressOf: this.#host.addressOf,
      nextTheme: this.#host.nextTheme,
      nextLocale: this.#host.nextLocale,
    };
  }

  /** @returns {LayoutHandlers} */
  #layoutHandlers() {
    return {
      home: this.#host.home,
      unknownParameters: this.#host.unknownParameters,
      time: (time) => void this.navigation.seek(time),
      zoom: (range) => void this.#zoom(range),
      launch: (launchId) => void this.#chooseLaunch(launchId),
      cause: (exit, launch) => void this.navigation.toCause(exit, launch),
      error: (step) => this.#actions.stepError(step),
      errors: () => this.#actions.openErrors(),
      ticket: (exit, launch) => this.#actions.copyTicket(exit, launch),
      compare: () => this.#actions.openComparison(),
      history: () => this.#actions.openHistory(),
      search: (query, step) => {
        void this.#search.search(query, step);
        this.#announceView();
      },
      filter: (filter) => void this.setFilter(filter),
      leaveSearch: () => this.view.scroller.focus(),
    };
  }

  // --- what comes from the server -----------------------------------------------------------------------------------

  #opening() {
    this.#opensAtCause = false;
    this.#list.stop();
    this.view.follow(false);
    this.log.begin();
    this.log.show();
    this.#search.reset();
    this.#selection.clear();
    this.launches.reset();
    this.#overview.reset();
    this.#display.showNotice(null);
  }

  /** @param {LogPage} page */
  #showPage(page) {
    this.#scope.openedTrace = page.traceId;
    this.#display.showMetadata(page.metadata !== false);
    const isEmpty = page.lines.length === 0 && !this.#scope.isFiltered;
    this.#display.showNotice(isEmpty ? (t) => emptyNotice(t, page.traceId, this.#host.home()) : null);
    this.log.showNewest(page);
  }

  /** @param {string} traceId */
  #opened(traceId) {
    this.#host.announce("ready", { traceId });
    void this.#overview.refresh();
    const line = this.#host.line();
    const { query } = this.#display.search;
    if (query.q && line) this.#search.mark(query);
    else if (query.q) void this.#search.search(query, "first");
    if (line) void this.navigation.seek(line);
    this.#opensAtCause = !line && !query.q;
  }

  /** @param {Launch[]} launches */
  #receiveLaunches(launches) {
    this.launches.receive(launches);
    if (!this.#opensAtCause || !launches.length) return;
    this.#opensAtCause = false;
    const launch = launches.find((each) => each.launchId === this.#scope.launch) ?? launches[launches.length - 1];
    const exit = endOf(launch);
    if (!exit || !isEnded(launch.state) || !this.view.following) return;
    const acts = this.#acts;
    void this.navigation.toCause(exit, launch, () => this.#acts === acts);
  }

  /** @param {LaunchesPage} page */
  #offerLaunches(page) {
    this.#list.begin(page);
    this.#display.showNotice((t) => this.#list.elements(t));
    this.#list.focusChosen();
  }

  /** @param {LinesMessage} message */
  #receive({ lines, gaps = [] }) {
    if (lines.length && this.#display.hasNotice) this.#display.showNotice(null);
    this.#overview.receive(lines);
    this.log.receive(lines, gaps);
    this.launches.hear(lines);
  }

  /** @param {string} code */
  #needToken(code) {
    this.#host.announce("token-needed", { code });
    this.#display.showLink("");
    this.#display.showNotice((t) => tokenNotice(t, code, this.#scope.launch || this.#scope.trace, this.#host.setToken), this.log.document.empty);
  }

  /** @type {Attempt} */
  async #attempt(act) {
    try {
      await act();
    } catch (error) {
      if (this.#isDestroyed) return;
      const code = refusalCode(error);
      if (code) this.#needToken(code);
      else this.#display.showMessage(messageOf(error));
    }
  }

  // --- what the reader does -----------------------------------------------------------------------------------------

  /** Load the log again with the scope of now. */
  async #reload() {
    if (this.#session.isOpening) this.open();
    if (!this.#session.isLive) return;
    this.#search.reset();
    await this.#attempt(async () => {
      // A selected line stays in sight: without the filter, with its surroundings.
      if (!(await this.log.reload(this.#selection.first))) return;
      this.#display.showNotice(this.log.document.empty ? (t) => [t.nothingMatches] : null, false);
      this.#showPosition();
      await this.#overview.filtered();
    });
  }

  /**
   * Show a part of the time in the histogram, and its first line; null: all of the time.
   * @param {TimeRange | null} range
   */
  async #zoom(range) {
    const shown = this.#overview.zoom(range);
    this.#announceView();
    if (range) await this.navigation.seek(range.from);
    await shown;
  }

  /**
   * Lines are wrapped in a narrow frame, unless the reader has chosen otherwise.
   * @param {boolean} isNarrow
   */
  #fitWidth(isNarrow) {
    if (this.#settings.wrapIsChosen || this.#settings.wrap === isNarrow) return;
    this.#settings.wrap = isNarrow;
    this.#display.showSettings();
    this.view.setWrap(isNarrow);
  }

  /** @param {string} launchId */
  async #chooseLaunch(launchId) {
    this.#scope.chosenLaunch = launchId;
    this.#showLaunches();
    await this.#reload();
  }

  // --- what is shown ------------------------------------------------------------------------------------------------

  /**
   * The key that relative times count from.
   * @returns {string | undefined}
   */
  get #origin() {
    return this.launches.startedAt(this.#scope.launch) ?? this.log.document.first?.id;
  }

  #moved() {
    const visible = this.view.visibleLines;
    this.#display.showVisible(visible[0]?.entry.id, visible[visible.length - 1]?.entry.id);
    if (this.view.following || (this.view.nearEnd && this.log.document.tailIsLoaded)) this.log.markSeen();
  }

  #showPosition() {
    const { document, unseen } = this.log;
    this.#display.showPosition({ following: this.view.following, total: document.total, unseen });
  }

  #showLaunches() {
    this.#display.showLaunches(this.launches.launches, this.#scope.launch);
    this.#showComparison();
    this.view.refresh();
  }

  #showComparison() {
    const { launches } = this.launches;
    const launch = launches.find((each) => each.launchId === this.#scope.launch) ?? newestOrWorst(launches);
    this.#display.showComparison(this.#comparisons.of(launch));
  }

  #showSelection() {
    this.#display.showSelection(!this.#selection.isEmpty);
    this.view.refresh();
  }
}
