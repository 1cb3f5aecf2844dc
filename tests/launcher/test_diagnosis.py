"""Which of a log's errors is the cause: chains, consequences, errors that the server survived, signals, shutdowns.

The known lines are in test_known_causes.py, whole starts in test_field_starts.py.
"""

import time
from pathlib import Path

import pytest

from tracetail.launcher import engines
from tracetail.launcher.keeper.diagnosis import diagnose
from tracetail.launcher.keeper.finding import KNOWN, UNRECOGNISED, End

DATA = Path(__file__).parents[1] / "data"
VLLM = engines.load("vllm")
SGLANG = engines.load("sglang")
FRAMES = (b"Traceback (most recent call last):", b'  File "engine.py", line 7, in start', b"    start()")
DIRECT = (b"", b"The above exception was the direct cause of the following exception:", b"")
DURING = (b"", b"During handling of the above exception, another exception occurred:", b"")
FAILED = b"RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
NO_CACHE = b"ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when"
OUT_OF_MEMORY = (
    b"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of"
)
KILLED = End(signal="SIGKILL")


def code_and_text(found):
    return found and (found.code, found.text.en)


@pytest.mark.parametrize(
    ("log", "end", "code", "text"),
    [
        ("vllm-logs/engine-crash", End(0), "engine_died", "the engine process died"),
        (
            "vllm-logs/model-not-found",
            End(1),
            "model_not_found",
            "the model path does not exist: /data/models/qwen-7b",
        ),
        (
            "engine-logs/segv-worker-serving",
            End(0),
            "segmentation_fault",
            "worker VllmWorker-0 was killed by SIGSEGV",
        ),
        ("engine-logs/nnodes-node1", End(1), "killed", "worker VllmWorker-1 was killed by SIGKILL"),
        ("engine-logs/dp-headless-node1-engine-killed", End(0), "engine_died", "the engine process died"),
        ("engine-logs/ray-worker-kill9-serving", End(0), "ray_worker_died", "a worker of Ray died"),
        ("engine-logs/api2-one-killed", End(1), "worker_died", "worker ApiServer_0 died"),
        ("engine-logs/dp2-one-engine-killed", End(0), "engine_died", "the engine process died"),
        ("engine-logs/lora-error-then-kill9", KILLED, "killed", "killed by SIGKILL"),
        (
            "engine-logs/sigterm-api-by-somebody",
            End(0),
            "terminated",
            "shut down because somebody sent it a signal (SIGTERM)",
        ),
        (  # vLLM 0.32 on a CPU, as `make test-vllm` starts it: it killed its engine, and then found it dead
            "engine-logs/sigterm-api-engine-found-dead",
            End(0),
            "terminated",
            "shut down because somebody sent it a signal (SIGTERM)",
        ),
    ],
)
@pytest.mark.parametrize("engine", ["vllm", "custom"])
def test_the_end_of_a_real_server_is_explained(log, end, code, text, engine):
    lines = (DATA / f"{log}.log").read_bytes().split(b"\n")
    assert code_and_text(diagnose(engines.load(engine), lines, end)) == (code, text)


@pytest.mark.parametrize(
    "path",
    [
        *(DATA / "vllm-logs" / f"{name}.log" for name in ("healthy-start", "json-formatter", "request-logging")),
        *sorted((DATA / "engine-logs").glob("*healthy*.log")),
    ],
    ids=lambda path: path.stem,
)
@pytest.mark.parametrize("engine", engines.NAMES)
def test_a_healthy_log_names_no_cause(path, engine):
    assert diagnose(engines.load(engine), path.read_bytes().split(b"\n")) is None


def test_the_first_known_cause_wins_over_its_consequences():
    found = diagnose(VLLM, [*FRAMES, NO_CACHE, *FRAMES, FAILED, *FRAMES, OUT_OF_MEMORY])
    assert code_and_text(found) == ("no_kv_cache_memory", "no memory is left for the KV cache")


def test_a_consequence_is_the_cause_only_where_nothing_else_failed():
    alone = diagnose(VLLM, [*FRAMES, FAILED])
    assert code_and_text(alone) == ("engine_failed", "the engine process failed")
    after = diagnose(VLLM, [*FRAMES, b"KeyError: 'vcpu'", *FRAMES, FAILED])
    assert code_and_text(after) == (UNRECOGNISED, "KeyError: 'vcpu'")


