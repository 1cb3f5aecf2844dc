"""Known causes: what docker and podman print when a container cannot be made or started."""

from tracetail.launcher.engines.causes.cause import Cause, Line, Rank, Text

_DAEMON = rb"(?:Error response from daemon: |Error: )?"
_NOT_STARTED = (
    rb"(?:(?:docker: )?Error response from daemon|failed to create (?:task for container|shim task)"
    rb"|(?:\s*Warning +Failed .{1,80}kubelet +)?(?:Failed: )?Error: failed to (?:create containerd task|start container [^:]{1,80}))"
)
"""How docker, containerd and the kubelet begin to say that a container was not started."""

CAUSES = (
    Cause(
        "image_not_pulled",
        Text("the image cannot be pulled[: {why}]", "无法拉取镜像[：{why}]"),
        Text(
            "check its name and tag, and that this machine reaches the registry (proxy, docker login); else load it "
            "from a file (docker load)",
            "检查镜像名和标签，以及本机能否访问镜像仓库（代理、docker login）；也可从文件加载（docker load）",
        ),
        (
            Line(
                b"Error response from daemon: Get ", rb'Error response from daemon: Get "(?P<why>https?://.{0,300})'
            ),
            Line(b"pull access denied for", rb"Error response from daemon: (?P<why>pull access denied for [^,]+)"),
            Line(b"manifest for ", rb"Error response from daemon: (?P<why>manifest for .{1,300} not found)"),
            Line(b"toomanyrequests", rb"Error response from daemon: (?P<why>toomanyrequests: [^.]{1,200})"),
            Line(b"initializing source", rb"Error: initializing source (?P<why>.{1,300})"),
            Line(b"short-name", rb'Error: (?P<why>short-name "[^"]*" did not resolve to an alias.{0,100})'),
            Line(b"No such image: ", rb"Error response from daemon: (?P<why>No such image: \S+)"),
            Line(b": image not known", rb"Error: (?P<why>\S+: image not known)"),
        ),
    ),
    Cause(
        "driver_too_old",
        Text(
            "the NVIDIA driver is too old for this image: it asks for {why}", "NVIDIA 驱动版本过旧，该镜像要求 {why}"
        ),
        Text(
            "update the machine's driver, or use an image for an older CUDA",
            "升级主机的驱动，或使用基于较旧 CUDA 的镜像",
        ),
        (
            Line(
                b"requirement error: unsatisfied condition: cuda",
                rb"(?:(?:"
                + _NOT_STARTED
                + rb"|Error): .{0,900})?nvidia-container-cli(?:\.real)?: requirement error: "
                rb"unsatisfied condition: (?P<why>cuda ?[<>=]{1,2} ?[\d.]{1,10}\d)",
            ),
        ),
    ),
    Cause(
        "devices_not_visible",
        Text("this machine has no device {path}", "本机没有设备 {path}"),
        Text(
            "load the driver that makes it (AMD: amdgpu; NPUs: the Ascend driver; Intel: xe or i915) on the machine, or leave the "
            "device out of container.args",
            "在主机上加载创建该设备的驱动（AMD：amdgpu；NPU：昇腾驱动；Intel：xe 或 i915），或从 container.args 中去掉该设备",
        ),
        (
            Line(
                b"error gathering device information",
                rb"(?:docker: )?Error response from daemon: error gathering device information while adding custom device "
                rb"\"(?P<path>/dev/[^\"]{1,100})\": no such file",
            ),
        ),
    ),
    Cause(
        "devices_not_visible",
        Text(
            "the container toolkit cannot read the image's NVIDIA_REQUIRE_CUDA",
            "容器工具无法解析镜像的 NVIDIA_REQUIRE_CUDA",
        ),
        Text(
            "update nvidia-container-toolkit on the machine, or skip the check: NVIDIA_DISABLE_REQUIRE=1 in `environ`",
            "升级主机上的 nvidia-container-toolkit，或跳过该检查：在 `environ` 中设置 NVIDIA_DISABLE_REQUIRE=1",
        ),
        (
            Line(
                b"requirement error: invalid expression",
                rb"(?:(?:" + _NOT_STARTED + rb"|Error): .{0,900})?nvidia-container-cli(?:\.real)?: "
                rb"requirement error: invalid expression",
            ),
        ),
    ),
    Cause(
        "devices_not_visible",
        Text("a device cannot be given to the container[: {why}]", "无法把设备提供给容器[：{why}]"),
        Text(
            "check the driver on the machine (nvidia-smi), then nvidia-container-toolkit (docker: nvidia-ctk runtime configure, "
            "restart docker; podman: nvidia-ctk cdi generate), or set container.gpus to none",
            "先在主机上检查驱动（nvidia-smi），再检查 nvidia-container-toolkit（docker：nvidia-ctk runtime configure 并重启 docker；podman：nvidia-ctk "
            "cdi generate），或将 container.gpus 设为 none",
        ),
        (
            Line(b"could not select device driver", _DAEMON + rb"(?P<why>could not select device driver .{1,80})"),
            Line(
                b"unresolvable CDI devices",
                rb"(?:Error|(?:docker: )?Error response from daemon): .{0,400}(?P<why>unresolvable CDI devices .{1,80})",
            ),
            Line(
                b"failed to stat CDI host device",
                rb'Error: .{0,200}(?P<why>failed to stat CDI host device "[^"]{1,100}": no such file or directory)',
            ),
            Line(
                b"no runtime for ",
                rb"(?:\w+ +)?(?:Warning +FailedCreatePodSandBox .{1,160})?Failed (?:to )?create pod sandbox: .{0,250}"
                rb'(?P<why>no runtime for "[\w.-]+" is configured)',
            ),
            Line(
                b"Allocate failed due to ",
                rb"(?:Message: +|\s*Warning +UnexpectedAdmissionError .{1,80}kubelet +)?(?:Pod )?Allocate failed due to "
                rb"(?P<why>.{1,250}?)(?:, which is unexpected|$)",
            ),
            Line(b"stat nvidia.com/gpu=", rb"Error: (?P<why>stat nvidia\.com/gpu=\S+: no such file or directory)"),
            Line(
                b"error gathering device information",
                rb"Error response from daemon: (?P<why>error gathering device information .{1,200})",
            ),
            Line(b"stat /dev/", rb"Error: (?P<why>stat /dev/\S+: no such file or directory)"),
            Line(
                b"nvidia-container-cli: ",
                rb"(?:" + _NOT_STARTED + rb"|Error): .{0,900}(?P<why>nvidia-container-cli: [^\\\"]{1,200}?)"
                rb"(?:: unknown|\\|\"|$)",
            ),
            Line(
                b"nvidia-container-cli: ",  # docker prints what the hook printed, over several lines
                rb"(?P<why>nvidia-container-cli: [^\\\"]{1,200}?)(?:: unknown|\\|\"|$)",
            ),
            Line(
                b"RuntimeHandler ",
                rb"(?:\s*Warning +FailedCreatePodSandBox .{1,160})?Failed (?:to )?create pod sandbox: .{0,80}"
                rb'(?P<why>RuntimeHandler "[\w.-]+" not supported)',
            ),
            Line(
                b"nvidia-container-cli.real: ",
                _NOT_STARTED
                + rb": .{0,900}(?P<why>nvidia-container-cli\.real: [^\\\"]{1,200}?)(?:: unknown|\\|\"|$)",
            ),
        ),
    ),
    Cause(
        "port_in_use",
        Text("the port is in use[: {address}]", "端口已被占用[：{address}]"),
        Text("stop the container that publishes it, or choose another port", "停止发布该端口的容器，或换一个端口"),
        (
            Line(
                b"port is already allocated",
                rb"(?:docker: )?Error response from daemon: .{0,300}Bind for (?P<address>\S+) failed: port is already allocated",
            ),
            Line(
                b"ddress already in use",
                rb"(?:docker: )?Error response from daemon: .{0,300}listen tcp4? (?P<address>\S+): bind: addr",
            ),
        ),
        about_port=True,
    ),
    Cause(
        "program_missing",
        Text("the image does not have the program[ {program}]", "镜像中没有程序[ {program}]"),
        Text("check `command` and the image's entrypoint", "检查 `command` 和镜像的 entrypoint"),
        (
            Line(b"[FATAL tini", rb"\[FATAL tini \(\d+\)\] exec (?P<program>\S+) failed: "),
            Line(
                b"executable file not found",
                rb'(?:\s*Warning +Failed .{1,80}kubelet +)?(?:(?:docker: )?Error response from daemon|Error): .{0,400}exec: \\?"(?P<program>[^"\\]+)\\?": executable file not found in \$PATH',
            ),
            Line(
                b"no such file or directory",
                rb'(?:(?:docker: )?Error response from daemon|Error): .{0,400}exec: "(?P<program>[^"]+)": stat [^:]+: no such file or dir',
            ),
        ),
    ),
    Cause(
        "image_missing",
        Text("there is no image {name}", "镜像 {name} 不存在"),
        Text(
            "check the path, and that this node mounts its file system",
            "检查路径，以及该节点是否挂载了所在的文件系统",
        ),
        (
            Line(
                b"could not open image ",
                rb"(?:FATAL: +)?(?:While checking container encryption: )?could not open image (?P<name>.{1,300}?): (?:failed to retrieve path for .{1,600}: )?"
                rb"(?:lstat .{1,400}: )?no such file or directory",
            ),
        ),
    ),
    Cause(
        "program_not_executable",
        Text("the image is for another CPU architecture: {why}", "镜像适用于其他 CPU 架构：{why}"),
        Text("use an image that is built for this machine (uname -m)", "使用为本机架构（uname -m）构建的镜像"),
        (
            Line(
                b"could not open image ",
                rb"(?:FATAL: +)?(?:While checking container encryption: )?could not open image .{1,300}?: (?P<why>the image's architecture .{1,100})",
            ),
        ),
    ),
    Cause(
        "permission_denied",
        Text("the program {program} of the container may not be executed", "没有权限执行容器中的程序 {program}"),
        Text(
            "make it executable (chmod +x), in the image or on the mounted directory",
            "为镜像或挂载目录中的该文件添加执行权限（chmod +x）",
        ),
        (
            Line(
                b"permission denied",
                rb'(?:docker: )?Error response from daemon: .{0,400}exec: \\?"(?P<program>[^"\\]+)\\?": permission denied',
            ),
        ),
    ),
    Cause(
        "container_not_started",
        Text("the container cannot be made or started[: {why}]", "无法创建或启动容器[：{why}]"),
        Text(
            "check container.args, container.network and container.mounts",
            "检查 container.args、container.network 和 container.mounts",
        ),
        (
            Line(
                b"Error response from daemon: network ",
                rb"Error response from daemon: (?P<why>network \S+ not found)",
            ),
            Line(b"unable to find user", rb"Error response from daemon: (?P<why>unable to find user [^\s:]+)"),
            Line(b"unable to find network", rb"Error: (?P<why>unable to find network with name or ID [^\s:]+)"),
            Line(b"unknown flag: ", rb"(?:Error: )?(?P<why>unknown flag: \S+)"),
            Line(
                b"invalid argument ",
                rb'(?:Error: )?(?P<why>invalid argument "[^"]{0,80}" for "[^"]{1,60}" flag.{0,100})',
            ),
            Line(
                b"OCI runtime create failed",
                rb"Error response from daemon: .{0,80}(?P<why>OCI runtime create failed: .{1,300})",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "container_init_missing",
        Text("podman has no init for containers", "podman 没有容器使用的 init 程序"),
        Text(
            "install catatonit, or name another one as init_path in containers.conf",
            "安装 catatonit，或在 containers.conf 中用 init_path 指定其他程序",
        ),
        (Line(b"container-init binary not found", rb"Error: container-init binary not found on the host"),),
    ),
    Cause(
        "container_runtime_away",
        Text("the container runtime does not answer", "容器运行时没有响应"),
        Text(
            "start it (systemctl start docker), or correct DOCKER_HOST",
            "启动它（systemctl start docker），或修正 DOCKER_HOST",
        ),
        (Line(b"Cannot connect to the Docker daemon", rb"(?:ERROR: )?Cannot connect to the Docker daemon at \S+"),),
    ),
    Cause(
        "container_runtime_denied",
        Text("no permission to use the container runtime's socket", "没有权限使用容器运行时的套接字"),
        Text(
            "join the group docker (usermod -aG docker USER, then log in again): it is as powerful as root",
            "加入用户组 docker（usermod -aG docker 用户名，然后重新登录）；该组等同于 root 权限",
        ),
        (
            Line(
                b"permission denied while trying to connect to the",
                rb"(?:docker: )?permission denied while trying to connect to the [Dd]ocker (?:daemon socket|API)",
            ),
        ),
    ),
    Cause(
        "container_runtime_restarted",
        Text("the runtime's client lost its connection", "容器运行时的客户端失去连接"),
        Text("see the log of the runtime: it was ended or restarted", "查看容器运行时的日志：它被停止或重启"),
        (
            Line(
                b"error waiting for container: ",
                rb'(?:msg="|docker: )?error waiting for container: ',
            ),
        ),
        Rank.GENERAL,
    ),
)
