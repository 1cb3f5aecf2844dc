// Events as sentences. An event is a line of logfmt that the launcher or the agent wrote: a name, then fields
// (contract/events.py). Fields are text of the log: they become text nodes like any other line.

/** @import { Messages } from "../types.js" */

import { bytes, duration } from "./format.js";

const FIELD = /([\w.]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))/g;
const ESCAPE = /\\(?:u([0-9a-f]{4})|(.))/g;
const SPACE = /[\n\r\t]/g;
const ESCAPES = /** @type {Record<string, string>} */ ({ n: "\n", r: "\r", t: "\t" });

/**
 * An event as a sentence; null if the panel does not know it, or if it lacks what the sentence is about.
 * @param {Messages} t
 * @param {string} text
 */
export function eventSentence(t, text) {
  const name = text.split(" ", 1)[0];
  const sentences = /** @type {Record<string, (fields: EventFields, phase: string, state: string) => string>} */ (t.events);
  if (!Object.hasOwn(sentences, name)) return null;
  const fields = new EventFields(text.slice(name.length));
  return sentences[name](fields, phaseName(t, fields.get("name")), stateName(t, fields.get("state"))) || null;
}

/**
 * The name of a phase of a start-up, in the language.
 * @param {Messages} t
 * @param {string} name
 */
export function phaseName(t, name) {
  return Object.hasOwn(t.phaseNames, name) ? t.phaseNames[name] : name;
}

/**
 * The name of a state of a launch, in the language.
 * @param {Messages} t
 * @param {string} state
 */
export function stateName(t, state) {
  /** @type {Record<string, string>} */
  const names = t.state;
  return names[state] ?? state;
}

/** @param {string} text */
function unescaped(text) {
  return text.replace(ESCAPE, (_, code, character) =>
    code ? String.fromCharCode(parseInt(code, 16)) : (ESCAPES[character] ?? character));
}

/** The fields of an event, as parts of sentences: each is empty where the event lacks it. */
export class EventFields {
  /** @type {Map<string, string>} */
  #values = new Map();

  /** @param {string} text */
  constructor(text) {
    for (const [, name, quoted, bare] of text.matchAll(FIELD)) {
      this.#values.set(name, quoted === undefined ? bare : unescaped(quoted).replace(SPACE, " "));
    }
  }

  /** @param {string} name */
  get(name) {
    return this.#values.get(name) ?? "";
  }

  /**
   * The first of some fields that the event has, between two texts.
   * @param {string} before
   * @param {string | string[]} names
   * @param {string} [after]
   */
  part(before, names, after = "") {
    const value = [names].flat().map((name) => this.get(name)).find(Boolean);
    return value ? `${before}${value}${after}` : "";
  }

  /** `seconds` as people read it. */
  get duration() {
    const seconds = this.get("seconds");
    return seconds && duration(Number(seconds));
  }

  /** @param {string} name a field that is a number of bytes */
  size(name) {
    const count = this.get(name);
    return count && bytes(Number(count));
  }
}