@pytest.mark.parametrize("link", [DIRECT, DURING])
def test_of_chained_exceptions_the_last_counts(link):
    lines = [*FRAMES, b"KeyError: 'inner'", *link, *FRAMES, b"LookupError: the model has no layer 7"]
    found = diagnose(VLLM, [*lines, *FRAMES, FAILED])
    assert code_and_text(found) == (UNRECOGNISED, "LookupError: the model has no layer 7")


def test_of_chained_exceptions_a_wrapper_does_not_count():
    found = diagnose(VLLM, [*FRAMES, b"KeyError: 'inner'", *DIRECT, *FRAMES, FAILED])
    assert code_and_text(found) == (UNRECOGNISED, "KeyError: 'inner'")


def test_of_chained_consequences_the_first_is_named():
    clean_up = b"AttributeError: 'MultiprocExecutor' object has no attribute 'workers'"
    found = diagnose(VLLM, [*FRAMES, FAILED, *DURING, *FRAMES, clean_up])
    assert found is not None
    assert found.evidence == [FAILED.decode()]


def test_a_known_cause_within_a_chain_counts_more_than_what_it_led_to():
    found = diagnose(VLLM, [*FRAMES, OUT_OF_MEMORY, *DURING, *FRAMES, b"LookupError: no engine"])
    assert found is not None
    assert found.code == "gpu_out_of_memory"


def test_tracebacks_of_two_processes_that_print_at_the_same_time_are_kept_apart():
    one, two = (
        b"(Worker_TP0 pid=7) ERROR 11-26 15:16:09 [m.py:1] ",
        b"(Worker_TP1 pid=8) ERROR 11-26 15:16:09 [m.py:1] ",
    )
    mixed = [
        header + line
        for line in (*FRAMES, b"KeyError: 'first'")
        for header in (one, two)
        if not (header == two and line.startswith(b"KeyError"))
    ]
    found = diagnose(VLLM, [*mixed, two + b"LookupError: second"])
    assert code_and_text(found) == (UNRECOGNISED, "KeyError: 'first'")


def test_pydantics_error_is_shown_without_its_type_and_input():
    found = diagnose(
        VLLM,
        [
            *FRAMES,
            b"pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
            b"  Value error, The moon is not full [type=value_error, input_value=ArgsKwargs((), {})]",
            b"    For further information visit https://errors.pydantic.dev/2.9/v/value_error",
        ],
        known=False,
    )
    assert found is not None
    assert found.text.en.endswith("1 validation error for ModelConfig: Value error, The moon is not full")


HEADER = b"(EngineCore_DP0 pid=208) ERROR 10-25 13:12:42 [core.py:718] "


@pytest.mark.parametrize("header", [b"", HEADER])
def test_an_exception_without_a_message_is_named_with_what_was_asserted(header):
    lines = [
        b"Traceback (most recent call last):",
        b'  File "engine.py", line 7, in start',
        b"    check(agent)",
        b"    ^^^^^^^^^^^^",
        b'  File "connector.py", line 30, in check',
        b"    assert self.num_blocks >= agent.num_blocks",
        b"           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        b"AssertionError",
    ]
    found = diagnose(VLLM, [header + line for line in lines])
    assert code_and_text(found) == (UNRECOGNISED, "AssertionError: assert self.num_blocks >= agent.num_blocks")
    assert found is not None
    assert found.evidence == [(header + lines[7]).decode(), (header + lines[5]).decode()]


def test_a_fault_of_the_program_is_shown_with_the_programs_own_frame():
    lines = [
        b"Traceback (most recent call last):",
        b'  File "/venv/lib/python3.12/site-packages/vllm/v1/worker/gpu_worker.py", line 31, in load',
        b"    self.layer.weight",
        b'  File "/venv/lib/python3.12/site-packages/torch/nn/modules/module.py", line 1967, in __getattr__',
        b"    raise AttributeError(",
        b"AttributeError: 'MergedColumnParallelLinear' object has no attribute 'weight'",
    ]
    found = diagnose(VLLM, lines)
    assert found is not None
    assert found.evidence == [lines[5].decode(), lines[1].decode(), lines[2].decode()]
    assert "a fault of the program at vllm/v1/worker/gpu_worker.py:31" in found.hint.en


