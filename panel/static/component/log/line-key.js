// Keys: places in the order of a trace. The id of a line, "<nanoseconds>-<digest>", is one; a bare time is another, and
// stands before every line of its nanosecond.

export const FIRST = "0";
export const LAST = "9223372036854775807";

/**
 * Negative if a stands before b, positive if behind it. Times of today all have 19 digits, so that comparing keys is
 * comparing texts; other lengths are handled too.
 * @param {string} a
 * @param {string} b
 */
export function compareKeys(a, b) {
  if (a === b) return 0;
  const aTime = timePart(a);
  const bTime = timePart(b);
  if (aTime.length !== bTime.length) return aTime.length - bTime.length;
  return a < b ? -1 : 1;
}

/** @param {string} key */
function timePart(key) {
  const dash = key.indexOf("-");
  return dash < 0 ? key : key.slice(0, dash);
}

/**
 * Milliseconds since the epoch, with the fraction that a double can hold.
 * @param {string} key
 */
export function milliseconds(key) {
  const time = timePart(key);
  return Number(time.slice(0, -6) || "0") + Number(time.slice(-6)) / 1e6;
}

/**
 * The key of a time.
 * @param {number} time in milliseconds since the epoch
 */
export function keyOf(time) {
  return `${Math.floor(time)}000000`;
}

/**
 * The place right behind a line: before every other one that follows it.
 * @param {string} id
 */
export function behind(id) {
  return `${id}0`;
}
