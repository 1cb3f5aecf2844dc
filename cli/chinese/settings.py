"""What each option of the configuration means, in Chinese, by the English text of its declaration."""

TEXTS = {
    # [loki]
    "base URL of Loki; empty: the embedded store's address": "Loki 的基础 URL；空：内置存储的地址",
    "hosts that url may name, as loki.example or *.example; empty: any": "url 可以使用的主机，例如 loki.example 或 *.example；空：任意",
    "tenant, sent as X-Scope-OrgID; empty for a Loki without tenants": "租户，作为 X-Scope-OrgID 发送；Loki 没有租户时留空",
    "user of HTTP basic auth": "HTTP 基本认证的用户名",
    "file that holds the password of HTTP basic auth": "文件，内容是 HTTP 基本认证的密码",
    "file that holds a bearer token": "文件，内容是 bearer 令牌",
    "certificate authority to trust instead of the system's, PEM": "信任的 CA，代替系统的，PEM",
    "client certificate, PEM": "客户端证书，PEM",
    "key of the client certificate, PEM": "客户端证书的私钥，PEM",
    "HTTP proxy to go through": "经过的 HTTP 代理",
    "false for a Loki that has no structured metadata": "Loki 没有结构化元数据时设为 false",
    "how long one request may take": "一个请求最多用时，秒",
    # [kafka]
    "host:port of some of the cluster's brokers; empty: nothing is sent to Kafka": "集群中若干 broker 的 host:port；空：不发送到 Kafka",
    "topic of the lines": "日志行的 topic",
    'further options of the producer, by their names in librdkafka: "security.protocol", …': '生产者的其他选项，用 librdkafka 的名字："security.protocol"、…',
    'options whose values are secrets, each with the file that holds it: "sasl.password", …': '值是机密的选项，各给出保存机密的文件："sasl.password"、…',
    # [otlp]
    "base URL of an OTLP/HTTP receiver, to which /v1/logs is added; empty: nothing is sent": "OTLP/HTTP 接收端的基础 URL，其后加上 /v1/logs；空：不发送",
    "further headers of each request": "每个请求的其他请求头",
    "headers whose values are secrets, each with the file that holds it": "值是机密的请求头，各给出保存机密的文件",
    "of requests: gzip or none": "请求的压缩：gzip 或 none",
    # [agent]
    "host:port of /metrics, /healthz and /status": "/metrics、/healthz 和 /status 的 host:port",
    "file with the bearer token that clients must send; needed to listen beyond loopback": "文件，内容是客户端必须发送的 bearer 令牌；监听回环以外的地址时需要",
    "true: every program of this machine may use it, without the secret of the state directory": "true：本机的任何程序都可以使用，不需要状态目录中的机密",
    "how long lines are gathered before they are sent": "发送之前攒多久，秒",
    "how much is sent in one request, before compression": "一个请求发送多少，压缩前，KiB",
    "how much is sent to Loki, compressed; 0: no limit": "每秒向 Loki 发送多少，压缩后，KiB；0：不限",
    "what is masked beside the common secrets: by agent, panel and launcher": "常见机密之外还遮盖什么：对 agent、面板和 launcher 生效",
    "further secrets to mask, beside the common ones": "常见机密之外还要遮盖的机密",
    "state directories whose launches are followed; empty: every one that exists": "跟踪哪些状态目录里的启动；空：所有存在的",
    "directories, outside the state directories, beneath which the logs of launches of other users may lie; those of the agent's own user may lie anywhere": "状态目录之外，其他用户的启动日志可以所在的目录；agent 自己用户的日志可以在任何地方",
    "further files to follow": "另外要跟踪的文件",
    "zone of times without one, as Europe/Berlin; empty: the machine's": "没有时区的时间按哪个时区，例如 Asia/Shanghai；空：本机的",
    "labels added to every stream": "给每个流加上的标签",
    "answer /metrics, for a Prometheus that scrapes": "应答 /metrics，供 Prometheus 抓取",
    "how often Loki gets a line that lists the running launches of this machine, by which the panel sees that the machine is lost; 0: never": "每隔多少秒向 Loki 发送一行，列出本机正在运行的启动，面板据此发现机器失去联系；0：不发送",
    "how long an ended launch stays in the metrics": "已结束的启动在指标里保留多久，秒",
    "the label `job` of metrics that are pushed or written": "推送或写入的指标的标签 `job`",
    "base URL of a Pushgateway to push all metrics to; empty: none": "Pushgateway 的基础 URL，全部指标推送到它；空：不推送",
    "time between two pushes to it": "两次推送之间的秒数",
    "user of HTTP basic auth at the Pushgateway": "Pushgateway 的 HTTP 基本认证用户名",
    "file that holds that user's password": "文件，内容是该用户的密码",
    "URL of a Prometheus remote-write receiver to send all metrics to, as http://…/api/v1/write": "Prometheus remote write 接收端的 URL，全部指标发送到它，例如 http://…/api/v1/write",
    "time between two samples": "两次采样之间的秒数",
    "user of HTTP basic auth at the receiver": "接收端的 HTTP 基本认证用户名",
    "file that holds a bearer token for the receiver": "文件，内容是接收端的 bearer 令牌",
    # [agent.redaction], [[agent.redact]]
    "RE2 expressions of further secrets; group 1, if there is one, is kept, the rest becomes ***": "其他机密的 RE2 表达式；如有第 1 组则保留，其余变成 ***",
    "RE2 expressions of what is never masked: a value, or a name and its value, in whole": "永不遮盖的内容的 RE2 表达式：一个值，或名称和它的值，须完整匹配",
    "what it is, for messages": "它是什么，用于消息",
    "RE2 expression; group 1 is kept, the rest of the match becomes ***": "RE2 表达式；第 1 组保留，匹配的其余部分变成 ***",
    # [[agent.sources]]
    "files to follow, `**` allowed": "要跟踪的文件，可以用 `**`",
    "labels of their streams": "它们的流的标签",
    "regular expression; its named groups on the path become labels": "正则表达式；匹配路径的命名分组成为标签",
    "file of a pod with its annotations or labels, as Kubernetes' downward API writes it; {namespace}, {pod} and {uid} are those of the log's path": "pod 的文件，内容是它的注解或标签，由 Kubernetes 的 downward API 写出；{namespace}、{pod} 和 {uid} 取自日志的路径",
    "names in labels_file, and the labels that their values become": "labels_file 中的名称，以及它们的值成为哪个标签",
    "auto recognises each line's own format, also inside a container runtime's (CRI, Docker's json-file); plain takes every line as it stands": "auto 识别每一行自己的格式，包括在容器运行时格式之内的（CRI、Docker 的 json-file）；plain 原样收下每一行",
    "of these files, by Python's names: utf-8, utf-16, gbk, gb18030, latin-1, …; empty: utf-8; a byte-order mark is recognised by itself": "这些文件的编码，用 Python 的名称：utf-8、utf-16、gbk、gb18030、latin-1 等；空：utf-8；字节序标记会自动识别",
    "follow files that do not look like text, too": "看起来不是文本的文件也跟踪",
    "prefix: `[traceId=… instanceId=…]` before a log header (vLLM's VLLM_LOGGING_PREFIX) sets these labels; only for files whose text you trust": "prefix：日志头之前的 `[traceId=… instanceId=…]`（vLLM 的 VLLM_LOGGING_PREFIX）设置这两个标签；只用于内容可信的文件",
    # [launcher]
    "MiB to keep free on the disks of state and logs: with less no server is started, and the oldest closed segments go, shipped or not": "状态目录和日志所在磁盘要保留的 MiB：低于它时不启动服务，并删除最旧的已关闭分段，不论是否已送达",
    "hosts that callbackUrl may name, as platform.example or *.example; empty: any": "callbackUrl 可以使用的主机，例如 platform.example 或 *.example；空：任意",
    "named tables of default parameters: [launcher.services.<name>], used by `service`": "默认参数的命名表：[launcher.services.<name>]，由 `service` 引用",
    # [panel]
    "host:port of the panel": "面板的 host:port",
    "address at which people open it, for links that commands print, as https://logs.example; empty: that of listen": "人们打开它的地址，用于命令打印的链接，例如 https://logs.example；空：listen 的地址",
    "file with the secret (32 bytes or more) that signs tokens; or public_key_file": "文件，内容是签令牌的密钥（至少 32 字节）；或用 public_key_file",
    "file with the Ed25519 public key, PEM, of a platform that signs tokens by itself (EdDSA)": "文件，内容是自己签令牌（EdDSA）的平台的 Ed25519 公钥，PEM",
    "file with the key that may do everything, POST /api/tokens included": "文件，内容是可以做一切的密钥，包括 POST /api/tokens",
    "lifetime of a token of POST /api/tokens that names none": "POST /api/tokens 没有给出有效期时的令牌有效期，秒",
    "origins of pages that may embed the panel, as https://platform.example": "可以嵌入面板的页面的来源，例如 https://platform.example",
    "how far back launches are searched; Loki's own limit is 30": "往回查找多少天的启动；Loki 自己的限制是 30",
    "how far back the list of recent launches goes": "最近启动的列表往回多少小时",
    "interval of queries for new lines of a trace that has viewers": "有人在看的 trace，每隔多少秒查询新的行",
    "interval of heartbeats on an idle stream": "空闲的流每隔多少秒发一次心跳",
    "streams that may be open at the same time": "最多同时打开多少个流",
    "of them, streams of one token; a trace may have half of them all": "其中一个令牌最多多少个；一个 trace 最多占总数的一半",
    "PowerJob server whose online log GET /llm/logs falls back to; empty: no fallback": "GET /llm/logs 退而求其次时使用其在线日志的 PowerJob 服务器；空：不使用",
    "appId at that server, unless powerjob_app_name is set": "该服务器上的 appId；设置了 powerjob_app_name 时不用",
    "app that logs in to that server's OpenAPI, where it asks for a login": "登录该服务器 OpenAPI 的应用，在它要求登录时使用",
    "file with the password of the app": "文件，内容是该应用的密码",
    "user that logs in to that server's console, which PowerJob 5 always asks for": "登录该服务器控制台的用户，PowerJob 5 总是要求登录",
    "file with the password of the user": "文件，内容是该用户的密码",
    # [store]
    "host:port of the Loki paths": "Loki 各路径的 host:port",
    "the database file; empty: store/store.db in the state directory": "数据库文件；空：状态目录下的 store/store.db",
    "file with the bearer token that clients must send; required to listen beyond loopback": "文件，内容是客户端必须发送的 bearer 令牌；监听回环以外的地址时必须设置",
    "older entries are deleted; 0 keeps all": "更早的日志会删除，天；0 全部保留",
    "the oldest entries are deleted when the file is larger; 0: no limit": "文件超过多少 GB 时删除最旧的日志；0：不限",
    "older entries are refused, as in Loki; 0 accepts any": "更早的日志会拒收，天，与 Loki 相同；0 全部接受",
    "entries further ahead of the clock are refused, as in Loki; 0 accepts any": "比时钟快更多的日志会拒收，分钟，与 Loki 相同；0 全部接受",
    "larger push requests are refused (413), compressed or decompressed": "更大的推送会拒收（413），压缩前后都按此计，MB",
    "a query that takes longer fails (504)": "用时更长的查询失败（504），秒",
    "a query whose result needs more memory is refused": "结果需要更多内存的查询会拒绝，MB",
}
ABOUT = {
    "loki": "agent、面板和 `tracetail logs` 访问的 Loki，或内置的存储。",
    "kafka": "除 Loki 之外，agent 还把每一行发送到的 topic；说明见 [Kafka](kafka.md)。",
    "otlp": "除 Loki 之外，agent 还把每一行发送到的 OTLP 接收端；说明见 [OTLP](otlp.md)。",
    "agent": "agent 跟踪什么、怎样上传、指标怎样送出。",
    "launcher": "对所有启动生效的设置，以及各服务的默认参数。",
    "panel": "日志面板及其 API。",
    "store": "内置的存储。",
}
"""What each table is about."""
REFERENCE_HEAD = """\
# 配置

单台机器不需要任何配置。需要时只有一个 TOML 文件，取以下第一个存在的：

1. `--config FILE` 给出的，
2. `$TRACETAIL_CONFIG` 给出的，
3. `~/.config/tracetail/tracetail.toml`，
4. `/etc/tracetail/tracetail.toml`。

每个选项也可以用环境变量设置，优先于文件：`[loki] url` 是 `TRACETAIL_LOKI_URL`。环境变量中，列表用逗号分隔，表用 JSON。

`tracetail config example` 打印含全部选项和默认值的文件，`tracetail config check` 检查一个文件，`tracetail config schema` 打印 JSON Schema，
供编辑器使用。不认识的选项或类型不对会报错，写明文件、选项和应有的值。`tracetail doctor` 检查所配置的是否真的可用。

配置里没有机密：以 `_file` 结尾的选项给出存放机密的文件。

```toml
[loki]
url = "https://loki.example.com"
tenant = "llm-test"
bearer_token_file = "/etc/tracetail/secrets/loki"

[launcher.services.qwen-7b]
modelName = "qwen-7b"
modelPath = "/data/models/qwen-7b"
port = 8000
pythonBin = "/opt/llm/venv/bin/python"
```
"""
"""What stands above the tables on the page of the configuration."""
