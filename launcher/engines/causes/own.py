"""The codes of causes that no line of a log names: what tracetail itself finds before, during and after a start."""

from tracetail.launcher.engines.causes.cause import Text

OWN = {
    "unrecognised": Text(
        "none of the known causes: the cause is the error that began the failure, as the server printed it",
        "不属于已知原因：原因文本是导致失败的第一个错误，与服务输出一致",
    ),
    "exited": Text(
        "the server ended with a status, and its log names no error", "服务以某个状态退出，日志中没有错误"
    ),
    "not_in_foreground": Text(
        "the command ended with status 0 and left processes: it must stay in the foreground",
        "命令以状态 0 退出并留下进程：服务必须在前台运行",
    ),
    "not_ready_in_time": Text("the server was not ready within readyTimeoutSec", "服务未在 readyTimeoutSec 内就绪"),
    "smoke_failed": Text("the answer to the smoke test is not the wanted one", "冒烟测试的回答不符合要求"),
    "pre_start_failed": Text("preStart failed", "preStart 失败"),
    "program_missing": Text("the command cannot be executed", "命令无法执行"),
    "not_started": Text("the start ended before there was a server", "在服务启动之前，启动过程已结束"),
    "container_runtime_missing": Text("docker or podman is not installed", "未安装 docker 或 podman"),
    "container_runtime_away": Text("the container runtime does not answer", "容器运行时没有响应"),
    "container_runtime_denied": Text(
        "this user may not use the container runtime's socket", "当前用户无权使用容器运行时的套接字"
    ),
    "container_runtime_restarted": Text(
        "the container runtime was ended or restarted while the server ran", "服务运行期间容器运行时被停止或重启"
    ),
    "container_client_ended": Text(
        "the runtime's client was ended while its container ran", "容器运行期间其客户端被终止"
    ),
    "container_removed": Text("somebody else removed the container", "容器被他人删除"),
    "image_missing": Text("the image is not on this machine", "本机没有该镜像"),
    "devices_not_visible": Text("a container cannot get the machine's GPUs or NPUs", "容器无法获得本机的 GPU 或 NPU"),
    "bad_parameters": Text("the parameters are not valid", "参数无效"),
    "port_in_use": Text("another process holds the port", "端口被其他进程占用"),
    "locked": Text("another operation on this service is under way", "该服务的另一个操作正在进行"),
    "preflight_failed": Text(
        "a path, directory, disk or device cannot be used", "某个路径、目录、磁盘或设备无法使用"
    ),
    "model_not_found": Text("modelPath does not exist", "modelPath 不存在"),
    "model_directory_empty": Text("the model's directory is empty", "模型目录是空的"),
    "lfs_pointers": Text(
        "files of the model are Git LFS pointers: their content was not downloaded",
        "模型文件是 Git LFS 指针：内容没有下载",
    ),
    "shards_missing": Text("files that the index of the weights names are missing", "缺少权重索引中列出的文件"),
    "weights_corrupt": Text(
        "a safetensors file is shorter or longer than its header says", "safetensors 文件的长度与文件头不符"
    ),
    "config_missing": Text("the model has no config.json", "模型没有 config.json"),
    "config_not_json": Text("the model's config.json is not valid JSON", "模型的 config.json 不是合法的 JSON"),
    "tokenizer_missing": Text("the model has no tokenizer", "模型没有 tokenizer"),
}
