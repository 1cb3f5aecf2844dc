// Which lines are shown: of which trace and launch, and which of them a filter leaves. Every request has it as parameters.

/** @import { Filter, Parameters, TimeRange } from "./types.js" */

export class Scope {
  traceId = "";
  launchId = "";
  /** Names a trace where there is neither a traceId nor a launchId. */
  instanceId = "";
  /** The trace of the log that was opened: with a launchId or an instanceId alone it is known only from there on. */
  openedTrace = "";
  /** One of several launches that was chosen in the head. */
  chosenLaunch = "";
  /** @type {Filter} */
  filter = { level: "", process: "", requestId: "" };
  /** @type {TimeRange | null} The part of the time that the histogram shows; null: all. */
  range = null;

  /**
   * Turn to another trace or launch; the filter stays.
   * @param {string} traceId
   * @param {string} launchId
   * @param {string} instanceId
   */
  change(traceId, launchId, instanceId) {
    if (this.isGiven && traceId !== this.trace) this.range = null;
    this.traceId = traceId;
    this.launchId = launchId;
    this.instanceId = instanceId;
    this.openedTrace = "";
    this.chosenLaunch = "";
  }

  get trace() {
    return this.traceId || this.openedTrace;
  }

  get launch() {
    return this.launchId || this.chosenLaunch;
  }

  /** Whether there is a log to open. */
  get isGiven() {
    return Boolean(this.traceId || this.launchId || this.instanceId);
  }

  get isFiltered() {
    const { level, process, requestId, q } = this.filter;
    return Boolean(level || process || requestId || q);
  }

  /** @returns {Parameters} without the filter */
  get ids() {
    const { trace, launch } = this;
    return { traceId: trace, launchId: launch, instanceId: trace || launch ? "" : this.instanceId };
  }

  /** @returns {Parameters} */
  get parameters() {
    const { level, process, requestId, q, regex, case: isCase } = this.filter;
    return { ...this.ids, level, process, requestId, ...(q ? { q, regex, case: isCase } : {}) };
  }
}
