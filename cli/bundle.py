"""`tracetail bundle`: packs what a bug report needs of a launch or trace into one file, secrets masked."""

import asyncio
import io
import json
import os
import platform
import sys
import tarfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from tracetail import __version__
from tracetail.cli import configuration
from tracetail.cli.completing import completer
from tracetail.cli.doctor import examine
from tracetail.cli.errors import fail, load_configuration
from tracetail.cli.language import both, chosen
from tracetail.cli.local_logs import local_entries
from tracetail.cli.log_choice import by_word, newest
from tracetail.cli.printable import printable
from tracetail.cli.words import state_word
from tracetail.contract import labels as names
from tracetail.contract.masking import mask_text
from tracetail.contract.owned_files import open_ours, open_owned
from tracetail.contract.record import LaunchDir
from tracetail.contract.state import state_dir
from tracetail.contract.system_reasons import in_chinese
from tracetail.launcher.registry import Launch

_LINES = 100_000
_KEEPER_LOG_MAX = 1 << 20
_PACKAGES = (
    "aiohttp",
    "click",
    "confluent-kafka",
    "msgspec",
    "opentelemetry-proto",
    "orjson",
    "protobuf",
    "psutil",
    "watchdog",
    "google-re2",
)
"""Whose versions the parts' behaviour depends on."""


@click.command()
@click.argument("what", required=False, shell_complete=completer("launchId", "modelName", "traceId"))
@click.option("-o", "--output", metavar="FILE", help="Where to write it (else tracetail-<id>.tar.gz here).")
@click.option(
    "-n",
    "--tail",
    type=click.IntRange(min=0),
    default=_LINES,
    show_default=True,
    help="The newest N lines of each log.",
)
@click.pass_obj
def bundle(config: str | None, what: str | None, output: str | None, tail: int) -> None:
    """Pack what a bug report needs of a launch or trace into one .tar.gz.

    WHAT is a launchId or the end of one, the name of a model, or a traceId; without it the newest launch. The file
    has the records, the lines of the log, what `tracetail doctor` finds, and versions. Secrets are masked as in what
    the agent ships, and no environment variable is in it; look through it before you send it.
    """
    settings = load_configuration(config)
    state = state_dir(os.environ)
    choice = newest(state) if what is None else by_word(what, state)
    if not choice.launches:
        listing = "`tracetail ps -a`"
        english = f"there is no launch of {what} on this machine: {listing} lists those that there are"
        fail(both(english, f"本机没有 {what} 的启动：{listing} 列出已有的启动"))
    name = f"tracetail-{choice.streams.get(names.LAUNCH_ID) or choice.streams[names.TRACE_ID]}"
    path = Path(output or f"{name}.tar.gz")
    contents = _contents(choice.launches, settings, config, tail)
    try:
        # Not through a link that another user has put where this one was expected to write, nor into a file of his.
        with os.fdopen(open_ours(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.truncate()
            _pack(file, name, contents)
    except OSError as error:
        english = f"{path} cannot be written: {error.strerror}; choose another with --output"
        fail(both(english, f"无法写入 {path}：{in_chinese(error.strerror)}；请用 --output 换一个"))
    size = f"{path.stat().st_size:,}"
    english = f"{path}: {size} bytes; look through it before you send it"
    click.echo(both(english, f"{path}：{size} 字节；发送之前请先过目"))


def _contents(
    launches: Sequence[Launch], settings: configuration.Configuration, config: str | None, tail: int
) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file."""
    yield "versions.json", _json(_versions())
    yield "doctor.json", _json(asyncio.run(_findings(config)))
    for launch in launches:
        where = launch.record["launchId"]
        service = launch.record.get("service", "")
        english, state = f"packing {where} of {service}, {launch.state}", state_word(launch.state)
        click.echo(printable(both(english, f"正在打包 {service} 的启动 {where}，{state}")), err=True)
        yield f"{where}/record.json", mask_text(_text({**launch.record, "effectiveState": launch.state})).encode()
        lines = deque((f"{_clock(one.time_ns)} {one.text}" for one in local_entries([launch], settings.agent)), tail)
        yield f"{where}/log.txt", "".join(line + "\n" for line in lines).encode(errors="replace")
        try:
            said = _end_of(launch.dir, "keeper.log")
        except OSError:
            continue
        yield f"{where}/keeper.log", mask_text(said.decode(errors="replace")).encode()


def _end_of(launch: LaunchDir, name: str) -> bytes:
    """Return the last mebibyte of a file of a launch. Raises OSError."""
    with os.fdopen(open_owned(launch.path, name), "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _KEEPER_LOG_MAX))
        return file.read(_KEEPER_LOG_MAX)


async def _findings(config: str | None) -> list[dict[str, str]]:
    with chosen("en"):  # whoever reads the report may not read the language of who sends it
        return [{name: mask_text(text) for name, text in one._asdict().items()} async for one in examine(config)]


def _versions() -> dict[str, Any]:
    """Return the versions of what runs here."""
    found = {
        "tracetail": __version__,
        "python": sys.version,
        "kernel": platform.release(),
        "machine": platform.machine(),
    }
    try:
        found["system"] = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        found["system"] = platform.system()
    installed = {}
    for package in _PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {**found, "packages": installed, "madeAt": datetime.now(UTC).isoformat(timespec="seconds")}


def _pack(file: io.BufferedWriter, name: str, contents: Iterator[tuple[str, bytes]]) -> None:
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for inside, content in contents:
            member = tarfile.TarInfo(f"{name}/{inside}")
            member.size, member.mtime, member.mode = len(content), int(time.time()), 0o600
            archive.addfile(member, io.BytesIO(content))


def _clock(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds")


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _json(value: object) -> bytes:
    return _text(value).encode()