def test_a_traceback_whose_first_line_is_missing_is_explained_by_its_exception():
    other = HEADER.replace(b"DP0", b"DP1")
    lines = [
        HEADER + b'  File "engine.py", line 7, in start',
        other + b"bad luck",
        HEADER + b"    raise ValueError(",
        HEADER + b"ValueError: no kernel",
    ]
    found = diagnose(VLLM, [lines[0], *lines[2:]])
    assert code_and_text(found) == (UNRECOGNISED, "ValueError: no kernel")
    assert code_and_text(diagnose(VLLM, lines)) == (UNRECOGNISED, "bad luck")


def test_what_pytorch_appends_to_a_warning_is_not_an_error():
    lines = [
        b"[rank3]:[W801 01:16:39.1 TCPStore.cpp:125] [c10d] recvValue failed on SocketImpl(fd=74): Connection reset",
        b"Exception raised from recvBytes at /torch/csrc/distributed/c10d/Utils.hpp:679 (most recent call first):",
        b"frame #0: c10::Error::Error(c10::SourceLocation) + 0xc8 (0x4000eaa366e8 in /venv/lib/libc10.so)",
    ]
    assert diagnose(VLLM, lines) is None
    assert diagnose(VLLM, lines[1:]) is not None


def test_another_exception_without_a_message_is_named_with_its_frame():
    found = diagnose(VLLM, [*FRAMES, b"NotImplementedError"])
    assert code_and_text(found) == (UNRECOGNISED, 'NotImplementedError: File "engine.py", line 7, in start')
    chained = diagnose(VLLM, [*FRAMES, b"TimeoutError", *DIRECT, *FRAMES, b"LookupError: no answer"])
    assert code_and_text(chained) == (UNRECOGNISED, "LookupError: no answer")


def test_an_assertion_that_names_a_known_cause_is_shown_with_its_exception():
    lines = [*FRAMES[:2], b"    assert param_data.shape == loaded_weight.shape", b"AssertionError"]
    found = diagnose(VLLM, lines)
    assert found is not None
    assert found.code == "weights_shape"
    assert found.evidence == ["    assert param_data.shape == loaded_weight.shape", "AssertionError"]


def test_the_text_of_an_exception_does_not_go_on_with_an_empty_line():
    lines = [*FRAMES, b"AttributeError: 'Tokenizer' object has no attribute 'ids'", *DIRECT, *FRAMES, FAILED]
    found = diagnose(VLLM, [HEADER + line for line in lines])
    assert code_and_text(found) == (UNRECOGNISED, "AttributeError: 'Tokenizer' object has no attribute 'ids'")


@pytest.mark.parametrize(
    "line",
    [
        # https://github.com/vllm-project/vllm/pull/33545
        b"(APIServer pid=7) ERROR 02-02 14:28:39 [repo_utils.py:47] Error retrieving safetensors: Repo id must be in",
        # https://github.com/MiniMax-AI/MiniMax-M2.5/issues/30
        b"ERROR 04-01 11:21:57 [config.py:29] Failed to import Triton kernels. Please make sure your triton version",
        # https://github.com/vllm-project/vllm/issues/12693
        b"2025-02-12 04:09:34.471202: E external/xla/cuda_fft.cc:477] Unable to register cuFFT factory: Attempting",
        b"E0000 00:00:1739333374.492434    8279 cuda_dnn.cc:8310] Unable to register cuDNN factory: Attempting to",
    ],
)
def test_an_error_that_starts_log_and_survive_is_not_the_cause(line):
    assert diagnose(VLLM, [line], End(1)) is None
    assert code_and_text(diagnose(VLLM, [line, *FRAMES, FAILED])) == ("engine_failed", "the engine process failed")


def test_an_exception_that_another_one_quotes_names_its_cause():
    # Triton quotes it on a line of its own: https://github.com/vllm-project/vllm/issues/17764
    lines = [
        *FRAMES,
        b"triton.compiler.errors.CompilationError: at 1:0:",
        b"def _per_token_group_quant_fp8(",
        b"^",
        b"ValueError(\"type fp8e4nv not supported in this architecture. The supported fp8 dtypes are ('fp8e5',)\")",
    ]
    found = diagnose(VLLM, lines)
    assert code_and_text(found) == ("dtype_not_supported", "this GPU cannot compute in fp8e4nv")


