// The live stream of one trace: reads it, and after every break goes on where it was.

import { ApiError } from "./access.js";

const SILENCE_MS = 35_000; // the server gives a sign of life every 10 s
const RETRY_MAX_MS = 5_000;

export class LiveStream {
  /** on: {lines, launches, status, link, tokenNeeded}; link is "connecting", "live" or "lost". */
  constructor(api, parameters, cursor, on) {
    this.api = api;
    this.parameters = parameters;
    this.cursor = cursor;
    this.on = on;
    this.retryMs = 200;
    this.stopped = false;
    this.resting = false;
    this.run();
  }

  stop() {
    this.stopped = true;
    this.abort?.abort();
    this.wake?.();
  }

  /** Let go of the connection until wakeUp: a browser has six for a server, and other tabs need them. */
  rest() {
    this.resting = true;
    this.abort?.abort();
  }

  wakeUp() {
    if (!this.resting) return;
    this.resting = false;
    this.wake?.();
  }

  /** Try again now: there is a new token, or the browser is online again. */
  retry() {
    this.wake?.();
  }

  async run() {
    while (!this.stopped) {
      this.on.link(this.retryMs > 200 ? "lost" : "connecting");
      const refused = await this.once();
      if (this.stopped) return;
      if (this.resting) {
        await this.pause(86_400_000);
        continue;
      }
      this.on.link("lost");
      if (refused) {
        // The pause begins first: whoever is told may have a new token at once.
        const paused = this.pause(3_600_000);
        this.on.tokenNeeded(refused);
        await paused;
      } else {
        await this.pause(this.retryMs * (0.75 + Math.random() / 2));
        this.retryMs = Math.min(RETRY_MAX_MS, this.retryMs * 2);
      }
    }
  }

  /** Reads one connection to its end; returns why a new token is needed, or null. */
  async once() {
    const abort = (this.abort = new AbortController());
    let silence = 0;
    const alive = () => {
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(), SILENCE_MS);
    };
    alive();
    try {
      const events = this.api.events("/api/logs/stream", this.parameters, {
        signal: abort.signal,
        lastEventId: this.cursor,
        onAlive: alive,
      });
      for await (const event of events) {
        if (this.stopped) return null;
        this.retryMs = 200;
        if (event.id) this.cursor = event.id;
        if (event.name === "lines") this.on.lines(event.data);
        else if (event.name === "launches") {
          this.on.link("live");
          this.on.launches(event.data.launches);
        } else if (event.name === "status") this.on.status(event.data);
        else if (event.name === "token-expired") return "token_expired";
      }
    } catch (error) {
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) return error.code;
    } finally {
      clearTimeout(silence);
      abort.abort();
    }
    return null;
  }

  pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
