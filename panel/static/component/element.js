// <tracetail-panel>: one element that shows the log of one trace, live.
//
// Attributes (and properties of the same names in camel case): src, trace-id, launch-id, token, locale, theme, line.
// Methods: seek(place), follow(), setFilter({level, process}).
// Events: ready, token-needed, state, phase, first-error, line-selected, gap, trace-chosen.

import { ApiError, PanelApi } from "./access.js";
import { plain } from "./ansi.js";
import { Charts } from "./charts.js";
import { copyText } from "./clipboard.js";
import { BLOCK_LINES, LogDocument, totalOf } from "./document.js";
import { element } from "./dom.js";
import { helpElement } from "./help.js";
import { Histogram } from "./histogram.js";
import { FIRST, LAST } from "./keys.js";
import { LaunchHead } from "./launches.js";
import { messagesFor } from "./messages.js";
import { emptyNotice, failureNotice, launchesNotice, tokenNotice } from "./notices.js";
import { placeElement, placeOf } from "./places.js";
import { fillHole, fillRow } from "./row.js";
import { buildRows, ROW_HOLE, rowText } from "./rows.js";
import { SearchBar } from "./search.js";
import { Selection } from "./selection.js";
import { actionOf } from "./shortcuts.js";
import { LiveStream } from "./stream.js";
import { stylesheet } from "./style.js";
import { Toolbar } from "./toolbar.js";
import { LogView } from "./view.js";

const ROW_PIXELS = 20;
const KEEP_LINES = 12_000;
const FIRST_PAGE = 400;
const WHOLE_HOLE = 2_500; // a hole of known size up to this is fetched at once
const LOADS_MAX = 3;
const COPY_LINES_MAX = 50_000;
const OVERVIEW_MS = 5_000;
const INDEX_MS = 400;
const RETRY_MS = 3_000;
const PATIENCE_MS = 10_000;
const FILTERED_MS = 300;
const BAD_LEVELS = "error,critical";
const HERE = new URL(import.meta.url).origin;

export class TracetailPanel extends HTMLElement {
  static observedAttributes = ["src", "trace-id", "launch-id", "token", "locale", "theme", "line"];
  static restAfterMs = 30_000;

  constructor() {
    super();
    this.attachShadow({ mode: "open" });
    this.shadowRoot.adoptedStyleSheets = [stylesheet()];
    this.settings = { wrap: false, fold: false, times: "absolute", zone: "local", charts: false };
    this.filter = { level: "", process: "" };
    this.chosenLaunch = "";
    this.loads = 0;
    this.darkScheme = matchMedia("(prefers-color-scheme: dark)");
    this.applyTheme = this.applyTheme.bind(this);
    this.rowActions = {
      select: (row, extend) => this.select(row, extend),
      expand: (row, characters) => { this.expanded.set(row.key, characters); this.view.refresh(); },
      unfold: (row) => { if (!this.unfolded.delete(row.key)) this.unfolded.add(row.key); this.showRows(); },
    };
    this.reset();
  }

  reset() {
    this.log = new LogDocument();
    this.launches = [];
    this.firstError = null;
    this.resetView();
  }

  /** Forget what belongs to one way of looking at the log. */
  resetView() {
    this.unfolded = new Set();
    this.expanded = new Map();
    this.unseen = 0;
    this.pending = [];
    this.selection = null;
    this.match = null;
    this.indexing = null;
  }

  get src() { return this.getAttribute("src") || HERE; }
  set src(value) { this.setAttribute("src", value); }
  get traceId() { return this.getAttribute("trace-id") || ""; }
  set traceId(value) { this.setAttribute("trace-id", value); }
  get launchId() { return this.getAttribute("launch-id") || ""; }
  set launchId(value) { this.setAttribute("launch-id", value); }
  get token() { return this.tokenValue ?? this.getAttribute("token") ?? ""; }
  set token(value) { this.tokenValue = value; this.tokenChanged(); }
  get locale() { return this.getAttribute("locale") || navigator.language || "en"; }
  set locale(value) { this.setAttribute("locale", value); }
  get theme() { return this.getAttribute("theme") || "auto"; }
  set theme(value) { this.setAttribute("theme", value); }
  get line() { return this.getAttribute("line") || ""; }
  set line(value) { this.setAttribute("line", value); }

  connectedCallback() {
    this.darkScheme.addEventListener("change", this.applyTheme);
    addEventListener("online", (this.online = () => this.stream?.retry()));
    document.addEventListener("visibilitychange", (this.visibility = () => this.visibilityChanged()));
    this.applyTheme();
    this.build();
    this.open();
  }

