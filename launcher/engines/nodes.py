"""The place of a server among those of several machines that serve one model together.

One of them, the leader, has the API; the others, followers, have none: vLLM with --headless, SGLang with a
--node-rank over 0 (a dummy server answers as healthy all the same), `ray start --address`. Only what a follower
prints says that it is ready. Sources: vLLM 0.32 (entrypoints/cli/serve.py, v1/engine/core.py) and its recorded logs
in tests/data/engine-logs; SGLang 0.5.23 (srt/utils/common.py, launch_dummy_health_check_server).
"""

from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

from tracetail.launcher.engines import flag_given, flag_value

LEADER = "leader"
FOLLOWER = "follower"
READY_TIMEOUT_SECONDS = 2100.0
"""Of a start of several machines: the engines wait for each other for up to 30 min (torch's default_pg_timeout)."""

_OWN_WAY = (
    "--nnodes",
    "--node-rank",
    "--headless",
    "--master-addr",
    "--data-parallel-address",
    "--data-parallel-start-rank",
    "--data-parallel-size-local",
    "--data-parallel-rank",
    "--distributed-executor-backend",
)
"""With one of these a command says by itself how its machines find each other."""
_EVERY_RANK_SERVES = ("--data-parallel-rank", "--data-parallel-hybrid-lb", "--data-parallel-external-lb")
"""With these each of vLLM's ranks has an API of its own."""
_VLLM_ENGINE_READY = r"log:init engine \(profile, create kv cache"
_VLLM_WORKER_READY = r"log:Available KV cache memory: |Explicitly set \(.{1,32}\) GiB for KV cache"
_SGLANG_READY = "log:ummy health check server"
_RAY_READY = "log:Ray runtime started"
_DIGITS_MAX = 5
"""Of a number of machines. What is longer is a mistake, and not for us to judge."""


class Place(NamedTuple):
    """The place of one server."""

    nodes: int | None = None
    """How many machines there are; None if that is not known."""
    rank: int | None = None
    """Its number among them, from 0; None if that is not known."""
    role: str = ""
    """LEADER or FOLLOWER; "" for a server on its own."""


def place_of(engine: str, argv: Sequence[str], nodes: int | None = None, rank: int | None = None) -> Place:
    """Return the place of a server.

    Args:
        engine: its engine.
        argv: the arguments of the engine, or the command of a `custom`.
        nodes: how many machines there are, if that was given.
        rank: its number, if that was given.

    """
    nodes = _number(argv, "--nnodes") if nodes is None else nodes
    rank = _number(argv, "--node-rank") if rank is None else rank
    if flag_given(argv, "--headless") or _is_ray_worker(argv):
        return Place(nodes, rank, FOLLOWER)
    if rank and not (engine == "vllm" and flag_given(argv, *_EVERY_RANK_SERVES)):
        return Place(nodes, rank, FOLLOWER)
    return Place(nodes, rank, LEADER if nodes is not None and nodes > 1 else "")


def ready_when(engine: str, argv: Sequence[str]) -> str:
    """Return by what a follower is ready. engine, argv: as for place_of()."""
    if engine == "vllm" or flag_given(argv, "--headless"):
        parallel = any(arg.startswith("--data-parallel") for arg in argv)
        return _VLLM_ENGINE_READY if parallel else _VLLM_WORKER_READY
    if engine == "sglang":
        return _SGLANG_READY
    return _RAY_READY if _is_ray_worker(argv) else "alive"


def node_args(engine: str, args: Sequence[str], nodes: int | None, rank: int | None) -> list[str]:
    """Return the arguments by which an engine knows its place; none where its own arguments do."""
    if engine not in ("vllm", "sglang") or nodes is None or nodes < 2 or rank is None or flag_given(args, *_OWN_WAY):
        return []
    headless = ["--headless"] if engine == "vllm" and rank else []
    return ["--nnodes", str(nodes), "--node-rank", str(rank), *headless]


def _number(argv: Sequence[str], flag: str) -> int | None:
    value = flag_value(argv, flag) or ""
    return int(value) if value.isascii() and value.isdigit() and len(value) <= _DIGITS_MAX else None


def _is_ray_worker(argv: Sequence[str]) -> bool:
    """Return whether a command starts Ray on a machine that joins another one's."""
    words = [PurePath(word).name for word in argv[:2]]
    return words == ["ray", "start"] and flag_given(argv, "--address") and not flag_given(argv, "--head")
