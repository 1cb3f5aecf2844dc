// The texts of the panel, in English and Chinese. `code` in a text is shown as code.

/** @import { EventFields } from "./log/events.js" */
/** @import { Exit } from "./types.js" */

/** @typedef {(fields: EventFields, phase: string) => string} Sentence phase: the name of one, in the language */
/** @typedef {(exit: Exit) => { cause: string, hint: string }} ExitText */

const ENGLISH = {
  // Where the reader is in the log
  following: "Following",
  follow: "Follow",
  newLines: (/** @type {string} */ n) => `${n} new ${n === "1" ? "line" : "lines"}`,
  lines: (/** @type {string} */ n) => `${n} ${n === "1" ? "line" : "lines"}`,
  live: "Live",
  ended: "Ended",
  atEnd: "At the end",
  toEnd: "To the end",
  connecting: "Connecting…",
  reconnecting: "Connection lost. Trying again…",
  lokiDown: "Loki does not answer. The panel keeps trying; no line is lost.",

  // In place of the log
  empty: (/** @type {string} */ trace) => `No lines yet of trace ${trace}`,
  emptyMeans: "Lines appear here as soon as the server prints them. If there should be some by now:",
  emptyChecks: [
    "Is this the traceId that the server was started with? `tracetail ps` on its machine shows it.",
    "Is the agent running there, and does it reach Loki? `tracetail doctor` checks both.",
    "Does the panel read from the Loki that the agent writes to? [loki] url sets it for both.",
  ],
  nothingMatches: "No line matches.",
  recent: "Recent launches",
  noLaunches: "No launches in the last two days. `tracetail start` starts one.",
  noLaunchMatches: "No launch of the last two days matches.",
  findLaunch: "Model, host, cause, trace, launch …",
  moreLaunches: "Show older launches",
  stateColumn: "State",
  model: "Model",
  engine: "Engine",
  host: "Host",
  env: "Environment",
  startedAt: "Started",
  cause: "Cause",
  causeCode: "Code of the cause, for counting and routing",
  exitText: /** @type {ExitText} */ ((exit) => ({ cause: exit.cause ?? "", hint: exit.hint ?? "" })),
  any: "any",
  tokenNeeded: "A token is needed to read this log.",
  tokenMeans: "The page around the panel normally provides it. To make one by hand: `tracetail token --trace-id …`",
  tokenExpired: "The token has expired.",
  tokenRefused: "The token was refused.",
  useToken: "Use this token",
  error: "The log cannot be read now. Trying again…",
  noMetadata:
    "This Loki keeps no structured metadata: there are no states, levels, processes and filters, and the pieces of long lines are not joined.",

  unknownParameters: (/** @type {string} */ names) => `The address has parameters that the panel does not know: ${names}`,

  // Launches
  launch: "Launch",
  allLaunches: "All launches",
  showLine: "Show the line",
  previousError: "Previous error",
  nextError: "Next error",
  noError: "There is no error",
  pastLastError: "Past the last error: the first one",
  pastFirstError: "Past the first error: the last one",
  copyTicket: "Copy for a ticket",
  afterPhase: (/** @type {string} */ phase) => `after “${phase}”`,
  trace: "trace",
  lasted: "Lasted",
  phases: "Start-up phases",
  /** Names of phases, where they read better in other words. */
  phaseNames: /** @type {Record<string, string>} */ ({}),
  state: {
    starting: "Starting",
    ready: "Ready",
    unhealthy: "Unhealthy",
    stopping: "Stopping",
    stopped: "Stopped",
    failed: "Failed",
    crashed: "Crashed",
    unknown: "Unknown",
  },
  port: "port",
  readyIn: "ready in",
  exitCode: "exit status",
  signal: "signal",

  /** What each event means, from its fields. */
  events: {
    started: /** @type {Sentence} */ ((f) =>
      `Started${f.part(" ", ["model", "service"])}${f.part(" with ", "engine")}${f.part(" on ", "host")}${f.part(", port ", "port")}${f.part(", pid ", "pid")}`),
    phase: /** @type {Sentence} */ ((f, phase) => `Phase “${phase}”: ${f.duration}`),
    ready: /** @type {Sentence} */ ((f) => `Ready after ${f.duration}${f.part(" at ", "url")}`),
    unhealthy: /** @type {Sentence} */ ((f) => `No longer answers as it should${f.part(": ", "cause")}`),
    recovered: /** @type {Sentence} */ ((f) => `Answers again, after ${f.duration}`),
    failed: /** @type {Sentence} */ ((f) =>
      `Failed to start after ${f.duration}${f.part(": ", "cause")}${f.part(" (exit status ", "exitCode", ")")}${f.part(" (signal ", "signal", ")")}`),
    stopping: /** @type {Sentence} */ ((f) => `Stopping${f.part(": ", "reason")}${f.part(" by ", "user")}${f.part(": ", "command")}`),
    exited: /** @type {Sentence} */ ((f) =>
      `Ended after ${f.duration}, ${f.get("state")}${f.part(": ", "cause")}${f.part(" (exit status ", "exitCode", ")")}${f.part(" (signal ", "signal", ")")}`),
    adopted: /** @type {Sentence} */ ((f) => `Another keeper took over${f.part(" (pid ", "keeperPid", ")")}`),
    rotated: /** @type {Sentence} */ ((f) => `The log continues in ${f.get("next")}`),
    dropped: /** @type {Sentence} */ ((f) =>
      `${f.get("lines")} lines were not kept${f.part(": ", "reason")}`),
    refused: /** @type {Sentence} */ ((f) => `Not started${f.part(": ", "cause")}`),
    restarted: /** @type {Sentence} */ ((f) => `Started again as ${f.get("launchId")}${f.part(", attempt ", "attempt")}`),
    receipt: /** @type {Sentence} */ ((f) => {
      const rejected = f.get("rejected");
      return `Loki has ${rejected && rejected !== "0" ? `the log but for ${rejected} lines that it refused` : `all ${f.get("lines")} lines`} (${f.size("bytes")})`;
    }),
    reported: /** @type {Sentence} */ ((f) => `Reported by callback: ${f.part("", ["state", "event"])}${f.part(", ", "cause")}`),
    gap: /** @type {Sentence} */ ((f) =>
      `Bytes ${f.get("from")} to ${f.get("to")} of ${f.get("file")} could not be read${f.part(": ", "reason")}`),
  },

  // Charts
  histogram: "Lines over time, by level",
  generation: "Generated tokens/s",
  prompt: "Prompt tokens/s",
  running: "Running",
  waiting: "Waiting",
  cache: "KV cache %",

  // Search and filters
  search: "Search the whole log",
  regex: "Regular expression",
  matchCase: "Match case",
  onlyMatches: "Show only the lines that match",
  searching: "…",
  noMatch: "no match",
  matches: (/** @type {string} */ n, /** @type {string} */ of) => `${n} / ${of}`,
  nextMatch: "Next match",
  previousMatch: "Previous match",
  level: "Level",
  allLevels: "All levels",
  levels: { info: "info", warning: "warning", error: "error" },
  process: "Process",
  allProcesses: "All processes",

  // Buttons
  toolbar: "Tools",
  start: "Start",
  end: "End",
  firstError: "First error",
  gotoTime: "Go to a line or a time",
  wrap: "Wrap lines",
  fold: "Fold continuation lines",
  charts: "Throughput",
  times: "Times: absolute, since the start, off",
  zone: "Time zone: local, UTC",
  download: "Download",
  downloadText: "Text",
  downloadJson: "JSON lines",
  theme: "Light or dark",
  help: "Keyboard shortcuts",
  language: "中文",
  close: "Close",
  goto: "Go to: line number, time (13:05:00) or seconds since the start (+90)",
  gotoUnknown: "There is no such place",

  // The log
  log: "Log",
  loading: "Loading…",
  loadFailed: "Could not load these lines. Retry",
  moreText: (/** @type {string} */ size) => `… ${size} more. Show`,
  unfold: (/** @type {number} */ n) => `${n} more ${n === 1 ? "line" : "lines"}`,
  redraws: (/** @type {number} */ n) => `${n} ${n === 1 ? "redraw" : "redraws"}`,
  gapCrowded: "More lines at this nanosecond than Loki returns; some are not shown.",
  copyLines: "Copy",
  copyLink: "Copy link",
  copied: "Copied",
  copyFailed: "The browser did not allow copying",

  keys: [
    ["j k ↓ ↑", "one line"],
    ["Space PgDn PgUp", "one page"],
    ["g Home", "the start"],
    ["G End f", "the end, following"],
    ["e E", "the next error, the previous error"],
    ["/", "search"],
    ["n N", "next match, previous match"],
    [":", "go to a line or a time"],
    ["1 2 3 4", "all levels, ≥ info, ≥ warning, ≥ error"],
    ["w", "wrap lines"],
    ["z", "fold continuation lines"],
    ["t", "times: absolute, since the start, off"],
    ["u", "time zone: local, UTC"],
    ["c", "charts"],
    ["y", "copy the selected lines"],
    ["l", "copy a link to the selected line"],
    ["d", "download"],
    ["Esc", "clear the selection and the search"],
    ["?", "this page"],
  ],
};

