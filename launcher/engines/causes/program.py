"""Known causes: what Python, the shell, the linker and the system say about a program that cannot run."""

import signal

from tracetail.launcher.engines import signals
from tracetail.launcher.engines.causes.cause import ABOVE, RUST_VALUE, Cause, Line, Rank, Text

_PYTHON = rb"[\w./+-]*python[\w.]*: "
_COMPILER = rb":?(?:[\w./+-]*/)?(?:ninja|nvcc|gcc|g\+\+|cc|c\+\+|clang|clang\+\+|ptxas)"
"""A compiler's name or path; a `:` at its beginning is from a CUDA_HOME that was put together like PATH."""

_NUMPY = Text(
    "an installed module was built for NumPy 1, and NumPy 2 is installed",
    "某个已安装的模块是为 NumPy 1 编译的，而安装的是 NumPy 2",
)
_NUMPY_HINT = Text(
    "install numpy<2, or a newer version of the module: the frames above show which one",
    "安装 numpy<2，或升级该模块：其上的调用栈显示是哪一个",
)
_SCRIPT = rb"[\w./-]+: ?(?:(?:line |" + "行 ?".encode() + rb")?\d+: |" + r"第 \d+ 行： ?".encode() + rb")"
"""How a shell names a script and its line; bash in Chinese in its old and new forms (its po/zh_CN.po)."""
_SHELL = rb"(?:-?(?:[\w./-]*/)?(?:ba|da|z)?sh: (?:\d+: )?|" + _SCRIPT + rb")(?:exec: )?"
"""How a shell begins what it says of a command: its own name, or the script's and the line."""
_QUOTE = rb"(?:['`]|\xe2\x80[\x98\x99])"
"""What coreutils put around a name, in C and in UTF-8."""
_RUNNER = (
    rb"(?:[\w./-]*/)?(?:env|nohup|nice|stdbuf|setsid|timeout|taskset|numactl|ionice|chrt|unshare): "
    rb"(?:failed to (?:run command|execute) )?" + _QUOTE + rb"?"
)
"""How a program that runs another begins to say that it cannot."""
_KERNEL_CACHE = rb"(?:\.triton|triton/cache|torchinductor[\w.-]*|torch_compile_cache|torch_extensions|\.flashinfer|flashinfer|tvm-ffi)"
"""The directories in which Triton, PyTorch and FlashInfer keep what they have compiled."""
_CACHE = rb"/\.\w[^']*|[^']*/(?:\.cache|\.config|\.triton|\.local|" + _KERNEL_CACHE + rb")(?:/[^']*)?"
"""What programs write to unasked, in the home directory, which is / for a user without an entry in /etc/passwd."""
_CACHE_HINT = Text(
    "the server's user may not write its home or this cache (a container's may have no name, and / as home): check their "
    "owner, or set HOME, or XDG_CACHE_HOME, HF_HOME, TRITON_CACHE_DIR and VLLM_CACHE_ROOT, in `environ`",
    "服务的用户不能写入主目录或该缓存（容器中的用户可能没有用户名，主目录为 /）：检查其所有者，或在 `environ` 中设置 HOME，"
    "或 XDG_CACHE_HOME、HF_HOME、TRITON_CACHE_DIR、VLLM_CACHE_ROOT",
)
_STARTER = (
    rb"(?:slurmstepd: error: execve\(\): |(?:[\w@.-]+: )?(?:Failed at step EXEC spawning |Failed to locate executable )"
    rb"|[^'\"]{0,120}\bfork/exec )"
)
"""How Slurm, systemd and programs in Go begin to say that they cannot start a program."""
_GO_CALL = (
    rb"(?:[^'\"]{0,120}\b)?(?:mkdir|open|openat|stat|lstat|read|write|chmod|chown|rename|unlink|remove|symlink) "
)
"""How Go's *PathError begins, behind what the program puts in front of it; the path and the reason follow."""


def _rust(code: int, text: bytes) -> tuple[Line, Line]:
    """Return how Rust prints an error of the system, for users and as a value. code: the errno; text: strerror's."""
    number = str(code).encode()
    return (
        Line(b"(os error " + number + b")", rb"[^'\"]{0,120}?" + text + rb" \(os error " + number + rb"\)"),
        Line(b"Os { code: " + number, RUST_VALUE + rb"Os \{ code: " + number + rb", kind: "),
    )


_WHILE_IMPORTED = rb"(?:most likely due to a circular import|Did you mean: '_)"
"""What Python adds where the module itself is being imported: what it names is mostly there, and something failed before."""

