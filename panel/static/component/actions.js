// What buttons and keys do.

/** @import { PanelApi } from "./api/panel-api.js" */
/** @import { Display } from "./display.js" */
/** @import { LogController } from "./log-controller.js" */
/** @import { Navigation } from "./navigation.js" */
/** @import { Overview } from "./overview.js" */
/** @import { LogView } from "./parts/log-view.js" */
/** @import { Scope } from "./scope.js" */
/** @import { SearchController } from "./search-controller.js" */
/** @import { SelectionController } from "./selection-controller.js" */
/** @import { Attempt, Comparison, Exit, Filter, Launch, Settings, StartHistory, Switch } from "./types.js" */

import { ApiError } from "./api/panel-api.js";
import { downloadLog } from "./download.js";
import { copyText } from "./parts/clipboard.js";
import { comparisonBox } from "./parts/comparison.js";
import { errorList } from "./parts/error-list.js";
import { gotoBox } from "./parts/goto-box.js";
import { helpElement } from "./parts/help.js";
import { startHistoryBox } from "./parts/start-history.js";
import { ticketText } from "./ticket.js";

/** @type {Settings["times"][]} */
const TIMES = ["absolute", "relative", "off"];

/**
 * @typedef {object} ActionParts
 * @property {PanelApi} api
 * @property {Scope} scope
 * @property {Settings} settings
 * @property {LogView} view
 * @property {LogController} log
 * @property {Navigation} navigation
 * @property {Overview} overview
 * @property {SearchController} search
 * @property {SelectionController} selection
 * @property {Display} display
 * @property {HTMLElement} panel
 * @property {Attempt} attempt
 * @property {(filter: Partial<Filter>) => Promise<void>} setFilter
 * @property {(traceId: string, launchId?: string) => void} open the log of another trace, or of one launch of it
 * @property {(traceId: string, launchId?: string) => string} addressOf
 * @property {() => void} nextTheme
 * @property {() => void} nextLocale
 */

/** Each may be called at any time; what asks the server reports its errors itself. */
export class Actions {
  #partsOf;

  /** @param {() => ActionParts} partsOf called by each action, since the display's buttons come before its parts */
  constructor(partsOf) {
    this.#partsOf = partsOf;
  }

