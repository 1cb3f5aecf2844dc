// What differs between a launch that failed and the last one of its service that was ready: asked for once a launch.

/** @import { PanelApi } from "./api/panel-api.js" */
/** @import { Comparison, Launch } from "./types.js" */

import { isEnded } from "./parts/state.js";

export class Comparisons {
  #api;
  #onFound;
  /** @type {Map<string, Comparison | null>} By launchId; null: there is none, or it is not known yet. */
  #known = new Map();

  /**
   * @param {object} options
   * @param {PanelApi} options.api
   * @param {(comparison: Comparison) => void} options.onFound
   */
  constructor({ api, onFound }) {
    this.#api = api;
    this.#onFound = onFound;
  }

  /**
   * What is known of a launch; asks for it the first time.
   * @param {Launch | undefined} launch
   * @returns {Comparison | null}
   */
  of(launch) {
    if (!launch || launch.state === "stopped" || !isEnded(launch.state)) return null;
    if (!this.#known.has(launch.launchId)) void this.#load(launch.launchId);
    return this.#known.get(launch.launchId) ?? null;
  }

  /** @param {string} launchId */
  async #load(launchId) {
    this.#known.set(launchId, null);
    try {
      /** @type {Comparison} */
      const comparison = await this.#api.get(`/api/launches/${launchId}/comparison`);
      if (!comparison.other) return;
      this.#known.set(launchId, comparison);
      this.#onFound(comparison);
    } catch {
      // It is an extra: the log itself shows that the server cannot be reached.
    }
  }
}
