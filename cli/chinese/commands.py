"""The help of each command in Chinese, by the command's path. Paragraphs are those of its docstring."""

HELP = {
    "tracetail": "启动大模型推理服务，并按 traceId 查到它输出的每一行日志。",
    "tracetail agent": "跟踪日志并上传到 Loki。收到 SIGHUP 时重新读取配置。",
    "tracetail agent rejected": "列出被 Loki 或其他输出拒收的日志行及原因。",
    "tracetail agent rejected replay": "把被拒收的日志行再发送一次。",
    "tracetail agent try": "打印 FILE 的每一行会被怎样解析、打上哪些标签、遮盖哪些机密。不发送任何内容。",
    "tracetail apply": (
        "按参数 `action` 启动、停止、重启、查看、预热、测试服务，或上报它的状态。\n\n"
        "参数中可以带有调度器工作流的 `context`：其中的参数覆盖其余的参数。"
    ),
    "tracetail bundle": (
        "把报告问题所需的内容（某个启动或 trace）打包成一个 .tar.gz。\n\n"
        "WHAT 是 launchId 或它的末尾几位、模型名，或 traceId；不给则为最近一次启动。文件里有启动记录、日志行、"
        "`tracetail doctor` 的检查结果和各组件版本。机密按 agent 上传时的规则遮盖，也不含任何环境变量；发送之前请先过目。"
    ),
    "tracetail completion": (
        "打印 SHELL（不给则为 $SHELL）的补全脚本：命令、选项、id 和模型名。\n\n"
        "\b\n"
        'bash:  eval "$(tracetail completion bash)"     写入 ~/.bashrc\n'
        'zsh:   eval "$(tracetail completion zsh)"      写入 ~/.zshrc\n'
        "fish:  tracetail completion fish | source      写入 ~/.config/fish/config.fish"
    ),
    "tracetail config": "显示、检查或说明配置。",
    "tracetail config check": "检查 FILE；不给则检查其他命令会使用的那份配置。",
    "tracetail config example": "打印全部选项：默认值和一行说明。",
    "tracetail config grafana": "打印 Grafana 访问这个 Loki 的数据源（含机密），放进它的 provisioning/datasources 即可。",
    "tracetail config schema": "打印配置文件的 JSON Schema。",
    "tracetail demo": (
        "在本机把整条链路运行一遍：存储、agent、面板，以及一个带 traceId 启动的示例服务。\n\n"
        "全部内容都在一个临时目录里，结束时删除。如果设置了 TRACETAIL_LOKI_URL，就用那个 Loki 代替内置的存储。"
    ),
    "tracetail doctor": (
        "检查本机的配置和环境，为每个问题给出建议。\n\n"
        '向 Loki 写入一行（service_name="tracetail-doctor"）再读回来，此外不改动任何东西。有问题时退出码为 1，否则为 0。'
    ),
    "tracetail gc": "删除旧的启动、agent 已上传的日志段，以及所属启动已结束的容器。",
    "tracetail history": (
        "列出最近各次启动的耗时，最新的在前，并与之前的启动比较。\n\n"
        "比较的对象是同一模型、环境和引擎此前十次就绪的启动的中位数。给出 --model 时，每个阶段占一列：可看出哪一步变慢了。"
    ),
    "tracetail keep": "为守护进程已结束的启动再启动一个守护进程。守护进程一运行就返回。",
    "tracetail logs": (
        "打印某个 trace、启动或调度实例的日志行，从旧到新。\n\n"
        "WHAT 是 launchId 或它的末尾几位、模型名（取它在本机最近的一次启动），或 traceId。既不给 WHAT 也不给选项："
        "本机最近一次启动。如果 Loki 没有应答，就读本机的日志文件。\n\n"
        "退出码：有日志行为 0；没有，或 Loki 没有应答为 1；选项或配置不能用为 2。"
    ),
    "tracetail mcp": (
        "为助手提供工具（Model Context Protocol）：启动、失败原因、日志行、比较。\n\n"
        "只读。用 stdio 时读取本机的启动；给出 --panel 时读取 $TRACETAIL_TOKEN_FILE 或 $TRACETAIL_TOKEN 中的令牌可读的启动。"
        "用 HTTP 时，每个请求以 Authorization: Bearer 携带面板的令牌，按该令牌回答，从不读取本机的文件。"
    ),
    "tracetail notify": "把启动的状态发送到它的回调地址。",
    "tracetail open": (
        "打印某个启动或 trace 在面板中的地址（带一小时有效的令牌），并在浏览器中打开。\n\n"
        "WHAT 是 launchId 或它的末尾几位、模型名（取它在本机最近的一次启动），或 traceId。不给则为启动列表。"
        "如果面板在另一台机器上，它的地址是配置中的 panel.url。"
    ),
    "tracetail panel": "运行日志面板及其 API。",
    "tracetail ps": (
        "列出本机的启动，新的在前。\n\n给出 WORD 时，只列出 id、服务、状态、引擎或原因中包含每一个 WORD 的启动。"
    ),
    "tracetail redact": (
        "打印 FILE（或标准输入）中机密被遮盖的那些行，与上传的内容一致。\n\n"
        "行尾标出该行中机密的种类。配置中的 `[agent.redaction]` 可以增加种类（extra）或排除某些内容（keep）。"
    ),
    "tracetail restart": "服务若在运行则先停止，然后用给出的参数启动；不给参数则沿用上一次启动的参数。",
    "tracetail run": (
        "在前台运行服务，作为容器的主命令：`tracetail run -- vllm serve …`。\n\n"
        "引擎、模型、端口和地址取自这条命令；命令行选项优先。每个选项也可以用环境变量给出：--model-name 对应 "
        "TRACETAIL_RUN_MODEL_NAME。带时间戳和 id 的日志行输出到 stdout，也写入该启动的日志。SIGTERM 和 SIGINT 停止服务"
        "及其所有进程，其他信号原样转发。\n\n"
        "退出码与服务相同，被信号 n 结束则为 128+n；未能及时就绪为 11；启动失败但服务以 0 退出为 1；服务运行之前："
        "参数错误为 2，端口被占用为 12，服务已在运行为 13，启动前检查未通过为 15，命令不能执行为 126，找不到命令为 127。"
    ),
    "tracetail smoke": "发送一个提示词，检查回答。",
    "tracetail start": (
        "启动推理服务，等待它就绪。\n\n"
        "也可以直接给出命令行，例如 `tracetail start -- vllm serve Qwen/Qwen3-8B --port 8000`：模型、端口和地址从中读取；"
        "参数和选项优先。\n\n"
        "stdout 的最后一行是 TRACETAIL_RESULT 和一个 JSON 对象。退出码：就绪为 0，参数错误为 2，就绪前退出为 10，"
        "未能及时就绪为 11，端口被占用为 12，另一个操作正在进行为 13，启动前检查未通过为 15；"
        "被 SIGTERM 结束（正在进行的启动也随之结束）为 143。"
    ),
    "tracetail status": (
        "打印服务的状态。\n\n"
        "如果一个 traceId 对应多个服务，就完整打印状态最差的那个，退出码也由它决定。\n\n"
        "退出码：就绪为 0；已停止、启动失败或已崩溃为 3；正在启动或停止为 20；不健康为 21。"
    ),
    "tracetail stop": (
        "停止服务以及该启动的所有进程；给出 --trace-id 时，停止该 trace 的所有服务。\n\n"
        "退出码：没有残留为 0，参数错误为 2，另一个操作正在进行为 13，仍有残留为 14。"
    ),
    "tracetail store": "在前台运行内置的、与 Loki 兼容的存储。",
    "tracetail store backup": (
        "把数据库复制到 FILE，存储运行时也可以。\n\n恢复时先停止存储，再把 FILE 放到数据库的位置。"
    ),
    "tracetail token": "生成并打印面板的访问令牌，用 panel.secret_file 或共享机密签名。",
    "tracetail up": (
        "在本机运行存储、agent 和面板，直到按 Ctrl-C。\n\n"
        "如果配置了 Loki（[loki] url），或者存储的地址上已有 Loki 应答，就用它代替内置的存储。"
    ),
    "tracetail verify": (
        "检查某个 trace 在本机的各个启动，是否每一行都在 Loki 中。\n\n"
        "退出码：全部都在为 0；只缺 Loki 拒收或截断的为 3；否则为 1。"
    ),
    "tracetail warmup": "发送第一个请求，等待一个 token。",
}
SHORT = {
    "tracetail agent try": "打印一个文件的各行会被怎样解析。",
    "tracetail config check": "检查配置文件。",
}
"""The lines of lists of commands, of those whose declaration has a short one."""
