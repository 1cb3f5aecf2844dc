// The figures in the stats lines that vLLM and SGLang print: throughput, queue, cache. The server reads them from a whole
// log (/api/logs/stats); this reads them from lines that arrive.

/** @import { Line, StatsPoint } from "../types.js" */

const STATS = /throughput.*?: [\d.]+/;
const PROMPT = /Avg prompt throughput: ([\d.]+) tokens\/s/;
const GENERATION = /(?:Avg generation throughput: |gen throughput \(token\/s\): )([\d.]+)/;
const RUNNING = /(?:Running: |#running-req: )(\d+)/;
const WAITING = /(?:Waiting: |#queue-req: )(\d+)/;
const CACHE = /KV cache usage: ([\d.]+)%/;

/**
 * The figures of a line; null if it has none.
 * @param {Line} line
 * @returns {StatsPoint | null}
 */
export function statsOf(line) {
  if (line.kind === "event" || !STATS.test(line.text)) return null;
  /** @param {RegExp} pattern */
  const number = (pattern) => {
    const match = pattern.exec(line.text);
    return match ? Number(match[1]) : undefined;
  };
  const prompt = number(PROMPT);
  const generation = number(GENERATION);
  if (generation === undefined && prompt === undefined) return null;
  const figures = { running: number(RUNNING), waiting: number(WAITING), cache: number(CACHE) };
  return { time: line.time, source: line.source, prompt, generation, ...figures };
}
