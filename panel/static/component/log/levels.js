// The levels of lines, and lists of them as the API takes them: separated by commas.

export const LEVELS = ["debug", "info", "warning", "error", "critical"];
export const ERROR_LEVELS = levelsFrom("error");

/**
 * A level and those above it; "" (all lines) for none.
 * @param {string} level
 */
export function levelsFrom(level) {
  const from = LEVELS.indexOf(level);
  return from < 0 ? "" : LEVELS.slice(from).join(",");
}
