// Going somewhere in the log: to its start and end, to an error or its cause, to a line, a number or a time.

/** @import { PanelApi } from "./api/panel-api.js" */
/** @import { LogController } from "./log-controller.js" */
/** @import { LogView } from "./parts/log-view.js" */
/** @import { Scope } from "./scope.js" */
/** @import { SelectionController } from "./selection-controller.js" */
/** @import { Attempt, Exit, Launch, Line, LogPage, Parameters, Settings } from "./types.js" */

import { groupErrors } from "./log/error-groups.js";
import { isErrorHead } from "./log/errors.js";
import { ERROR_LEVELS } from "./log/levels.js";
import { behind, FIRST, keyOf, LAST } from "./log/line-key.js";
import { placeOf } from "./log/place.js";
import { evidenceOf } from "./parts/cause-banner.js";

const EVIDENCE_CHARACTERS = 300;
const AROUND_LINES = 3;
const ERRORS_PAGE_LINES = 500;
const GROUPED_LINES_MAX = 5_000;
const EVIDENCE_LINES = 5; // the first may be events, which quote it

export class Navigation {
  #api;
  #scope;
  #settings;
  #view;
  #log;
  #selection;
  #origin;
  #attempt;
  #onError;

  /**
   * @param {object} options
   * @param {PanelApi} options.api
   * @param {Scope} options.scope
   * @param {Settings} options.settings
   * @param {LogView} options.view
   * @param {LogController} options.log
   * @param {SelectionController} options.selection
   * @param {() => string | undefined} options.origin the key that relative times count from
   * @param {Attempt} options.attempt
   * @param {(line: Line) => void} options.onError the first error of the log was found
   */
  constructor({ api, scope, settings, view, log, selection, origin, attempt, onError }) {
    this.#api = api;
    this.#scope = scope;
    this.#settings = settings;
    this.#view = view;
    this.#log = log;
    this.#selection = selection;
    this.#origin = origin;
    this.#attempt = attempt;
    this.#onError = onError;
  }

