"""The component's record of a log (log/log-document.js), in real Chromium: what arrives while it is being read."""

import pytest
from support.panel_browser import opened

pytestmark = pytest.mark.needs("chromium")

SCRIPT = """async () => {
  const { LogDocument } = await import('/static/component/log/log-document.js');
  const line = (source, at) => ({ id: `${1000 + at}-aa`, source, text: `${source} ${at}` });
  const texts = (log) => log.blocks.flatMap((each) => each.entries ?? []).map((each) => each.text).join();
  const counts = (log) => {
    const all = {};
    for (const each of log.blocks) for (const s in each.counts) all[s] = (all[s] ?? 0) + each.counts[s];
    return JSON.stringify(all);
  };
  const begun = () => {
    const log = new LogDocument();
    log.reset([line('a', 90), line('a', 91)], { before: true, after: false });
    return log;
  };
  const found = {};

  // Another machine's agent is behind: its lines arrive in the hole before the page, some of them counted, some not.
  let log = begun();
  let hole = log.blocks[0];
  log.add([line('b', 10), line('b', 11), line('b', 12)]);
  log.sizeHole(hole, { checkpoints: [], counts: { a: 40, b: 5 }, last: { a: '1089-aa', b: '1011-aa' } });
  found.whileUnknown = counts(log);
  log.add([line('b', 12)]);
  found.repeated = counts(log);
  log.add([line('b', 13), line('c', 20)]);
  found.afterwards = counts(log);

  // Lines that arrive while the page that they belong to is under way.
  log = begun();
  hole = log.blocks[0];
  hole.loading = Promise.resolve();
  log.add([line('b', 10)]);
  log.fill(hole, [line('a', 1), line('a', 20)], { more: false, atEnd: false });
  found.filled = texts(log);

  log = begun();
  hole = log.blocks[0];
  hole.loading = Promise.resolve();
  log.add([line('b', 10), line('b', 50)]);
  log.fill(hole, [line('a', 1), line('a', 20)], { more: true, atEnd: false });
  found.partly = texts(log);
  const rest = log.blocks.find((each) => each.entries === null);
  log.sizeHole(rest, { checkpoints: [], counts: { a: 7, b: 1 }, last: { a: '1060-aa', b: '1010-aa' } });
  found.rest = counts(log);
  return found;
}"""


async def test_lines_that_arrive_while_others_are_fetched_are_shown_and_counted_once(panel, browser):
    async with opened(browser, f"{panel.url}/panel?traceId=none") as page:
        found = await page.evaluate(SCRIPT)
        assert found["whileUnknown"] == '{"a":42,"b":6}'
        assert found["repeated"] == '{"a":42,"b":6}'
        assert found["afterwards"] == '{"a":42,"b":7,"c":1}'
        assert found["filled"] == "a 1,b 10,a 20,a 90,a 91"
        assert found["partly"] == "a 1,b 10,a 20,a 90,a 91"
        assert found["rest"] == '{"a":9,"b":2}'
