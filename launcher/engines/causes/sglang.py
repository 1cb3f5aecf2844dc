"""Known causes: SGLang, 0.3 to 0.5."""

from tracetail.launcher.engines.causes import checkpoint
from tracetail.launcher.engines.causes.cause import ABOVE, Cause, Line, Rank, Text

CAUSES = (
    Cause(
        "no_kv_cache_memory",
        Text("no memory is left for the KV cache", "没有剩余显存用于 KV cache"),
        Text("raise --mem-fraction-static, or use more GPUs", "增大 --mem-fraction-static，或使用更多 GPU"),
        (Line(b"Not enough memory. Please try to increase --mem-fraction-static"),),
    ),
    Cause(
        "out_of_memory",
        Text(
            "the machine's memory is too small for the hierarchical cache: a rank asks for {size}",
            "内存不足以建立分层缓存（hierarchical cache）：每个 rank 需要 {size}",
        ),
        Text(
            "lower --hicache-ratio or --hicache-size, which every rank takes (10 GB must stay free), or raise the "
            "container's memory limit",
            "减小 --hicache-ratio 或 --hicache-size（每个 rank 各占一份，并需保留 10 GB），或提高容器的内存上限",
        ),
        (
            Line(
                b"Not enough host memory available",
                rb"Not enough host memory available\. Requesting (?P<size>[\d.]+ GB) but only have",
            ),
        ),
    ),
    Cause(
        "own_requests_proxied",
        Text(
            "the server's requests to itself go through a proxy, which answered {status}",
            "服务对自身的请求经过了代理，代理返回 {status}",
        ),
        Text(
            "put the server's own addresses into no_proxy in `environ` (no_proxy=127.0.0.1,localhost,0.0.0.0), or start it "
            "without http_proxy",
            "在 `environ` 的 no_proxy 中加入服务自身的地址（no_proxy=127.0.0.1,localhost,0.0.0.0），或启动时不设置 http_proxy",
        ),
        (Line(b"res=<Response [", rb"res=<Response \[(?P<status>403|407|50[234])\]>, res\.text='(?:'|<)"),),
    ),
    Cause(
        "worker_timeout",
        Text(
            "a step took longer than {seconds} s: a scheduler hangs",
            "某一步超过了 {seconds} 秒：调度进程（scheduler）挂起",
        ),
        Text(
            "look for the rank that stands still: errors above, nvidia-smi, NCCL; if steps only take long (kernels are "
            "compiled), raise --watchdog-timeout",
            "找到停住的 rank：查看上文的错误、nvidia-smi 和 NCCL；如果只是耗时较长（正在编译内核），增大 --watchdog-timeout",
        ),
        (
            Line(
                b"atchdog timeout (",
                rb"(?:\w+ )?[Ww]atchdog timeout \(self\.watchdog_timeout=(?P<seconds>[\d.]+)(?!.*soft=True)",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "cache_leak",
        Text(
            "SGLang found a leak in its KV cache, and ended itself: {why}",
            "SGLang 发现其 KV cache 存在泄漏，并自行退出：{why}",
        ),
        Text(
            "a fault of SGLang: use another version, or leave out what changes the cache (speculative decoding, mixed chunks, "
            "hierarchical cache); SGLANG_ENABLE_STRICT_MEM_CHECK_DURING_IDLE=false in `environ` makes newer ones only warn",
            "SGLang 自身的错误：换一个版本，或关闭影响缓存的功能（投机解码、mixed chunk、分层缓存）；在 `environ` 中设置 "
            "SGLANG_ENABLE_STRICT_MEM_CHECK_DURING_IDLE=false 可使较新版本仅告警",
        ),
        (Line(b"memory leak detected!", rb"(?P<why>\w[\w ]{2,60} memory leak detected!.{0,120})"),),
    ),
    Cause(
        "workers_not_ready",
        Text(
            "the router's workers were not healthy within {seconds} s",
            "router 的 worker 在 {seconds} 秒内未就绪",
        ),
        Text(
            "see the workers' own logs; if they only load long, raise --worker-startup-timeout-secs (of launch_server: "
            "--router-worker-startup-timeout-secs)",
            "查看 worker 自己的日志；如果只是加载较慢，增大 --worker-startup-timeout-secs（launch_server 中为 "
            "--router-worker-startup-timeout-secs）",
        ),
        (
            Line(
                b"waiting for workers to become healthy",
                rb"(?:Failed to create router: )?Timeout (?P<seconds>\d+)s waiting for workers to become healthy",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "peer_unreachable",
        Text(
            "the bootstrap server of the prefill server cannot be reached at {host}:{port}",
            "无法连接 prefill 服务的 bootstrap 服务 {host}:{port}",
        ),
        Text(
            "start the prefill server first; its --disaggregation-bootstrap-port must be the one that the router names",
            "先启动 prefill 服务；其 --disaggregation-bootstrap-port 须与 router 中的一致",
        ),
        (
            Line(
                b"Error fetching prefill parallel info from bootstrap",
                rb"Error fetching prefill parallel info from bootstrap: HTTPConnectionPool\(host='(?P<host>[^']+)', port=(?P<port>\d+)\)",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "peer_unreachable",
        Text("Mooncake cannot reach {address}", "Mooncake 无法连接 {address}"),
        Text(
            "see that the server there still runs, and that its ports are open: its address is the one that it registered",
            "确认该地址上的服务仍在运行且端口开放；这是它注册时使用的地址",
        ),
        (
            Line(
                b"SocketHandShakePlugin: connect()",
                rb"SocketHandShakePlugin: connect\(\) ?(?P<address>\S+): Connection refused",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "address_not_available",
        Text("the router's --host is no IP address", "router 的 --host 不是 IP 地址"),
        Text(
            "give an address, not a host's name: 0.0.0.0 for all",
            "使用 IP 地址而不是主机名：0.0.0.0 表示监听所有网卡",
        ),
        (Line(b"Invalid address: invalid socket address syntax"),),
    ),
    Cause(
        "max_model_len",
        Text(
            "--context-length {wanted} is more than the model's {most}",
            "--context-length {wanted} 超过了模型的上限 {most}",
        ),
        Text("lower --context-length", "减小 --context-length"),
        (
            Line(
                b"is greater than the derived context_length",
                rb"Warning: [^(]{1,40} context_length \((?P<wanted>\d+)\) is greater than the derived context_length \((?P<most>\d+)\)\. .* To allow overriding",
            ),
        ),
    ),
    Cause(
        "quantization_unknown",
        Text("the quantization cannot be used: {why}", "无法使用该量化方式：{why}"),
        Text("use another quantization of the model, or a newer GPU", "使用其他量化版本的模型，或更新的 GPU"),
        (
            Line(
                b"is not supported for the current GPU",
                rb"(?P<why>The quantization method \S+ is not supported for the current GPU)",
            ),
        ),
    ),
    Cause(
        "architecture_not_supported",
        Text("this SGLang does not know the architecture {names}", "当前 SGLang 不支持该模型架构 {names}"),
        Text("update SGLang", "升级 SGLang"),
        (
            Line(
                b"are not supported for now", rb"Model architectures (?P<names>\[[^\]]*\]) are not supported for now"
            ),
        ),
    ),
    Cause(
        "gpu_memory_unbalanced",
        Text(
            "the GPUs have unequal free memory: something else uses one of them",
            "各 GPU 的空闲显存不一致：其中一个正被其他程序占用",
        ),
        Text("end what else uses the GPUs (nvidia-smi)", "结束其他占用 GPU 的程序（nvidia-smi）"),
        (Line(b"The memory capacity is unbalanced"),),
    ),
    Cause(
        "scheduler_died",
        Text("scheduler process", "调度进程（scheduler）"),
        Text("", ""),
        (
            Line(b"Exit code: -", rb"Exit code: (?P<status>-\d+)"),
            Line(
                b"scheduler died during initialization",
                rb"Rank \d+ scheduler died during initialization \(exit code: (?P<status>-\d+)\)",
            ),
        ),
        died=True,
    ),
    Cause(
        "scheduler_died",
        Text("the scheduler of rank {rank} is dead", "rank {rank} 的调度进程（scheduler）已退出"),
        Text(
            "the log does not say why: the kernel's OOM killer may have killed it, see dmesg",
            "日志没有说明原因：可能被内核的 OOM killer 终止，查看 dmesg",
        ),
        (
            Line(b"scheduler is dead", rb"Rank (?P<rank>\d+) scheduler is dead"),
            Line(
                b"scheduler died during initialization",
                rb"Rank (?P<rank>\d+) scheduler died during initialization \(exit code: \d",
            ),
            Line(
                b"Scheduler or DataParallelController",
                rb"Scheduler or DataParallelController (?P<rank>\d+) terminated with",
            ),
        ),
        Rank.CONSEQUENCE,
    ),
    Cause(
        "engine_failed",
        Text("a process of SGLang failed", "SGLang 的某个进程失败"),
        ABOVE,
        (
            Line(b"Received sigquit from a child proc"),
            Line(b"SIGQUIT received."),
            Line(b"Initialization failed. warmup error"),
            Line(b"EOFError", rb"EOFError$"),
        ),
        Rank.CONSEQUENCE,
    ),
)

HINTS = checkpoint.hints("--tp-size") | {
    "gpu_out_of_memory": Text(
        "lower --mem-fraction-static, --chunked-prefill-size or --cuda-graph-max-bs, or end what else uses the GPU",
        "减小 --mem-fraction-static、--chunked-prefill-size 或 --cuda-graph-max-bs，或结束其他占用 GPU 的程序",
    ),
    "npu_out_of_memory": Text(
        "lower --mem-fraction-static or --chunked-prefill-size, or use more devices (npu-smi info)",
        "减小 --mem-fraction-static 或 --chunked-prefill-size，或使用更多设备（npu-smi info）",
    ),
    "remote_code_not_trusted": Text(
        "add --trust-remote-code to `args`, if you trust it", "如果信任该模型，在 `args` 中加入 --trust-remote-code"
    ),
}