  toStart() {
    return this.#attempt(async () => {
      this.#view.follow(false);
      const first = this.#log.document.blocks[0];
      if (first?.entries === null && first.counts === null) await this.#log.load(first, "start");
      this.#view.toStart();
    });
  }

  /** Go to the end and stay there. */
  toEnd() {
    return this.#attempt(async () => {
      const { document } = this.#log;
      if (!document.tailIsLoaded) await this.#log.load(document.lastBlock, "end");
      this.#view.follow(true);
      this.#view.toEnd();
      this.#log.markSeen();
    });
  }

  toFirstError() {
    return this.#attempt(() => this.#showFirstError());
  }

  /**
   * Go to the line that the cause of a launch's end was read from; if it is not found, to the first error.
   * @param {Exit} exit
   * @param {Launch} launch
   * @param {() => boolean} isWanted whether to go there still, once the line is found
   */
  toCause(exit, launch, isWanted = () => true) {
    return this.#attempt(async () => {
      const line = await this.#findEvidence(exit, launch);
      if (!isWanted()) return;
      if (line) await this.show(line.id);
      else await this.#showFirstError();
    });
  }

  /**
   * The lines around that of the cause, and its id ("" if it is not found).
   * @param {Exit} exit
   * @param {Launch} launch
   */
  async aroundCause(exit, launch) {
    const { launchId } = launch;
    const line = await this.#findEvidence(exit, launch);
    const at = line?.id ?? "";
    const place = at || exit.line;
    const page = { traceId: launch.traceId, launchId, limit: AROUND_LINES };
    const [before, after] = await Promise.all([
      this.#api.get("/api/logs", { ...page, before: place }),
      this.#api.get("/api/logs", { ...page, start: place, direction: "forward", limit: AROUND_LINES + 1 }),
    ]);
    return { lines: [...before.lines, ...after.lines], at };
  }

  /**
   * Go to the next error from the selected line, or from what is in sight; past the last one to the first.
   * @param {"next" | "previous"} step
   * @returns {Promise<"found" | "wrapped" | "none" | "failed">}
   */
  async stepError(step) {
    /** @type {"found" | "wrapped" | "none" | "failed"} */
    let result = "failed";
    await this.#attempt(async () => {
      const from = this.#selection.first ?? this.#view.visibleLines[0]?.entry.id ?? FIRST;
      const further = await this.#findError(step, from);
      const line = further ?? (await this.#findError(step, step === "next" ? FIRST : LAST));
      if (line) await this.show(line.id);
      result = further ? "found" : line ? "wrapped" : "none";
    });
    return result;
  }

  /** The errors of the log by groups, and whether these are all: no more than the first thousands of lines are read. */
  async errorGroups() {
    /** @type {Line[]} */
    const lines = [];
    let more = true;
    for (let start = FIRST; more && lines.length < GROUPED_LINES_MAX; ) {
      /** @type {LogPage} */
      const page = await this.#api.get("/api/logs", {
        ...this.#scope.ids, level: ERROR_LEVELS, limit: ERRORS_PAGE_LINES, direction: "forward", start,
      });
      lines.push(...page.lines);
      more = page.more && page.lines.length > 0;
      if (more) start = behind(page.lines[page.lines.length - 1].id);
    }
    return { groups: groupErrors(lines), isWhole: !more };
  }

  /**
   * Go to a line (its id), or to the first line from a time on (nanoseconds, or an ISO date).
   * @param {string} place
   */
  seek(place) {
    return this.#attempt(async () => {
      const isKey = /^\d+(-[0-9a-f]+)?$/.test(place);
      const time = Date.parse(place);
      if (isKey && place.includes("-")) await this.show(place);
      else if (isKey) await this.#showTime(place);
      else if (!Number.isNaN(time)) await this.#showTime(keyOf(time));
    });
  }

  /**
   * Go to a place as people write it (log/place.js); returns whether it was found.
   * @param {string} text
   */
  async goTo(text) {
    const last = this.#log.document.last?.id;
    const place = placeOf(text, { origin: this.#origin(), last, zone: this.#settings.zone });
    if (place === null) return false;
    if ("number" in place) return this.goToNumber(place.number);
    await this.seek(place.key);
    return true;
  }

  /**
   * Go to a line by its number: in the log of the chosen launch, else in the first one.
   * @param {number} number
   */
  async goToNumber(number) {
    const { document } = this.#log;
    const { sources } = document;
    const source = sources.includes(this.#scope.launch) ? this.#scope.launch : sources[0];
    let found = document.blockOfNumber(source, number);
    if (!found) return false;
    if (found.block.entries === null) {
      await this.#log.load(found.block, "start");
      found = document.blockOfNumber(source, number);
    }
    const entry = found?.block.entries?.filter((each) => each.source === source)[found.offset];
    if (entry) await this.show(entry.id);
    return Boolean(entry);
  }

  /**
   * Bring a line into sight, wherever in the log it is, and select it.
   * @param {string} id
   */
  async show(id) {
    this.#view.follow(false);
    const line = await this.#log.loadLine(id);
    this.#log.show();
    this.#view.scrollToLine(id);
    this.#selection.select(id, line);
  }

  async #showFirstError() {
    const { lines } = await this.#forward({ level: ERROR_LEVELS, start: FIRST, limit: 1 });
    if (!lines.length) return;
    this.#onError(lines[0]);
    await this.show(lines[0].id);
  }

  /** @param {string} key */
  async #showTime(key) {
    const { lines } = await this.#forward({ start: key, limit: 1 });
    if (lines.length) await this.show(lines[0].id);
    else await this.toEnd();
  }

  /**
   * @param {"next" | "previous"} step
   * @param {string} from
   * @returns {Promise<Line | undefined>}
   */
  async #findError(step, from) {
    const isNext = step === "next";
    for (let place = from, more = true; more; ) {
      const range = isNext ? { start: behind(place), direction: "forward" } : { before: place };
      /** @type {LogPage} */
      const page = await this.#api.get("/api/logs", {
        ...this.#scope.parameters, level: ERROR_LEVELS, limit: ERRORS_PAGE_LINES, ...range,
      });
      const lines = isNext ? page.lines : [...page.lines].reverse();
      const found = lines.find((line) => line.kind !== "event" && isErrorHead(line.text));
      if (found || !lines.length) return found;
      place = lines[lines.length - 1].id;
      ({ more } = page);
    }
    return undefined;
  }

  /**
   * The line that the cause was read from.
   * @param {Exit} exit
   * @param {Launch} launch
   * @returns {Promise<Line | undefined>}
   */
  async #findEvidence(exit, { launchId }) {
    const q = evidenceOf(exit).slice(0, EVIDENCE_CHARACTERS);
    if (!q) return undefined;
    const { lines } = await this.#forward({ launchId, q, case: true, start: FIRST, limit: EVIDENCE_LINES });
    return lines.find((each) => each.kind !== "event");
  }

  /**
   * @param {Parameters} parameters
   * @returns {Promise<LogPage>}
   */
  #forward(parameters) {
    return this.#api.get("/api/logs", { ...this.#scope.parameters, ...parameters, direction: "forward" });
  }
}
