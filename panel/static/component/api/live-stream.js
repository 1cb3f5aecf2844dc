// The live stream of one trace: reads server-sent events, and after every break resumes behind the last one.
// It may rest while nobody looks, and waits for another token where the server refuses the one it has.

/** @import { PanelApi } from "./panel-api.js" */
/** @import { Launch, LinesMessage, LinkState, Parameters, StatusMessage } from "../types.js" */

import { refusalCode } from "./panel-api.js";

const SILENCE_MS = 35_000; // the server sends a heartbeat every 10 s
const RETRY_MIN_MS = 200;
const RETRY_MAX_MS = 5_000;
const FOR_A_TOKEN_MS = 3_600_000;
const AT_REST_MS = 86_400_000;

/**
 * @typedef {object} StreamHandlers
 * @property {(data: LinesMessage) => void} lines
 * @property {(launches: Launch[]) => void} launches
 * @property {(status: StatusMessage) => void} status
 * @property {(link: LinkState) => void} link
 * @property {(code: string) => void} tokenNeeded
 */

export class LiveStream {
  #api;
  #parameters;
  #cursor;
  #on;
  #retryMs = RETRY_MIN_MS;
  #stopped = false;
  #resting = false;
  #abort = new AbortController();
  #endPause = () => {};

  /**
   * Begins at once.
   * @param {PanelApi} api
   * @param {Parameters} parameters
   * @param {string} cursor where the page ends that is shown already
   * @param {StreamHandlers} on
   */
  constructor(api, parameters, cursor, on) {
    this.#api = api;
    this.#parameters = parameters;
    this.#cursor = cursor;
    this.#on = on;
    void this.#run();
  }

  stop() {
    this.#stopped = true;
    this.#abort.abort();
    this.#endPause();
  }

  /** Close the connection until wakeUp: a browser has six for a server, and other tabs need them. */
  rest() {
    this.#resting = true;
    this.#abort.abort();
  }

  wakeUp() {
    if (!this.#resting) return;
    this.#resting = false;
    this.#endPause();
  }

  /** Try again now: there is a new token, or the browser is online again. */
  retry() {
    this.#endPause();
  }

  async #run() {
    while (!this.#stopped) {
      this.#on.link(this.#retryMs > RETRY_MIN_MS ? "lost" : "connecting");
      const refusal = await this.#connection();
      if (this.#stopped) return;
      if (this.#resting) {
        await this.#pause(AT_REST_MS);
        continue;
      }
      this.#on.link("lost");
      if (refusal) {
        // The pause begins first: the handler may set a new token at once.
        const paused = this.#pause(FOR_A_TOKEN_MS);
        this.#on.tokenNeeded(refusal);
        await paused;
      } else {
        await this.#pause(this.#retryMs * (0.75 + Math.random() / 2));
        this.#retryMs = Math.min(RETRY_MAX_MS, this.#retryMs * 2);
      }
    }
  }

  /** Reads one connection to its end; returns why a new token is needed, or null. */
  async #connection() {
    const abort = (this.#abort = new AbortController());
    let silence = 0;
    const alive = () => {
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(), SILENCE_MS);
    };
    alive();
    try {
      const options = { signal: abort.signal, lastEventId: this.#cursor, onAlive: alive };
      for await (const event of this.#api.events("/api/logs/stream", this.#parameters, options)) {
        if (this.#stopped) return null;
        this.#retryMs = RETRY_MIN_MS;
        if (event.id) this.#cursor = event.id;
        if (event.name === "token-expired") return "token_expired";
        this.#dispatch(event.name, event.data);
      }
    } catch (error) {
      return refusalCode(error);
    } finally {
      clearTimeout(silence);
      abort.abort();
    }
    return null;
  }

  /**
   * @param {string} name
   * @param {any} data
   */
  #dispatch(name, data) {
    if (name === "lines") this.#on.lines(data);
    else if (name === "launches") {
      this.#on.link("live");
      this.#on.launches(data.launches);
    } else if (name === "status") this.#on.status(data);
  }

  /** @param {number} milliseconds */
  #pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }
}
