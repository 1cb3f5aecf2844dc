// <tracetail-panel>: one element that shows the log of one trace, live.
//
// Attributes (and properties of the same name in camel case): src, trace-id, launch-id, token, locale, theme.
// Events: ready, token-needed, state, phase, first-error, line-selected, gap.

import { ApiError, PanelApi } from "./access.js";
import { appendPieces, pieces } from "./ansi.js";
import { BLOCK_LINES, LogDocument } from "./document.js";
import { element, icon, ICONS } from "./dom.js";
import { bytes, duration, lineTime } from "./format.js";
import { messagesFor } from "./messages.js";
import { buildRows, ROW_HOLE, rowText } from "./rows.js";
import { LiveStream } from "./stream.js";
import { stylesheet } from "./style.js";
import { LogView } from "./view.js";

const ROW_PIXELS = 20;
const KEEP_LINES = 12_000;
const FIRST_PAGE = 400;
const TEXT_SHOWN = 4_000;
const TAGS = ["#4f86b5", "#b5804f", "#6f9f63", "#9a6fae", "#5a9f9f", "#b56a7d", "#8b8b4f", "#7277b5"];
const HERE = new URL(import.meta.url).origin;

export class TracetailPanel extends HTMLElement {
  static observedAttributes = ["src", "trace-id", "launch-id", "token", "locale", "theme"];

  constructor() {
    super();
    this.attachShadow({ mode: "open" });
    this.shadowRoot.adoptedStyleSheets = [stylesheet()];
    this.reset();
    this.settings = { wrap: false, fold: false, times: "absolute", zone: "local" };
    this.darkScheme = matchMedia("(prefers-color-scheme: dark)");
    this.applyTheme = this.applyTheme.bind(this);
  }

