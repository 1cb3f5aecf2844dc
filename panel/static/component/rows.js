// From a log's blocks to the rows that are shown: pieces of a cut line are joined, the redraws of a progress bar
// become one row, what continues a record (a traceback, a banner) is folded under it where one asks for it.

export const ROW_LINE = "line";
export const ROW_HOLE = "hole";

// What vLLM, uvicorn, Python's logging and most servers begin a record with.
const RECORD =
  /^(?:\[?(?:traceId=\S+ instanceId=\S+\] )?)?(?:\((?:[\w-]+)(?: pid=\d+)?\) ?)?(?:\x1b\[[\d;]*m)*(?:DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL)\b|^\{"|^\d{4}-\d\d-\d\d[ T]\d\d:\d\d|^\[?[IWEF]\d{4} /;
const FOLD_SHOWN = 3;

/** Whether the line begins a record of its own; others continue the one before them. */
export function beginsRecord(entry) {
  return entry.kind === "event" || Boolean(entry.code) || RECORD.test(entry.text);
}

/**
 * The rows of a document. options: folds (ids of records that are unfolded), fold (fold long continuations).
 * A row: {type, key, entry, pieces, number, continues, hidden, open, record, redraws}.
 */
export function buildRows(document, { fold, unfolded }) {
  const rows = [];
  let numbers = {};
  let record = null;
  let record_continuations = [];
  let cut = new Map();
  let redraw = new Map();

  const closeRecord = () => {
    if (fold && record && record_continuations.length > FOLD_SHOWN) {
      const open = unfolded.has(record.key);
      record.folded = record_continuations.length;
      record.open = open;
      if (!open) {
        const gone = new Set(record_continuations);
        let write = rows.length - record_continuations.length;
        for (let read = write; read < rows.length; read++) {
          if (!gone.has(rows[read])) rows[write++] = rows[read];
        }
        rows.length = write;
      }
    }
    record = null;
    record_continuations = [];
  };

  for (const block of document.blocks) {
    if (block.entries === null) {
      closeRecord();
      rows.push({ type: ROW_HOLE, key: block.id, block });
      if (numbers !== null && block.counts !== null) {
        for (const source in block.counts) numbers[source] = (numbers[source] ?? 0) + block.counts[source];
      } else numbers = null;
      cut = new Map();
      redraw = new Map();
      continue;
    }
    for (const entry of block.entries) {
      let number = null;
      if (numbers !== null) number = numbers[entry.source] = (numbers[entry.source] ?? 0) + 1;
      const isEvent = entry.kind === "event";
      const begun = isEvent ? undefined : cut.get(entry.source);
      if (begun) {
        begun.parts.push(entry);
        if (entry.kind !== "cut") cut.delete(entry.source);
        continue;
      }
      const place = `${entry.source} ${entry.pid ?? ""}`;
      if (entry.kind === "redraw") {
        const drawn = redraw.get(place);
        if (drawn) {
          drawn.redraws++;
          drawn.entry = entry;
          drawn.parts = [entry];
          continue;
        }
      } else if (!isEvent) redraw.delete(place);
      const row = { type: ROW_LINE, key: entry.id, entry, parts: [entry], number, continues: false, redraws: 0 };
      if (entry.kind === "cut") cut.set(entry.source, row);
      if (entry.kind === "redraw") redraw.set(place, row);
      if (isEvent || entry.kind === "redraw" || beginsRecord(entry)) {
        closeRecord();
        record = isEvent ? null : row;
      } else if (record && record.entry.source === entry.source) {
        row.continues = true;
        record_continuations.push(row);
      } else if (record) {
        closeRecord();
      }
      rows.push(row);
    }
  }
  closeRecord();
  return rows;
}

/** The whole text of a row. */
export function rowText(row) {
  return row.parts.length === 1 ? row.entry.text : row.parts.map((part) => part.text).join("");
}
