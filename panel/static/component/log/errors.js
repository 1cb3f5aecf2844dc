// Which lines of an error a reader steps through: its first line and the line that names the exception, not the frames of
// the traceback between them, however many lines those are and whether they have headers or not.

// What a logger puts in front of each line of a record: all up to the statement that logged it.
const HEADER = /^.*?\b[\w./-]+\.(?:py|cpp|cc|cu|h|rs|go):\d+\] ?/;
const RANK = /^(?:\[rank\d+\]:?|\((?:[\w.-]+)(?: [^()]*)?\)) ?/;
const TRACEBACK = /^(?:Traceback \(most recent call last\)|During handling of the above|The above exception was the direct)/;

/**
 * Whether a line of level error is one to stop at.
 * @param {string} text
 */
export function isErrorHead(text) {
  const rest = errorText(text);
  return rest !== "" && !/^[\s^|+]/.test(rest) && !TRACEBACK.test(rest);
}

/**
 * What a line says, without the logger's header and the process.
 * @param {string} text
 */
export function errorText(text) {
  let rest = text.replace(HEADER, "");
  while (RANK.test(rest)) rest = rest.replace(RANK, "");
  return rest;
}