def test_without_a_traceback_the_first_line_of_level_error_is_the_cause():
    lines = [
        b"INFO 11-26 15:16:09 [a.py:1] starting",
        b"WARNING 11-26 15:16:09 [a.py:1] an ERROR may follow",
        b"ERROR 11-26 15:16:10 [a.py:2] the moon is full",
        b"ERROR 11-26 15:16:11 [a.py:3] giving up",
    ]
    found = diagnose(VLLM, lines, End(1))
    assert code_and_text(found) == (UNRECOGNISED, "the moon is full")
    assert found.evidence == [lines[2].decode()]


def test_the_record_that_announces_a_traceback_is_not_its_cause():
    found = diagnose(VLLM, [b"ERROR 11-26 15:16:10 [core.py:1] Something went wrong.", *FRAMES, b"KeyError: 'x'"])
    assert code_and_text(found) == (UNRECOGNISED, "KeyError: 'x'")


SERVED = b'INFO:     127.0.0.1:42646 - "POST /v1/completions HTTP/1.1" 200 OK'


def test_an_error_that_the_server_survived_is_not_why_it_ended():
    died = b"ERROR 11-26 15:44:36 [m.py:315] Worker proc VllmWorker-0 died unexpectedly (exit code: -9)"
    found = diagnose(VLLM, [*FRAMES, b"ValueError: a bad request", SERVED, died], End(0))
    assert code_and_text(found) == ("killed", "worker VllmWorker-0 was killed by SIGKILL")


def test_an_earlier_traceback_does_not_explain_a_kill():
    for engine in engines.NAMES:
        found = diagnose(engines.load(engine), [*FRAMES, OUT_OF_MEMORY, SERVED], KILLED)
        assert code_and_text(found) == ("killed", "killed by SIGKILL")


def test_sglang_that_kills_itself_after_a_failure_names_the_failure():
    sigquit = b"[2025-02-21 22:59:28] Received sigquit from a child process. It usually means the child failed."
    lines = [b"[2025-02-21 22:59:28 TP0] Scheduler hit an exception: Traceback (most recent call last):", *FRAMES[1:]]
    found = diagnose(SGLANG, [*lines, OUT_OF_MEMORY, b"", sigquit], KILLED)
    assert found is not None
    assert found.code == "gpu_out_of_memory"
    found = diagnose(SGLANG, [*lines, b"KeyError: 'x'", b"", sigquit], KILLED)
    assert code_and_text(found) == (UNRECOGNISED, "KeyError: 'x'")


def test_what_native_code_prints_explains_its_abort():
    lines = [
        b"terminate called after throwing an instance of 'std::runtime_error'",
        b"  what():  the moon is full",
    ]
    found = diagnose(VLLM, lines, End(signal="SIGABRT"))
    assert found is not None
    assert found.text.en.endswith("what():  the moon is full")
    assert code_and_text(diagnose(VLLM, [b"INFO: starting"], End(signal="SIGABRT"))) == (
        "aborted",
        "killed by SIGABRT",
    )


@pytest.mark.parametrize(
    ("end", "code", "text"),
    [
        (End(signal="SIGILL"), "illegal_instruction", "killed by SIGILL"),
        (End(signal="SIGSEGV"), "segmentation_fault", "killed by SIGSEGV"),
        (End(137), "killed", "exited with status 137: a process was killed by SIGKILL"),
        (End(139), "segmentation_fault", "exited with status 139: a process was killed by SIGSEGV"),
    ],
)
def test_a_signal_is_named_where_the_log_says_nothing(end, code, text):
    found = diagnose(VLLM, [b"INFO 10-11 06:19:31 selector.py:42] Using Torch SDPA backend."], end)
    assert code_and_text(found) == (code, text)
    assert found.kind == KNOWN
    assert found.hint.en


@pytest.mark.parametrize("status", [193, 254, 255])
def test_a_status_above_that_of_the_last_signal_is_no_signal(status):
    """Bash ends with 254 where it cannot fork; ssh, docker exec and Python's sys.exit(-1) with 255."""
    assert diagnose(VLLM, [b"INFO: starting"], End(status)) is None


def test_what_a_program_of_the_system_complains_of_is_the_cause_if_nothing_else_is_named():
    complaint = b"mkdir: cannot create directory \xe2\x80\x98/proc/logs\xe2\x80\x99: No such file or directory"
    found = diagnose(VLLM, [complaint], End(1))
    assert found is not None
    assert (found.kind, found.evidence) == (UNRECOGNISED, [complaint.decode()])

    served = b"INFO 11-22 13:12:10 [api_server.py:90] starting"
    assert diagnose(VLLM, [complaint, served], End(1)) is None
    for other in (b"error: invalid argument: 0.0.0.0", b"start.sh: line 4: vllm: command not found"):
        found = diagnose(VLLM, [complaint, other, complaint], End(1))
        assert found is not None
        assert found.kind == KNOWN


