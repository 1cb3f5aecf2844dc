"""Known causes: Ray, which starts the workers of vLLM and SGLang on several nodes."""

from tracetail.launcher.engines.causes.cause import Cause, Line, Rank, Text

CAUSES = (
    Cause(
        "ray_resources",
        Text("Ray does not have what the server asks for: {why}", "Ray 没有服务所需的资源（resources）：{why}"),
        Text(
            "check `ray status`: all nodes joined, GPUs counted, nothing else running; on several nodes VLLM_HOST_IP",
            "检查 `ray status`：所有节点均已加入、GPU 数量正确、没有其他任务；多节点时检查 VLLM_HOST_IP",
        ),
        (
            Line(
                b"Use the 'num_cpus' and 'num_gpus' keyword",
                rb"(?P<why>Use the 'num_cpus' and 'num_gpus' keyword[^.]{0,80})",
            ),
            Line(b"Cannot provide a placement group", rb"(?P<why>Cannot provide a placement group of [^.]{0,120})"),
            Line(
                b"placement group bundle index ",
                rb"(?P<why>placement group bundle index \d{1,5} is invalid\. Valid placement group indexes: \d{1,5}-\d{1,5})",
            ),
            Line(
                b"The number of required GPUs exceeds",
                rb"(?P<why>The number of required GPUs exceeds the total number of available GPUs in the placement group)",
            ),
            Line(b"Current node has no", rb"(?P<why>Current node has no \w+ available)"),
            Line(b"Ray does not allocate any", rb"(?P<why>Ray does not allocate any \w+ on the driver node)"),
        ),
    ),
    Cause(
        "ray_resources",
        Text("Ray does not have what the server asks for: {why}", "Ray 没有服务所需的资源（resources）：{why}"),
        Text(
            "check `ray status`: all nodes joined, GPUs counted, nothing else running; where it asks for node:<address>, "
            "VLLM_HOST_IP must be the address by which Ray knows that node (`ray list nodes`)",
            "检查 `ray status`：所有节点均已加入、GPU 数量正确、没有其他任务；如果它请求 node:<地址>，VLLM_HOST_IP 必须是 Ray "
            "所用的该节点地址（`ray list nodes`）",
        ),
        (
            Line(
                b"No available node types can fulfill",
                rb"(?:\(autoscaler \+\w{1,12}\) )?(?:Error: )?No available node types can fulfill resource requests? "
                rb"(?P<why>\{[^{}]{1,200}\})",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "node_out_of_memory",
        Text("a node's memory is full: Ray killed a worker", "某个节点的内存已满：Ray 终止了一个工作进程"),
        Text(
            "use nodes with more memory, or end what else uses it; Ray kills at RAY_memory_usage_threshold (0.95)",
            "使用内存更大的节点，或结束其他占用内存的程序；Ray 在 RAY_memory_usage_threshold（0.95）时终止进程",
        ),
        (Line(b"Task was killed due to the node running low on memory"),),
    ),
    Cause(
        "ray_version_mismatch",
        Text(
            "this process and the Ray cluster have different versions of Ray or Python",
            "本进程与 Ray 集群的 Ray 或 Python 版本不同",
        ),
        Text(
            "use the same environment or image (Ray and Python) on all nodes",
            "所有节点使用相同的 Python 环境或镜像（Ray 与 Python 版本一致）",
        ),
        (Line(b"Version mismatch: The cluster was started with"),),
    ),
    Cause(
        "ray_unreachable",
        Text("Ray's head node cannot be reached[: {address}]", "无法连接 Ray 的 head 节点[：{address}]"),
        Text(
            "start Ray first (ray start --head), or check RAY_ADDRESS and the firewall; if it ran, it ended: see the head's log",
            "先启动 Ray（ray start --head），或检查 RAY_ADDRESS 和防火墙；如果它曾在运行，说明已退出：查看 head 节点的日志",
        ),
        (
            Line(b"Could not find any running Ray instance", rb"Could not find any running Ray instance"),
            Line(
                b"Failed to connect to Ray cluster",
                rb"[^'\"]{0,40}Failed to connect to Ray cluster at (?P<address>\S+)",
            ),
            Line(
                b"Failed to connect to GCS",
                rb"Failed to connect to GCS(?: at address (?P<address>[\w.:-]+))? within \d+ seconds",
            ),
            Line(b"Timed out while waiting for GCS to become available"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "ray_node_not_started",
        Text("Ray's processes of this node did not start in time", "本节点的 Ray 进程未能及时启动"),
        Text(
            "see raylet.err and gcs_server.err in /tmp/ray/session_latest/logs; check that the node's host name and address "
            "resolve, and that its ports are free",
            "查看 /tmp/ray/session_latest/logs 中的 raylet.err 和 gcs_server.err；检查本机主机名和地址能否解析、端口是否空闲",
        ),
        (Line(b"The current node timed out during startup"),),
        Rank.GENERAL,
    ),
    Cause(
        "ray_node_not_started",
        Text("a worker could not join Ray on this node", "工作进程无法加入本节点的 Ray"),
        Text(
            "Ray's raylet ended or belongs to another session: see raylet.err in /tmp/ray/session_latest/logs, end what an "
            "earlier start left (ray stop), and check the limits of processes and open files",
            "Ray 的 raylet 已退出或属于另一个会话：查看 /tmp/ray/session_latest/logs 中的 raylet.err，结束之前启动遗留的进程"
            "（ray stop），并检查进程数和打开文件数的限制",
        ),
        (Line(b"to Raylet", rb"Failed to register worker (?:\w{1,80} )?to Raylet"),),
        Rank.GENERAL,
    ),
    Cause(
        "ray_worker_died",
        Text("a worker of Ray died", "Ray 的工作进程意外退出"),
        Text(
            "see its file in /tmp/ray/session_latest/logs, and dmesg for the kernel's OOM killer",
            "查看 /tmp/ray/session_latest/logs 中的日志，并在 dmesg 中查找 OOM killer",
        ),
        (
            Line(b"ActorDiedError", rb"[\w.]*ActorDiedError"),
            Line(b"The actor died unexpectedly before finishing this task"),
            Line(b"A worker died or was killed while executing a task"),
            Line(b"ActorHandleNotFoundError", rb"[\w.]*ActorHandleNotFoundError"),
            Line(b"Unhandled error (suppress with"),
        ),
        Rank.CONSEQUENCE,
    ),
)
