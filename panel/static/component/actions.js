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
/** @import { Attempt, Exit, Filter, Launch, Settings, Switch } from "./types.js" */

import { downloadLog } from "./download.js";
import { copyText } from "./parts/clipboard.js";
import { gotoBox } from "./parts/goto-box.js";
import { helpElement } from "./parts/help.js";
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
    void setFilter({ process: scope.filter.process, level });
  }

  /** @param {Switch} name */
  toggle(name) {
    const { settings, display, view, log, overview } = this.#parts;
    settings[name] = !settings[name];
    display.showSettings();
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
    const { settings, view } = this.#parts;
    settings.zone = settings.zone === "local" ? "utc" : "local";
    view.refresh();
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
      void attempt(() => downloadLog(api, scope, format));
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