def test_a_log_that_says_nothing_names_no_cause():
    assert diagnose(VLLM, [b"INFO 10-11 06:19:31 selector.py:42] Using Torch SDPA backend."], End(1)) is None


def test_a_log_full_of_errors_is_read_in_a_time_that_grows_as_it_does():
    line = b"(Worker_TP1 pid=72) ERROR 11-22 13:12:10 [m.py:500] nothing that is known: it goes on and on for a while"

    def seconds(count):
        begun = time.process_time()
        found = diagnose(engines.load("custom"), [line] * count, End(1))
        assert code_and_text(found) == (UNRECOGNISED, "nothing that is known: it goes on and on for a while")
        return time.process_time() - begun

    assert seconds(16_000) < 30 * seconds(2_000)  # 8 times the lines; 64 times the time, were it quadratic


def test_a_consequence_before_which_nothing_failed_does_not_point_at_the_log_above():
    # Printed by vLLM 0.32 when its engine was killed while it loaded, a moment after the API server had looked.
    last = b"RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
    lines = [b"Traceback (most recent call last):", b'  File "utils.py", line 1431, in wait_for_engine_startup', last]
    alone = diagnose(engines.load("vllm"), lines)
    assert (alone.code, alone.hint.en.startswith("the log does not say why")) == ("engine_failed", True)
    error = b"(EngineCore pid=7) ERROR 11-27 04:10:00 [core.py:1510] OSError: [Errno 28] No space left on device"
    assert diagnose(engines.load("vllm"), [error, *lines]).code == "disk_full"


COMPLAINT = b"/opt/entrypoint.sh: line 12: nvidia-smi: command not found"
MISSING = b"start.sh: line 7: vllm: command not found"


def test_what_a_shell_complains_of_yields_to_what_the_server_reports():
    started = b"INFO 11-22 13:12:10 [__init__.py:239] Automatically detected platform cuda."
    for log in (
        [COMPLAINT, *FRAMES, b"RuntimeError: the engine is broken"],
        [COMPLAINT, started, b"ERROR 11-22 13:12:11 [a.py:1] the engine is broken"],
        [COMPLAINT, b"[2026-11-22 13:12:10] Load weight begin.", b"Error: the engine is broken"],
    ):
        found = diagnose(VLLM, log, End(1))
        assert found is not None
        assert "the engine is broken" in found.text.en


def test_the_last_complaint_of_a_shell_is_the_cause_if_nothing_else_is_named():
    for end in (End(1), End(127)):
        found = diagnose(VLLM, [COMPLAINT, MISSING], end)
        assert code_and_text(found) == ("program_missing", "there is no program vllm")


def test_the_status_of_a_shell_makes_its_complaint_the_cause():
    log = [*FRAMES, b"RuntimeError: a check before the start failed", MISSING]
    assert code_and_text(diagnose(VLLM, log, End(127))) == ("program_missing", "there is no program vllm")
    found = diagnose(VLLM, log, End(1))
    assert found is not None
    assert found.kind == UNRECOGNISED


def test_a_server_that_kills_itself_after_its_warm_up_failed_is_explained_by_its_log():
    log = [
        b"[2026-01-10 13:23:27] Initialization failed. warmup error: Traceback (most recent call last):",
        *FRAMES[1:],
        b"RuntimeError: the first request failed",
    ]
    found = diagnose(SGLANG, log, KILLED)
    assert found is not None
    assert found.text.en == "RuntimeError: the first request failed"


def test_a_job_that_slurm_killed_is_explained_by_what_slurm_says():
    line = b"slurmstepd: error: Detected 1 oom_kill event in StepId=14535882.0. Some of the step tasks have been"
    for end in (KILLED, End(137)):
        found = diagnose(VLLM, [line], end)
        assert found is not None
        assert found.code == "job_out_of_memory"


def test_the_message_of_a_panic_of_rust_belongs_to_it():
    log = [b"thread 'main' panicked at src/router.rs:463:40:", b"called `Result::unwrap()` on an `Err` value: Closed"]
    found = diagnose(VLLM, log, End(101))
    assert found is not None
    assert found.text.en.endswith("called `Result::unwrap()` on an `Err` value: Closed")


