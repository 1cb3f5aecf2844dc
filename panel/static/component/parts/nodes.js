// Which launch stands for a trace whose launches serve one model together, on several machines.

/** @import { Launch } from "../types.js" */

import { milliseconds } from "../log/line-key.js";
import { shownState } from "./state.js";

const FROM_WORST = ["crashed", "failed", "unhealthy", "lost", "stopped", "stopping", "starting", "unknown", "ready"];

/**
 * The newest launch; if it is one of several machines', that of the machine in the worst state: of several that ended,
 * the first, since the others lost it; of several that run, the leader.
 * @param {Launch[]} launches the oldest first
 * @returns {Launch | undefined}
 */
export function newestOrWorst(launches) {
  const newest = launches[launches.length - 1];
  if (!newest?.role) return newest;
  /** @type {Map<string, Launch>} The newest launch of each machine. */
  const machines = new Map();
  for (const launch of launches) {
    if (launch.role) machines.set(`${launch.modelName} ${launch.host} ${launch.role} ${launch.nodeRank ?? ""}`, launch);
  }
  /** @param {Launch} launch */
  const badness = (launch) => FROM_WORST.indexOf(shownState(launch));
  /** @param {Launch} launch */
  const order = ({ endedAt, role }) => (endedAt ? milliseconds(endedAt) : role === "leader" ? 0 : 1);
  return [...machines.values()].sort((a, b) => badness(a) - badness(b) || order(a) - order(b))[0];
}