  disconnectedCallback() {
    this.darkScheme.removeEventListener("change", this.applyTheme);
    removeEventListener("online", this.online);
    document.removeEventListener("visibilitychange", this.visibility);
    clearTimeout(this.goingToRest);
    this.close();
    this.unbuild();
  }

  /** A tab that nobody looks at lets its connection go after a while; it goes on where it was. */
  visibilityChanged() {
    clearTimeout(this.goingToRest);
    if (document.hidden) this.goingToRest = setTimeout(() => this.stream?.rest(), TracetailPanel.restAfterMs);
    else this.stream?.wakeUp();
  }

  attributeChangedCallback(name, before, after) {
    if (!this.view || before === after) return;
    if (name === "theme") this.applyTheme();
    else if (name === "locale") this.rebuild();
    else if (name === "line") { if (after) this.seek(after); }
    else if (name === "token") { this.tokenValue = undefined; this.tokenChanged(); }
    else { this.chosenLaunch = ""; this.open(); }
  }

  say(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  applyTheme() {
    const dark = this.theme === "dark" || (this.theme !== "light" && this.darkScheme.matches);
    this.dataset.theme = dark ? "dark" : "light";
    this.histogram?.draw();
    this.charts?.draw();
  }

  // --- building -----------------------------------------------------------------------------------------------------

  build() {
    const t = (this.text = messagesFor(this.locale));
    this.shadowRoot.host.setAttribute("lang", /^zh/i.test(this.locale) ? "zh" : "en");
    this.head = new LaunchHead(t, {
      line: (key) => this.seek(key),
      launch: (launchId) => this.chooseLaunch(launchId),
      cause: (exit, launch) => this.toCause(exit, launch),
    });
    this.searchBar = new SearchBar(t, {
      search: (query, which) => this.search(which),
      filter: (filter) => this.setFilter(filter),
      leave: () => this.parts.scroller.focus(),
    });
    this.histogram = new Histogram({ label: t.histogram, onTime: (time) => this.seek(time) });
    this.charts = new Charts(t, { onTime: (time) => this.seek(time) });
    const p = (this.parts = {
      scroller: element("div", { class: "scroller", tabindex: "0", role: "log", "aria-label": t.log, "aria-live": "off" }),
      sizer: element("div", { class: "sizer", role: "presentation" }),
      notice: element("div", { class: "notice", hidden: true }),
      caveat: element("div", { class: "caveat", role: "note", hidden: true }, t.noMetadata),
      jump: element("button", { class: "jump", type: "button", hidden: true, onclick: () => this.follow() }),
      follow: element("button", { class: "follow", type: "button", onclick: () => this.follow() }),
      count: element("span", { class: "count" }),
      selection: element("span", { class: "selection", role: "status" }),
      link: element("span", { class: "link", role: "status" }, element("span", { class: "dot" }), element("span", {})),
    });
    p.scroller.append(p.sizer);
    this.toolbar = new Toolbar(t, this);
    this.panel = element("div", { class: "panel" },
      ...this.head.elements, p.caveat, this.histogram.element, this.charts.element, this.toolbar.element, p.notice, p.scroller, p.jump,
      element("div", { class: "foot" }, p.follow, p.count, p.selection, element("span", { class: "spacer" }), p.link));
    this.panel.addEventListener("keydown", (event) => this.key(event));
    this.shadowRoot.replaceChildren(this.panel);
    this.view = new LogView(p.scroller, p.sizer, {
      rowHeight: ROW_PIXELS,
      renderRow: (into, row) => this.renderRow(into, row),
      onHole: (block, side) => this.loadHole(block, side),
      onMove: () => this.moved(),
      onFollow: () => this.showFollow(),
    });
    this.view.canFollow = () => this.tailIsHere;
    this.view.wrap = this.settings.wrap;
    p.scroller.classList.toggle("wrap", this.settings.wrap);
    this.charts.element.hidden = !this.settings.charts;
    this.histogram.zone = this.settings.zone;
    this.head.show(this.launches, this.chosenLaunch);
    this.showCaveat();
    this.showLink();
    this.showFollow();
  }

  unbuild() {
    this.view?.destroy();
    this.head?.destroy();
    this.histogram?.destroy();
    this.charts?.destroy();
    this.view = null;
  }

  /** Build again in another language. */
  rebuild() {
    const following = this.view.following;
    const { query, only } = this.searchBar;
    const points = this.charts.points;
    const { stepMs, slices } = this.histogram;
    this.unbuild();
    this.build();
    Object.assign(this.searchBar, { query, only });
    this.searchBar.input.value = query.q;
    this.searchBar.setFilter(this.filter);
    this.charts.show(points);
    if (stepMs) this.histogram.show({ stepMs, slices });
    this.showRows();
    if (following) this.view.follow(true);
    this.showProcesses();
  }

  nextTheme() {
    this.theme = this.dataset.theme === "dark" ? "light" : "dark";
  }

  nextLocale() {
    this.locale = /^zh/i.test(this.locale) ? "en" : "zh";
  }

  toggle(name) {
    this.settings[name] = !this.settings[name];
    this.toolbar.show(name, this.settings[name]);
    if (name === "wrap") this.view.setWrap(this.settings.wrap);
    else if (name === "fold") this.showRows();
    else {
      this.charts.element.hidden = !this.settings.charts;
      if (this.settings.charts) this.loadCharts();
    }
  }

  nextTimes() {
    const modes = ["absolute", "relative", "off"];
    this.settings.times = modes[(modes.indexOf(this.settings.times) + 1) % modes.length];
    this.view.refresh();
  }

  nextZone() {
    this.settings.zone = this.settings.zone === "local" ? "utc" : "local";
    this.histogram.zone = this.settings.zone;
    this.view.refresh();
  }

  // --- opening ------------------------------------------------------------------------------------------------------

  close() {
    this.stream?.stop();
    this.stream = null;
    this.opening?.abort();
    clearTimeout(this.reopening);
    clearTimeout(this.overviewTimer);
    clearTimeout(this.filteredTimer);
    this.overviewTimer = this.filteredTimer = 0;
  }

  async open() {
    this.close();
    this.reset();
    this.api = new PanelApi(this.src, () => this.token);
    this.view.follow(false);
    this.histogram.show({ stepMs: 1000, slices: [] });
    this.charts.show([]);
    this.showRows();
    this.head.show([], "");
    this.notice(null);
    this.setLink("connecting");
    const opening = (this.opening = new AbortController());
    try {
      if (!this.traceId && !this.launchId) await this.offerLaunches();
      else await this.openLog(opening.signal);
    } catch (error) {
      if (opening.signal.aborted || !this.view) return;
      if (isRefusal(error)) this.needToken(error.code);
      else {
        this.setLink("lost");
        this.notice(failureNotice(this.text, error));
        this.reopening = setTimeout(() => this.open(), 3000);
      }
    }
  }

  async openLog(signal) {
    const page = await this.api.get("/api/logs", { ...this.scope(), limit: FIRST_PAGE }, signal);
    if (signal.aborted) return;
    // The trace of a launchId is known from here on, and the stream is of the whole trace.
    this.openedTrace = page.traceId;
    this.plainLoki = page.metadata === false;
    this.showCaveat();
    this.takeTail(page);
    this.listen(page.cursor);
    this.say("ready", { traceId: page.traceId });
    this.refreshOverview();
    if (this.line) this.seek(this.line);
  }

  /** Without structured metadata in Loki there are lines and times: say so, rather than show wrong filters. */
  showCaveat() {
    this.parts.caveat.hidden = !this.plainLoki;
    this.searchBar.filters.hidden = Boolean(this.plainLoki);
  }

  takeTail(page) {
    this.log.reset(page.lines, { before: page.more, after: false });
    for (const gap of page.gaps ?? []) this.addGap(gap);
    this.notice(page.lines.length || this.isFiltered ? null : emptyNotice(this.text, this.openedTrace));
    this.showRows();
    this.view.follow(true);
    this.numberLines();
  }

  /** The trace, the launch and the filters: what every question to the server has in it. */
  scope() {
    return {
      traceId: this.traceId || this.openedTrace,
      launchId: this.launchId || this.chosenLaunch,
      level: this.filter.level,
      process: this.filter.process,
      ...(this.filter.q ? { q: this.filter.q, regex: this.filter.regex, case: this.filter.case } : {}),
    };
  }

  get isFiltered() {
    return Boolean(this.filter.level || this.filter.process || this.filter.q);
  }

  listen(cursor) {
    this.stream = new LiveStream(this.api, { traceId: this.openedTrace }, cursor, {
      lines: (data) => this.arrived(data),
      launches: (launches) => this.takeLaunches(launches),
      status: (status) => { this.lokiDown = status.loki !== "ok"; this.showLink(); },
      link: (link) => this.setLink(link),
      tokenNeeded: (code) => this.needToken(code),
    });
  }

  async offerLaunches() {
    const { launches } = await this.api.get("/api/launches");
    this.setLink("");
    this.notice(launchesNotice(this.text, launches, this.settings.zone, (traceId) => {
      this.traceId = traceId;
      this.say("trace-chosen", { traceId });
    }));
  }

  needToken(code) {
    this.say("token-needed", { code });
    this.setLink("");
    this.notice(tokenNotice(this.text, code, (token) => { this.token = token; }), this.log.empty);
  }

  tokenChanged() {
    if (!this.view) return;
    if (!this.stream) { this.open(); return; }
    this.notice(null);
    this.stream.retry();
  }

  /** Show a message in place of the log, or (alone = false) above it. */
  notice(children, alone = true) {
    this.parts.notice.hidden = children === null;
    this.parts.scroller.hidden = children !== null && alone;
    this.panel.classList.toggle("bare", children !== null && alone);
    this.parts.notice.replaceChildren(...(children ?? []));
  }

  // --- lines --------------------------------------------------------------------------------------------------------

  get tailIsHere() {
    const { blocks } = this.log;
    return blocks.length === 0 || blocks[blocks.length - 1].entries !== null;
  }

  arrived(data) {
    if (!this.parts.notice.hidden && data.lines.length) this.notice(null);
    this.charts.take(data.lines);
    this.watchForErrors(data.lines);
    this.refreshOverviewSoon();
    for (const gap of data.gaps ?? []) this.addGap(gap);
    if (this.isFiltered) {
      this.filteredTimer ||= setTimeout(() => this.takeFiltered(), FILTERED_MS);
      return;
    }
    this.pending.push(...data.lines);
    // A page in the background gets no frames; its lines are taken in all the same.
    if (document.hidden) this.takePending();
    else this.taking ||= requestAnimationFrame(() => this.takePending());
  }

  takePending() {
    cancelAnimationFrame(this.taking);
    this.taking = 0;
    if (!this.view) return;
    const launchId = this.launchId || this.chosenLaunch;
    const lines = launchId ? this.pending.filter((line) => line.source === launchId) : this.pending;
    this.pending = [];
    this.added(this.log.add(lines));
  }

  added(count) {
    if (!count) return;
    if (!this.view.following) this.unseen += count;
    this.evict();
    this.showRows();
  }

  /** With a filter the server chooses the lines: what is new of them is asked for, at most every FILTERED_MS. */
  async takeFiltered() {
    const { log } = this;
    try {
      for (let more = this.tailIsHere; more && this.log === log; ) {
        const after = log.last?.id;
        const page = await this.api.get("/api/logs", {
          ...this.scope(), ...(after ? { after } : { start: FIRST }), direction: "forward", limit: BLOCK_LINES,
        });
        if (this.log !== log || !this.view) return;
        this.added(log.add(page.lines));
        more = page.more;
      }
    } catch (error) {
      if (isRefusal(error)) this.needToken(error.code);
    } finally {
      this.filteredTimer = 0;
    }
  }

  addGap({ time, reason }) {
    this.say("gap", { time, reason });
    this.log.add([{ id: `${time}-ffffffffffffffff`, time, source: "", kind: "gap", text: this.text.gapCrowded }]);
  }

  watchForErrors(lines) {
    if (this.firstError) return;
    const found = lines.find((line) => line.level === "error" || line.level === "critical");
    if (found) this.foundFirstError(found);
  }

  foundFirstError(line) {
    this.firstError = line;
    this.say("first-error", { id: line.id, time: line.time, text: line.text });
  }

  /** Let go of what is far from what is in sight; fresh is a line that was just fetched, if any. */
  evict(fresh) {
    // By keys and not by the blocks themselves: what was a hole a moment ago may be another block now.
    const near = new Set(this.view.shownRows.map((row) => this.log.blockAt(row.entry?.id ?? row.block.from)));
    if (fresh) near.add(this.log.blockAt(fresh.id));
    const { blocks } = this.log;
    if (this.view.following || near.size === 0) near.add(blocks[blocks.length - 1]);
    this.log.evict(near, KEEP_LINES);
  }

  /** wanted: somebody goes there; otherwise it is only in sight. */
  async loadHole(block, side, wanted = false) {
    if (block.loading && wanted) await block.loading;
    // What is waited for is what is in sight: while a few loads are under way, no further ones queue up behind them.
    if (!this.log.blocks.includes(block) || block.loading || block.failed || (this.loads >= LOADS_MAX && !wanted)) return;
    this.loads++;
    block.loading = this.fetchHole(block, side);
    await block.loading;
    block.loading = null;
    this.loads--;
    this.view?.schedule();
  }

  async fetchHole(block, side) {
    const { log } = this;
    const lines = block.counts === null ? null : totalOf(block.counts);
    const whole = lines !== null && lines <= WHOLE_HOLE;
    const atEnd = !whole && side === "end";
    try {
      const page = await this.api.get("/api/logs", {
        ...this.scope(),
        start: block.from,
        before: block.to,
        direction: atEnd ? "backward" : "forward",
        limit: whole ? lines + 100 : BLOCK_LINES,
      }, AbortSignal.timeout(PATIENCE_MS));
      if (this.log !== log || !this.view) return;
      log.fill(block, page.lines, { more: page.more, atEnd });
      for (const gap of page.gaps ?? []) this.addGap(gap);
      this.evict(page.lines[0]);
      this.showRows();
      if (block.counts === null) this.numberLines();
    } catch (error) {
      block.failed = error.message;
      if (isRefusal(error)) this.needToken(error.code);
      else setTimeout(() => { block.failed = ""; this.view?.refresh(); }, RETRY_MS);
      this.view?.refresh();
    }
  }

  /** Learn the sizes of the holes from the server's index; line numbers follow from them. */
  async numberLines() {
    if (this.indexing || this.isFiltered) return;
    const { log } = this;
    const indexing = (this.indexing = {});
    try {
      for (let hole = log.unknownHole; hole; hole = log.unknownHole) {
        const parameters = { ...this.scope(), before: hole.to === LAST ? undefined : hole.to };
        const index = await this.api.get("/api/logs/index", parameters);
        if (this.log !== log || this.indexing !== indexing || !this.view) return;
        if (!index.complete) await pause(INDEX_MS);
        else if (log.blocks.includes(hole) && !hole.loading) {
          log.sizeHole(hole, index);
          this.showRows();
        } else await pause(50);
      }
    } catch {
      // Without an index there are no numbers; the log is read all the same.
    } finally {
      if (this.indexing === indexing) this.indexing = null;
    }
  }

  showRows() {
    if (!this.view) return;
    const rows = buildRows(this.log, { fold: this.settings.fold, unfolded: this.unfolded });
    this.parts.sizer.style.setProperty("--numbers", `${Math.max(3, String(this.log.total ?? 0).length)}ch`);
    this.view.setRows(rows);
    this.showFollow();
  }

  renderRow(into, row) {
    if (row.type === ROW_HOLE) {
      fillHole(into, row.block, this.text, () => { row.block.failed = ""; this.view.refresh(); });
      return;
    }
    fillRow(into, row, {
      text: this.text,
      settings: this.settings,
      launches: this.launches,
      origin: this.origin,
      numbered: !this.isFiltered,
      selected: this.selection?.has(row),
      match: this.match,
      pattern: this.searchBar.pattern,
      expanded: this.expanded.get(row.key),
    }, this.rowActions);
  }

  get origin() {
    const launch = this.launches.find((each) => each.launchId === (this.launchId || this.chosenLaunch));
    return (launch ?? this.launches[0])?.startedAt ?? this.log.first?.id;
  }

  // --- moving -------------------------------------------------------------------------------------------------------

  moved() {
    if (!this.view) return;
    if (this.view.following || (this.view.nearEnd && this.tailIsHere)) this.unseen = 0;
    const visible = this.view.visibleRows().filter((row) => row.entry);
    this.histogram.mark(visible[0]?.entry.id, visible[visible.length - 1]?.entry.id);
    this.showJump();
  }

  async toStart() {
    await this.guarded(async () => {
      this.view.follow(false);
      const first = this.log.blocks[0];
      if (first?.entries === null && first.counts === null) await this.loadHole(first, "start", true);
      this.view.virtualizer.scrollToOffset(0);
    });
  }

  /** Go to the end and stay there. */
  follow() {
    this.guarded(async () => {
      if (!this.tailIsHere) {
        const last = this.log.blocks[this.log.blocks.length - 1];
        await this.loadHole(last, "end", true);
      }
      this.unseen = 0;
      this.view.follow(true);
      this.view.toEnd();
      this.showFollow();
    });
  }

  async toFirstError() {
    await this.guarded(async () => {
      const page = await this.api.get("/api/logs", {
        ...this.scope(), level: BAD_LEVELS, direction: "forward", start: FIRST, limit: 1,
      });
      const line = page.lines.find((each) => each.kind !== "event") ?? page.lines[0];
      if (!line) return;
      if (!this.firstError) this.foundFirstError(line);
      await this.show(line.id);
    });
  }

  /** Go to the line that the cause of the end was read from. */
  async toCause(exit, launch) {
    const evidence = (exit.evidence ?? []).map((line) => line.trim()).find(Boolean);
    await this.guarded(async () => {
      if (evidence) {
        const found = await this.api.get("/api/logs", {
          ...this.scope(), launchId: launch.launchId, q: evidence.slice(0, 300), case: true,
          direction: "forward", start: FIRST, limit: 5,
        });
        const line = found.lines.find((each) => each.kind !== "event");
        if (line) {
          await this.show(line.id);
          return;
        }
      }
      await this.toFirstError();
    });
  }

  /** Go to a line (its id), or to the first line from a time on (nanoseconds, or an ISO date). */
  async seek(place) {
    await this.guarded(async () => {
      const key = /^\d+(-[0-9a-f]+)?$/.test(place) ? place : `${Date.parse(place)}000000`;
      if (key.startsWith("NaN")) return;
      if (key.includes("-")) {
        await this.show(key);
        return;
      }
      const page = await this.api.get("/api/logs", { ...this.scope(), start: key, direction: "forward", limit: 1 });
      if (page.lines.length) await this.show(page.lines[0].id);
      else this.follow();
    });
  }

  /** Bring a line into sight, wherever in the log it is, and select it. */
  async show(id) {
    this.view.follow(false);
    let target = this.log.blockAt(id);
    if (target?.loading) {
      await target.loading;
      target = this.log.blockAt(id);
    }
    if (target?.entries === null) {
      if (target.counts !== null && totalOf(target.counts) <= WHOLE_HOLE) await this.loadHole(target, "start", true);
      else await this.openHole(target, id);
    }
    const entry = this.log.blockAt(id)?.entries?.find((each) => each.id === id);
    this.selection = new Selection(id);
    this.showRows();
    this.view.scrollToKey(id);
    this.view.refresh();
    this.showSelection();
    if (entry) this.say("line-selected", { id, time: entry.time, text: entry.text, url: this.linkTo(id) });
  }

  async openHole(hole, id) {
    const { log } = this;
    const around = { ...this.scope(), limit: BLOCK_LINES / 2 };
    hole.loading = Promise.all([
      this.api.get("/api/logs", { ...around, start: hole.from, before: id, direction: "backward" }),
      this.api.get("/api/logs", { ...around, start: id, before: hole.to, direction: "forward" }),
    ]);
    try {
      const [before, after] = await hole.loading;
      if (this.log !== log || !this.view) return;
      log.open(hole, before, after);
      this.evict(after.lines[0] ?? before.lines[0]);
    } finally {
      hole.loading = null;
    }
    this.showRows();
    this.numberLines();
  }

  /** Do something that asks the server; what goes wrong is told in the foot. */
  async guarded(act) {
    try {
      await act();
    } catch (error) {
      if (isRefusal(error)) this.needToken(error.code);
      else this.tell(error.message);
    }
  }

  askPlace() {
    this.closeLayers();
    const box = placeElement(this.text, { go: (text) => this.goTo(text), close: () => this.closeLayers() });
    this.panel.append(box);
    box.querySelector("input").focus();
  }

  async goTo(text) {
    const place = placeOf(text, { origin: this.origin, last: this.log.last?.id, zone: this.settings.zone });
    if (place?.number !== undefined) return this.goToNumber(place.number);
    if (place) await this.seek(place.key);
    return place !== null;
  }

  async goToNumber(number) {
    const sources = Object.keys(this.log.blocks.reduce((all, each) => Object.assign(all, each.counts), {}));
    const launch = this.head && (this.chosenLaunch || this.launchId);
    const source = sources.includes(launch) ? launch : sources[0];
    let found = source && this.log.blockOfNumber(source, number);
    if (!found) return false;
    if (found.block.entries === null) {
      await this.loadHole(found.block, "start", true);
      found = this.log.blockOfNumber(source, number);
    }
    const entry = found?.block.entries?.filter((each) => each.source === source)[found.offset];
    if (entry) await this.show(entry.id);
    return Boolean(entry);
  }

  // --- search, filters, selection -----------------------------------------------------------------------------------

  /** which: first (from what is in sight on), next or previous. */
  async search(which) {
    const t = this.text;
    const { query } = this.searchBar;
    const asked = (this.asked = {});
    if (!query.q) {
      this.match = null;
      this.searchBar.showResult("");
      this.view.refresh();
      return;
    }
    this.searchBar.showResult(t.searching);
    this.view.refresh();
    const seen = this.view.visibleRows().find((row) => row.entry)?.entry.id;
    const parameters = { ...this.scope(), ...query };
    if (which === "previous") parameters.before = this.match ?? seen ?? LAST;
    else if (which === "next" && this.match) parameters.after = this.match;
    try {
      let found = await this.api.get("/api/logs/search", parameters);
      if (!found.line && found.count) {
        // Round the corner: from the other end.
        delete parameters.after;
        parameters.before = which === "previous" ? LAST : undefined;
        found = await this.api.get("/api/logs/search", parameters);
      }
      if (this.asked !== asked) return;
      this.match = found.line?.id ?? null;
      this.searchBar.showResult(found.line ? t.matches(found.number.toLocaleString(), found.count.toLocaleString()) : t.noMatch);
      if (this.match) await this.show(this.match);
    } catch (error) {
      if (this.asked === asked) this.searchBar.showResult(error.message.slice(0, 80));
    }
  }

  /** Show only lines of these levels and of this process. */
  async setFilter(filter) {
    const next = { level: "", process: "", ...filter };
    if (JSON.stringify(next) === JSON.stringify(this.filter)) return;
    this.filter = next;
    this.searchBar.setFilter(next);
    await this.reload();
  }

  async chooseLaunch(launchId) {
    this.chosenLaunch = launchId;
    this.head.show(this.launches, launchId);
    await this.reload();
    this.refreshOverview();
  }

  /** Read the log anew as it is to be seen now, around the line that was in sight. */
  async reload() {
    if (!this.stream) return;
    const following = this.view.following;
    const seen = this.view.visibleRows().find((row) => row.entry)?.entry.id;
    const log = (this.log = new LogDocument());
    this.resetView();
    await this.guarded(async () => {
      if (following || !seen) {
        const page = await this.api.get("/api/logs", { ...this.scope(), limit: FIRST_PAGE });
        if (this.log !== log) return;
        this.takeTail(page);
      } else {
        const around = { ...this.scope(), limit: FIRST_PAGE / 2 };
        const [before, after] = await Promise.all([
          this.api.get("/api/logs", { ...around, before: seen, direction: "backward" }),
          this.api.get("/api/logs", { ...around, start: seen, direction: "forward" }),
        ]);
        if (this.log !== log) return;
        log.reset([...before.lines, ...after.lines], { before: before.more, after: after.more });
        this.showRows();
        const place = after.lines[0] ?? before.lines[before.lines.length - 1];
        if (place) this.view.scrollToKey(place.id, "start");
        this.numberLines();
      }
      this.notice(this.log.empty ? [this.text.nothingMatches] : null, false);
      this.showFollow();
    });
  }

  select(row, extend) {
    this.selection = Selection.after(this.selection, row, extend);
    if (this.selection && !extend) {
      const { id, time } = row.entry;
      this.say("line-selected", { id, time, text: rowText(row), url: this.linkTo(id) });
    }
    this.showSelection();
    this.view.refresh();
  }

  showSelection() {
    const { selection } = this;
    const t = this.text;
    this.parts.selection.replaceChildren(
      ...(selection
        ? [
            element("button", { type: "button", onclick: () => this.copyLines() }, t.copyLines),
            element("button", { type: "button", onclick: () => this.copyLink() }, t.copyLink),
          ]
        : []),
    );
  }

  linkTo(id) {
    const link = new URL("/panel", this.src);
    link.searchParams.set("traceId", this.traceId || this.openedTrace || "");
    link.hash = `line=${id}`;
    return link.href;
  }

  async copyLink() {
    if (this.selection) await this.copy(this.linkTo(this.selection.from));
  }

  /** Copy the selected lines, those that are not loaded too. */
  async copyLines() {
    if (!this.selection) return;
    await this.guarded(async () => {
      const { from, to } = this.selection;
      const lines = [];
      let start = from;
      for (let more = true; more && lines.length < COPY_LINES_MAX; ) {
        const page = await this.api.get("/api/logs", {
          ...this.scope(), start, before: `${to}0`, direction: "forward", limit: 5000,
        });
        lines.push(...page.lines);
        more = page.more;
        if (page.lines.length) start = `${page.lines[page.lines.length - 1].id}0`;
      }
      let text = "";
      for (const line of lines) text += plain(line.text) + (line.kind === "cut" ? "" : "\n");
      await this.copy(text);
    });
  }

  async copy(text) {
    this.tell((await copyText(text, this.panel)) ? this.text.copied : this.text.copyFailed);
  }

  // --- from afar ----------------------------------------------------------------------------------------------------

  refreshOverviewSoon() {
    this.overviewTimer ||= setTimeout(() => this.refreshOverview(), OVERVIEW_MS);
  }

  async refreshOverview() {
    clearTimeout(this.overviewTimer);
    this.overviewTimer = 0;
    const { launchId, traceId } = this.scope();
    const ids = { traceId, launchId };
    try {
      const [histogram, facets] = await Promise.all([
        this.api.get("/api/logs/histogram", ids),
        this.api.get("/api/logs/facets", ids),
      ]);
      if (!this.view) return;
      this.histogram.show(histogram);
      this.facets = facets;
      this.showProcesses();
      this.moved();
      if (!this.firstError && (facets.levels.error || facets.levels.critical)) {
        const page = await this.api.get("/api/logs", { ...ids, level: BAD_LEVELS, direction: "forward", start: FIRST, limit: 1 });
        if (page.lines.length && !this.firstError) this.foundFirstError(page.lines[0]);
      }
    } catch {
      // The overview is an extra: the log itself tells when the server cannot be reached.
    }
    if (this.settings.charts && this.charts.points.length === 0) this.loadCharts();
  }

  showProcesses() {
    if (this.facets) this.searchBar.showProcesses(this.facets.processes);
  }

  async loadCharts() {
    const { launchId, traceId } = this.scope();
    await this.guarded(async () => {
      const { points } = await this.api.get("/api/logs/stats", { traceId, launchId });
      this.charts.show(points);
    });
  }

  takeLaunches(launches) {
    const before = new Map(this.launches.map((launch) => [launch.launchId, launch]));
    this.launches = launches;
    for (const launch of launches) {
      const known = before.get(launch.launchId);
      if (known?.state !== launch.state) this.say("state", { launchId: launch.launchId, state: launch.state, launch });
      for (const phase of launch.phases.slice(known?.phases.length ?? 0)) {
        this.say("phase", { launchId: launch.launchId, ...phase });
      }
    }
    this.head.show(launches, this.launchId || this.chosenLaunch);
    if (before.size !== launches.length) this.view.refresh();
  }

  // --- keyboard, layers, foot ---------------------------------------------------------------------------------------

  key(event) {
    const target = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey || /^(?:INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) return;
    if (target.tagName === "BUTTON" && (event.key === " " || event.key === "Enter")) return;
    const page = this.parts.scroller.clientHeight - ROW_PIXELS * 2;
    const act = actionOf(event, this, { row: ROW_PIXELS, page });
    if (!act) return;
    event.preventDefault();
    act();
  }

  escape() {
    if (this.closeLayers()) return;
    this.selection = null;
    this.showSelection();
    if (this.searchBar.input.value) this.searchBar.clear();
    this.view.refresh();
  }

  /** Close what lies over the log; says whether there was something. */
  closeLayers() {
    const layers = this.panel.querySelectorAll(".layer");
    for (const layer of layers) layer.remove();
    if (layers.length) this.parts.scroller.focus();
    return layers.length > 0;
  }

  showHelp() {
    if (this.closeLayers()) return;
    const help = helpElement(this.text, () => this.closeLayers());
    help.classList.add("layer");
    this.panel.append(help);
    help.focus();
  }

  downloadMenu() {
    if (this.closeLayers()) return;
    const menu = this.toolbar.downloadMenu(this.panel, (format) => { this.closeLayers(); this.download(format); });
    this.panel.append(menu);
    menu.firstChild.focus();
  }

  async download(format) {
    await this.guarded(async () => {
      const blob = await this.api.blob("/api/logs/download", { ...this.scope(), format });
      const url = URL.createObjectURL(blob);
      const name = `${this.launchId || this.chosenLaunch || this.openedTrace}.${format === "text" ? "log" : "jsonl"}`;
      element("a", { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    });
  }

  setLink(link) {
    this.link = link;
    if (link === "live") this.lokiDown = false;
    this.showLink();
  }

  showLink() {
    const t = this.text;
    const state = this.lokiDown ? "loki" : this.link;
    const label = { live: t.live, connecting: t.connecting, lost: t.reconnecting, loki: t.lokiDown }[state];
    this.parts.link.hidden = !label;
    this.parts.link.dataset.link = state;
    this.parts.link.lastChild.textContent = label ?? "";
  }

  /** Say something for a moment, in the foot. */
  tell(message) {
    clearTimeout(this.telling);
    this.parts.count.textContent = message;
    this.telling = setTimeout(() => { this.telling = 0; this.showFollow(); }, 2500);
  }

  showFollow() {
    if (!this.view) return;
    const t = this.text;
    const { following } = this.view;
    this.parts.follow.setAttribute("aria-pressed", String(following));
    this.parts.follow.textContent = following ? `● ${t.following}` : `○ ${t.follow}`;
    const total = this.log.total;
    if (!this.telling) this.parts.count.textContent = total === null ? "" : t.lines(total.toLocaleString());
    this.showJump();
  }

  showJump() {
    const show = !this.view.following && this.unseen > 0;
    this.parts.jump.hidden = !show;
    if (show) this.parts.jump.textContent = `${this.text.newLines(this.unseen.toLocaleString())} ↓`;
  }
}

function pause(ms) {
  return new Promise((resolve) => { setTimeout(resolve, ms); });
}

function isRefusal(error) {
  return error instanceof ApiError && (error.status === 401 || error.status === 403);
}

if (!customElements.get("tracetail-panel")) customElements.define("tracetail-panel", TracetailPanel);
