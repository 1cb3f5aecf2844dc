// The figures in the stats lines that vLLM and SGLang print: throughput, queue, cache. The server parses those of a whole
// log (/api/logs/stats), this those of lines that arrive; a test compares them.

/** @import { Line, StatsPoint } from "../types.js" */

const STATS = /(?:Avg prompt throughput|gen throughput \(token\/s\)): /;
const PROMPT = /Avg prompt throughput: ([\d.]+)/;
const GENERATION = /(?:Avg generation throughput|gen throughput \(token\/s\)): ([\d.]+)/;
const RUNNING = /(?:\bRunning|#running-req): (\d+)/;
const WAITING = /(?:\b(?:Waiting|Pending)|#queue-req): (\d+)/;
const CACHE_PERCENT = /KV cache usage: ([\d.]+)%/;
const CACHE_RATIO = /\btoken usage: ([\d.]+)/;

/**
 * The figures of a line; null if it is not a stats line.
 * @param {Line} line
 * @returns {StatsPoint | null}
 */
export function statsOf({ kind, text, time, source }) {
  if (kind === "event" || !STATS.test(text)) return null;
  /** @param {RegExp} pattern */
  const number = (pattern) => {
    const match = pattern.exec(text);
    return match ? Number(match[1]) : undefined;
  };
  const ratio = number(CACHE_RATIO);
  return {
    time,
    source,
    prompt: number(PROMPT),
    generation: number(GENERATION),
    running: number(RUNNING),
    waiting: number(WAITING),
    cache: number(CACHE_PERCENT) ?? (ratio === undefined ? undefined : ratio * 100),
  };
}