/** @typedef {typeof ENGLISH} Messages */

/** @type {Messages} */
const CHINESE = {
  following: "跟随中",
  follow: "跟随",
  newLines: (n) => `${n} 行新日志`,
  lines: (n) => `${n} 行`,
  live: "实时",
  ended: "已结束",
  atEnd: "已到末尾",
  toEnd: "到末尾",
  connecting: "连接中…",
  reconnecting: "连接断开，正在重试…",
  lokiDown: "Loki 没有响应，面板会持续重试，不会丢失日志。",

  empty: (trace) => `trace ${trace} 还没有日志`,
  emptyMeans: "服务一有输出就会显示在这里。如果现在应该已有日志，请检查：",
  emptyChecks: [
    "启动服务时用的是这个 traceId 吗？在服务所在的机器上运行 `tracetail ps` 可以查看。",
    "那台机器上的 agent 在运行吗，能连上 Loki 吗？运行 `tracetail doctor` 检查。",
    "面板读取的 Loki 和 agent 写入的是同一个吗？两者都由 [loki] url 配置。",
  ],
  nothingMatches: "没有匹配的行。",
  recent: "最近的启动",
  noLaunches: "最近两天没有启动记录。运行 `tracetail start` 即可启动服务。",
  noLaunchMatches: "最近两天没有符合条件的启动。",
  findLaunch: "模型、主机、原因、trace、启动 …",
  moreLaunches: "显示更早的启动",
  stateColumn: "状态",
  model: "模型",
  engine: "引擎",
  host: "主机",
  env: "环境",
  startedAt: "开始时间",
  cause: "原因",
  causeCode: "原因代码，用于统计和分派",
  exitText: /** @type {ExitText} */ ((exit) => ({
    cause: exit.causeZh ?? exit.cause ?? "",
    hint: exit.hintZh ?? exit.hint ?? "",
  })),
  any: "不限",
  tokenNeeded: "查看此日志需要令牌。",
  tokenMeans: "令牌通常由外层页面自动提供，也可以手动生成：`tracetail token --trace-id …`",
  tokenExpired: "令牌已过期。",
  tokenRefused: "令牌被拒绝。",
  useToken: "使用此令牌",
  error: "暂时无法读取日志，正在重试…",
  noMetadata: "此 Loki 不保存结构化元数据：没有状态、级别和进程，也无法按它们筛选；被切分的长行不会合并。",

  unknownParameters: (names) => `地址中有面板不认识的参数：${names}`,

  launch: "启动",
  allLaunches: "全部启动",
  showLine: "查看该行",
  previousError: "上一个错误",
  nextError: "下一个错误",
  noError: "没有错误",
  pastLastError: "已过最后一个错误，回到第一个",
  pastFirstError: "已过第一个错误，转到最后一个",
  copyTicket: "复制到工单",
  afterPhase: (phase) => `在“${phase}”之后`,
  trace: "trace",
  lasted: "历时",
  phases: "启动阶段",
  phaseNames: {
    "arguments read": "读取参数",
    "cache sized": "分配 KV 缓存",
    compiled: "编译",
    "daemon started": "守护进程启动",
    "engine initialized": "引擎初始化",
    "engine warmed up": "引擎预热",
    "graph traced": "追踪计算图",
    "graphs captured": "捕获 CUDA 图",
    "model load begun": "开始加载模型",
    "model loaded": "模型加载完成",
    "server started": "服务启动",
    "startup complete": "启动完成",
    "warmed up": "预热",
    "weights loaded": "权重加载完成",
  },
  state: {
    starting: "启动中",
    ready: "就绪",
    unhealthy: "不健康",
    stopping: "停止中",
    stopped: "已停止",
    failed: "启动失败",
    crashed: "已崩溃",
    unknown: "未知",
  },
  port: "端口",
  readyIn: "就绪用时",
  exitCode: "退出码",
  signal: "信号",

  events: {
    started: (f) =>
      `启动${f.part(" ", ["model", "service"])}${f.part("，引擎 ", "engine")}${f.part("，主机 ", "host")}${f.part("，端口 ", "port")}${f.part("，pid ", "pid")}`,
    phase: (f, phase) => `阶段“${phase}”：${f.duration}`,
    ready: (f) => `${f.duration} 后就绪${f.part("，地址 ", "url")}`,
    unhealthy: (f) => `不再正常响应${f.part("：", "cause")}`,
    recovered: (f) => `${f.duration} 后恢复正常`,
    failed: (f) =>
      `${f.duration} 后启动失败${f.part("：", ["causeZh", "cause"])}${f.part("（退出码 ", "exitCode", "）")}${f.part("（信号 ", "signal", "）")}`,
    stopping: (f) => `正在停止${f.part("：", "reason")}${f.part("，请求者 ", "user")}${f.part("：", "command")}`,
    exited: (f) =>
      `${f.duration} 后结束，状态 ${f.get("state")}${f.part("：", ["causeZh", "cause"])}${f.part("（退出码 ", "exitCode", "）")}${f.part("（信号 ", "signal", "）")}`,
    adopted: (f) => `已由另一个守护进程接管${f.part("（pid ", "keeperPid", "）")}`,
    rotated: (f) => `日志在 ${f.get("next")} 中继续`,
    dropped: (f) => `有 ${f.get("lines")} 行未能保存${f.part("：", "reason")}`,
    refused: (f) => `未启动${f.part("：", ["causeZh", "cause"])}`,
    restarted: (f) => `已重新启动为 ${f.get("launchId")}${f.part("，第 ", "attempt", " 次")}`,
    receipt: (f) => {
      const rejected = f.get("rejected");
      return `Loki 已有${rejected && rejected !== "0" ? `日志，但拒绝了 ${rejected} 行` : `全部 ${f.get("lines")} 行`}（${f.size("bytes")}）`;
    },
    reported: (f) => `回调上报：${f.part("", ["state", "event"])}${f.part("，", "cause")}`,
    gap: (f) => `${f.get("file")} 的第 ${f.get("from")} 至 ${f.get("to")} 字节未能读取${f.part("：", "reason")}`,
  },

  histogram: "日志行数随时间的分布（按级别）",
  generation: "生成 tokens/s",
  prompt: "输入 tokens/s",
  running: "运行中",
  waiting: "排队",
  cache: "KV 缓存 %",

  search: "搜索全部日志",
  regex: "正则表达式",
  matchCase: "区分大小写",
  onlyMatches: "只显示匹配的行",
  searching: "…",
  noMatch: "无匹配",
  matches: (n, of) => `${n} / ${of}`,
  nextMatch: "下一个匹配",
  previousMatch: "上一个匹配",
  level: "级别",
  allLevels: "全部级别",
  levels: { info: "信息", warning: "警告", error: "错误" },
  process: "进程",
  allProcesses: "全部进程",

  toolbar: "工具栏",
  start: "开头",
  end: "末尾",
  firstError: "首个错误",
  gotoTime: "跳转到某行或某个时间",
  wrap: "自动换行",
  fold: "折叠续行",
  charts: "吞吐量",
  times: "时间：绝对时间、相对启动、隐藏",
  zone: "时区：本地、UTC",
  download: "下载",
  downloadText: "文本",
  downloadJson: "JSON Lines",
  theme: "浅色或深色",
  help: "键盘快捷键",
  language: "English",
  close: "关闭",
  goto: "跳转到：行号、时间（13:05:00）或启动后的秒数（+90）",
  gotoUnknown: "没有这个位置",

  log: "日志",
  loading: "加载中…",
  loadFailed: "这些行加载失败，点击重试",
  moreText: (size) => `… 还有 ${size}，展开`,
  unfold: (n) => `还有 ${n} 行`,
  redraws: (n) => `刷新 ${n} 次`,
  gapCrowded: "同一纳秒内的日志行数超过 Loki 单次返回的上限，部分未显示。",
  copyLines: "复制",
  copyLink: "复制链接",
  copied: "已复制",
  copyFailed: "浏览器不允许复制",

  keys: [
    ["j k ↓ ↑", "上下移动一行"],
    ["Space PgDn PgUp", "翻一页"],
    ["g Home", "开头"],
    ["G End f", "末尾并跟随"],
    ["e E", "下一个错误、上一个错误"],
    ["/", "搜索"],
    ["n N", "下一个匹配、上一个匹配"],
    [":", "跳转到某行或某个时间"],
    ["1 2 3 4", "全部级别、≥ 信息、≥ 警告、≥ 错误"],
    ["w", "自动换行"],
    ["z", "折叠续行"],
    ["t", "时间：绝对时间、相对启动、隐藏"],
    ["u", "时区：本地、UTC"],
    ["c", "图表"],
    ["y", "复制所选的行"],
    ["l", "复制所选行的链接"],
    ["d", "下载"],
    ["Esc", "清除选择和搜索"],
    ["?", "本页"],
  ],
};

/**
 * Whether a language tag ("zh", "zh-CN", …) is one of Chinese.
 * @param {string} locale
 */
export function isChinese(locale) {
  return /^zh/i.test(locale);
}

/** @param {string} locale */
export function messagesFor(locale) {
  return isChinese(locale) ? CHINESE : ENGLISH;
}
