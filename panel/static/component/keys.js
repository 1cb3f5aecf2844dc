// The id of a line, "<nanoseconds>-<digest>", is its place in the order of the trace. A bare time stands before every
// line of its nanosecond. All of today's times have 19 digits, so comparing texts is comparing places; the general
// case is handled all the same.

export function compareKeys(a, b) {
  if (a === b) return 0;
  const aTime = timePart(a);
  const bTime = timePart(b);
  if (aTime.length !== bTime.length) return aTime.length - bTime.length;
  return a < b ? -1 : 1;
}

function timePart(key) {
  const dash = key.indexOf("-");
  return dash < 0 ? key : key.slice(0, dash);
}

export const FIRST = "0";
export const LAST = "9223372036854775807";

/** Milliseconds since the epoch, with the fraction that a double can hold. */
export function milliseconds(key) {
  const time = timePart(key);
  return Number(time.slice(0, -6) || "0") + Number(time.slice(-6)) / 1e6;
}