def test_an_error_before_a_trace_that_names_no_exception_is_the_cause():
    log = [
        b"EH9999: [PID: 7] 2026-10-31-21:35:03.992.057 [Init][PlatformInfo]init runtime platform info failed",
        b"        TraceBack (most recent call last):",
        b"       GELib::InnerInitialize failed.[FUNC:Initialize][FILE:gelib.cc][LINE:177]",
    ]
    found = diagnose(VLLM, log, End(1))
    assert found is not None
    assert "init runtime platform info failed" in found.text.en


KERNEL = b"[  812.331077] Memory cgroup out of memory: Killed process 36035 (mindie_llm_back) total-vm:98566144kB"
HCCL = b"[2025-05-13 02:25:58.64217] [error] [36815] [hccl_runner.cpp:132] HcclCommInitRootInfo fail, error:2, rank:1"


def test_the_kernels_line_about_a_process_that_it_killed_wins_over_errors_before_it():
    found = diagnose(engines.load("mindie"), [HCCL, KERNEL], KILLED)
    assert (found and found.code, found and found.evidence) == ("out_of_memory", [KERNEL.decode()])
    found = diagnose(engines.load("mindie"), [HCCL], KILLED)
    assert found is not None
    assert found.code == "hccl_failed"


def test_a_server_that_its_parent_kills_after_a_fatal_signal_has_died_of_that_signal():
    fatal = b"Fatal Python error: Segmentation fault"
    assert getattr(diagnose(VLLM, [fatal], KILLED), "code", None) == "segmentation_fault"
    served = b'INFO:     10.0.0.1:4711 - "POST /v1/completions HTTP/1.1" 200 OK'
    assert (
        getattr(diagnose(VLLM, [fatal, served], KILLED), "code", None) == "killed"
    )  # that process had died long before


CHECKED = (
    b"npuDeviceID does not allow repetitive element",
    b"The size of npuDeviceIds does not equal to worldSize ",
)


@pytest.mark.parametrize(
    "after",
    [
        (b"ERR: Failed to init endpoint! Please check the service log or console output.", b"Killed"),
        (b"Usage: serve [OPTIONS]", b"  --port PORT  the port to listen on"),
    ],
)
def test_the_last_sentences_that_speak_of_trouble_are_the_cause_if_nothing_else_is(after):
    found = diagnose(engines.load("custom"), [b"reading config.json", *CHECKED, *after], End(1))
    assert found is not None
    assert (found.kind, found.text.en) == (UNRECOGNISED, CHECKED[0].decode())
    assert found.evidence[:2] == [line.decode() for line in CHECKED]


@pytest.mark.parametrize(
    ("line", "end"),
    [
        (b"The old environment variable ATB_LOG_LEVEL is not supported and will be deprecated", End(1)),
        (b"UserWarning: resource_tracker: There appear to be 1 leaked objects, an error", End(1)),
        (b"cannot find libfoo, falling back to the slow path", End(1)),
        (b"server_args: host=0.0.0.0, on_error=ignore, unknown=1", End(1)),
        (b"the cache is missing", End(0)),
        (b"the cache is missing", KILLED),
    ],
)
def test_what_starts_print_that_go_well_and_what_a_killed_server_said_last_is_no_cause(line, end):
    found = diagnose(engines.load("custom"), [line], end)
    assert found is None or (found.code, found.evidence) == ("killed", [])


def test_a_sentence_after_which_the_server_logged_something_is_no_cause():
    logged = b"INFO 11-22 13:12:10 [api_server.py:90] starting"
    assert diagnose(VLLM, [b"the cache is missing", logged], End(1)) is None


def test_what_native_code_said_before_it_aborted_is_evidence():
    said = b"The futex facility returned an unexpected error code."
    found = diagnose(engines.load("mindie"), [said, b"Aborted (core dumped)"], End(134))
    assert found is not None
    assert (found.code, found.evidence) == ("aborted", [said.decode()])


def test_nccls_exception_comes_with_the_call_that_failed():
    failed = b"host:717:1686 [0] [FATAL ERROR]: HIP failure: 'invalid argument'"
    raised = b"RuntimeError: NCCL error: unhandled cuda error (run with NCCL_DEBUG=INFO for details)"
    found = diagnose(VLLM, [failed, raised], End(1))
    assert found is not None
    assert (found.code, found.evidence) == ("nccl_failed", [raised.decode(), failed.decode()])


