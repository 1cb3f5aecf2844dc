// Pieces of a log line: SGR colours of ANSI become styles, other escape sequences are left out, and characters that
// could deceive (controls, bidirectional marks, zero-width ones outside of the scripts that need them) are shown by their code.

const ESCAPE =
  /\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)?|[PX^_][^\x1b]{0,4096}(?:\x1b\\)?|[ -/]*[0-~])?/g;
const HIDDEN =
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e0fff}]/gu;
const UNUSUAL =
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u2000-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e0fff}]/u;
const JOINERS = "\u200c\u200d";
// Where a joiner is part of a script, or of an emoji, and changes what one sees: behind a pictograph (RGI sequences of
// UTS 51), a letter of a joining script, or a virama (RFC 5892, appendix A.1 and A.2).
const PICTOGRAPH_BEFORE = /\p{Extended_Pictographic}(?:\ufe0f|\p{Emoji_Modifier})?$/u;
const PICTOGRAPH_AFTER = /^\p{Extended_Pictographic}/u;
const JOINING_BEFORE = /(?=\p{L})[\p{Script=Arabic}\p{Script=Syriac}\p{Script=Nko}\p{Script=Mongolian}]\p{M}{0,3}$/u;
const JOINING_AFTER = /^(?=\p{L})[\p{Script=Arabic}\p{Script=Syriac}\p{Script=Nko}\p{Script=Mongolian}]/u;
const VIRAMA_BEFORE = /[\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca]$/u;
const PIECES_MAX = 400;

const BASIC = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const STEPS = [0, 95, 135, 175, 215, 255]; // of the 6 × 6 × 6 colours from 16 on

/**
 * color and background: one of BASIC, perhaps with "bright-" before it, or "rgb(r g b)".
 * @typedef {object} Style
 * @property {boolean} [bold]
 * @property {boolean} [dim]
 * @property {boolean} [italic]
 * @property {boolean} [underline]
 * @property {boolean} [inverse]
 * @property {boolean} [strike]
 * @property {string} [color]
 * @property {string} [background]
 */

/** @typedef {Style & {text: string, mark?: string}} Piece a piece with `mark` stands for one hidden character */

/** @type {Record<number, Style>} */
const SWITCHES = {
  1: { bold: true },
  2: { dim: true },
  3: { italic: true },
  4: { underline: true },
  7: { inverse: true },
  9: { strike: true },
  22: { bold: false, dim: false },
  23: { italic: false },
  24: { underline: false },
  27: { inverse: false },
  29: { strike: false },
  39: { color: undefined },
  49: { background: undefined },
};

/**
 * The pieces of a line.
 * @param {string} text
 * @returns {Piece[]}
 */
export function pieces(text) {
  if (!UNUSUAL.test(text)) return [{ text }];
  /** @type {Piece[]} */
  const found = [];
  let style = {};
  let from = 0;
  ESCAPE.lastIndex = 0;
  for (let match = ESCAPE.exec(text); match; match = ESCAPE.exec(text)) {
    pushVisible(found, text.slice(from, match.index), style);
    from = ESCAPE.lastIndex;
    if (match[2] === "m") style = sgr(style, match[1] ?? "");
    if (found.length > PIECES_MAX) break; // an ANSI bomb: the rest is shown without colours
  }
  pushVisible(found, text.slice(from).replace(found.length > PIECES_MAX ? ESCAPE : /$^/, ""), style);
  return found;
}

/**
 * The text without escape sequences.
 * @param {string} text
 */
export function plain(text) {
  return text.includes("\x1b") ? text.replace(ESCAPE, "") : text;
}

/**
 * @param {Piece[]} found
 * @param {string} text
 * @param {Style} style
 */
function pushVisible(found, text, style) {
  if (!text) return;
  let from = 0;
  HIDDEN.lastIndex = 0;
  for (let match = HIDDEN.exec(text); match; match = HIDDEN.exec(text)) {
    if (JOINERS.includes(match[0]) && isOfScript(text, match.index)) continue;
    if (match.index > from) found.push({ text: text.slice(from, match.index), ...style });
    const code = match[0].codePointAt(0) ?? 0;
    found.push({ text: symbol(code), mark: `U+${hexadecimal(code)}` });
    from = match.index + match[0].length;
    if (found.length > PIECES_MAX * 4) {
      found.push({ text: text.slice(from).replace(HIDDEN, "\u00b7"), ...style });
      return;
    }
  }
  if (from < text.length) found.push({ text: text.slice(from), ...style });
}

/**
 * Whether the joiner at this place is part of a word or an emoji, and hides nothing.
 * @param {string} text
 * @param {number} at
 */
function isOfScript(text, at) {
  const before = text.slice(Math.max(0, at - 4), at);
  const after = text.slice(at + 1, at + 3);
  return (
    (text[at] === "\u200d" && PICTOGRAPH_BEFORE.test(before) && PICTOGRAPH_AFTER.test(after)) ||
    (JOINING_BEFORE.test(before) && JOINING_AFTER.test(after)) ||
    VIRAMA_BEFORE.test(before)
  );
}

/** @param {number} code */
function symbol(code) {
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `<${hexadecimal(code)}>`;
}

/** @param {number} code */
function hexadecimal(code) {
  return code.toString(16).toUpperCase().padStart(4, "0");
}

/**
 * The style after an SGR sequence (ECMA-48, 8.3.117; colours as xterm has them).
 * @param {Style} before
 * @param {string} parameters
 * @returns {Style}
 */
function sgr(before, parameters) {
  let style = { ...before };
  const codes = parameters.split(/[;:]/).map((word) => Number(word || "0"));
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (code === 0) style = {};
    else if (Object.hasOwn(SWITCHES, code)) Object.assign(style, SWITCHES[code]);
    else if (code >= 30 && code <= 37) style.color = BASIC[code - 30];
    else if (code >= 90 && code <= 97) style.color = `bright-${BASIC[code - 90]}`;
    else if (code >= 40 && code <= 47) style.background = BASIC[code - 40];
    else if (code >= 100 && code <= 107) style.background = `bright-${BASIC[code - 100]}`;
    else if (code === 38 || code === 48) {
      const name = code === 38 ? "color" : "background";
      if (codes[i + 1] === 5) {
        style[name] = indexed(codes[i + 2]);
        i += 2;
      } else if (codes[i + 1] === 2) {
        style[name] = rgb(codes[i + 2], codes[i + 3], codes[i + 4]);
        i += 4;
      } else break;
    }
  }
  return style;
}

/** @param {number} index of xterm's 256 colours */
function indexed(index) {
  if (!(index >= 0 && index <= 255)) return undefined;
  if (index < 8) return BASIC[index];
  if (index < 16) return `bright-${BASIC[index - 8]}`;
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return rgb(grey, grey, grey);
  }
  const at = index - 16;
  return rgb(STEPS[Math.floor(at / 36)], STEPS[Math.floor(at / 6) % 6], STEPS[at % 6]);
}

/**
 * @param {number} red
 * @param {number} green
 * @param {number} blue
 */
function rgb(red, green, blue) {
  /** @param {number} value */
  const part = (value) => Math.max(0, Math.min(255, Number(value) || 0));
  return `rgb(${part(red)} ${part(green)} ${part(blue)})`;
}
