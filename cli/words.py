"""The Chinese words for what has a name in English: states, events, phases of a start, and the list of commands.

The panel has the same ones: panel/static/component/messages.js.
"""

from tracetail.cli.language import language

_STATES = {
    "starting": "启动中",
    "ready": "就绪",
    "unhealthy": "不健康",
    "stopping": "停止中",
    "stopped": "已停止",
    "failed": "启动失败",
    "crashed": "已崩溃",
}
_EVENTS = {
    "started": "启动",
    "phase": "阶段",
    "ready": "就绪",
    "unhealthy": "不再正常响应",
    "recovered": "恢复正常",
    "failed": "启动失败",
    "stopping": "正在停止",
    "exited": "结束",
    "adopted": "由另一个守护进程接管",
    "rotated": "日志换段",
    "dropped": "有行未能保存",
    "refused": "未启动",
    "restarted": "重新启动",
    "receipt": "Loki 已收到",
    "reported": "回调上报",
    "gap": "有字节未能读取",
}
_PHASES = {
    "arguments read": "读取参数",
    "cache sized": "分配 KV 缓存",
    "compiled": "编译",
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
}

_COMMANDS = {
    "start": "启动推理服务，等待它就绪。",
    "stop": "停止服务，以及该启动的所有进程。",
    "restart": "服务若在运行则先停止，然后启动。",
    "status": "打印服务的状态。",
    "apply": "按 `action` 启动、停止、重启、查看或测试服务。",
    "run": "作为容器的主命令运行服务。",
    "ps": "列出本机的启动。",
    "history": "列出最近各次启动的耗时及各阶段。",
    "logs": "打印某个 trace 或启动的日志。",
    "open": "打印并打开某个启动或 trace 在面板中的地址。",
    "bundle": "把报告问题所需的内容打包成一个文件。",
    "warmup": "发送第一个请求，等待一个 token。",
    "smoke": "发送一个提示词，检查回答。",
    "notify": "把启动的状态发送到它的回调地址。",
    "verify": "检查某个 trace 的每一行都在 Loki 中。",
    "gc": "删除旧的启动，以及 agent 已上传的日志段。",
    "agent": "跟踪日志，上传到 Loki。",
    "store": "运行内置的、与 Loki 兼容的存储。",
    "panel": "运行日志面板及其 API。",
    "up": "在本机运行存储、agent 和面板。",
    "demo": "用示例服务把整条链路运行一遍。",
    "mcp": "为助手提供工具（Model Context Protocol）。",
    "token": "生成面板的访问令牌。",
    "doctor": "检查本机的配置，为每个问题给出建议。",
    "config": "显示、检查或说明配置。",
    "completion": "打印 shell 补全命令所需的内容。",
    "redact": "显示一段文本中哪些会作为机密被遮盖。",
    "keep": "为守护进程已结束的启动再启动一个（由 agent 调用）。",
}


def command_text(name: str, english: str) -> str:
    """Return the line about a command in the list of `tracetail --help`."""
    return _COMMANDS.get(name, english) if language() == "zh" else english


def state_word(state: str) -> str:
    """Return a state of a launch in the language."""
    return _STATES.get(state, state) if language() == "zh" else state


def phase_word(name: str) -> str:
    """Return the name of a phase of a start in the language."""
    return _PHASES.get(name, name) if language() == "zh" else name


def event_text(text: str) -> str:
    """Return an event, as the log has it, with its name and its cause in the language alone."""
    from tracetail.contract.logline import parse_event, render_event

    name, fields = parse_event(text)
    if name not in _EVENTS:
        return text
    shown, shown_name = dict(fields), name
    for field in ("cause", "hint"):
        chinese = shown.pop(f"{field}Zh", "")
        if chinese and language() == "zh":
            shown[field] = chinese
    if language() == "zh":
        if name == "phase" and "name" in shown:
            shown["name"] = phase_word(shown["name"])
        if "state" in shown:
            shown["state"] = state_word(shown["state"])
        shown_name = _EVENTS[name]
    return shown_name + render_event(name, **shown).removeprefix(name)
