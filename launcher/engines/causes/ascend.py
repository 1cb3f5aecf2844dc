"""Known causes: Ascend NPUs, as CANN and torch_npu report them.

Codes: https://www.hiascend.com/document/detail/en/canncommercial/82RC1/maintenref/troubleshooting/troubleshooting_0225.html
"""

from tracetail.launcher.engines.causes.cause import ABOVE, Cause, Line, Rank, Text

_STAMP = rb"(?:(?:\[PID: \d+\] )?\d[\d.:-]{18,32} )?"
_NAMED = _STAMP + rb"\w+"
"""What stands before the code in brackets where CANN names it, as in `Communication_Error_Bind_IP_Port(EJ0003): `."""


def _coded(code: bytes) -> bytes:
    """Return a pattern for the beginning of a message with this code: `EJ0003: …`, or since CANN 8.3 `…_Port(EJ0003): …`."""
    return rb"(?:" + code + rb": " + _STAMP + rb"|" + _NAMED + rb"\(" + code + rb"\): )"


SEE_CODE = Text(
    "CANN's code in the lines after it, or its log in ~/ascend/log, says why",
    "其后几行中的 CANN 错误码或 ~/ascend/log 中的日志说明原因",
)
SEE_HCCL_CODE = Text(
    "CANN's code in the lines after it, or its log in ~/ascend/log, says why; check hccn_tool, the rank table, and that "
    "every process sees the NPUs of its group (ASCEND_RT_VISIBLE_DEVICES)",
    "其后几行中的 CANN 错误码或 ~/ascend/log 中的日志说明原因；检查 hccn_tool、rank table，以及每个进程是否能看到其通信组的 "
    "NPU（ASCEND_RT_VISIBLE_DEVICES）",
)
"""The hints of causes that only the next lines explain."""

