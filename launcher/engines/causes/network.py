"""Known causes: ports, addresses, and processes of a server that cannot reach each other."""

from tracetail.launcher.engines.causes.cause import RUST_VALUE, Cause, Line, Rank, Text

CAUSES = (
    Cause(
        "port_in_use",
        Text("the port is in use[: {address}]", "端口已被占用[：{address}]"),
        Text("stop the process that holds it, or choose another port", "停止占用它的进程，或换一个端口"),
        (
            Line(
                b"ddress already in use",
                rb"\[Errno 98\] (?:error while attempting to bind on address \((?P<address>[^)]*)\): )?[Aa]ddress already in use",
            ),
            Line(b"ddress already in use", rb"Address already in use \(addr='(?P<address>[^']*)'\)"),
            Line(
                b"error while attempting to bind on address",
                rb"\[Errno \d+\] error while attempting to bind on address \((?P<address>[^)]*)\)",
            ),
            Line(
                b"bind: address already in use",
                rb"(?:[\w ]{1,60}: )?listen (?:tcp|tcp4|tcp6) (?P<address>\S+): bind: address already in use",
            ),
            Line(b"(os error 98)", rb"[^'\"]{0,120}?Address (?:already )?in use \(os error 98\)"),
            Line(b"Os { code: 98", RUST_VALUE + rb"Os \{ code: 98, kind: "),
            Line(b"listen EADDRINUSE: ", rb"listen EADDRINUSE: address already in use (?P<address>\S+)"),
            Line(
                b"failed to listen on any local network address",
                rb"The server socket has failed to listen on any local network address\. "
                rb"(?:port: (?P<address>\d+), )?(?=.{0,200}(?:EADDRINUSE|errno: 98))",
            ),
        ),
        about_port=True,
    ),
    Cause(
        "address_not_available",
        Text("the address to listen on is not one of this machine", "要监听的地址不是本机的地址"),
        Text("change `host`: leave it out to listen on all interfaces", "修改 `host`；不填则监听所有网卡"),
        (
            Line(
                b"annot assign requested address",
                rb"(?:\[Errno 99\] )?(?:error while attempting to bind on address \([^)]*\): )?[Cc]annot assign requested address",
            ),
            Line(b"listen EADDRNOTAVAIL: ", rb"listen EADDRNOTAVAIL: address not available \S+"),
        ),
    ),
    Cause(
        "name_unresolved",
        Text("a host name cannot be resolved", "主机名无法解析"),
        Text("check `host`, MASTER_ADDR and the name server", "检查 `host`、MASTER_ADDR 和域名服务器"),
        (Line(b"[Errno -", rb"\[Errno -[23]\] (?:Name or service not known|Temporary failure in name resolution)"),),
        Rank.GENERAL,
    ),
    Cause(
        "peer_unreachable",
        Text("the processes of the server cannot reach each other", "服务的进程之间无法互相连接"),
        Text(
            "check that all nodes run, their addresses and firewalls, and NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME",
            "检查所有节点是否都在运行、它们的地址和防火墙，以及 NCCL_SOCKET_IFNAME 和 GLOO_SOCKET_IFNAME",
        ),
        (
            Line(b"The client socket has timed out after", rb"[^'\"]{0,200}The client socket has timed out after"),
            Line(b"DistStoreError", rb"[\w.]*DistStoreError: "),
            Line(b"Timed out after", rb"Timed out after \d+ seconds waiting for clients"),
            Line(b"Connection reset by peer", rb"\[PG ID \d.{0,300}Connection reset by peer"),
            Line(b"Gloo connectFullMesh failed", rb"Gloo connectFullMesh failed"),
            Line(b"third_party/gloo/", rb"\[[^\]]{0,40}third_party/gloo/[^\]]{1,80}\] [\w ]{0,60}"),
            Line(b"collective operation timeout", rb"[^'\"]{0,120}collective operation timeout"),
        ),
        Rank.GENERAL,
    ),
)