def test_where_to_look_for_an_error_is_no_advice():
    found = diagnose(VLLM, [b"RuntimeError: x broke, please check the stack trace above for the root cause"], End(1))
    assert found is not None
    assert "advises" not in found.hint.en


@pytest.mark.parametrize(
    ("message", "frame", "hint"),
    [
        # https://github.com/vllm-project/vllm/issues/19332
        ("torch._dynamo.exc.TorchRuntimeError: Dynamo failed to run FX node", "", "--enforce-eager"),
        (
            "RuntimeError: a bad shard",
            'File "/x/vllm/model_loader/weight_utils.py", line 5, in load_weights',
            "checkpoint",
        ),
        (
            "ValueError: a bad option",
            'File "/x/sglang/srt/server_args.py", line 5, in __post_init__',
            "combination of options",
        ),
        ("KeyError: 'x'", 'File "/x/vllm/model_executor/models/llama.py", line 5, in load_weights', "checkpoint"),
        ("RuntimeError: Unsupported kernel config", 'File "/x/aiter/ops/moe_op.py", line 5, in moe', "without it"),
        ("RuntimeError: x", 'File "/x/xgrammar/compiler.py", line 5, in compile', "structured outputs"),
        ("TypeError: x", 'File "/x/aiter/ops/moe_op.py", line 5, in moe', "or start without AITER"),
        ("TypeError: x", 'File "/x/xgrammar/compiler.py", line 5, in compile', "backend for structured outputs"),
        ("IndexError: x", 'File "/x/vllm/lora/layers/base.py", line 5, in set_lora', "or start without LoRA"),
    ],
)
def test_the_place_that_raised_an_unknown_exception_says_where_to_look(message, frame, hint):
    lines = [b"Traceback (most recent call last):", f"  {frame}".encode(), b"    raise", message.encode()]
    found = diagnose(VLLM, lines[:: 1 if frame else 3], End(1))
    assert found is not None
    assert hint in found.hint.en


def test_what_pytorch_appends_to_every_message_is_no_evidence_and_no_advice():
    lines = [
        *FRAMES,
        b"RuntimeError: x is broken. If you need x, please file an issue.",
        b"For debugging consider passing y=1",
    ]
    found = diagnose(VLLM, lines, End(1))
    assert found is not None
    assert "advises" not in found.hint.en
    assert not any("For debugging" in line for line in found.evidence)


def test_what_native_code_said_before_its_process_aborted_is_evidence():
    said = b"The futex facility returned an unexpected error code."
    died = b"ERROR 11-26 15:44:36 [m.py:315] Worker proc VllmWorker-0 died unexpectedly (exit code: -6)"
    found = diagnose(VLLM, [said, died], End(1))
    assert found is not None
    assert (found.code, found.evidence) == ("aborted", [said.decode(), died.decode()])


def test_a_log_that_is_indented_as_a_whole_is_read_without_its_indentation():
    # https://github.com/vllm-project/vllm/issues/25060
    lines = [HEADER + b"EngineCore failed to start.", *FRAMES, b"ValueError: x", b"", FAILED]
    assert code_and_text(diagnose(VLLM, [b" " + line for line in lines])) == (UNRECOGNISED, "ValueError: x")


def test_of_a_long_message_the_lines_about_errors_are_evidence():
    # https://github.com/sgl-project/sglang/pull/13948
    details = [
        b"Attempted locations:",
        b"1. one",
        b"2. two",
        b"3. three",
        b"- ModuleNotFoundError: no",
        b"- OSError: why",
    ]
    found = diagnose(VLLM, [*FRAMES, b"ValueError: not loaded, see (", *details], End(1))
    assert found is not None
    assert found.evidence[0] == "ValueError: not loaded, see ("
    assert found.evidence[-2:] == ["- ModuleNotFoundError: no", "- OSError: why"]


def test_what_native_code_reported_before_its_process_aborted_is_evidence_however_long_it_is():
    # https://github.com/sgl-project/sglang/issues/24011
    said = [b"terminate called after throwing an instance of 'c10::X'", b"  what():  [PG 0 Rank 0] the event is gone"]
    found = diagnose(
        engines.load("sglang"), [*said, *[b"frame"] * 30, b"[2026-04-29 01:02:34] Exit code: -6"], End(1)
    )
    assert found is not None
    assert (found.code, found.evidence[:2]) == ("aborted", [line.decode() for line in said])