CAUSES = (
    Cause(
        "library_missing",
        Text("the library {name} of CANN or its driver is missing", "缺少 CANN 或其驱动的库 {name}"),
        Text(
            "source CANN's set_env.sh (ascend-toolkit, and nnal/atb) before the start; in a container mount the driver "
            "(/usr/local/Ascend/driver) of the machine",
            "启动前 source CANN 的 set_env.sh（ascend-toolkit 以及 nnal/atb）；容器中需挂载主机的驱动"
            "（/usr/local/Ascend/driver）",
        ),
        (
            Line(
                b"cannot open shared object file",
                rb"(?P<name>lib(?:ascend_?\w+|hccl\w*|atb\w*|dcmi|ge_\w+|nnopbase)\.so[\w.]*): "
                rb"cannot open shared object file",
            ),
        ),
    ),
    Cause(
        "cann_operator_missing",
        Text("CANN has no operator {name}", "CANN 中没有算子 {name}"),
        Text(
            "install the CANN version that this release of the engine asks for, or use its container image",
            "安装该引擎版本所要求的 CANN 版本，或使用它的容器镜像",
        ),
        (Line(b" not in libopapi.so", rb"(?P<name>aclnn\w+) or aclnn\w+ not in libopapi\.so"),),
    ),
    Cause(
        "cann_operator_missing",
        Text(
            "CANN's operator kernels for this NPU are not installed", "未安装适用于该 NPU 的 CANN 算子包（kernels）"
        ),
        Text(
            "install the CANN kernels package (Ascend-cann-kernels) for this NPU, in the version of the CANN toolkit",
            "安装与 CANN toolkit 版本一致、适用于该 NPU 的算子包（Ascend-cann-kernels）",
        ),
        (
            Line(
                b"binary_info_config.json failed",
                rb"(?:call aclnn\w+ failed, detail:)?EZ1001: "
                + _STAMP
                + rb"Get path and read binary_info_config\.json failed",
            ),
            Line(b"Parse dynamic kernel config fail", rb"EZ9999: " + _STAMP + rb"Parse dynamic kernel config fail"),
        ),
    ),
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
        (
            Line(b"EJ0003", _coded(b"EJ0003") + rb"Failed to bind the IP port"),
            Line(b"_Bind_IP_Port(", _NAMED + rb"_Bind_IP_Port\(E[IJ]\d{4}\): "),
        ),
    ),
    Cause(
        "hccl_timeout",
        Text(
            "the NPUs cannot communicate (HCCL): a rank did not answer in time",
            "NPU 之间无法通信（HCCL）：某个 rank 未及时响应",
        ),
        Text(
            "find the rank that failed first; check the network of the NPUs (hccn_tool), or raise HCCL_CONNECT_TIMEOUT, of a "
            "running server HCCL_EXEC_TIMEOUT",
            "找到最先出错的 rank；检查 NPU 网络（hccn_tool），或增大 HCCL_CONNECT_TIMEOUT（运行中的服务为 HCCL_EXEC_TIMEOUT）",
        ),
        (Line(b"EI0006", _coded(b"EI0006")), Line(b"EI0002", _coded(b"EI0002"))),
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
        (Line(b"EJ0001", _coded(b"EJ0001") + rb"Failed to initialize the HCCP process"),),
    ),
    Cause(
        "hccl_failed",
        Text("the NPUs cannot communicate ({code}: {why})", "NPU 之间无法通信（{code}：{why}）"),
        Text(
            "find the rank or NPU that failed first; check the network of the NPUs (hccn_tool) and the rank table",
            "找到最先出错的 rank 或 NPU；检查 NPU 网络（hccn_tool）和 rank table",
        ),
        (
            Line(b"Reason: ", rb"(?P<code>EI\d{4}): " + _STAMP + rb"(?P<why>[A-Z].{0,100}?Reason: .{1,150})"),
            Line(b"EJ0", rb"(?P<code>EJ\d{4}): " + _STAMP + rb"(?P<why>[A-Z].{3,150})"),
            Line(b"Communication_Error", _NAMED + rb"\((?P<code>E[IJ]\d{4})\): (?P<why>.{3,250})"),
        ),
    ),
    Cause(
        "cann_parameter",
        Text("an operator of CANN does not take what it was given: {why}", "CANN 算子不接受给定的输入：{why}"),
        Text(
            "model, engine and CANN do not fit together: use the versions that the engine's release names for this model, or "
            "leave out options that change shapes or data types (quantization, --dtype)",
            "模型、引擎与 CANN 不匹配：使用该引擎版本为此模型指定的版本，或去掉会改变形状或数据类型的选项（量化、--dtype）",
        ),
        (Line(b"EZ1001", _coded(b"EZ1001") + rb"(?P<why>[A-Z].{3,250})"),),
    ),
    Cause(
        "cann_error",
        Text("CANN reports {code}: {why}", "CANN 报告 {code}：{why}"),
        Text(
            "the lines after it may have CANN's solution; the code is explained in CANN's troubleshooting guide, the whole "
            "log is in ~/ascend/log",
            "其后几行可能有 CANN 给出的解决方法；错误码见 CANN 故障处理文档，完整日志在 ~/ascend/log",
        ),
        (
            Line(
                b"Reason: ",
                rb"(?P<code>E[A-Z]\d{4}): " + _STAMP + rb"(?P<why>[A-Z].{0,100}?Reason: .{1,150})",
            ),
            Line(b"_Error", _NAMED + rb"\((?P<code>E[A-Z]\d{4})\): (?P<why>(?!Inner Error).{3,250})"),
            Line(
                b"reason=[",
                rb"(?P<code>E[A-Z]\d{4}): " + _STAMP + rb"(?P<why>[A-Z].{0,120}?reason=\[[^\]]{1,80}\])",
            ),
        ),
    ),
    Cause(
        "hccl_failed",
        Text("the NPUs cannot communicate (HCCL[: {why}])", "NPU 之间无法通信（HCCL[：{why}]）"),
        SEE_HCCL_CODE,
        (
            Line(b"HCCL function error", rb"[^'\"]{0,120}HCCL function error: (?P<why>\w+)"),
            Line(b"HcclCommInitRootInfo", rb"[^'\"]{0,120}\b(?P<why>HcclCommInitRootInfo\w*) fail"),
            Line(b"OPS function error: Hccl", rb"[^'\"]{0,120}OPS function error: (?P<why>Hccl\w+)"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "hccl_failed",
        Text("another NPU of the group failed, or the link to it", "通信组中的另一个 NPU 或与它的链路发生故障"),
        Text(
            "the logs of the other ranks and nodes say what failed first; check npu-smi info (health) and the links between the "
            "NPUs (hccn_tool)",
            "查看其他 rank 和节点的日志，找出最先失败的；检查 npu-smi info（健康状态）以及 NPU 之间的链路（hccn_tool）",
        ),
        (Line(b"SUSPECT REMOTE ERROR", rb"SUSPECT REMOTE ERROR"),),
        Rank.GENERAL,
    ),
    Cause(
        "npu_unusable",
        Text("the NPU cannot be used: {why}", "NPU 无法使用：{why}"),
        Text(
            "check npu-smi info on the machine, and that no other container or process holds the NPU; a container needs "
            "/dev/davinciN, davinci_manager, devmm_svm, hisi_hdc and the driver of the machine",
            "在主机上检查 npu-smi info，并确认 NPU 没有被其他容器或进程占用；容器需要 /dev/davinciN、davinci_manager、"
            "devmm_svm、hisi_hdc 以及主机的驱动",
        ),
        (
            Line(
                b"c10_npu::SetDevice",
                rb"[^'\"]{0,120}NPU function error: (?P<why>c10_npu::SetDevice\(\w+\), error code is \d+)",
            ),
            Line(
                b"initialize",
                rb"dcmi mod(?:ule|el) initialized? failed[.,] ?(?P<why>(?:because \w+ \w+ \w+ \w+\. )?ret is -\d+)",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "npu_fault",
        Text("ATB's {why} failed on the NPU", "ATB 的 {why} 在 NPU 上失败"),
        Text(
            "ATB's log (~/atb/log, since CANN 8.3 ~/ascend/log/atb) says why: source nnal/atb/set_env.sh of the version that "
            "belongs to CANN and torch_npu; this NPU or this data type may not be supported by the engine's version",
            "原因见 ATB 日志（~/atb/log，CANN 8.3 起为 ~/ascend/log/atb）：source 与 CANN 和 torch_npu 版本匹配的 "
            "nnal/atb/set_env.sh；该引擎版本也可能不支持此 NPU 或数据类型",
        ),
        (
            Line(
                b"Operation",
                rb"The Inner error is reported as above.{0,120}operator name is (?P<why>[A-Z]\w*Operation)\b",
            ),
            Line(b"Operation setup failed!", rb"(?P<why>[A-Z]\w*Operation) setup failed!"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "npu_fault",
        Text("an operation failed on the NPU[: {why}]", "NPU 操作失败[：{why}]"),
        SEE_CODE,
        (
            Line(
                b"The Inner error is reported as above",
                rb"The Inner error is reported as above.{0,120}operator name is (?P<why>\w+)",
            ),
            Line(
                b"The error from device(",
                rb"E[A-Z]\d{4}: "
                + _STAMP
                + rb"The error from device\(.{1,60}, (?P<why>there is an exception of \w+ error)",
            ),
            Line(b"/ggml-cann.cpp:", rb"\S{1,200}/ggml-cann\.cpp:\d{1,6}: (?P<why>CANN error)"),
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