  reset() {
    this.log = new LogDocument();
    this.launches = [];
    this.unfolded = new Set();
    this.expanded = new Map();
    this.unseen = 0;
    this.pending = [];
    this.selected = null;
    this.link = "connecting";
    this.lokiDown = false;
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

  connectedCallback() {
    this.darkScheme.addEventListener("change", this.applyTheme);
    addEventListener("online", (this.online = () => this.stream?.retry()));
    this.applyTheme();
    this.build();
    this.open();
  }

  disconnectedCallback() {
    this.darkScheme.removeEventListener("change", this.applyTheme);
    removeEventListener("online", this.online);
    this.close();
    this.view?.destroy();
    this.view = null;
  }

  attributeChangedCallback(name, before, after) {
    if (!this.isConnected || before === after || !this.view) return;
    if (name === "theme") this.applyTheme();
    else if (name === "locale") this.rebuild();
    else if (name === "token") { this.tokenValue = undefined; this.tokenChanged(); }
    else this.open();
  }

  say(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  applyTheme() {
    const dark = this.theme === "dark" || (this.theme !== "light" && this.darkScheme.matches);
    this.dataset.theme = dark ? "dark" : "light";
  }

  // --- building -----------------------------------------------------------------------------------------------------

  build() {
    this.text = messagesFor(this.locale);
    const t = this.text;
    this.lang = /^zh/i.test(this.locale) ? "zh" : "en";
    const button = (name, path, act) =>
      element("button", { class: "icon", type: "button", title: t[name], "aria-label": t[name], onclick: act }, icon(path));
    this.parts = {
      head: element("div", { class: "head" }),
      phases: element("div", { class: "phases", role: "list", "aria-label": t.phases, hidden: true }),
      cause: element("div", { class: "cause", role: "alert", hidden: true }),
      wrapButton: button("wrap", ICONS.wrap, () => this.toggle("wrap")),
      foldButton: button("fold", ICONS.fold, () => this.toggle("fold")),
      scroller: element("div", { class: "scroller", tabindex: "0", role: "log", "aria-label": t.log, "aria-live": "off" }),
      sizer: element("div", { class: "sizer" }),
      notice: element("div", { class: "notice", hidden: true }),
      jump: element("button", { class: "jump", type: "button", hidden: true, onclick: () => this.toEnd() }),
      follow: element("button", { class: "follow", type: "button", onclick: () => this.toEnd() }),
      count: element("span", {}),
      link: element("span", { class: "link", role: "status" }, element("span", { class: "dot" }), element("span", {})),
    };
    const p = this.parts;
    p.tools = element(
      "div",
      { class: "tools", role: "toolbar", "aria-label": t.toolbar },
      element("span", { class: "group" },
        button("start", ICONS.top, () => this.toStart()),
        button("end", ICONS.bottom, () => this.toEnd()),
        button("firstError", ICONS.error, () => this.toFirstError())),
      element("span", { class: "spacer" }),
      element("span", { class: "group" },
        p.wrapButton,
        p.foldButton,
        button("times", ICONS.clock, () => this.nextTimes()),
        button("zone", ICONS.zone, () => this.nextZone()),
        button("theme", ICONS.theme, () => { this.theme = this.dataset.theme === "dark" ? "light" : "dark"; }),
        element("button", { class: "icon word", type: "button", onclick: () => this.nextLocale() }, t.language)),
    );
    p.scroller.append(p.sizer);
    this.panel = element(
      "div",
      { class: "panel" },
      p.head, p.phases, p.cause, p.tools, p.notice, p.scroller, p.jump,
      element("div", { class: "foot" }, p.follow, p.count, element("span", { class: "spacer" }), p.link),
    );
    this.shadowRoot.replaceChildren(this.panel);
    this.view = new LogView(p.scroller, p.sizer, {
      rowHeight: ROW_PIXELS,
      renderRow: (into, row) => this.renderRow(into, row),
      onHole: (block, side) => this.loadHole(block, side),
      onMove: () => this.moved(),
      onFollow: () => this.showFollow(),
    });
    this.view.canFollow = () => this.tailIsHere;
    p.scroller.classList.toggle("wrap", this.settings.wrap);
    this.view.wrap = this.settings.wrap;
    p.scroller.addEventListener("keydown", (event) => this.key(event));
    this.showSettings();
    this.showLaunches();
    this.showLink();
    this.showFollow();
  }

  rebuild() {
    const following = this.view?.following;
    this.view?.destroy();
    this.build();
    this.showRows();
    this.view.follow(following);
  }

  nextLocale() {
    this.locale = /^zh/i.test(this.locale) ? "en" : "zh";
  }

  toggle(name) {
    this.settings[name] = !this.settings[name];
    if (name === "wrap") this.view.setWrap(this.settings.wrap);
    else this.showRows();
    this.showSettings();
  }

  nextTimes() {
    const modes = ["absolute", "relative", "off"];
    this.settings.times = modes[(modes.indexOf(this.settings.times) + 1) % modes.length];
    this.view.refresh();
  }

  nextZone() {
    this.settings.zone = this.settings.zone === "local" ? "utc" : "local";
    this.view.refresh();
  }

  showSettings() {
    this.parts.wrapButton.setAttribute("aria-pressed", String(this.settings.wrap));
    this.parts.foldButton.setAttribute("aria-pressed", String(this.settings.fold));
  }

  // --- opening ------------------------------------------------------------------------------------------------------

  close() {
    this.stream?.stop();
    this.stream = null;
    this.opening?.abort();
  }

  async open() {
    this.close();
    this.reset();
    this.api = new PanelApi(this.src, () => this.token);
    this.view.follow(false);
    this.showRows();
    this.showLaunches();
    if (!this.traceId && !this.launchId) {
      await this.choose();
      return;
    }
    const opening = (this.opening = new AbortController());
    this.link = "connecting";
    this.showLink();
    try {
      const page = await this.api.get("/api/logs", { ...this.scope(), limit: FIRST_PAGE }, opening.signal);
      if (opening.signal.aborted) return;
      this.notice(null);
      this.openedTrace = page.traceId;
      this.log.reset(page.lines, { before: page.more, after: false });
      this.showRows();
      this.view.follow(true);
      this.say("ready", { traceId: page.traceId });
      this.listen(page.cursor);
    } catch (error) {
      if (opening.signal.aborted) return;
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) this.needToken(error.code);
      else {
        this.link = "lost";
        this.showLink();
        this.notice([element("h2", {}, this.text.error), error.message]);
        this.reopening = setTimeout(() => this.isConnected && this.open(), 3000);
      }
    }
  }

  scope() {
    return { traceId: this.traceId, launchId: this.launchId };
  }

  listen(cursor) {
    this.stream = new LiveStream(this.api, this.scope(), cursor, {
      lines: (data) => this.arrived(data),
      launches: (launches) => this.takeLaunches(launches),
      status: (status) => { this.lokiDown = status.loki !== "ok"; this.showLink(); },
      link: (link) => { this.link = link; if (link === "live") this.lokiDown = false; this.showLink(); },
      tokenNeeded: (code) => this.needToken(code),
    });
  }

  async choose() {
    try {
      const { launches } = await this.api.get("/api/launches");
      const t = this.text;
      const items = launches.map((launch) => {
        const link = element(
          "a",
          { href: `?traceId=${encodeURIComponent(launch.traceId)}`, onclick: (event) => {
            if (event.ctrlKey || event.metaKey || event.shiftKey) return;
            event.preventDefault();
            this.traceId = launch.traceId;
            this.say("trace-chosen", { traceId: launch.traceId });
          } },
          element("span", { class: "state", "data-state": launch.state }, element("span", { class: "dot" })),
          element("span", { class: "title" }, launch.modelName),
          element("span", { class: "state", "data-state": launch.state }, t.state[launch.state] ?? launch.state),
          element("small", {}, `${launch.launchId} · ${launch.host} · ${launch.traceId}`),
        );
        return element("li", {}, link);
      });
      this.notice([
        element("h2", {}, t.recent),
        items.length ? element("ul", { class: "choices" }, ...items) : t.noLaunches,
      ]);
    } catch (error) {
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) this.needToken(error.code);
      else this.notice([element("h2", {}, this.text.error), error.message]);
    }
  }

