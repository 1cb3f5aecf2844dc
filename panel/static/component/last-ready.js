// When the services of failed launches of the list were ready for the last time: asked for once a launch, since what was
// before a launch changes no more.

/** @import { PanelApi } from "./api/panel-api.js" */
/** @import { LastReady, Launch } from "./types.js" */

import { isEnded } from "./parts/state.js";

export class LastReadyLaunches {
  #api;
  #onFound;
  /** @type {Map<string, Launch | null>} By launchId; null: there is none, or it is not known yet. */
  #known = new Map();

  /**
   * @param {object} options
   * @param {PanelApi} options.api
   * @param {() => void} options.onFound
   */
  constructor({ api, onFound }) {
    this.#api = api;
    this.#onFound = onFound;
  }

  /**
   * What is known of a launch.
   * @param {string} launchId
   */
  before(launchId) {
    return this.#known.get(launchId) ?? null;
  }

  /**
   * Ask for those of the launches that failed and were not asked for.
   * @param {Launch[]} launches
   */
  async load(launches) {
    const failed = launches.filter(({ state }) => isEnded(state) && state !== "stopped");
    const ids = failed.map(({ launchId }) => launchId).filter((launchId) => !this.#known.has(launchId)).slice(0, 200);
    if (!ids.length) return;
    for (const launchId of ids) this.#known.set(launchId, null);
    try {
      /** @type {LastReady} */
      const found = await this.#api.get("/api/launches/last-ready", { of: ids.join(",") });
      for (const [launchId, launch] of Object.entries(found.launches)) this.#known.set(launchId, launch);
      this.#onFound();
    } catch {
      // It is an extra: the list itself shows that the server cannot be reached. The next refresh asks again.
      for (const launchId of ids) this.#known.delete(launchId);
    }
  }
}
