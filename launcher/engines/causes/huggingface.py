"""Known causes: models and tokenizers, as huggingface_hub, transformers, tokenizers and safetensors report them."""

from tracetail.launcher.engines.causes.cause import Cause, Line, Rank, Text

_WHOLE = Text(
    "check that the directory holds the whole model: download or copy it again",
    "检查目录是否包含完整的模型：重新下载或复制",
)

_POOL = rb"\(?(?:MaxRetryError\([\"'])?HTTPS?ConnectionPool\(host=\\?'(?P<host>[\w.-]+)\\?', port=\d+\): Max retries exceeded with url: "
"""How urllib3, which Requests may quote, begins to say that it got no answer."""

CAUSES = (
    Cause(
        "model_not_found",
        Text("the model path does not exist: {path}", "模型路径不存在：{path}"),
        Text(
            "give the directory of the model on this machine, or its name at a hub (org/name)",
            "填写本机上的模型目录，或模型在 hub 上的名称（org/name）",
        ),
        (
            Line(
                b"Repo id must",
                rb"Repo id must (?:be in the form|be a string|use alphanumeric).*?: '(?P<path>[^']*)'",
            ),
            Line(
                b"Authentication token does not exist, failed to access model /",
                rb"Authentication token does not exist, failed to access model (?P<path>/\S+)",
            ),
        ),
    ),
    Cause(
        "hub_model_not_found",
        Text("the hub has no model {path}, or it needs a token", "hub 上没有模型 {path}，或需要 token"),
        Text(
            "check its name; for a private model put HF_TOKEN into `environ`",
            "检查名称；私有模型请在 `environ` 中设置 HF_TOKEN",
        ),
        (
            Line(
                b"is not a local folder and is not a valid model identifier",
                rb"(?P<path>\S+) is not a local folder and is not a valid model identifier",
            ),
            Line(b"Repository Not Found for url", rb"Repository Not Found for url: (?P<path>\S+?)\.?$"),
            Line(
                b"modelscope",
                rb"404 Client Error: Not Found for url: https://(?:www\.)?modelscope\.cn/api/v1/models/(?P<path>[^/]+(?:/[^/]+)?)/revisions",
            ),
        ),
    ),
    Cause(
        "hub_model_not_found",
        Text("the hub has no revision {revision} of the model {path}", "hub 上的模型 {path} 没有版本 {revision}"),
        Text(
            "give a revision that it has: at ModelScope most models have only master",
            "填写存在的版本：ModelScope 上多数模型只有 master",
        ),
        (Line(b" has no revision: ", rb"The model: (?P<path>\S+) has no revision: (?P<revision>\S+)"),),
    ),
    Cause(
        "tls_not_trusted",
        Text(
            "the TLS certificate of {host} is not trusted: {why}",
            "{host} 的 TLS 证书不受信任：{why}",
        ),
        Text(
            "a proxy may put its own certificate in between: give its CA in `environ` (REQUESTS_CA_BUNDLE, SSL_CERT_FILE), or "
            "download the model first; check the machine's clock and HF_ENDPOINT",
            "可能是代理替换了证书：在 `environ` 中指定其 CA（REQUESTS_CA_BUNDLE、SSL_CERT_FILE），或先下载模型；检查本机时间和 "
            "HF_ENDPOINT",
        ),
        (
            Line(
                b"CERTIFICATE_VERIFY_FAILED",
                _POOL
                + rb".{1,400}CERTIFICATE_VERIFY_FAILED\] certificate verify failed: (?P<why>[^(\"]{1,120}?)\.? \(",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "hub_rate_limited",
        Text(
            "the Hugging Face hub refuses further requests for now (429)", "Hugging Face hub 暂时拒绝更多请求（429）"
        ),
        Text(
            "set HF_TOKEN in `environ`, or HF_HUB_OFFLINE=1 if the model is already downloaded; a path as modelPath asks the "
            "hub nothing",
            "在 `environ` 中设置 HF_TOKEN；如果模型已下载，设置 HF_HUB_OFFLINE=1；modelPath 为本地路径时不会访问 hub",
        ),
        (
            Line(
                b"429 Client Error: Too Many Requests for url: ",
                rb"429 Client Error: Too Many Requests for url: https://(?:huggingface\.co|hf-mirror\.com)/",
            ),
        ),
    ),
    Cause(
        "hub_unreachable",
        Text("the hub ({host}) cannot be reached: {why}", "无法访问 hub（{host}）：{why}"),
        Text(
            "download the model first, or check the network, proxy and HF_ENDPOINT",
            "先下载模型，或检查网络、代理和 HF_ENDPOINT",
        ),
        (
            Line(
                b"Max retries exceeded with url",
                _POOL.replace(rb"[\w.-]+", rb"(?:[\w-]+\.)*(?:huggingface\.co|hf-mirror\.com|modelscope\.cn|hf\.co)")
                + rb".{1,400}\(Caused by (?P<why>ProxyError\('[^']{1,80}|\w+)",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "hub_download_failed",
        Text("a file could not be downloaded from the hub: {why}", "无法从 hub 下载文件：{why}"),
        Text(
            "start again, it goes on where it ended; check the network, the proxy and the free disk space, set HF_HUB_DISABLE_XET=1 "
            "in `environ`, or download the model first",
            "重新启动会从中断处继续；检查网络、代理和磁盘空间，在 `environ` 中设置 HF_HUB_DISABLE_XET=1，或先下载模型",
        ),
        (
            Line(b"Data processing error: ", rb"(?P<why>Data processing error: .{1,200})"),
            Line(b"Consistency check failed: ", rb"(?P<why>Consistency check failed: .{1,200})"),
            Line(
                b"while downloading using `hf_transfer`",
                rb"(?P<why>An error occurred while downloading using `hf_transfer`)",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "model_gated",
        Text("the model is gated at its hub[: {path}]", "模型在 hub 上需要申请授权[：{path}]"),
        Text(
            "accept its licence there, and give the server HF_TOKEN in `environ`",
            "在 hub 上接受其许可，并在 `environ` 中设置 HF_TOKEN",
        ),
        (
            Line(b"You are trying to access a gated repo", rb"You are trying to access a gated repo"),
            Line(b"Cannot access gated repo for url", rb"Cannot access gated repo for url (?P<path>\S+?)\.?$"),
        ),
    ),
    Cause(
        "hub_unreachable",
        Text(
            "the model is not on this machine, and the hub[ ({url})] cannot be reached",
            "模型不在本机，且无法访问 hub[（{url}）]",
        ),
        Text(
            "download the model first, or check the network, proxy and HF_ENDPOINT; HF_HUB_OFFLINE=1 forbids the way",
            "先下载模型，或检查网络、代理和 HF_ENDPOINT；HF_HUB_OFFLINE=1 会禁止访问",
        ),
        (
            Line(
                b"to load the files, and couldn't find them",
                rb"We couldn't connect to '(?P<url>[^']*)' to load th(?:e|is) files?",
            ),
            Line(b": offline mode is enabled.", rb"Cannot reach (?P<url>\S+): offline mode is enabled\."),
            Line(
                b"outgoing traffic has been disabled",
                rb"Cannot (?:find|reach) .{0,200}outgoing traffic has been disabled",
            ),
            Line(
                b"we cannot find the requested files in the",
                rb"(?:Connection error|An error happened while trying to locate the files? on the Hub),? and we cannot find the",
            ),
            Line(
                b"we cannot find the appropriate snapshot folder",
                rb"An error happened while trying to locate the files? on the Hub,? and we cannot find the appropriate snapshot",
            ),
        ),
    ),
    Cause(
        "config_without_model_type",
        Text("the model's config.json has no model_type: {path}", "模型的 config.json 没有 model_type：{path}"),
        _WHOLE,
        (Line(b"Unrecognized model in", rb"Unrecognized model in (?P<path>\S+?)\. Should have a `model_type` key"),),
    ),
    Cause(
        "model_type_unknown",
        Text("this Transformers does not know the model type {type}", "当前 Transformers 不认识模型类型 {type}"),
        Text("update transformers, and the engine with it", "升级 transformers 和引擎"),
        (
            Line(
                b"does not recognize this architecture",
                rb"The checkpoint you are trying to load has model type `(?P<type>[^`]*)` but Transformers does not",
            ),
        ),
    ),
    Cause(
        "config_not_json",
        Text("the model's configuration is not valid JSON: {path}", "模型的配置不是合法的 JSON：{path}"),
        _WHOLE,
        (
            Line(
                b"is not a valid JSON file",
                rb"It looks like the config file at '(?P<path>[^']*)' is not a valid JSON file",
            ),
        ),
    ),
    Cause(
        "config_invalid",
        Text("the model's config.json contradicts itself: {why}", "模型的 config.json 自相矛盾：{why}"),
        _WHOLE,
        (
            Line(
                b"is not a multiple of the number of attention heads",
                rb"(?P<why>The hidden size \(\d+\) is not a multiple of the number of attention heads \(\d+\))",
            ),
        ),
    ),
    Cause(
        "config_invalid",
        Text("the model's config.json is not valid: {why}", "模型的 config.json 无效：{why}"),
        _WHOLE,
        (Line(b"alidation error for ", rb"(?P<why>(?:Class v|V)alidation error for (?:validator|field) '\w+')"),),
        Rank.GENERAL,
    ),
    Cause(
        "model_file_missing",
        Text("the model has no {file}: {path}", "模型缺少 {file}：{path}"),
        _WHOLE,
        (
            Line(
                b"does not appear to have a file named",
                rb"(?P<path>\S+) does not appear to have (?:a file|files) named (?P<file>\S+?)\.? ",
            ),
            Line(
                b"No such file or directory: '",
                rb"\[Errno 2\] No such file or directory: '(?P<path>[^']*/)(?P<file>[^'/]+\.(?:safetensors|bin|json|model|txt|py))'",
            ),
        ),
    ),
    Cause(
        "tokenizer_broken",
        Text("the tokenizer cannot be loaded[: {why}]", "分词器（tokenizer）无法加载[：{why}]"),
        Text(
            "check tokenizer.json and tokenizer_config.json: copy the model again, or install the versions of transformers and tokenizers (or sentencepiece, tiktoken) that it needs",
            "检查 tokenizer.json 和 tokenizer_config.json：重新复制模型，或安装所需版本的 transformers 和 tokenizers（或 "
            "sentencepiece、tiktoken）",
        ),
        (
            Line(
                b"Couldn't instantiate the backend tokenizer",
                rb"Couldn't instantiate the backend tokenizer from one of",
            ),
            Line(b"'added_tokens'", rb"'(?P<why>added_tokens)'$"),
            Line(b"Can't load tokenizer for", rb"Can't load tokenizer for '(?P<why>[^']*)'"),
            Line(
                b"data did not match any variant of untagged enum",
                rb"(?P<why>data did not match any variant of untagged enum \w+)",
            ),
            Line(
                b"to build an AutoTokenizer",
                rb"Unrecognized configuration class <class '(?P<why>[^']*)'> to build an AutoTokenizer",
            ),
            Line(b"Tokenizer class", rb"(?P<why>Tokenizer class \w+) does not exist or is not currently imported"),
        ),
    ),
    Cause(
        "chat_template_invalid",
        Text("the chat template cannot be used: {why}", "对话模板无法使用：{why}"),
        Text("check --chat-template: it takes a Jinja file or text", "检查 --chat-template：它接受 Jinja 文件或文本"),
        (
            Line(
                b"The supplied chat template",
                rb"(?P<why>The supplied chat template (?:string )?\([^)]{0,200}\)[^.]{0,120})",
            ),
        ),
    ),
    Cause(
        "weights_corrupt",
        Text(
            "a safetensors file of the weights is incomplete or no safetensors file[: {why}]",
            "权重的 safetensors 文件不完整或不是 safetensors 文件[：{why}]",
        ),
        Text(
            "download or copy the weights again; a file of some hundred bytes is a Git LFS pointer: run git lfs pull",
            "重新下载或复制权重；只有几百字节的文件是 Git LFS 指针：执行 git lfs pull",
        ),
        (
            Line(b"Error while deserializing header", rb"Error while deserializing(?: header)?: (?P<why>[\w ,]+)"),
            Line(b"while deserializing header", rb"[^'\"]{0,20}[Ee]rror while deserializing header"),
            Line(b"PytorchStreamReader failed", rb"PytorchStreamReader failed (?P<why>.{0,80})"),
        ),
    ),
    Cause(
        "weights_not_mappable",
        Text("a file of the weights cannot be mapped into memory", "权重文件无法映射到内存（mmap）"),
        Text(
            "its file system does not support it (some FUSE and network mounts), or it is a directory: copy the model to a "
            "local disk",
            "其文件系统不支持 mmap（某些 FUSE 或网络挂载），或它是一个目录：把模型复制到本地磁盘",
        ),
        (Line(b"No such device (os error 19)"),),
    ),
    Cause(
        "remote_code_not_trusted",
        Text(
            "the model brings code of its own (custom code), which is not run without trust_remote_code",
            "模型自带代码（custom code），没有 trust_remote_code 不会执行",
        ),
        Text("allow it, if you trust it", "如果信任该模型，请允许执行"),
        (
            Line(
                b"contains custom code which must be executed",
                rb"(?:The repository|Loading|The model) .{1,300}? contains custom code which must be executed",
            ),
            Line(
                b"Please pass the argument `trust_remote_code=True`",
                rb"Please pass the argument `trust_remote_code=True`",
            ),
        ),
    ),
)