  needToken(code) {
    this.say("token-needed", { code });
    const t = this.text;
    const input = element("input", { type: "password", autocomplete: "off", "aria-label": t.tokenNeeded });
    this.notice([
      element("h2", {}, code === "token_expired" ? t.tokenExpired : code === "token_missing" ? t.tokenNeeded : t.tokenRefused),
      element("form", { onsubmit: (event) => { event.preventDefault(); this.token = input.value.trim(); } },
        input, element("button", { type: "submit" }, t.useToken)),
    ], this.log.empty);
  }

  tokenChanged() {
    if (!this.isConnected || !this.view) return;
    this.notice(null);
    if (this.stream) this.stream.retry();
    else this.open();
  }

  /** Show a message instead of the log (or, alone = false, above it). */
  notice(children, alone = true) {
    this.parts.notice.hidden = children === null;
    this.parts.scroller.hidden = children !== null && alone;
    this.parts.notice.replaceChildren(...(children ?? []));
  }

  // --- lines --------------------------------------------------------------------------------------------------------

  get tailIsHere() {
    const blocks = this.log.blocks;
    return blocks.length === 0 || blocks[blocks.length - 1].entries !== null;
  }

  arrived(data) {
    this.pending.push(...data.lines);
    for (const gap of data.gaps ?? []) this.say("gap", gap);
    if (!this.taking) {
      this.taking = requestAnimationFrame(() => {
        this.taking = 0;
        this.takePending();
      });
      // A page in the background gets no frames; its lines are taken in all the same.
      if (document.hidden) { cancelAnimationFrame(this.taking); this.taking = 0; this.takePending(); }
    }
  }

  takePending() {
    const lines = this.pending;
    this.pending = [];
    const wanted = this.launchId ? lines.filter((line) => line.source === this.launchId) : lines;
    const added = this.log.add(wanted);
    if (!added) return;
    if (!this.view.following) this.unseen += added;
    this.evict();
    this.showRows();
  }

  evict() {
    const near = this.view.visibleBlocks;
    for (const row of this.view.visibleRows()) if (row.entry) near.add(this.log.blockAt(row.entry.id));
    if (this.view.following || near.size === 0) near.add(this.log.blocks[this.log.blocks.length - 1]);
    this.log.evict(near, KEEP_LINES);
  }

  async loadHole(block, side) {
    if (block.loading || block.failed) return;
    block.loading = true;
    const atEnd = side === "end";
    try {
      const page = await this.api.get("/api/logs", {
        ...this.scope(),
        start: block.from,
        before: block.to,
        direction: atEnd ? "backward" : "forward",
        limit: BLOCK_LINES,
      });
      this.log.fill(block, page.lines, { more: page.more, atEnd });
      for (const gap of page.gaps ?? []) this.say("gap", gap);
      this.evict();
      this.showRows();
    } catch (error) {
      block.failed = error.message;
      block.loading = false;
      this.view.refresh();
    }
  }

  showRows() {
    if (!this.view) return;
    this.rows = buildRows(this.log, { fold: this.settings.fold, unfolded: this.unfolded });
    const last = this.log.total;
    this.parts.sizer.style.setProperty("--numbers", `${String(last ?? 9999).length}ch`);
    this.view.setRows(this.rows);
    this.showFollow();
  }

