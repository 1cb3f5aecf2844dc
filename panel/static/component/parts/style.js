// The panel's styles. Colours and measures are custom properties, which the page around may set on the element
// (docs/embedding.md).

const CSS = String.raw`
:host {
  --bg: var(--tracetail-background, #fcfcfb);
  --bg-raised: var(--tracetail-background-raised, #f4f4f2);
  --bg-hover: var(--tracetail-background-hover, #f0f1f3);
  --fg: var(--tracetail-text, #24292f);
  --fg-quiet: var(--tracetail-text-quiet, #59616a);
  --fg-faint: var(--tracetail-text-faint, #5f6872);
  --line: var(--tracetail-border, #e3e4e1);
  --accent: var(--tracetail-accent, #2a6694);
  --accent-soft: var(--tracetail-accent-soft, #e6f0f7);
  --ok: var(--tracetail-ok, #28724a);
  --warn: var(--tracetail-warning, #7d5800);
  --warn-soft: var(--tracetail-warning-soft, #fdf6e3);
  --bad: var(--tracetail-error, #b3372f);
  --bad-soft: var(--tracetail-error-soft, #fcf0ee);
  --mark: var(--tracetail-match, #ffe58a);
  --mark-now: var(--tracetail-match-current, #ffb454);
  --bar-info: #b9c7d3;
  --bar-warn: #dcb45a;
  --bar-debug: #d9dcdf;
  --font: var(--tracetail-font, system-ui, -apple-system, "Segoe UI", "PingFang SC", "Noto Sans CJK SC", sans-serif);
  --mono: var(--tracetail-font-mono, ui-monospace, "SF Mono", "Cascadia Mono", "JetBrains Mono", Menlo, Consolas,
    "DejaVu Sans Mono", "Noto Sans Mono CJK SC", monospace);
  --size: var(--tracetail-font-size, 12.5px);
  --row: var(--tracetail-row-height, 20px);
  display: block;
  height: 100%;
  min-height: 220px;
  background: var(--bg);
  color-scheme: light;
  overflow: hidden;
  contain: content;
}
:host([data-theme="dark"]) {
  --bg: var(--tracetail-background, #15181c);
  --bg-raised: var(--tracetail-background-raised, #1c2025);
  --bg-hover: var(--tracetail-background-hover, #20252b);
  --fg: var(--tracetail-text, #d3d8de);
  --fg-quiet: var(--tracetail-text-quiet, #98a1ab);
  --fg-faint: var(--tracetail-text-faint, #8f99a4);
  --line: var(--tracetail-border, #2a2f36);
  --accent: var(--tracetail-accent, #74aeda);
  --accent-soft: var(--tracetail-accent-soft, #1d2b37);
  --ok: var(--tracetail-ok, #69b684);
  --warn: var(--tracetail-warning, #d6ab55);
  --warn-soft: var(--tracetail-warning-soft, #262115);
  --bad: var(--tracetail-error, #ec8a80);
  --bad-soft: var(--tracetail-error-soft, #2b1b1b);
  --mark: var(--tracetail-match, #5b4a12);
  --mark-now: var(--tracetail-match-current, #7a4e0e);
  --bar-info: #44525f;
  --bar-warn: #a8853a;
  --bar-debug: #333a42;
  color-scheme: dark;
}
:host([hidden]) { display: none; }
* { box-sizing: border-box; }
button, input, select {
  font: inherit; color: inherit; background: none; border: 1px solid transparent; border-radius: 5px; margin: 0;
}
button { padding: 2px 7px; cursor: pointer; line-height: 20px; white-space: nowrap; }
button:hover:not(:disabled) { background: var(--bg-hover); }
button:disabled { opacity: .45; cursor: default; }
button[aria-pressed="true"] { background: var(--accent-soft); color: var(--accent); }
:focus { outline: none; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; }
/* What is inherited does not stop at a shadow root: here it does, but what hides the element or bars it from the mouse. */
.panel {
  all: initial; direction: ltr; visibility: inherit; pointer-events: inherit; color-scheme: inherit; box-sizing: border-box;
  user-select: text; -webkit-user-select: text; font: 13px/1.45 var(--font); color: var(--fg);
  display: flex; flex-direction: column; height: 100%; min-width: 0; position: relative;
}

.head { display: flex; align-items: center; gap: 8px 12px; padding: 7px 10px 6px; flex-wrap: wrap; min-width: 0; }
.home { color: var(--fg-quiet); text-decoration: none; font-size: 18px; line-height: 1; padding: 0 4px; }
.home:hover { color: var(--accent); }
.state { display: inline-flex; align-items: center; gap: 6px; font-weight: 600; white-space: nowrap; }
.dot { width: 9px; height: 9px; border-radius: 50%; background: var(--fg-faint); flex: none; }
.state[data-state="ready"] .dot { background: var(--ok); }
.state[data-state="ready"] { color: var(--ok); }
.state[data-state="unhealthy"] .dot, .state[data-state="failed"] .dot, .state[data-state="crashed"] .dot { background: var(--bad); border-radius: 2px; }
.state[data-state="unhealthy"], .state[data-state="failed"], .state[data-state="crashed"] { color: var(--bad); }
.state[data-state="starting"] .dot, .state[data-state="stopping"] .dot {
  background: var(--accent); animation: breathe 1.6s ease-in-out infinite;
}
.state[data-state="lost"] { color: var(--warn); }
.state[data-state="lost"] .dot { background: none; border: 2px solid var(--warn); }
@keyframes breathe { 50% { opacity: .25; } }
@media (prefers-reduced-motion: reduce) { .dot { animation: none !important; } }
.title { font-weight: 600; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; min-width: 0; }
.facts { flex: 1 1 24ch; color: var(--fg-quiet); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; min-width: 0; }
.facts span + span::before { content: "\00b7"; margin: 0 6px; color: var(--fg-faint); }
.command-button, .history-button { color: var(--accent); padding: 0 5px; }
.command { margin: 0 10px 6px; padding: 4px 8px; max-height: 7.5em; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; flex: none; }
.spacer { flex: 1 1 0; }
.link { display: inline-flex; align-items: center; gap: 5px; color: var(--fg-quiet); white-space: nowrap; font-size: 12px; }
.link .dot { width: 6px; height: 6px; }
.link[data-link="ended"] .dot { background: var(--fg-faint); }
.link[data-link="live"] .dot { background: var(--ok); }
.link[data-link="lost"] .dot, .link[data-link="loki"] .dot, .link[data-link="silent"] .dot { background: var(--warn); }

.phases { display: flex; height: 18px; margin: 0 10px 7px; padding: 0; border-radius: 4px; overflow: hidden; gap: 1px; list-style: none; }
.phase { flex: 1 1 0; min-width: 3px; background: var(--accent-soft); color: var(--fg-quiet); container-type: inline-size; }
.phase button {
  display: block; width: 100%; height: 18px; font-size: 11px; line-height: 18px; padding: 0 5px; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; text-align: left; border-radius: 0; border: 0;
}
@container (max-width: 34px) { .phase button { text-indent: -999px; text-overflow: clip; padding: 0; } }
.phase:nth-child(even) { background: color-mix(in srgb, var(--accent-soft) 60%, var(--bg-raised)); }
.phase.running { background: color-mix(in srgb, var(--accent) 22%, var(--bg)); color: var(--fg); }
.phase.failed { background: var(--bad-soft); color: var(--bad); }

.cause {
  display: flex; align-items: baseline; gap: 4px 10px; flex-wrap: wrap; padding: 7px 10px; background: var(--bad-soft);
  border-top: 1px solid var(--line); border-left: 3px solid var(--bad);
}
.caveat { padding: 4px 10px; color: var(--warn); background: var(--warn-soft); border-bottom: 1px solid var(--line); }
.cause b { color: var(--bad); font-weight: 600; }
.cause .hint, .cause .code { color: var(--fg-quiet); }
.cause .evidence { flex: 1 0 100%; font: var(--size)/1.4 var(--mono); color: var(--bad); white-space: pre-wrap;
  overflow-wrap: anywhere; display: -webkit-box; -webkit-line-clamp: 3; -webkit-box-orient: vertical; overflow: hidden; }
.cause .ways { display: inline-flex; flex-wrap: wrap; gap: 2px; }
.cause button { color: var(--accent); padding: 0 5px; }
.cause .before { flex: 1 0 100%; color: var(--fg-quiet); }
.more-tools { display: none; }

.tools {
  display: flex; align-items: center; gap: 4px; padding: 4px 8px; border-top: 1px solid var(--line);
  background: var(--bg-raised); min-width: 0; flex-wrap: wrap;
}
.tools .group { display: inline-flex; gap: 1px; align-items: center; }
.tools svg { width: 15px; height: 15px; vertical-align: -3px; fill: none; stroke: currentColor; stroke-width: 1.5;
  stroke-linecap: round; stroke-linejoin: round; }
.icon { padding: 2px 5px; color: var(--fg-quiet); }
.icon.word { font-size: 12px; }

.launches { display: flex; gap: 4px; padding: 0 8px 6px; overflow-x: auto; scrollbar-width: thin; }
.launches button { font-size: 12px; display: inline-flex; align-items: center; gap: 5px; border-color: var(--line); flex: none; }
.launches .tag { width: 8px; height: 8px; margin: 0; }
.histogram { position: relative; margin: 0 10px 3px; flex: none; }
.histogram-bars { position: relative; height: 45px; cursor: crosshair; touch-action: none; overflow: hidden; }
.histogram canvas { width: 100%; height: 30px; display: block; border-bottom: 1px solid var(--line); }
.axis { position: absolute; left: 0; right: 0; top: 31px; height: 14px; color: var(--fg-faint); font-size: 10.5px; line-height: 14px; }
.axis span { position: absolute; padding-left: 3px; border-left: 1px solid var(--line); white-space: nowrap; font-variant-numeric: tabular-nums; }
.peak { position: absolute; right: 2px; top: -2px; color: var(--fg-faint); font-size: 10.5px; line-height: 14px; pointer-events: none;
  background: color-mix(in srgb, var(--bg) 80%, transparent); padding: 0 3px; border-radius: 3px; }
.whole { position: absolute; left: 2px; top: 0; font-size: 11px; line-height: 16px; padding: 0 6px; color: var(--accent);
  background: var(--bg); border-color: var(--line); }
.brush { position: absolute; top: 0; height: 30px; background: color-mix(in srgb, var(--accent) 35%, transparent); pointer-events: none; }
.range { position: absolute; top: 0; height: 30px; background: color-mix(in srgb, var(--accent) 18%, transparent);
  border-left: 1px solid var(--accent); border-right: 1px solid var(--accent); pointer-events: none; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 4px 18px; padding: 4px 10px 6px; flex: none; }
.chart { margin: 0; min-width: 0; }
.chart canvas { width: 100%; height: 56px; display: block; border-bottom: 1px solid var(--line); cursor: crosshair; }
.chart figcaption { font-size: 11.5px; color: var(--fg-quiet); display: flex; gap: 12px; white-space: nowrap; overflow: hidden; }
.key i { display: inline-block; width: 9px; height: 2px; margin: 0 5px 3px 0; background: var(--accent); }
.key-1 i { background: var(--fg-faint); }
.key b { font-weight: 600; color: var(--fg); font-variant-numeric: tabular-nums; }
.search { width: clamp(110px, 24cqi, 300px); padding: 2px 8px; border-color: var(--line); background: var(--bg); min-width: 0; }
.searching { min-width: 0; }
.result { color: var(--fg-quiet); font-size: 12px; padding: 0 4px; white-space: nowrap; font-variant-numeric: tabular-nums; }
select { border-color: var(--line); background: var(--bg); padding: 2px 4px; font-size: 12px; max-width: 150px; height: 26px; }
.goto { position: absolute; top: 8px; left: 50%; transform: translateX(-50%); z-index: 5; background: var(--bg-raised);
  border: 1px solid var(--line); border-radius: 8px; box-shadow: 0 6px 24px rgb(0 0 0 / .2); padding: 8px; width: min(420px, 92%); }
.goto input { width: 100%; border-color: var(--line); padding: 4px 8px; background: var(--bg); }
.goto small { color: var(--bad); }
.help { position: absolute; inset: 0; margin: auto; width: min(480px, 94%); height: fit-content; max-height: 92%; overflow: auto;
  background: var(--bg); border: 1px solid var(--line); border-radius: 10px; box-shadow: 0 12px 48px rgb(0 0 0 / .28);
  padding: 16px 20px; z-index: 6; overscroll-behavior: contain; }
.help h2 { font-size: 15px; margin: 0 0 8px; }
.help table { border-collapse: collapse; width: 100%; margin-bottom: 10px; }
.help th { text-align: left; font-weight: 400; padding: 2px 14px 2px 0; white-space: nowrap; }
.help button { border-color: var(--line); }
kbd { font: 11.5px var(--mono); border: 1px solid var(--line); border-bottom-width: 2px; border-radius: 4px; padding: 0 5px; margin-right: 4px;
  background: var(--bg-raised); }
.errors { width: min(860px, 94%); }
.errors ol { list-style: none; margin: 0 0 10px; padding: 0; }
.errors li button { display: flex; gap: 10px; width: 100%; border: 0; text-align: left; align-items: baseline; padding: 4px 6px; }
.errors .count { flex: none; min-width: 5ch; text-align: right; font-variant-numeric: tabular-nums; }
.errors .what { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font: 12px/18px var(--mono); }
.errors .when { flex: none; color: var(--fg-faint); font-variant-numeric: tabular-nums; }
.errors .consequence .what { color: var(--fg-faint); }
.comparison { width: min(900px, 96%); }
.comparison p { margin: 0 0 8px; color: var(--fg-quiet); }
.comparison td, .comparison th { vertical-align: top; padding: 3px 14px 3px 0; border-bottom: 1px solid var(--line); text-align: left; }
.comparison td { overflow-wrap: anywhere; font: 12px/1.5 var(--mono); }
.comparison thead th { font-weight: 600; }
.comparison thead small { display: block; font-weight: 400; color: var(--fg-faint); }
.comparison .part { font-weight: 600; padding-top: 10px; }
.comparison .ways { display: flex; gap: 8px; }
.starts { width: min(1000px, 96%); }
.starts p { margin: 0 0 8px; color: var(--fg-quiet); }
.starts .legend { display: flex; flex-wrap: wrap; gap: 2px 14px; list-style: none; margin: 0 0 8px; padding: 0; font-size: 12px; }
.starts .legend li { display: flex; align-items: center; gap: 5px; }
.starts .legend .tag { width: 10px; height: 10px; margin: 0; }
.plot { position: relative; display: flex; gap: 3px; height: 210px; padding-top: 18px; margin-bottom: 10px; }
.plot .top { position: absolute; top: 0; left: 0; font-size: 11px; color: var(--fg-faint); }
.column { flex: 1 1 0; min-width: 6px; max-width: 64px; display: flex; flex-direction: column; }
.column .bar { flex: 1 1 0; min-height: 0; display: flex; flex-direction: column; justify-content: flex-end; border-bottom: 1px solid var(--line); }
.column .part { display: block; flex: none; background: var(--fg-faint); }
.column .part.failed { background: var(--bad); min-height: 2px; }
.column .mark { height: 16px; text-align: center; font-size: 12px; line-height: 16px; }
.starts .mark, .starts .slower { color: var(--bad); }
.column .version { height: 16px; font-size: 11px; line-height: 16px; color: var(--fg-quiet); white-space: nowrap; }
.starts .numbers { overflow-x: auto; }
.starts .numbers th, .starts .numbers td { padding: 3px 14px 3px 0; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.starts .numbers thead th::first-letter { text-transform: uppercase; }
.starts a { color: var(--accent); }
.menu { position: absolute; right: 8px; z-index: 5; background: var(--bg); border: 1px solid var(--line); border-radius: 8px;
  box-shadow: 0 6px 24px rgb(0 0 0 / .2); padding: 4px; display: flex; flex-direction: column; }
.menu button { text-align: left; }
.selection { display: inline-flex; gap: 2px; align-items: center; }
.selection button { color: var(--accent); }
.scroller {
  flex: 1 1 0; min-height: 0; overflow: auto; position: relative; overscroll-behavior: contain; overflow-anchor: none;
  border-top: 1px solid var(--line); background: var(--bg); font: var(--size)/var(--row) var(--mono); tab-size: 8;
  scrollbar-width: thin; scrollbar-color: color-mix(in srgb, var(--fg-faint) 55%, transparent) transparent;
}
.sizer { position: relative; width: max-content; min-width: 100%; }
.wrap .sizer { width: 100%; }
.row {
  position: absolute; top: 0; left: 0; min-width: 100%; width: max-content; min-height: var(--row); display: flex;
  border-left: 3px solid transparent; contain: layout style;
}
.wrap .row { width: 100%; }
.row:hover { background: var(--bg-hover); }
.row[data-level="warning"] { border-left-color: var(--warn); }
.row[data-level="warning"] .text { color: var(--warn); }
.row[data-level="error"], .row[data-level="critical"] { border-left-color: var(--bad); background: var(--bad-soft); }
.row[data-level="error"] .text, .row[data-level="critical"] .text { color: var(--bad); }
.row[data-level="debug"] .text { color: var(--fg-quiet); }
.row.event { background: var(--bg-raised); }
.row.event .text { color: var(--accent); font-family: var(--font); font-size: 12px; }
.row.event[data-level="error"] .text, .row.event.bad .text { color: var(--bad); }
.row.selected { background: var(--accent-soft); }
.row.gap { background: var(--warn-soft); border-left-color: var(--warn); }
.row.gap .text { color: var(--warn); font-family: var(--font); }
.row.cursor { box-shadow: inset 0 0 0 1px var(--accent); }
.gutter {
  position: sticky; left: 0; z-index: 1; display: flex; flex: none; background: inherit; color: var(--fg-faint);
  user-select: none; -webkit-user-select: none;
}
.row:not(.event):not(.selected):not(:hover):not([data-level="error"]):not([data-level="critical"]) .gutter {
  background: var(--bg);
}
.number {
  text-align: right; padding: 0 8px 0 6px; cursor: pointer; min-width: 34px; flex: none; width: var(--numbers, 5ch);
  box-sizing: content-box; font-variant-numeric: tabular-nums;
}
.number:hover { color: var(--accent); }
.time { padding-right: 10px; white-space: pre; flex: none; font-variant-numeric: tabular-nums; }
.tag { width: 4px; margin: 3px 8px 3px 0; border-radius: 2px; flex: none; background: var(--tag, transparent); }
.text { white-space: pre; flex: 1 1 auto; padding-right: 14px; min-width: 0; unicode-bidi: isolate; direction: ltr; }
.wrap .text { white-space: pre-wrap; overflow-wrap: anywhere; }
.continues .text { padding-left: 1.5ch; }
.request { color: inherit; font: inherit; padding: 0; border: 0; background: none; cursor: pointer; text-decoration: underline dotted; text-underline-offset: 3px; }
.request:hover { color: var(--accent); text-decoration: underline; }
.request-filter { max-width: 340px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.more { color: var(--accent); font: 12px/18px var(--font); padding: 0 6px; margin-left: 8px; border: 0; }
.chip { color: var(--fg-faint); font: 11px/16px var(--font); margin-left: 8px; padding: 1px 6px; border-radius: 8px;
  background: var(--bg-raised); user-select: none; }
mark { background: var(--mark); color: var(--fg); border-radius: 2px; }
.cursor mark { background: var(--mark-now); }
.hole {
  position: absolute; left: 0; right: 0; top: 0; color: var(--fg-faint); font: 12px/20px var(--font); padding: 0 12px;
  background: repeating-linear-gradient(0deg, transparent 0 calc(var(--row) - 1px),
    color-mix(in srgb, var(--line) 50%, transparent) calc(var(--row) - 1px) var(--row));
  overflow: hidden;
}
.hole span { position: sticky; top: 4px; }
.gap { position: absolute; left: 0; right: 0; top: 0; color: var(--warn); font: 12px/20px var(--font); padding: 0 12px;
  border-left: 3px solid var(--warn); background: var(--warn-soft); }

.hidden-character { font-size: .82em; color: var(--warn); border: 1px solid var(--line); border-radius: 3px; padding: 0 1px; }
.ansi-bold { font-weight: 600; } .ansi-dim { opacity: .7; } .ansi-italic { font-style: italic; }
.ansi-underline { text-decoration: underline; } .ansi-strike { text-decoration: line-through; }
.ansi-inverse { filter: invert(1); background: var(--bg); }
.ansi-fg-black { color: #57606a; } .ansi-fg-red { color: #b3372f; } .ansi-fg-green { color: #28724a; }
.ansi-fg-yellow { color: #7d5800; } .ansi-fg-blue { color: #2a6694; } .ansi-fg-magenta { color: #8a4a8f; }
.ansi-fg-cyan { color: #1a6d73; } .ansi-fg-white { color: #57606a; }
.ansi-fg-bright-black { color: #5f6872; } .ansi-fg-bright-red { color: #b5433a; } .ansi-fg-bright-green { color: #2c7549; }
.ansi-fg-bright-yellow { color: #7d5a08; } .ansi-fg-bright-blue { color: #2f6b9d; }
.ansi-fg-bright-magenta { color: #93519a; } .ansi-fg-bright-cyan { color: #1b7177; } .ansi-fg-bright-white { color: #32383f; }
:host([data-theme="dark"]) .ansi-fg-black { color: #8b949e; } :host([data-theme="dark"]) .ansi-fg-red { color: #ec8a80; }
:host([data-theme="dark"]) .ansi-fg-green { color: #69b684; } :host([data-theme="dark"]) .ansi-fg-yellow { color: #d6ab55; }
:host([data-theme="dark"]) .ansi-fg-blue { color: #74aeda; } :host([data-theme="dark"]) .ansi-fg-magenta { color: #c79ad0; }
:host([data-theme="dark"]) .ansi-fg-cyan { color: #6bbcc2; } :host([data-theme="dark"]) .ansi-fg-white { color: #d3d8de; }
:host([data-theme="dark"]) [class*="ansi-fg-bright-"] { filter: brightness(1.25); }
.ansi-bg-black { background: #d0d7de; } .ansi-bg-red { background: #f6d5d2; } .ansi-bg-green { background: #d2ecd9; }
.ansi-bg-yellow { background: #f3e6c0; } .ansi-bg-blue { background: #d3e5f3; } .ansi-bg-magenta { background: #ecdcee; }
.ansi-bg-cyan { background: #d0ecee; } .ansi-bg-white { background: #eaeef2; }
:host([data-theme="dark"]) [class*="ansi-bg-"] { filter: brightness(.5); }

.foot {
  display: flex; align-items: center; gap: 10px; padding: 3px 10px; border-top: 1px solid var(--line); min-height: 28px;
  background: var(--bg-raised); color: var(--fg-quiet); font-size: 12px; min-width: 0; white-space: nowrap;
}
.foot button { color: var(--fg-quiet); }
.foot .follow[aria-pressed="true"] { color: var(--ok); background: none; }
.jump {
  position: absolute; left: 50%; transform: translateX(-50%); bottom: 40px; background: var(--accent); color: var(--bg);
  border-radius: 14px; padding: 3px 14px; box-shadow: 0 2px 10px rgb(0 0 0 / .22); z-index: 3; font-size: 12.5px;
}
.jump:hover:not(:disabled) { background: color-mix(in srgb, var(--accent) 85%, var(--fg)); }
.notice { padding: 24px; color: var(--fg-quiet); width: min(72ch, 100%); margin: 0 auto; overflow: auto; }
.bare .notice { flex: 1 1 0; }
.bare .tools, .bare .count, .bare .follow { visibility: hidden; height: 0; min-height: 0; padding: 0; border: 0; overflow: hidden; }
.notice p { margin: 0 0 6px; } .notice ul { margin: 0; padding-left: 18px; }
code { font: 12px var(--mono); background: var(--bg-raised); border-radius: 4px; padding: 1px 4px; color: var(--fg); }
.notice h2 { font-size: 14px; color: var(--fg); margin: 0 0 10px; }
.notice .way-out { margin-top: 10px; } .notice .way-out a { color: var(--accent); }
.notice form { display: flex; gap: 6px; margin-top: 10px; }
.notice input { border-color: var(--line); padding: 3px 8px; flex: 1; min-width: 0; background: var(--bg); }
.notice:has(.list) { width: min(1400px, 100%); padding: 16px 14px; }
.list { border-collapse: collapse; width: 100%; }
.list th { text-align: left; font-weight: 500; font-size: 12px; color: var(--fg-quiet); }
.list th, .list td { padding: 5px 12px 5px 6px; vertical-align: top; border-bottom: 1px solid var(--line); }
.list tbody tr:hover { background: var(--bg-hover); }
.list .title { max-width: 32ch; overflow: visible; white-space: normal; overflow-wrap: anywhere; }
.list .title a { color: var(--fg); text-decoration: none; }
.list .title a:hover { color: var(--accent); text-decoration: underline; }
.list small { display: block; font-weight: 400; color: var(--fg-faint); white-space: nowrap; }
.list .same-trace .title small { display: none; }
.list .when, .list .host { white-space: nowrap; font-variant-numeric: tabular-nums; }
.list .why { color: var(--bad); min-width: 24ch; max-width: 60ch; overflow-wrap: anywhere; }
.list .history-button { display: block; padding: 0; font-size: 12px; line-height: 18px; }
.list .before { white-space: normal; color: var(--fg-quiet); }
.list .before a { color: var(--accent); }
.list .before button { color: var(--accent); padding: 0 4px; }
.filters { display: flex; gap: 6px; flex-wrap: wrap; margin-bottom: 10px; }
.filters .find { flex: 0 1 320px; }
.filters .language { margin-left: auto; }
.between { display: inline-flex; gap: 4px; align-items: center; }
.notice .between input { flex: none; }
.further { border-color: var(--line); margin-top: 10px; }
@container (max-width: 760px) {
  .list thead { display: none; }
  .list, .list tbody { display: block; }
  .list tr { display: flex; flex-wrap: wrap; gap: 2px 12px; padding: 7px 4px; border-bottom: 1px solid var(--line); }
  .list td { padding: 0; border: 0; }
  .list .title, .list .why { flex: 1 0 100%; max-width: none; }
  .list td:empty { display: none; }
}
:is(.narrow, .low) .more-tools { display: inline-block; }
:is(.narrow, .low) .further-tools { display: none; }
:is(.narrow, .low) .tools.open .further-tools { display: inline-flex; flex-wrap: wrap; }
.narrow .time { width: 8ch; overflow: hidden; padding-right: 0; margin-right: 6px; }
.narrow .cause .evidence { -webkit-line-clamp: 2; }
.narrow .foot .heard { display: none; }
.narrow .cause button { padding: 0 3px; }
.narrow .cause .code, .low .cause .code, .low .phases, .low .axis, .low .peak { display: none; }
.low .histogram-bars { height: 31px; }
.low .head { padding: 4px 10px 3px; }
.low .cause { padding: 4px 10px; gap: 0 10px; }
.low .cause .evidence { -webkit-line-clamp: 1; }
.low .cause .before { flex: 0 1 auto; }
[hidden] { display: none !important; }
@container (max-width: 620px) {
  .head { padding: 6px 8px 5px; gap: 2px 8px; }
  .title { flex: 1 1 0; }
  .facts { flex-basis: 100%; order: 5; font-size: 12px; }
  .tools { padding: 4px 5px; gap: 2px; }
  .tools .spacer { display: none; }
  .searching { flex: 1 1 100%; }
  .search { flex: 1 1 0; width: auto; min-width: 60px; }
  .histogram, .phases { margin-left: 6px; margin-right: 6px; }
  .cause { padding: 6px 8px; }
  .foot { padding: 3px 6px; gap: 4px; overflow: hidden; }
  .number { padding: 0 5px 0 2px; min-width: 20px; }
  .time { padding-right: 6px; font-size: 11px; }
  select { max-width: 104px; }
  .charts { display: flex; overflow-x: auto; gap: 12px; scrollbar-width: thin; }
  .chart { flex: 0 0 200px; }
}
.panel { container-type: inline-size; }
`;

/** @type {CSSStyleSheet | null} */
let sheet = null;

/** The stylesheet, made once for all panels of a page; constructed, so that no Content-Security-Policy forbids it. */
export function stylesheet() {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  return sheet;
}
