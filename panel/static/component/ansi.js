// Text of a log line as spans: SGR colours of ANSI become classes, other escape sequences are left out, and
// characters that could deceive (controls, bidirectional marks, zero-width ones) are shown as what they are.
// Nothing here makes HTML: pieces become text nodes.

const ESCAPE =
  /\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)?|[PX^_][^\x1b]{0,4096}(?:\x1b\\)?|[ -/]*[0-~])?/g;
const HIDDEN =
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e0fff}]/gu;
const SPANS_MAX = 400;

const BASIC = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/** The line's pieces: {text, classes, color, background}; a piece with `mark` stands for one hidden character. */
export function pieces(text) {
  if (!/[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u2000-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e0fff}]/u.test(text)) {
    return [{ text }];
  }
  const found = [];
  let style = {};
  let from = 0;
  ESCAPE.lastIndex = 0;
  for (let match = ESCAPE.exec(text); match; match = ESCAPE.exec(text)) {
    pushVisible(found, text.slice(from, match.index), style);
    from = ESCAPE.lastIndex;
    if (match[2] === "m") style = sgr(style, match[1] ?? "");
    if (found.length > SPANS_MAX) break; // an ANSI bomb: the rest is shown without colours
  }
  pushVisible(found, text.slice(from).replace(found.length > SPANS_MAX ? ESCAPE : /$^/, ""), style);
  return found;
}

/** The text without escape sequences: for copying, measuring and marking what was searched for. */
export function plain(text) {
  return text.includes("\x1b") ? text.replace(ESCAPE, "") : text;
}

function pushVisible(found, text, style) {
  if (!text) return;
  let from = 0;
  HIDDEN.lastIndex = 0;
  for (let match = HIDDEN.exec(text); match; match = HIDDEN.exec(text)) {
    if (match.index > from) found.push({ text: text.slice(from, match.index), ...style });
    const code = match[0].codePointAt(0);
    found.push({ text: symbol(code), mark: `U+${code.toString(16).toUpperCase().padStart(4, "0")}` });
    from = match.index + match[0].length;
    if (found.length > SPANS_MAX * 4) {
      found.push({ text: text.slice(from).replace(HIDDEN, "\u00b7"), ...style });
      return;
    }
  }
  if (from < text.length) found.push({ text: text.slice(from), ...style });
}

function symbol(code) {
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `<${code.toString(16).toUpperCase().padStart(4, "0")}>`;
}

function sgr(before, parameters) {
  let style = { ...before };
  const codes = parameters.split(/[;:]/).map((word) => Number(word || "0"));
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (code === 0) style = {};
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 7) style.inverse = true;
    else if (code === 9) style.strike = true;
    else if (code === 22) style.bold = style.dim = false;
    else if (code === 23) style.italic = false;
    else if (code === 24) style.underline = false;
    else if (code === 27) style.inverse = false;
    else if (code === 29) style.strike = false;
    else if (code >= 30 && code <= 37) style.color = BASIC[code - 30];
    else if (code >= 90 && code <= 97) style.color = `bright-${BASIC[code - 90]}`;
    else if (code === 39) delete style.color;
    else if (code >= 40 && code <= 47) style.background = BASIC[code - 40];
    else if (code >= 100 && code <= 107) style.background = `bright-${BASIC[code - 100]}`;
    else if (code === 49) delete style.background;
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

function indexed(index) {
  if (!(index >= 0 && index <= 255)) return undefined;
  if (index < 8) return BASIC[index];
  if (index < 16) return `bright-${BASIC[index - 8]}`;
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return rgb(grey, grey, grey);
  }
  const steps = [0, 95, 135, 175, 215, 255];
  const at = index - 16;
  return rgb(steps[Math.floor(at / 36)], steps[Math.floor(at / 6) % 6], steps[at % 6]);
}

function rgb(red, green, blue) {
  const part = (value) => Math.max(0, Math.min(255, Number(value) || 0));
  return `rgb(${part(red)} ${part(green)} ${part(blue)})`;
}

/** Append the pieces to an element as text nodes and spans, with what was searched for marked. */
export function appendPieces(element, found, pattern) {
  for (const piece of found) {
    const styled = Object.keys(piece).length > 1;
    let target = element;
    if (styled) {
      target = document.createElement("span");
      if (piece.mark) {
        target.className = "hidden-character";
        target.title = piece.mark;
      } else {
        for (const name of ["bold", "dim", "italic", "underline", "inverse", "strike"]) {
          if (piece[name]) target.classList.add(`ansi-${name}`);
        }
        paint(target, "color", piece.color);
        paint(target, "background", piece.background);
      }
      element.append(target);
    }
    if (pattern && !piece.mark) appendMarked(target, piece.text, pattern);
    else target.append(piece.text);
  }
}

function paint(target, name, value) {
  if (!value) return;
  if (value.startsWith("rgb(")) target.style[name === "color" ? "color" : "backgroundColor"] = value;
  else target.classList.add(`ansi-${name === "color" ? "fg" : "bg"}-${value}`);
}

function appendMarked(target, text, pattern) {
  let from = 0;
  pattern.lastIndex = 0;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    if (match[0] === "") {
      pattern.lastIndex++;
      continue;
    }
    target.append(text.slice(from, match.index));
    const mark = document.createElement("mark");
    mark.textContent = match[0];
    target.append(mark);
    from = pattern.lastIndex;
  }
  target.append(text.slice(from));
}