  renderRow(into, row) {
    if (row.type === ROW_HOLE) {
      into.className = "hole";
      const { block } = row;
      const label = element("span", {}, block.failed ? this.text.loadFailed : this.text.loading);
      if (block.failed) label.addEventListener("click", () => { block.failed = ""; this.view.refresh(); });
      into.replaceChildren(label);
      return;
    }
    const { entry } = row;
    const isEvent = entry.kind === "event";
    into.className = `row${isEvent ? " event" : ""}${row.continues ? " continues" : ""}${this.selected === row.key ? " selected" : ""}`;
    if (entry.level) into.dataset.level = entry.level;
    else delete into.dataset.level;
    const gutter = element("span", { class: "gutter" });
    gutter.append(element("span", { class: "number", title: row.entry.id }, row.number === null ? "" : String(row.number)));
    const shown = lineTime(entry.id, { mode: this.settings.times, zone: this.settings.zone, origin: this.origin });
    if (shown) gutter.append(element("span", { class: "time" }, shown));
    if (this.launches.length > 1) {
      const tag = element("span", { class: "tag", title: entry.source });
      tag.style.setProperty("--tag", this.tagOf(entry.source));
      gutter.append(tag);
    }
    const text = element("span", { class: "text" });
    this.fillText(text, row);
    into.replaceChildren(gutter, text);
    row.tall = false;
  }

  fillText(into, row) {
    const text = rowText(row);
    const limit = this.expanded.get(row.key) ?? TEXT_SHOWN;
    appendPieces(into, pieces(text.length > limit ? text.slice(0, limit) : text), this.searchPattern);
    if (text.length > limit) {
      into.append(element("button", { class: "more", type: "button", onclick: () => {
        this.expanded.set(row.key, limit * 8);
        this.view.refresh();
      } }, this.text.moreText(bytes(text.length - limit))));
    }
    if (row.folded && !row.open) {
      into.append(element("button", { class: "more", type: "button", onclick: () => {
        this.unfolded.add(row.key);
        this.showRows();
      } }, `▸ ${this.text.unfold(row.folded)}`));
    }
    if (row.redraws) into.append(element("span", { class: "chip" }, this.text.redraws(row.redraws)));
  }

  tagOf(source) {
    const index = this.launches.findIndex((launch) => launch.launchId === source);
    return index < 0 ? "var(--fg-faint)" : TAGS[index % TAGS.length];
  }

  get origin() {
    return this.launches[0]?.startedAt ?? this.log.first?.id;
  }

  // --- moving -------------------------------------------------------------------------------------------------------

  moved() {
    if (this.view?.following || (this.view?.atEnd && this.tailIsHere)) this.unseen = 0;
    if (this.parts) this.showJump();
  }

  async jumpTo(parameters, atEnd) {
    const page = await this.api.get("/api/logs", { ...this.scope(), limit: FIRST_PAGE, ...parameters });
    this.log.reset(page.lines, atEnd ? { before: page.more, after: false } : { before: false, after: page.more });
    this.showRows();
  }

  async toStart() {
    this.view.follow(false);
    if (this.log.blocks[0]?.entries === null) {
      const hole = this.log.blocks[0];
      if (hole.counts === null) await this.loadStart(hole);
    }
    this.view.virtualizer.scrollToOffset(0);
  }

  async loadStart(hole) {
    if (hole.loading) return;
    hole.loading = true;
    const page = await this.api.get("/api/logs", {
      ...this.scope(), start: hole.from, before: hole.to, direction: "forward", limit: BLOCK_LINES,
    });
    this.log.fill(hole, page.lines, { more: page.more, atEnd: false });
    this.showRows();
  }

  toEnd() {
    this.unseen = 0;
    this.view.follow(true);
    this.view.toEnd();
    this.showFollow();
  }

  async toFirstError() {
    const page = await this.api.get("/api/logs", {
      ...this.scope(), level: "error,critical", direction: "forward", limit: 1,
    });
    if (page.lines.length) await this.toLine(page.lines[0].id);
  }