  get #parts() {
    return this.#partsOf();
  }

  // --- moving -------------------------------------------------------------------------------------------------------

  /** @param {number} rows */
  scrollRows(rows) {
    this.#parts.view.scrollByRows(rows);
  }

  /**
   * Select the line below or above the selected one; without one in sight, the first or last in sight.
   * @param {1 | -1} step
   */
  selectRow(step) {
    const { view, selection } = this.#parts;
    const rows = view.visibleLines;
    const at = rows.findIndex((row) => selection.has(row));
    const row = at < 0 ? rows[step > 0 ? 0 : rows.length - 1] : rows[at + step];
    view.follow(false);
    if (row) selection.click(row, false);
    // One more is in sight than is wanted: the one at the edge may be cut off.
    if (at >= 0 && !rows[at + 2 * step]) view.scrollByRows(step);
  }

  /** @param {number} pages */
  scrollPages(pages) {
    this.#parts.view.scrollByPages(pages);
  }

  toStart() {
    void this.#parts.navigation.toStart();
  }

  /** Go to the end and follow. */
  toEnd() {
    void this.#parts.navigation.toEnd();
  }

  toFirstError() {
    void this.#parts.navigation.toFirstError();
  }

  /** @param {"next" | "previous"} step */
  stepError(step) {
    const { navigation, display } = this.#parts;
    void navigation.stepError(step).then((found) => {
      const { noError, pastLastError, pastFirstError } = display.text;
      if (found === "none") display.showMessage(noError);
      if (found === "wrapped") display.showMessage(step === "next" ? pastLastError : pastFirstError);
    });
  }

  /**
   * Copy what a ticket about a launch needs.
   * @param {Exit} exit
   * @param {Launch} launch
   */
  copyTicket(exit, launch) {
    const { navigation, selection, display, attempt } = this.#parts;
    void attempt(async () => {
      const { lines, at } = await navigation.aroundCause(exit, launch);
      const link = selection.linkTo(at || exit.line);
      await this.copy(ticketText(display.text, { exit, launch, lines, at, link }));
    });
  }

  nextMatch() {
    void this.#parts.search.step("next");
  }

  previousMatch() {
    void this.#parts.search.step("previous");
  }

  // --- what is shown, and how ---------------------------------------------------------------------------------------

  /** @param {string} level levels separated by commas; "" for all */
  showLevels(level) {
    const { scope, setFilter } = this.#parts;
    const { process, requestId } = scope.filter;
    void setFilter({ process, requestId, level });
  }

  /** @param {Switch} name */
  toggle(name) {
    const { settings, display, view, log, overview } = this.#parts;
    settings[name] = !settings[name];
    display.showSettings();
    if (name === "wrap") settings.wrapIsChosen = true;
    if (name === "wrap") view.setWrap(settings.wrap);
    else if (name === "fold") log.show();
    else if (settings.charts) void overview.loadCharts();
  }

  nextTimes() {
    const { settings, view } = this.#parts;
    settings.times = TIMES[(TIMES.indexOf(settings.times) + 1) % TIMES.length];
    view.refresh();
  }

  nextZone() {
    const { settings, view, display } = this.#parts;
    settings.zone = settings.zone === "local" ? "utc" : "local";
    view.refresh();
    display.redraw();
  }

  nextTheme() {
    this.#parts.nextTheme();
  }

  nextLocale() {
    this.#parts.nextLocale();
  }

  // --- selection and files ------------------------------------------------------------------------------------------

  copyLines() {
    void this.#parts.selection.copyLines();
  }

  copyLink() {
    void this.#parts.selection.copyLink();
  }

  /** @param {string} text */
  async copy(text) {
    const { display, panel } = this.#parts;
    display.showMessage((await copyText(text, panel)) ? display.text.copied : display.text.copyFailed);
  }

  // --- what opens and closes ----------------------------------------------------------------------------------------

  focusSearch() {
    this.#parts.display.focusSearch();
  }

  openGoto() {
    const { display, navigation } = this.#parts;
    const close = () => display.layers.close();
    const { box, input } = gotoBox(display.text, { go: (place) => navigation.goTo(place), close });
    display.layers.open(box, input);
  }

  openDownloads() {
    const { api, scope, display, attempt } = this.#parts;
    if (display.layers.close()) return;
    display.openDownloads((format) => {
      display.layers.close();
      void attempt(async () => {
        try {
          await downloadLog(api, scope, format);
        } catch (error) {
          // The token is good for reading: asking for another one would take the log away.
          if (!(error instanceof ApiError) || error.code !== "scope_missing") throw error;
          display.showMessage(display.text.downloadRefused);
        }
      });
    });
  }

  openErrors() {
    const { display, navigation, settings, attempt } = this.#parts;
    if (display.layers.close()) return;
    void attempt(async () => {
      const { groups, isWhole } = await navigation.errorGroups();
      const close = () => display.layers.close();
      const { box, first } = errorList(display.text, {
        groups, isWhole, zone: settings.zone, close,
        choose: (group) => {
          close();
          void attempt(() => navigation.show(group.first.id));
        },
      });
      display.layers.open(box, first);
    });
  }

  /** Show what differs from the last time that the service was ready. */
  openComparison() {
    const { display } = this.#parts;
    if (display.layers.close()) return;
    if (display.comparison) this.#showComparison(display.comparison);
    else display.showMessage(display.text.nothingToCompare);
  }

  /**
   * Show what differs between a launch of the list and the last time that its service was ready.
   * @param {string} launchId
   */
  compareLaunch(launchId) {
    const { api, attempt } = this.#parts;
    void attempt(async () => this.#showComparison(await api.get(`/api/launches/${launchId}/comparison`)));
  }

  /** @param {Comparison} comparison */
  #showComparison(comparison) {
    const { display, settings, open } = this.#parts;
    const close = () => display.layers.close();
    const { box, first } = comparisonBox(display.text, {
      comparison, zone: settings.zone, close,
      open: (traceId, launchId) => {
        close();
        open(traceId, launchId);
      },
    });
    display.layers.open(box, first);
  }

  /** Show the last starts of the model that is shown. */
  openHistory() {
    const { display } = this.#parts;
    if (display.layers.close()) return;
    if (display.launch) this.openHistoryOf(display.launch);
  }

  /**
   * Show the last starts of the model of a launch, in its environment and by its engine.
   * @param {Launch} launch
   */
  openHistoryOf(launch) {
    const { api, display, settings, open, addressOf, attempt } = this.#parts;
    const { modelName, env, engine } = launch;
    void attempt(async () => {
      /** @type {StartHistory} */
      const { starts } = await api.get("/api/history", { modelName, env, engine });
      const close = () => display.layers.close();
      const { box, first } = startHistoryBox(display.text, {
        ...{ starts, launch, addressOf, close }, zone: settings.zone,
        open: (traceId, launchId) => {
          close();
          open(traceId, launchId);
        },
      });
      display.layers.open(box, first);
    });
  }

  openHelp() {
    const { layers, text } = this.#parts.display;
    if (!layers.close()) layers.open(helpElement(text, () => layers.close()));
  }

  /** Close what lies over the log; else leave the selection and the search. */
  escape() {
    const { display, selection } = this.#parts;
    if (display.layers.close()) return;
    selection.clear();
    display.clearSearch();
  }
}
