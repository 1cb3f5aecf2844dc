// The launches of the trace, as the stream reports them; what is new of each is reported once.

/** @import { Launch, Line, Phase } from "./types.js" */

import { compareKeys } from "./log/line-key.js";

export class LaunchTracker {
  /** @type {Launch[]} The oldest first. */
  launches = [];
  #on;

  /**
   * @param {object} on
   * @param {(launches: Launch[]) => void} on.changed
   * @param {() => void} on.heard a machine was heard of
   * @param {(launch: Launch) => void} on.state a launch is new, in another state, or contact is lost or back
   * @param {(launch: Launch, phase: Phase) => void} on.phase a phase of its start-up has ended
   */
  constructor(on) {
    this.#on = on;
  }

  reset() {
    this.launches = [];
    this.#on.changed(this.launches);
  }

  /** @param {Launch[]} launches */
  receive(launches) {
    const before = new Map(this.launches.map((launch) => [launch.launchId, launch]));
    this.launches = launches;
    for (const launch of launches) {
      const known = before.get(launch.launchId);
      if (known?.state !== launch.state || known.lostContact !== launch.lostContact) this.#on.state(launch);
      for (const phase of launch.phases.slice(known?.phases.length ?? 0)) this.#on.phase(launch, phase);
    }
    this.#on.changed(launches);
  }

  /**
   * Its lines are word of a machine, too, and come more often than its launches are reported.
   * @param {Line[]} lines in order
   */
  hear(lines) {
    const last = new Map(lines.map((line) => [line.source, line.id]));
    let isNews = false;
    for (const launch of this.launches) {
      const at = last.get(launch.launchId);
      if (!at || !launch.lastHeardAt || compareKeys(at, launch.lastHeardAt) <= 0) continue;
      launch.lastHeardAt = at;
      isNews = true;
    }
    if (isNews) this.#on.heard();
  }

  /**
   * When the launch began that is shown, or the oldest; undefined while unknown.
   * @param {string} launchId
   */
  startedAt(launchId) {
    return (this.launches.find((each) => each.launchId === launchId) ?? this.launches[0])?.startedAt;
  }
}