  /** Show a line, wherever in the log it is. */
  async toLine(id) {
    this.view.follow(false);
    const target = this.log.blockAt(id);
    if (target && target.entries === null) {
      const around = { ...this.scope(), limit: BLOCK_LINES / 2 };
      const [before, after] = await Promise.all([
        this.api.get("/api/logs", { ...around, start: target.from, before: id, direction: "backward" }),
        this.api.get("/api/logs", { ...around, start: id, before: target.to, direction: "forward" }),
      ]);
      this.log.open(target, before, after);
      this.evict();
    }
    this.selected = id;
    this.showRows();
    this.view.scrollToKey(id);
    this.view.refresh();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = this.parts.scroller.clientHeight - ROW_PIXELS * 2;
    const actions = {
      j: () => this.view.scrollBy(ROW_PIXELS),
      k: () => this.view.scrollBy(-ROW_PIXELS),
      ArrowDown: () => this.view.scrollBy(ROW_PIXELS),
      ArrowUp: () => this.view.scrollBy(-ROW_PIXELS),
      PageDown: () => this.view.scrollBy(page),
      PageUp: () => this.view.scrollBy(-page),
      " ": () => this.view.scrollBy(event.shiftKey ? -page : page),
      g: () => this.toStart(),
      Home: () => this.toStart(),
      G: () => this.toEnd(),
      End: () => this.toEnd(),
      e: () => this.toFirstError(),
      w: () => this.toggle("wrap"),
      z: () => this.toggle("fold"),
      t: () => this.nextTimes(),
    };
    const act = actions[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  }

  // --- what is known of the launches --------------------------------------------------------------------------------

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
    this.showLaunches();
    if (before.size !== launches.length) this.view.refresh();
  }

  get currentLaunch() {
    return this.launches.find((launch) => launch.launchId === this.launchId) ?? this.launches[this.launches.length - 1];
  }

  showLaunches() {
    const { head, phases, cause } = this.parts;
    const launch = this.currentLaunch;
    const t = this.text;
    phases.hidden = cause.hidden = true;
    head.hidden = !launch;
    if (!launch) return;
    const facts = [launch.engine, launch.host, launch.port && `${t.port} ${launch.port}`, launch.env, launch.launchId];
    head.replaceChildren(
      element("span", { class: "state", "data-state": launch.state, role: "status" },
        element("span", { class: "dot" }), t.state[launch.state] ?? launch.state),
      element("span", { class: "title", title: launch.modelName }, launch.modelName),
      element("span", { class: "facts" }, ...facts.filter(Boolean).map((fact) => element("span", {}, String(fact)))),
    );
    if (launch.phases.length) {
      phases.hidden = false;
      phases.replaceChildren(...launch.phases.map((phase) => this.phaseElement(phase)));
    }
    const exit = launch.exit;
    if (exit && (exit.cause || launch.state === "failed" || launch.state === "crashed")) {
      cause.hidden = false;
      const how = [
        exit.exitCode !== undefined && `${t.exitCode} ${exit.exitCode}`,
        exit.signal && `${t.signal} ${exit.signal}`,
      ].filter(Boolean);
      cause.replaceChildren(
        element("b", {}, exit.cause || t.state[launch.state]),
        element("span", {}, how.join(", ")),
        element("span", { class: "hint" }, exit.hint ?? ""),
        element("button", { type: "button", onclick: () => this.toCause(exit) }, t.showLine),
      );
    }
  }

  async toCause(exit) {
    const evidence = (exit.evidence ?? []).map((line) => line.trim()).find(Boolean);
    if (evidence) {
      const found = await this.api.get("/api/logs", {
        ...this.scope(), q: evidence.slice(0, 300), case: true, direction: "forward", limit: 1,
      });
      const line = found.lines.find((each) => each.kind !== "event");
      if (line) { await this.toLine(line.id); return; }
    }
    await this.toFirstError();
  }

  phaseElement(phase) {
    const made = element("button", { class: "phase", type: "button", role: "listitem",
      title: `${phase.name} ${duration(phase.seconds)}`, onclick: () => this.toLine(`${phase.at}`) },
      `${phase.name} ${duration(phase.seconds)}`);
    made.style.flexGrow = String(Math.max(0.2, phase.seconds ?? 0));
    return made;
  }

  // --- what the foot says -------------------------------------------------------------------------------------------

  showLink() {
    const t = this.text;
    const state = this.lokiDown ? "loki" : this.link;
    const label = { live: t.live, connecting: t.connecting, lost: t.reconnecting, loki: t.lokiDown }[state];
    this.parts.link.dataset.link = state;
    this.parts.link.lastChild.textContent = label;
  }

  showFollow() {
    const t = this.text;
    const following = Boolean(this.view?.following);
    this.parts.follow.setAttribute("aria-pressed", String(following));
    this.parts.follow.textContent = following ? `● ${t.following}` : `○ ${t.follow}`;
    const total = this.log.total;
    this.parts.count.textContent = total === null ? "" : t.lines(total.toLocaleString());
    this.showJump();
  }

  showJump() {
    const show = !this.view?.following && this.unseen > 0;
    this.parts.jump.hidden = !show;
    if (show) this.parts.jump.textContent = `${this.text.newLines(this.unseen.toLocaleString())} ↓`;
  }
}

if (!customElements.get("tracetail-panel")) customElements.define("tracetail-panel", TracetailPanel);
