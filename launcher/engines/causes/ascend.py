"""Known causes: Ascend NPUs, as CANN and torch_npu report them.

Codes: https://www.hiascend.com/document/detail/en/canncommercial/82RC1/maintenref/troubleshooting/troubleshooting_0225.html
"""

from tracetail.launcher.engines.causes.cause import ABOVE, Cause, Line, Rank, Text

_STAMP = rb"(?:(?:\[PID: \d+\] )?\d[\d.:-]{18,32} )?"

CAUSES = (
    Cause(
        "hccl_port_in_use",
        Text(
            "HCCL, through which the NPUs communicate, cannot listen: its port is in use",
            "HCCL（NPU 间通信）无法监听：其端口已被占用",
        ),
        Text(
            "end what an earlier server left behind, or set HCCL_IF_BASE_PORT in `environ`",
            "结束之前的服务残留的进程，或在 `environ` 中设置 HCCL_IF_BASE_PORT",
        ),
        (Line(b"EJ0003: ", rb"EJ0003: " + _STAMP + rb"Failed to bind the IP port"),),
    ),
    Cause(
        "hccl_timeout",
        Text(
            "the NPUs cannot communicate (HCCL): a rank did not answer in time",
            "NPU 之间无法通信（HCCL）：某个 rank 未及时响应",
        ),
        Text(
            "find the rank that failed first; check the network of the NPUs (hccn_tool), or raise HCCL_CONNECT_TIMEOUT",
            "找到最先出错的 rank；检查 NPU 网络（hccn_tool），或增大 HCCL_CONNECT_TIMEOUT",
        ),
        (Line(b"EI0006: ", rb"EI0006: "),),
    ),
    Cause(
        "npu_in_use",
        Text(
            "the NPU's communication process (HCCP) is still that of an earlier server",
            "NPU 的通信进程（HCCP）仍属于之前的服务",
        ),
        Text(
            "end what an earlier server left behind (npu-smi info), wait ten seconds, and start again",
            "结束之前的服务残留的进程（npu-smi info），等待十秒后重新启动",
        ),
        (Line(b"EJ0001: ", rb"EJ0001: " + _STAMP + rb"Failed to initialize the HCCP process"),),
    ),
    Cause(
        "hccl_failed",
        Text("the NPUs cannot communicate ({code}: {why})", "NPU 之间无法通信（{code}：{why}）"),
        Text(
            "find the rank or NPU that failed first; check the network of the NPUs (hccn_tool) and the rank table",
            "找到最先出错的 rank 或 NPU；检查 NPU 网络（hccn_tool）和 rank table",
        ),
        (Line(b"Reason: ", rb"(?P<code>EI\d{4}): " + _STAMP + rb"(?P<why>[A-Z].{0,100}?Reason: .{1,150})"),),
    ),
    Cause(
        "cann_error",
        Text("CANN reports {code}: {why}", "CANN 报告 {code}：{why}"),
        Text(
            "the line after it has CANN's solution; the code is explained in CANN's troubleshooting guide, the whole "
            "log is in ~/ascend/log",
            "其后一行是 CANN 给出的解决方法；错误码见 CANN 故障处理文档，完整日志在 ~/ascend/log",
        ),
        (
            Line(
                b"Reason: ",
                rb"(?P<code>E[A-Z]\d{4}): " + _STAMP + rb"(?P<why>[A-Z].{0,100}?Reason: .{1,150})",
            ),
        ),
    ),
    Cause(
        "hccl_failed",
        Text("the NPUs cannot communicate (HCCL[: {why}])", "NPU 之间无法通信（HCCL[：{why}]）"),
        Text(
            "the CANN code in the lines after it says why; check hccn_tool and the rank table",
            "其后几行中的 CANN 错误码说明原因；检查 hccn_tool 和 rank table",
        ),
        (
            Line(b"HCCL function error", rb"[^'\"]{0,120}HCCL function error: (?P<why>\w+)"),
            Line(b"OPS function error: Hccl", rb"[^'\"]{0,120}OPS function error: (?P<why>Hccl\w+)"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "npu_fault",
        Text("an operator failed on the NPU[: {why}]", "NPU 算子执行失败[：{why}]"),
        Text(
            "the CANN code in the lines after it says why; the whole log is in ~/ascend/log",
            "其后几行中的 CANN 错误码说明原因；完整日志在 ~/ascend/log",
        ),
        (
            Line(
                b"The Inner error is reported as above",
                rb"The Inner error is reported as above.{0,120}operator name is (?P<why>\w+)",
            ),
            Line(b"ACL stream synchronize failed", rb"(?P<why>ACL stream synchronize failed, error code:\d+)"),
            Line(b"NPU function error", rb"[^'\"]{0,120}NPU function error: (?P<why>[\w.: ]{1,80})"),
            Line(b"OPS function error", rb"[^'\"]{0,120}OPS function error: (?P<why>\w+)"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "engine_failed",
        Text("a Python process of the engine failed", "引擎的某个 Python 进程失败"),
        ABOVE,
        (Line(b"ERR99999", rb"ERR99999 UNKNOWN applica(?:it|ti)on exception"),),
        Rank.CONSEQUENCE,
    ),
)