CAUSES = (
    Cause(
        "module_missing",
        Text(
            "Transformers cannot import the model's own code: {name}",
            "Transformers 无法导入模型自带的代码：{name}",
        ),
        Text(
            "the model's directory has a dot in its name: rename it, or serve it through a link without one, or update "
            "transformers",
            "模型目录的名称中含有点号：重命名该目录，或使用名称中不含点号的链接，或升级 transformers",
        ),
        (
            Line(
                b"No module named 'transformers_modules.",
                rb"(?<=ModuleNotFoundError: )No module named '(?P<name>transformers_modules\.[^']{1,200})'",
            ),
        ),
    ),
    Cause(
        "import_failed",
        Text("the installed {package} has no module {name}", "已安装的 {package} 中没有模块 {name}"),
        Text(
            "it is another version than the code asks for that imports it: install those that belong together (the frames above "
            "show who imports it)",
            "它的版本与导入它的代码要求的不同：安装相互匹配的版本（其上的调用栈显示是谁导入它）",
        ),
        (
            Line(
                b"No module named",
                rb"(?:(?<=ModuleNotFoundError: )|(?<=ImportError: ))No module named '(?P<name>(?P<package>\w+)\.[\w.]+)'(?!; ')",
            ),
        ),  # of a package that is not there at all, Python names the package alone
    ),
    Cause(
        "module_missing",
        Text("this Python has no module {name}", "这个 Python 没有模块 {name}"),
        Text(
            "check pythonBin: it names the Python of the engine's environment; or install the module there",
            "检查 pythonBin 是否为引擎环境的 Python；或在该环境中安装此模块",
        ),
        (
            Line(
                b"No module named",
                rb"(?:(?<=ModuleNotFoundError: )|(?<=ImportError: ))No module named '?(?P<name>[\w.]+)'?",
            ),
            Line(
                b"No module named",
                _PYTHON
                + rb"(?:Error while finding module specification for '[\w.]+' \(ModuleNotFoundError: )?No module named '?(?P<name>[\w.]+)'?",
            ),
        ),
    ),
    Cause(
        "module_missing",
        Text(
            "this Python has no {name}, or not the version that is asked for",
            "这个 Python 没有 {name}，或版本不符合要求",
        ),
        Text("install it into the engine's environment or image", "在引擎的环境或镜像中安装它"),
        (
            Line(
                b"Please install ",
                rb"(?<=ImportError: )Please install `?(?P<name>[\w.-]+)(?:[<>=]=?[\w.]+)?`? via",
            ),
            Line(
                b"which is less than the minimum required version",
                rb"(?P<name>[\w.-]+) is installed with version [\w.+]+, which is less than the minimum required version",
            ),
        ),
    ),
    Cause(
        "permission_denied",
        Text("the library {name} may not be read", "没有权限读取库 {name}"),
        Text(
            "check the mode and owner of it and of the directories above it, for the user who starts the server: under /root "
            "only root may read it",
            "检查它及其上级目录的权限和所有者（对启动服务的用户）：/root 下的文件只有 root 能读取",
        ),
        (
            Line(
                b"cannot open shared object file: Permission denied",
                rb"(?:[\w./+-]+: error while loading shared libraries: )?(?P<name>[\w./+-]+\.so[\w.]*): cannot open shared object file: Permission denied",
            ),
        ),
    ),
    Cause(
        "library_missing",
        Text("the library {name} is missing", "缺少库 {name}"),
        Text(
            "install it, or add its directory to LD_LIBRARY_PATH in `environ`; libcuda and libcudart come with driver and CUDA",
            "安装它，或把它所在目录加入 `environ` 的 LD_LIBRARY_PATH；libcuda 和 libcudart 随驱动和 CUDA 提供",
        ),
        (
            Line(
                b"cannot open shared object file",
                rb"(?:[\w./+-]+: error while loading shared libraries: )?(?P<name>[\w./+-]+\.so[\w.]*): cannot open shared object file",
            ),
        ),
    ),
    Cause(
        "driver_too_old",
        Text(
            "the NVIDIA driver has no {symbol}, which {name} needs",
            "NVIDIA 驱动没有 {name} 需要的 {symbol}",
        ),
        Text(
            "update the driver (nvidia-smi shows its version), or install a build for an older CUDA; a container must be given "
            "the driver of the machine (--gpus)",
            "升级驱动（nvidia-smi 显示其版本），或安装基于较旧 CUDA 的版本；容器需要使用本机的驱动（--gpus）",
        ),
        (
            Line(
                b"undefined symbol: cu",
                rb"(?P<name>/?[\w./+-]+\.so[\w.]*): undefined symbol: (?P<symbol>cu(?!File)[A-Z]\w+)",
            ),
        ),
    ),
    Cause(
        "library_missing",
        Text(
            "the library {name} needs {symbol}, which no library has that is loaded",
            "库 {name} 需要符号 {symbol}，但已加载的库中没有",
        ),
        Text(
            "it was built for another version of PyTorch, CUDA or CANN: install versions that belong together, and look for "
            "another copy of a library in LD_LIBRARY_PATH",
            "它是为其他版本的 PyTorch、CUDA 或 CANN 编译的：安装相互匹配的版本，并检查 LD_LIBRARY_PATH 中是否有同名库",
        ),
        (Line(b"undefined symbol: ", rb"(?P<name>/?[\w./+-]+\.so[\w.]*): undefined symbol: (?P<symbol>\w+)"),),
    ),
    Cause(
        "library_too_old",
        Text("{name} needs {symbol}, which {library} does not have", "{name} 需要 {symbol}，但 {library} 中没有"),
        Text(
            "the library that is loaded is older than the one it was built with: install the version that it asks for, and look "
            "for another copy of it in LD_LIBRARY_PATH",
            "加载的库比编译时使用的旧：安装所需的版本，并检查 LD_LIBRARY_PATH 中是否有同名库",
        ),
        (
            Line(
                b" with link time reference",
                rb"(?P<name>/?[\w./+-]+\.so[\w.]*): symbol (?P<symbol>\w+),? version \S+ not defined in file (?P<library>\S+) "
                rb"with link time reference",
            ),
        ),
    ),
    Cause(
        "library_broken",
        Text("the library {name} cannot be loaded: {why}", "库 {name} 无法加载：{why}"),
        Text(
            "install it again: its file is incomplete, or made for another system",
            "重新安装它：文件不完整，或适用于其他系统",
        ),
        (
            Line(
                b"error while loading shared libraries",
                rb"[\w./+-]+: error while loading shared libraries: (?P<name>[\w./+-]+\.so[\w.]*): (?P<why>.{1,150})",
            ),
        ),
    ),
    Cause(
        "library_too_old",
        Text("a library of the system is too old: {name} has no {version}", "系统库过旧：{name} 中没有 {version}"),
        Text(
            "put the library of the engine's environment first (LD_LIBRARY_PATH in `environ`), or use its container image",
            "让引擎环境自带的库优先（`environ` 中的 LD_LIBRARY_PATH），或使用它的容器镜像",
        ),
        (
            Line(
                b"' not found (required by",
                rb"(?:[\w./+-]+: )?(?P<name>/\S+): version [`'](?P<version>[\w.]+)' not found \(required by",
            ),
        ),
    ),
    Cause(
        "import_failed",
        Text("the installed packages do not fit together: {name}", "已安装的包互不匹配：{name}"),
        Text(
            "install the versions that the engine asks for into an environment of its own",
            "在独立环境中安装引擎要求的版本",
        ),
        (
            Line(
                b"' is already used by a Transformers model",
                rb"(?P<name>'.{1,200}' is already used by a Transformers model)",
            ),
            Line(
                b"cannot import name",
                rb"(?P<name>cannot import name '[^']+' from '[^']+')(?! \(unknown location\)|.{0,400}"
                + _WHILE_IMPORTED
                + rb")",
            ),
            Line(
                b"has no attribute all_special_tokens_extended",  # Transformers 5 has taken it away
                rb"(?P<name>\w{1,80} has no attribute all_special_tokens_extended)",
            ),
        ),
    ),
    Cause(
        "import_failed",
        Text("a module could not be imported as a whole: {name}", "某个模块未能完整导入：{name}"),
        Text(
            "an error while it was imported is in the log above; else install the versions that the engine asks for into an "
            "environment of its own, and name no own file like a package",
            "导入过程中的错误见日志上文；否则在独立环境中安装引擎要求的版本，且自己的文件不要与安装包同名",
        ),
        (
            Line(
                b"cannot import name",
                rb"(?P<name>cannot import name '[^']+' from (?:partially initialized module )?'[^']+')(?=.{0,400}"
                + _WHILE_IMPORTED
                + rb")",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "import_failed",
        Text(
            "Python finds a directory that is named {name}, not the package of that name",
            "Python 找到的是名为 {name} 的目录，而不是同名的包",
        ),
        Text(
            "do not start it in a directory that has a folder {name} (workDir, PYTHONPATH), or install the package again",
            "不要在含有 {name} 文件夹的目录中启动（workDir、PYTHONPATH），或重新安装该包",
        ),
        (
            Line(
                b"(unknown location)",
                rb"cannot import name '[^']{1,200}' from '(?P<name>[\w.]{1,100})' \(unknown location\)",
            ),
        ),
    ),
    Cause(
        "import_failed",
        Text("the installed torchvision does not fit this PyTorch", "已安装的 torchvision 与 PyTorch 不匹配"),
        Text(
            "install the torchvision that belongs to this version of torch, from the same index (CUDA, ROCm or CPU)",
            "从同一个源（CUDA、ROCm 或 CPU）安装与该 torch 版本对应的 torchvision",
        ),
        (Line(b"operator torchvision::nms does not exist"),),
    ),
    Cause(
        "import_failed",
        _NUMPY,
        _NUMPY_HINT,
        (Line(b"numpy.core.multiarray failed to import"),),
        Rank.GENERAL,
    ),
    Cause(
        "import_failed",
        _NUMPY,
        _NUMPY_HINT,
        (
            Line(b"A module that was compiled using NumPy 1.x cannot be run in"),
            Line(b"_ARRAY_API not found"),
        ),  # NumPy prints them as a warning, with a traceback; many programs go on
        Rank.WEAK,
    ),
    Cause(
        "bad_arguments",
        Text("the engine does not take its arguments: {message}", "引擎不接受给定的参数：{message}"),
        Text("correct `args`; the engine's --help lists what it takes", "修改 `args`；引擎的 --help 列出了可用参数"),
        (
            Line(
                b": error: ",
                rb"[\w./ -]+: error: (?P<message>(?:unrecognized arguments|argument |the following arguments are required|invalid |ambiguous option|expected |one of the arguments|unexpected argument).{0,250})",
            ),
            Line(
                b"error: ",
                rb"(?:error: )?(?P<message>(?:invalid argument: |unexpected argument '|the argument '|invalid value '|unknown argument: |expected value for argument).{0,250})",
            ),
            Line(
                b"got an unexpected keyword argument",
                rb"(?P<message>\w*(?:EngineArgs|ServerArgs|EngineConfig)\.__init__\(\) got an unexpected keyword argument '[^']{1,80}')",
            ),
            Line(b"while handling argument", rb"(?:error )?while handling argument (?P<message>\"-.{0,250})"),
        ),
    ),
    Cause(
        "linker_failed",
        Text("a kernel cannot be linked: {what}", "内核程序链接失败：{what}"),
        Text(
            "install the library's development files, or add its directory to LIBRARY_PATH in `environ` (libcuda: the driver's, or CUDA's stubs)",
            "安装该库的开发文件，或把它所在目录加入 `environ` 的 LIBRARY_PATH（libcuda 在驱动目录或 CUDA 的 stubs 目录）",
        ),
        (Line(b"ld: cannot find -l", rb"[\w./+-]*ld: (?P<what>cannot find -l\S+?)(?::|$| )"),),
    ),
    Cause(
        "compiler_missing",
        Text("a kernel cannot be compiled: {name} is missing", "内核程序无法编译：缺少 {name}"),
        Text("install it into the engine's environment or image", "在引擎的环境或镜像中安装它"),
        (
            Line(b"is required to load C++ extensions", rb"(?P<name>Ninja) is required to load C\+\+ extensions"),
            Line(b"Failed to find C compiler", rb"Failed to find (?P<name>C compiler)"),
        ),
    ),
    Cause(
        "compiler_missing",
        Text("a kernel cannot be compiled: {name} is missing", "内核程序无法编译：缺少 {name}"),
        Text("install it into the engine's environment or image", "在引擎的环境或镜像中安装它"),
        (
            Line(
                b"[Errno 2] No such file or directory: '",
                rb"\[Errno 2\] No such file or directory: '(?P<name>ninja|nvcc|gcc|g\+\+|cc|ptxas|[\w./-]*/bin/nvcc)'",
            ),
            Line(b"Could not find nvcc", rb"(?:(?<=Error: )|(?<=error '))Could not find (?P<name>nvcc)"),
            Line(
                b"not found",
                rb"[\w./-]+: (?:line )?\d+: (?P<name>" + _COMPILER + rb"): (?:command )?not found",
            ),
        ),
    ),
    Cause(
        "compile_failed",
        Text(
            "a kernel cannot be compiled: its cache was made elsewhere, and {name} is missing",
            "无法编译内核程序：其缓存是在别处生成的，缺少 {name}",
        ),
        Text(
            "remove the cache of compiled kernels (~/.cache/flashinfer, ~/.cache/tvm-ffi, ~/.cache/torch_extensions): its "
            "build files name paths of the machine or environment that made it",
            "删除已编译内核的缓存（~/.cache/flashinfer、~/.cache/tvm-ffi、~/.cache/torch_extensions）："
            "其构建文件包含生成它的机器或环境的路径",
        ),
        (
            Line(
                b"ninja: error: '",
                rb"ninja: error: '(?P<name>[^']{1,300})',(?: needed by '[^']{1,300}',)? missing and no known rule to make it",
            ),
        ),
    ),
    Cause(
        "compile_failed",
        Text("a kernel cannot be compiled: {why}", "内核程序编译失败：{why}"),
        Text(
            "use the nvcc of the CUDA that the engine's PyTorch is built with (CUDA_HOME and PATH in `environ`), or the "
            "engine's precompiled kernels",
            "使用与引擎的 PyTorch 相同 CUDA 版本的 nvcc（`environ` 中的 CUDA_HOME 和 PATH），或引擎的预编译内核",
        ),
        (
            Line(b"nvcc fatal", rb"(?:.{0,200}NVCC compilation failed: )?(?P<why>nvcc fatal +: [^\[]{1,150})"),
        ),  # DeepGEMM prints it behind an unfinished line
    ),
    Cause(
        "compile_failed",
        Text("a kernel cannot be compiled: the header {name} is missing", "内核程序无法编译：缺少头文件 {name}"),
        Text(
            "install the package that has this header (stddef.h: the compiler's own; Python.h: the development files of this "
            "Python; cublasLt.h, curand_kernel.h, nvrtc.h: the CUDA toolkit's, which CUDA_HOME in `environ` names)",
            "安装包含该头文件的软件包（stddef.h：编译器自带；Python.h：该 Python 的开发文件；cublasLt.h、curand_kernel.h、"
            "nvrtc.h：CUDA toolkit 的开发文件，并用 `environ` 中的 CUDA_HOME 指定）",
        ),
        (
            Line(
                b"fatal error: ",
                rb"(?:[\w./+-]{1,300}(?::\d{1,7}){1,2}: )?fatal error: (?P<name>[\w./+-]{1,100}\.(?:h|hpp|cuh)): "
                rb"No such file or directory",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "not_json",
        Text("a file or an argument is not valid JSON: {why}", "某个文件或参数不是合法的 JSON：{why}"),
        Text(
            "the frames above it show which one: a file of the model, an argument that takes JSON, a logging configuration",
            "其上的调用栈显示是哪一个：模型文件、JSON 参数或日志配置文件",
        ),
        (
            Line(
                b"JSONDecodeError: ",
                rb"(?:[\w.]*\.)?JSONDecodeError: (?P<why>[A-Z].{1,80}: line \d+ column \d+ \(char \d+\))",
            ),
            Line(
                b"Value error, Expecting ",
                rb"(?<=Value error, )(?P<why>Expecting .{1,60}: line \d+ column \d+ \(char \d+\))",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "compile_failed",
        Text("a kernel cannot be compiled: {name} failed", "内核程序编译失败：{name} 出错"),
        Text(
            "the compiler's output in the log says why: a header or library is missing (Triton needs Python.h and libcuda), or "
            "its version does not fit",
            "原因见日志中编译器的输出：缺少头文件或库（Triton 需要 Python.h 和 libcuda），或版本不匹配",
        ),
        (
            Line(
                b"returned non-zero exit status",
                rb"Command '\[?'?(?P<name>(?:[\w./+-]*/)?(?:ninja|nvcc|(?:[\w-]+-)?(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+)(?:-\d+)?))['\s].*"
                rb"' returned non-zero exit status \d",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "program_failed",
        Text("{name} failed with status {status}", "{name} 失败，状态码 {status}"),
        Text("run it by hand: 127 means that it is not installed", "手动执行它；127 表示未安装"),
        (
            Line(
                b"returned non-zero exit status",
                rb"Command '\[?'?(?P<name>[\w./+-]+).*' returned non-zero exit status (?P<status>\d+)",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "program_missing",
        Text("there is no program {name}", "找不到程序 {name}"),
        Text(
            "check `command`, `pythonBin` and PATH; a script must source conda's etc/profile.d/conda.sh before conda activate",
            "检查 `command`、`pythonBin` 和 PATH；脚本中执行 conda activate 之前须先 source conda 的 etc/profile.d/conda.sh",
        ),
        (
            Line(b"not found", _SHELL + rb"(?P<name>[\w./+-]+): (?:command )?not found"),
            Line(
                b"No such file or directory",
                _RUNNER + rb"(?P<name>[\w./+-]+)" + _QUOTE + rb"?: No such file or directory",
            ),
            Line(
                b"required file not found",
                _SHELL + rb"(?P<name>[\w./+-]+): cannot execute: required file not found",
            ),
            Line(
                b"bad interpreter: No such file",
                rb"(?:" + _SHELL + rb")?[\w./+-]+: (?P<name>[\w./+-]+): bad interpreter: No such file or directory",
            ),
            Line(b"no such file or directory", rb"exec (?P<name>/?[\w./+-]+): no such file or directory$"),
            Line("未找到命令".encode(), _SHELL + rb"(?P<name>[\w./+-]+): " + "未找到命令".encode()),
        ),
        Rank.WEAK,
    ),
    Cause(
        "windows_line_ends",
        Text("the script has Windows line ends (CRLF)", "脚本使用了 Windows 换行符（CRLF）"),
        Text(
            "convert it (dos2unix, sed -i 's/\\r$//'), and keep git from converting it back (*.sh text eol=lf)",
            "转换它（dos2unix 或 sed -i 's/\\r$//'），并避免 git 再次转换（*.sh text eol=lf）",
        ),
        (
            Line(b"^M: bad interpreter", rb"[\w./+: -]{1,200}\^M: bad interpreter: "),
            Line(b"\\r", rb"[\w./+-]*env: " + _QUOTE + rb"[\w./+-]+\\r" + _QUOTE + rb": No such file or directory"),
            Line(b"$'\\r': ", _SHELL + rb"\$'\\r': command not found"),
        ),
        Rank.WEAK,
    ),
    Cause(
        "variable_unset",
        Text("the script needs the variable {name}, which is not set", "脚本需要变量 {name}，但它没有设置"),
        Text("set it in `environ`", "在 `environ` 中设置它"),
        (
            Line(b": unbound variable", _SHELL + rb"(?P<name>[A-Za-z_]\w*(?:\[[^\]]{1,20}\])?): unbound variable"),
            Line(
                b": parameter n",
                _SHELL + rb"(?P<name>[A-Za-z_]\w*): parameter (?:not set|null or not set)(?: or null)?$",
            ),
        ),
        Rank.WEAK,
    ),
    Cause(
        "conda_not_initialised",
        Text("the script's shell cannot activate a conda environment", "脚本的 shell 无法激活 conda 环境"),
        Text(
            "source conda's etc/profile.d/conda.sh in the script before conda activate, or give the environment's Python as "
            "pythonBin",
            "在脚本中执行 conda activate 之前先 source conda 的 etc/profile.d/conda.sh，或把该环境的 Python 填入 pythonBin",
        ),
        (
            Line(b"CondaError: Run 'conda init' before 'conda activate'"),
            Line(b"CommandNotFoundError: Your shell has not been properly configured to use 'conda activate'"),
        ),
        Rank.WEAK,
    ),
    Cause(
        "program_not_executable",
        Text(
            "the program[ {name}] cannot be executed here (exec format error)",
            "程序[ {name}] 无法在本机执行（exec format error）",
        ),
        Text(
            "it, or its image, is for another CPU architecture (uname -m; docker image inspect), or it is a script without a "
            "#! line",
            "该程序或镜像适用于其他 CPU 架构（uname -m、docker image inspect），或是没有 #! 行的脚本",
        ),
        (
            Line(b"exec format error", rb"exec (?P<name>\S+): exec format error"),
            Line(
                b"exec format error",
                rb'standard_init_linux\.go:\d+: exec user process caused[: ]+"?exec format error',
            ),
            Line(
                b"cannot execute binary file",
                _SHELL + rb"(?P<name>[\w./+-]+): cannot execute binary file",
            ),
            Line("无法执行二进制文件".encode(), _SHELL + rb"(?P<name>[\w./+-]+): " + "无法执行二进制文件".encode()),
            Line(b"Exec format error", _SHELL + rb"(?P<name>[\w./+-]+): Exec format error"),
        ),
        Rank.WEAK,
    ),
    Cause(
        "permission_denied",
        Text("the program {name} may not be executed", "没有权限执行程序 {name}"),
        Text(
            "check its mode (chmod +x) and that of its directories, and that its file system is not mounted noexec",
            "检查该文件（chmod +x）及其目录的权限，以及所在文件系统是否以 noexec 挂载",
        ),
        (
            Line(b"Permission denied", _SHELL + rb"(?P<name>[\w./+-]+): Permission denied"),
            Line("权限不够".encode(), _SHELL + rb"(?P<name>[\w./+-]+): " + "权限不够".encode()),
        ),
        Rank.WEAK,
    ),
    Cause(
        "program_missing",
        Text("there is no program {name} on this machine", "本机没有程序 {name}"),
        Text(
            "check the path, and that this node mounts its file system; a script's interpreter (its #! line) must be there, too",
            "检查路径，以及该节点是否挂载了所在的文件系统；脚本的解释器（#! 行）也必须存在",
        ),
        (Line(b"o such file or directory", _STARTER + rb"(?P<name>[^\s:]+): [Nn]o such file or directory"),),
        Rank.GENERAL,
    ),
    Cause(
        "permission_denied",
        Text("the program {name} may not be executed", "没有权限执行程序 {name}"),
        Text(
            "check its mode (chmod +x) and that of its directories, that its file system is not mounted noexec, and that SELinux "
            "lets a service execute it (ausearch -m avc)",
            "检查该文件（chmod +x）及其目录的权限，所在文件系统是否以 noexec 挂载，以及 SELinux 是否允许服务执行它"
            "（ausearch -m avc）",
        ),
        (Line(b"ermission denied", _STARTER + rb"(?P<name>[^\s:]+): [Pp]ermission denied"),),
        Rank.GENERAL,
    ),
    Cause(
        "program_not_executable",
        Text(
            "the program {name} cannot be executed here (exec format error)",
            "程序 {name} 无法在此执行（exec format error）",
        ),
        Text(
            "it is for another CPU architecture (uname -m), or a script without a #! line",
            "它适用于其他 CPU 架构（uname -m），或是没有 #! 行的脚本",
        ),
        (Line(b"xec format error", _STARTER + rb"(?P<name>[^\s:]+): [Ee]xec format error"),),
        Rank.GENERAL,
    ),
    Cause(
        "killed",
        Text("a process of the server was killed by SIGKILL", "服务的某个进程被 SIGKILL 终止"),
        signals.cause_of(signal.SIGKILL).hint,
        (
            Line(b" Killed  ", _SCRIPT + rb" *\d+ Killed  "),
            Line("已杀死".encode(), rb"(?:" + _SCRIPT + rb" *\d+ )?" + r"已杀死(?:  |$)".encode()),
        ),
        Rank.WEAK,
    ),
    Cause(
        "stale_file_handle",
        Text(
            "a file is gone from its network file system (stale file handle)",
            "网络文件系统（NFS）上的文件已失效（stale file handle）",
        ),
        Text(
            "mount the file system again, and start the container again; do not replace the model's files while a server reads "
            "them",
            "重新挂载该文件系统并重启容器；服务读取模型文件时不要替换它们",
        ),
        (
            Line(b"[Errno 116]", rb"\[Errno 116\] Stale file handle"),
            Line(b"Stale file handle", rb"read\(\): fd \d+ failed with Stale file handle"),
        ),
    ),
    Cause(
        "forbidden_system_call",
        Text("the container forbids a system call", "容器禁止了某个系统调用"),
        Text(
            "its seccomp profile is older than the image: update docker, or allow it (--security-opt seccomp=unconfined, "
            "--privileged)",
            "容器的 seccomp 配置比镜像旧：升级 docker，或放开限制（--security-opt seccomp=unconfined、--privileged）",
        ),
        (Line(b"what():  Operation not permitted", rb" *what\(\): +Operation not permitted\s*$"),),
    ),
    Cause(
        "forbidden_system_call",
        Text("the container forbids the system call pidfd_getfd", "容器禁止了系统调用 pidfd_getfd"),
        Text(
            "processes that hand tensors to each other need it: docker run --cap-add=SYS_PTRACE --security-opt seccomp=unconfined",
            "进程之间传递张量需要它：docker run --cap-add=SYS_PTRACE --security-opt seccomp=unconfined",
        ),
        (Line(b"pidfd_getfd: Operation not permitted"),),
    ),
    Cause(
        "file_descriptors_exhausted",
        Text("no file descriptors are left", "文件描述符已用完"),
        Text("raise the limit (ulimit -n, LimitNOFILE)", "提高上限（ulimit -n、LimitNOFILE）"),
        (Line(b"Too many open files", rb"(?:\[Errno 2[34]\] )?Too many open files"),),
    ),
    Cause(
        "segmentation_fault",
        Text("native code of the server crashed (segmentation fault)", "服务的本地代码崩溃（段错误）"),
        signals.cause_of(signal.SIGSEGV).hint,
        (
            Line(b"!!!!!!! Segfault encountered"),
            Line(b"Fatal Python error: Segmentation fault"),
            Line(b"Segmentation fault", rb"(?:" + _SCRIPT + rb" *\d+ )?Segmentation fault"),
            Line("段错误".encode(), rb"(?:" + _SCRIPT + rb" *\d+ )?" + "段错误".encode()),
        ),
        Rank.CONSEQUENCE,
    ),
    Cause(
        "segmentation_fault",
        Text("native code of the server crashed (segmentation fault)", "服务的本地代码崩溃（段错误）"),
        signals.cause_of(signal.SIGSEGV).hint,
        (Line(b"*** SIGSEGV received at "),),
        Rank.GENERAL,
    ),
    *(
        Cause(
            signals.cause_of(number).code,
            Text(f"native code of the server was ended by {name}", f"服务的本地代码被 {name} 终止"),
            signals.cause_of(number).hint,
            (
                Line(f"*** {name} received at".encode(), rf"\*\*\* {name} received at ".encode()),
                Line(f"Fatal Python error: {words}".encode()),
            ),
            Rank.GENERAL,
        )
        for name, number, words in (
            ("SIGBUS", signal.SIGBUS, "Bus error"),
            ("SIGILL", signal.SIGILL, "Illegal instruction"),
            ("SIGFPE", signal.SIGFPE, "Floating point exception"),
        )
    ),
    Cause(
        "engine_failed",
        Text("a Python process of the engine ended itself", "引擎的某个 Python 进程自行退出"),
        ABOVE,
        (
            Line(b"SystemExit", rb"SystemExit(?:: \d+)?$"),
            Line(b"KeyboardInterrupt", rb"KeyboardInterrupt$"),
            Line(b"CancelledError", rb"(?:[\w.]*\.)?CancelledError$"),
        ),
        Rank.CONSEQUENCE,
    ),
    Cause(
        "threads_exhausted",
        Text("no more threads or processes can be started", "无法再启动线程或进程"),
        Text(
            "raise the limit: ulimit -u, --pids-limit of the container, TasksMax= of a service; or lower OMP_NUM_THREADS",
            "提高上限：ulimit -u、容器的 --pids-limit、服务的 TasksMax=；或减小 OMP_NUM_THREADS",
        ),
        (
            Line(b"can't start new thread"),
            Line(
                b"Resource temporarily unavailable",
                _SHELL + rb"fork: (?:retry: )?Resource temporarily unavailable",
            ),
            Line(b"pthread_create failed", rb"(?:OpenBLAS )?\w*: pthread_create failed for thread \d+"),
            Line(b"Resource temporarily unavailable", rb"(?<=RuntimeError: )Resource temporarily unavailable$"),
            Line(
                b"ThreadPoolBuildError",
                rb"(?:[\w.]*PanicException: )?The global thread pool has not been initialized\.: ThreadPoolBuildError "
                rb"\{ kind: IOError\(Os \{ code: 11,",
            ),
        ),
    ),
    Cause(
        "cache_changed",
        Text(
            "a file of a cache of compiled kernels is gone while it is used: {path}",
            "已编译内核的缓存中的文件在使用时消失：{path}",
        ),
        Text(
            "several processes or machines share this cache, or something empties it: give each server one of its own, on a "
            "local disk (TRITON_CACHE_DIR, TORCHINDUCTOR_CACHE_DIR, XDG_CACHE_HOME in `environ`), and remove this one",
            "多个进程或机器共用该缓存，或有程序在清理它：在 `environ` 中为每个服务指定本地磁盘上的独立缓存"
            "（TRITON_CACHE_DIR、TORCHINDUCTOR_CACHE_DIR、XDG_CACHE_HOME），并删除该缓存",
        ),
        (
            Line(
                b"[Errno 2] No such file or directory: '",
                rb"(?<=FileNotFoundError: )\[Errno 2\] No such file or directory: '(?P<path>[^']*/"
                + _KERNEL_CACHE
                + rb"/[^']*)'",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "file_missing",
        Text("a file does not exist[: {path}]", "文件不存在[：{path}]"),
        Text(
            "check the paths in `args` and `environ`; the lines above show what wanted it",
            "检查 `args` 和 `environ` 中的路径；上文显示了是谁需要它",
        ),
        (
            Line(
                b"can't open file '",
                _PYTHON + rb"can't open file '(?P<path>[^']+)': \[Errno 2\] No such file or directory",
            ),
            Line(
                b"[Errno 2] No such file or directory",
                rb"(?<=FileNotFoundError: )\[Errno 2\] No such file or directory(?:: '(?P<path>[^']*)')?",
            ),
            Line(b"[Errno 20] ", rb"\[Errno 20\] Not a directory: '(?P<path>[^']*)'"),
            Line(b": no such file or directory", _GO_CALL + rb"(?P<path>[^\s:]+): no such file or directory"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "user_unknown",
        Text("the user {name}, as whom the server runs, has no name here", "运行服务的用户 {name} 在此没有用户名"),
        Text(
            "the container has no such user in /etc/passwd: mount one, start it without --user, or set USER, and "
            "TORCHINDUCTOR_CACHE_DIR and HOME to directories that it may write, in `environ`",
            "容器的 /etc/passwd 中没有该用户：挂载该文件、不用 --user 启动，或在 `environ` 中设置 USER，并将 "
            "TORCHINDUCTOR_CACHE_DIR 和 HOME 设为可写的目录",
        ),
        (Line(b"getpwuid(): uid not found", rb"['\"]?getpwuid\(\): uid not found: (?P<name>\d+)"),),
    ),
    Cause(
        "permission_denied",
        Text("a file may not be used: {path}", "没有权限使用文件：{path}"),
        _CACHE_HINT,
        (Line(b"[Errno 13] Permission denied: '", rb"\[Errno 13\] Permission denied: '(?P<path>" + _CACHE + rb")'"),),
        Rank.GENERAL,
    ),
    Cause(
        "permission_denied",
        Text("a file may not be used[: {path}]", "没有权限使用文件[：{path}]"),
        Text(
            "check its owner and mode, for the user who starts the server",
            "检查文件的所有者和权限（对启动服务的用户）",
        ),
        (
            Line(b"Permission denied", rb"\[Errno 13\] Permission denied(?:: '(?P<path>[^']*)')?"),
            Line(b"[Errno 1] ", rb"\[Errno 1\] Operation not permitted: '(?P<path>[^']*)'"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "permission_denied",
        Text("permission denied[: {path}]", "没有权限（permission denied）[：{path}]"),
        Text(
            "check owner and mode of it and of the directories above it, for the user who starts the server",
            "检查它及其上级目录的所有者和权限（对启动服务的用户）",
        ),
        (
            Line(b": permission denied", _GO_CALL + rb"(?P<path>[^\s:]+): permission denied"),
            *_rust(13, b"Permission denied"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "file_system_read_only",
        Text("a file system is mounted read-only[: {path}]", "文件系统以只读方式挂载[：{path}]"),
        Text(
            "mount it writable (readOnlyRootFilesystem, `:ro`), or put what is written there elsewhere (HF_HOME, XDG_CACHE_HOME, "
            "TMPDIR in `environ`); a disk with errors becomes read-only, too: see dmesg",
            "以可写方式挂载（readOnlyRootFilesystem、`:ro`），或把写入的内容放到别处（在 `environ` 中设置 HF_HOME、"
            "XDG_CACHE_HOME、TMPDIR）；磁盘出错时也会变为只读：查看 dmesg",
        ),
        (
            Line(b"[Errno 30] ", rb"\[Errno 30\] Read-only file system(?:: '(?P<path>[^']*)')?"),
            Line(b": read-only file system", _GO_CALL + rb"(?P<path>[^\s:]+): read-only file system"),
            *_rust(30, b"Read-only file system"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "disk_failed",
        Text(
            "a disk or a file system failed (input/output error)[: {path}]",
            "磁盘或文件系统出错（I/O error）[：{path}]",
        ),
        Text(
            "see dmesg for errors of the disk or of the network file system; put what is written there elsewhere (TMPDIR, "
            "HF_HOME, XDG_CACHE_HOME in `environ`)",
            "查看 dmesg 中磁盘或网络文件系统的错误；把写入的内容放到别处（在 `environ` 中设置 TMPDIR、HF_HOME、XDG_CACHE_HOME）",
        ),
        (Line(b"[Errno 5] ", rb"\[Errno 5\] Input/output error(?:: '(?P<path>[^']*)')?"),),
        Rank.GENERAL,
    ),
    Cause(
        "disk_full",
        Text("the disk is full[: {path}]", "磁盘已满[：{path}]"),
        Text(
            "free space there, or put the caches elsewhere (TMPDIR, HF_HOME, XDG_CACHE_HOME in `environ`); it may be /dev/shm, "
            "which a container has little of (--shm-size)",
            "清理空间，或把缓存放到别处（在 `environ` 中设置 TMPDIR、HF_HOME、XDG_CACHE_HOME）；也可能是 /dev/shm，容器中它很小"
            "（--shm-size）",
        ),
        (
            Line(
                b"o space left on device",
                rb"(?:when writing output to (?P<path>\S+): |\[Errno 28\] |error writing to (?P<output>\S+): |I/O error: |\w+ error: )?[Nn]o space left on device",
            ),
            Line(
                b"o space left on device",
                rb"(?:" + _SHELL + rb"|(?:cp|mv|dd|tee|cat|tar|mkdir|touch): ).{0,400}: No space left on device",
            ),
            Line(
                b"no space left on device",
                rb"\s*Warning +Failed .{1,80}kubelet +Failed to pull image .{1,400}: no space left on device",
            ),
            Line(b"Disk quota exceeded", rb"(?:\[Errno 122\] )?Disk quota exceeded(?:: '(?P<path>[^']*)')?"),
            Line(b": no space left on device", _GO_CALL + rb"(?P<path>[^\s:]+): no space left on device"),
            *_rust(28, b"No space left on device"),
        ),
    ),
    Cause(
        "container_failed",
        Text("the container was not started: {message}", "容器未能启动：{message}"),
        Text(
            "run the command by hand: check the image, its tag, mounts and the GPU runtime",
            "手动执行该命令：检查镜像、标签、挂载和 GPU 运行时",
        ),
        (
            Line(
                b"docker: ",
                rb"docker: (?P<message>Error response from daemon: .{0,250}|Cannot connect to the Docker daemon.{0,100}|invalid reference format.{0,80})",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "not_yaml",
        Text("a file is not valid YAML: {why}", "某个文件不是合法的 YAML：{why}"),
        Text(
            "the lines after it name file and line: a configuration that `args` names; mind the indentation, and tabs",
            "其后的行给出了文件和行号：`args` 指定的配置文件；注意缩进和制表符",
        ),
        (
            Line(b"yaml.scanner.ScannerError: ", rb"(?<=yaml\.scanner\.ScannerError: )(?P<why>.{3,160})"),
            Line(b"yaml.parser.ParserError: ", rb"(?<=yaml\.parser\.ParserError: )(?P<why>.{3,160})"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "bad_arguments",
        Text("the arguments contradict each other or the model: {message}", "参数之间或与模型有冲突：{message}"),
        Text("correct `args`[: {advice}]", "修改 `args`[：{advice}]"),
        (
            Line(
                b"Value error, ",
                rb"Value error, (?!Model architectures .{1,200} failed to be)(?P<message>.{1,250}?(?:(?P<advice>Please (?:use|set|specify|add|remove|choose|pass) [^\[]{3,150}?))?)(?: \[type=value_error, |$)",
            ),
        ),
        Rank.GENERAL,
    ),
)