def test_an_attribute_error_that_says_what_is_not_supported_is_no_fault():
    # https://github.com/vllm-project/vllm/issues/25653
    said = b"AttributeError: MoE Model GptOssForCausalLM does not support BitsAndBytes quantization yet."
    found = diagnose(VLLM, [*FRAMES, said], End(1))
    assert found is not None
    assert "cannot do that" in found.hint.en


def test_a_model_whose_module_was_not_imported_is_explained_by_why():
    # https://github.com/sgl-project/sglang/issues/4253; the second as SGLang 0.4 prints it where all is well
    why = b"Command '['/usr/bin/gcc', 'main.c', '-lcuda']' returned non-zero exit status 1."
    lines = [
        b"[2025-03-10 14:17:52 TP6] Ignore import error when loading sglang.srt.models.deepseek_v2. " + why,
        b"[2025-03-10 14:17:52 TP6] Ignore import error when loading sglang.srt.models.torch_native_llama. no group",
        *FRAMES,
        b"ValueError: Model architectures ['DeepseekV3ForCausalLM'] are not supported for now.",
    ]
    found = diagnose(engines.load("sglang"), lines, End(1))
    assert found is not None
    assert (found.code, "gcc" in found.text.en) == ("compile_failed", True)
    found = diagnose(engines.load("sglang"), lines[1:], End(1))
    assert found is not None
    assert found.code == "architecture_not_supported"


@pytest.mark.parametrize("end", [KILLED, End(143), End(137)])
@pytest.mark.parametrize("whose", [b"", b"(APIServer pid=4469) ", b"(EngineCore pid=5223) "])
def test_a_traceback_after_which_a_start_went_on_is_not_why_it_is_killed(whose, end):
    started = (DATA / "vllm-logs" / "healthy-start.log").read_bytes().split(b"\n")[:60]
    survived = [whose + line for line in (*FRAMES, b"ModuleNotFoundError: No module named 'flash_attn'")]
    found = diagnose(VLLM, [*started[:10], *survived, *started[10:]], end)
    assert found is not None
    assert found.own_end
    hung = diagnose(VLLM, [*started, *survived], end)
    assert hung is not None
    assert hung.code == "module_missing"


def test_the_traceback_of_a_thread_is_named_only_if_nothing_else_is():
    thread = [b"Exception in thread Thread-3 (_report_usage_worker):", *FRAMES]
    lines = [*thread, b"PermissionError: [Errno 13] Permission denied: '/.config'", *FRAMES, b"ValueError: no kernel"]
    assert code_and_text(diagnose(VLLM, lines, End(1))) == (UNRECOGNISED, "ValueError: no kernel")
    found = diagnose(VLLM, lines[:5], End(1))
    assert found is not None
    assert found.code == "permission_denied"


@pytest.mark.parametrize(
    "label",
    [
        b"0: ",
        b"[1,0]<stderr>:",
        b"12:00:07 web.1 > ",
        b"[pod/vllm-0/main] ",
        # TorchServe: https://github.com/pytorch/serve/issues/3365
        b"2024-11-18T16:43:45,496 [INFO ] W-9000-model_1.0-stdout MODEL_LOG - ",
    ],
)
def test_a_label_in_front_of_every_line_is_not_part_of_the_log(label):
    lines = [label + line for line in (*FRAMES, NO_CACHE)]
    found = diagnose(VLLM, lines, End(1))
    assert found is not None
    assert (found.code, found.evidence) == ("no_kv_cache_memory", [(label + NO_CACHE).decode()])


def test_a_frame_in_a_logged_prompt_is_not_evidence_of_an_error_after_it():
    """Composed: prompts that quote tracebacks without their ends, and an error of which the frames are missing."""
    info = b"INFO 11-22 21:12:10 [api.py:3] "
    prompt = [info + line for line in (FRAMES[0], b'  File "prompt.py", line 7, in asked', FRAMES[0])]
    found = diagnose(VLLM, [*prompt, FRAMES[0], b"TypeError: 'NoneType' object is not callable"], End(1))
    assert found is not None
    assert found.evidence == ["TypeError: 'NoneType' object is not callable"]
