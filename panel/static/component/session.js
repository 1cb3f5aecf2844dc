// Opens the log that the scope names and keeps it live: its first page, then the stream from there on. Without a scope it
// offers the recent launches. What cannot be opened is tried again.

/** @import { PanelApi } from "./api/panel-api.js" */
/** @import { StreamHandlers } from "./api/live-stream.js" */
/** @import { Scope } from "./scope.js" */
/** @import { LaunchesPage, LogPage } from "./types.js" */

import { LiveStream } from "./api/live-stream.js";
import { ApiError, messageOf, refusalCode } from "./api/panel-api.js";
import { FIRST_PAGE_LINES } from "./log/block.js";

const REOPEN_MS = 3_000;
/** Codes of what the address says wrongly: asking again would be answered the same. */
const FINAL = new Set(["bad_parameter", "ambiguous"]);

/**
 * @typedef {object} SessionHandlers
 * @property {() => void} opening
 * @property {(page: LogPage) => void} page the newest lines
 * @property {(traceId: string) => void} opened lines are shown, and the stream has begun
 * @property {(page: LaunchesPage) => void} offered there is no scope: these are the recent launches
 * @property {(error: {code: string, message: string}) => void} failed it is tried again in a moment, if that can help
 */

export class Session {
  #api;
  #scope;
  #launches;
  #restAfterMs;
  #on;
  /** @type {LiveStream | null} */
  #stream = null;
  #opening = new AbortController();
  #listening = new AbortController();
  #isOpening = false;
  #reopening = 0;
  #goingToRest = 0;

  /**
   * @param {object} options
   * @param {PanelApi} options.api
   * @param {Scope} options.scope
   * @param {(signal: AbortSignal) => Promise<LaunchesPage>} options.launches loads the recent launches
   * @param {() => number} options.restAfterMs how long the page is hidden before the connection is closed
   * @param {SessionHandlers & StreamHandlers} options.on
   */
  constructor({ api, scope, launches, restAfterMs, on }) {
    this.#api = api;
    this.#scope = scope;
    this.#launches = launches;
    this.#restAfterMs = restAfterMs;
    this.#on = on;
    const { signal } = this.#listening;
    addEventListener("online", () => this.#stream?.retry(), { signal });
    document.addEventListener("visibilitychange", () => this.#visibilityChanged(), { signal });
  }

  destroy() {
    this.#listening.abort();
    clearTimeout(this.#goingToRest);
    this.#close();
  }

  /** Whether the first page is being loaded. */
  get isOpening() {
    return this.#isOpening;
  }

  /** Whether there is a stream, be it connected or not. */
  get isLive() {
    return this.#stream !== null;
  }

  /** Connect again now: there is a new token. */
  retry() {
    this.#stream?.retry();
  }

  /** @param {boolean} [isRepeated] whether it is tried again, by itself */
  async open(isRepeated = false) {
    this.#close();
    const { signal } = (this.#opening = new AbortController());
    this.#isOpening = true;
    if (!isRepeated) this.#on.opening();
    this.#on.link("connecting");
    try {
      if (this.#scope.isGiven) await this.#openLog(signal);
      else await this.#offerLaunches(signal);
    } catch (error) {
      if (signal.aborted) return;
      const refusal = refusalCode(error);
      if (refusal) this.#on.tokenNeeded(refusal);
      else {
        const answer = error instanceof ApiError ? error.code : "";
        this.#on.link(FINAL.has(answer) ? "" : answer === "not_found" ? "connecting" : "lost");
        const code = answer || (await this.#api.whyNoAnswer());
        if (signal.aborted) return;
        this.#on.failed({ code, message: messageOf(error) });
        if (!FINAL.has(code)) this.#reopening = setTimeout(() => this.open(true), REOPEN_MS);
      }
    } finally {
      if (!signal.aborted) this.#isOpening = false;
    }
  }

  /** @param {AbortSignal} signal */
  async #openLog(signal) {
    const parameters = { ...this.#scope.parameters, limit: FIRST_PAGE_LINES };
    /** @type {LogPage} */
    const page = await this.#api.get("/api/logs", parameters, signal);
    if (signal.aborted) return;
    this.#on.page(page);
    // Of the whole trace, even if one launch of it is shown.
    this.#stream = new LiveStream(this.#api, { traceId: page.traceId }, page.cursor ?? "", this.#on);
    this.#on.opened(page.traceId);
  }

  /** @param {AbortSignal} signal */
  async #offerLaunches(signal) {
    const page = await this.#launches(signal);
    if (signal.aborted) return;
    this.#on.link("");
    this.#on.offered(page);
  }

  #close() {
    this.#stream?.stop();
    this.#stream = null;
    this.#opening.abort();
    clearTimeout(this.#reopening);
  }

  #visibilityChanged() {
    clearTimeout(this.#goingToRest);
    if (document.hidden) this.#goingToRest = setTimeout(() => this.#stream?.rest(), this.#restAfterMs());
    else this.#stream?.wakeUp();
  }
}
