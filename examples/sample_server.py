#!/usr/bin/env python3
"""A small OpenAI-compatible server that prints what vLLM prints, for demonstrations and tests.

It serves /health, /v1/models, /v1/completions and /v1/chat/completions (both with streaming) and /metrics, and
answers with the words of the prompt. It needs nothing but Python:

    python sample_server.py --port 8000 --model sample-model

Switches make it fail the way real servers fail: --fail-at PHASE, --ignore-term, --load-seconds N.
"""

import argparse
import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator

STATS_INTERVAL_SECONDS = 10.0
BODY_MAX_BYTES = 1024 * 1024
PHASES = ("config", "weights", "kv-cache", "warmup")


class Log:
    """Prints lines in vLLM's format: `(APIServer pid=71) INFO 11-22 13:12:10 [api_server.py:90] text`."""

    def __init__(self) -> None:
        self.prefix = os.environ.get("VLLM_LOGGING_PREFIX", "")

    def line(self, level: str, source: str, text: str, process: str = "APIServer") -> None:
        """Print one record; further lines repeat the header, as vLLM does."""
        head = f"{self.prefix}({process} pid={os.getpid()}) {level} {time.strftime('%m-%d %H:%M:%S')} [{source}] "
        for part in text.split("\n"):
            self.raw(head + part)

    def raw(self, text: str) -> None:
        """Print a line without vLLM's header, as uvicorn and libraries do."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


class Stats:
    """Counts what /metrics and the periodic line report."""

    def __init__(self) -> None:
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.requests = 0
        self.running = 0

    def exposition(self, model: str) -> str:
        """Return the Prometheus text format, under vLLM's names."""
        label = f'{{model_name="{model}"}}'
        return (
            "# TYPE vllm:num_requests_running gauge\n"
            f"vllm:num_requests_running{label} {self.running}\n"
            "# TYPE vllm:prompt_tokens_total counter\n"
            f"vllm:prompt_tokens_total{label} {self.prompt_tokens}\n"
            "# TYPE vllm:generation_tokens_total counter\n"
            f"vllm:generation_tokens_total{label} {self.generation_tokens}\n"
            "# TYPE vllm:request_success_total counter\n"
            f"vllm:request_success_total{label} {self.requests}\n"
        )


class BadRequestError(Exception):
    """The request cannot be answered; args are status and message."""


class SampleServer:
    """Loads nothing, slowly, and then answers."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.log = Log()
        self.stats = Stats()
        self.ids = itertools.count(1)

    async def run(self) -> int:
        """Start up, serve until SIGTERM or SIGINT, shut down. Returns the exit status."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            if self.options.ignore_term:
                signal.signal(number, signal.SIG_IGN)
            else:
                loop.add_signal_handler(number, stop.set)
        loading = asyncio.create_task(self.load())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():
            loading.cancel()
            return 0
        loading.result()
        host, port = self.options.host, self.options.port
        try:
            server = await asyncio.start_server(self.serve, host, port)
        except OSError as error:
            self.log.line("ERROR", "launcher.py:71", f"[Errno {error.errno}] Address already in use: {host}:{port}")
            return 1
        self.log.line("INFO", "entry.py:140", f"Starting vLLM server on http://{host}:{port}")
        for route in ("/health, Methods: GET", "/v1/models, Methods: GET", "/v1/completions, Methods: POST"):
            self.log.line("INFO", "launcher.py:195", f"Route: {route}")
        self.log.raw(f"INFO:     Started server process [{os.getpid()}]")
        self.log.raw("INFO:     Waiting for application startup.")
        self.log.raw("INFO:     Application startup complete.")
        reporting = asyncio.create_task(self.report())
        async with server:
            await stopping
            self.log.raw("INFO:     Shutting down")
        reporting.cancel()
        self.log.raw("INFO:     Waiting for application shutdown.")
        self.log.raw("INFO:     Application shutdown complete.")
        self.log.raw(f"INFO:     Finished server process [{os.getpid()}]")
        return 0

    async def load(self) -> None:
        """Print the phases of a start-up, at the pace that --load-seconds asks for."""
        model, log, pause = self.options.model, self.log, self.options.load_seconds / len(PHASES)
        log.line("INFO", "api_utils.py:347", f"\n  █▄█▀ █     █     █     █  model   {model}\n")
        log.line("INFO", "api_utils.py:286", f"non-default args: {{'model': '{model}', 'api_key': '***'}}")
        self.pass_phase("config")
        await asyncio.sleep(pause)
        log.line(
            "INFO",
            "core.py:133",
            f"Initializing a V1 LLM engine (v0.32.0) with config: model='{model}'",
            "EngineCore",
        )
        log.line(
            "WARNING", "cpu.py:224", "Triton is not installed. triton-cpu is expected on x86 CPUs.", "EngineCore"
        )
        log.line("INFO", "gpu_model_runner.py:68", f"Starting to load model {model}...", "EngineCore")
        for percent in (0, 50, 100):
            sys.stdout.write(f"\rLoading safetensors checkpoint shards: {percent:3d}% Completed")
            sys.stdout.flush()
            await asyncio.sleep(pause / 3)
        log.raw("")
        self.pass_phase("weights")
        log.line("INFO", "default_loader.py:262", f"Loading weights took {pause:.2f} seconds", "EngineCore")
        log.line(
            "INFO",
            "gpu_model_runner.py:88",
            f"Model loading took 0.25 GiB memory and {pause:.6f} seconds",
            "EngineCore",
        )
        await asyncio.sleep(pause)
        self.pass_phase("kv-cache")
        log.line("INFO", "kv_cache_utils.py:2327", "GPU KV cache size: 1,048,576 tokens", "EngineCore")
        await asyncio.sleep(pause)
        self.pass_phase("warmup")
        log.line(
            "INFO",
            "core.py:402",
            f"init engine (profile, create kv cache, warmup model) took {pause:.2f} s",
            "EngineCore",
        )

    def pass_phase(self, phase: str) -> None:
        """Exit here, as a broken engine does, if --fail-at names this phase."""
        if self.options.fail_at == phase:
            raise RuntimeError(f"CUDA out of memory. Tried to allocate 20.00 GiB (at phase {phase})")

    async def report(self) -> None:
        """Print a stats line every ten seconds in which there was work."""
        before = (0, 0)
        while True:
            await asyncio.sleep(self.options.stats_seconds)
            now = (self.stats.prompt_tokens, self.stats.generation_tokens)
            if now != before:
                prompt, generation = ((b - a) / self.options.stats_seconds for a, b in zip(before, now, strict=True))
                self.log.line(
                    "INFO",
                    "loggers.py:335",
                    f"Engine 000: Avg prompt throughput: {prompt:.1f} tokens/s, "
                    f"Avg generation throughput: {generation:.1f} tokens/s, Running: {self.stats.running} reqs, "
                    "Waiting: 0 reqs, GPU KV cache usage: 0.1%, Prefix cache hit rate: 0.0%",
                )
            before = now

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request per connection; every answer closes it."""
        try:
            async with asyncio.timeout(30):
                method, path, body = await read_request(reader)
            status = await self.answer(method, path, body, writer)
        except BadRequestError as error:
            method, path, status = "GET", "/", error.args[0]
            await send_json(writer, status, {"error": {"message": error.args[1], "type": "invalid_request_error"}})
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            writer.close()
            return
        peer = writer.get_extra_info("peername") or ("-", 0)
        reason = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 413: "Too Large"}[
            status
        ]
        self.log.raw(f'INFO:     {peer[0]}:{peer[1]} - "{method} {path} HTTP/1.1" {status} {reason}')
        writer.close()

    async def answer(self, method: str, path: str, body: bytes, writer: asyncio.StreamWriter) -> int:
        """Answer one request and return the status that was sent."""
        model = self.options.served_model_name or self.options.model
        if path == "/health":
            await send(writer, 200, "text/plain", b"")
        elif path == "/metrics":
            await send(writer, 200, "text/plain; version=0.0.4", self.stats.exposition(model).encode())
        elif path == "/v1/models":
            await send_json(writer, 200, {"object": "list", "data": [{"id": model, "object": "model"}]})
        elif path in ("/v1/completions", "/v1/chat/completions"):
            if method != "POST":
                await send_json(writer, 405, {"error": {"message": "use POST"}})
                return 405
            await self.complete(path, parse_body(body), writer)
        else:
            await send_json(writer, 404, {"error": {"message": f"no such path: {path}"}})
            return 404
        return 200

    async def complete(self, path: str, request: dict[str, object], writer: asyncio.StreamWriter) -> None:
        """Answer a completion with the words of its prompt, at once or as a stream of server-sent events."""
        chat = path.endswith("/chat/completions")
        prompt = prompt_of(request, chat=chat)
        limit = request.get("max_tokens")
        words = (prompt.split() or ["…"])[: limit if isinstance(limit, int) and limit > 0 else 16]
        self.stats.running += 1
        self.stats.prompt_tokens += len(prompt.split())
        try:
            answer = {
                "id": f"cmpl-{next(self.ids)}",
                "object": "chat.completion" if chat else "text_completion",
                "created": int(time.time()),
                "model": self.options.served_model_name or self.options.model,
            }
            if request.get("stream"):
                await send_head(writer, 200, "text/event-stream")
                async for word in self.generate(words):
                    choice = {"index": 0, "delta": {"content": word}} if chat else {"index": 0, "text": word}
                    writer.write(f"data: {json.dumps({**answer, 'choices': [choice]})}\n\n".encode())
                    await writer.drain()
                writer.write(b"data: [DONE]\n\n")
                await writer.drain()
            else:
                text = "".join([word async for word in self.generate(words)])
                message = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
                usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(words)}
                choices = [{"index": 0, "finish_reason": "stop", **message}]
                await send_json(writer, 200, {**answer, "choices": choices, "usage": usage})
            self.stats.requests += 1
        finally:
            self.stats.running -= 1

    async def generate(self, words: list[str]) -> AsyncIterator[str]:
        """Yield the tokens, slowly enough to be seen."""
        for word in words:
            await asyncio.sleep(self.options.token_seconds)
            self.stats.generation_tokens += 1
            yield word + " "


async def read_request(reader: asyncio.StreamReader) -> tuple[str, str, bytes]:
    """Read one HTTP/1.1 request: method, path without query, body."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise BadRequestError(400, "the head of the request is too long") from error
    first, *fields = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3:
        raise BadRequestError(400, "not an HTTP request")
    headers = {name.strip().lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    length = headers.get("content-length", "0")
    if not length.isdigit():
        raise BadRequestError(400, "Content-Length is not a number")
    if int(length) > BODY_MAX_BYTES:
        raise BadRequestError(413, f"the body is larger than {BODY_MAX_BYTES} bytes")
    return words[0], words[1].partition("?")[0], await reader.readexactly(int(length))


def parse_body(body: bytes) -> dict[str, object]:
    """Return the request's JSON object."""
    try:
        request = json.loads(body)
    except ValueError as error:
        raise BadRequestError(400, f"the body is not valid JSON: {error}") from error
    if not isinstance(request, dict):
        raise BadRequestError(400, "the body is not a JSON object")
    return request


def prompt_of(request: dict[str, object], *, chat: bool) -> str:
    """Return the text to answer: `prompt`, or the content of the last of `messages`."""
    if not chat:
        return str(request.get("prompt", ""))
    messages = request.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, dict):
        raise BadRequestError(400, "messages must be a list of objects")
    return str(last.get("content", ""))


async def send_head(writer: asyncio.StreamWriter, status: int, kind: str, length: int | None = None) -> None:
    """Write status line and headers."""
    size = "" if length is None else f"Content-Length: {length}\r\n"
    writer.write(f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\n{size}Connection: close\r\n\r\n".encode())
    await writer.drain()


async def send(writer: asyncio.StreamWriter, status: int, kind: str, body: bytes) -> None:
    """Write a whole answer."""
    await send_head(writer, status, kind, len(body))
    writer.write(body)
    await writer.drain()


async def send_json(writer: asyncio.StreamWriter, status: int, body: object) -> None:
    """Write a whole answer in JSON."""
    await send(writer, status, "application/json", json.dumps(body).encode())


def options_from(arguments: list[str]) -> argparse.Namespace:
    """Read the command line. Flags of vLLM that mean nothing here are taken and ignored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (%(default)s)")
    parser.add_argument("--model", default="sample-model", help="name or path of the model (%(default)s)")
    parser.add_argument("--served-model-name", help="name under which the API serves it")
    parser.add_argument("--load-seconds", type=float, default=1.0, help="how long loading takes (%(default)s)")
    parser.add_argument("--token-seconds", type=float, default=0.005, help="pause before each token (%(default)s)")
    parser.add_argument(
        "--stats-seconds", type=float, default=STATS_INTERVAL_SECONDS, help="stats interval (%(default)s)"
    )
    parser.add_argument("--fail-at", choices=PHASES, help="die with a traceback at this phase")
    parser.add_argument("--ignore-term", action="store_true", help="do not stop on SIGTERM or SIGINT")
    options, ignored = parser.parse_known_args(arguments)
    if ignored:
        sys.stderr.write(f"WARNING: ignored: {' '.join(ignored)}\n")
    return options


def main() -> int:
    """Run the server until SIGTERM or SIGINT."""
    return asyncio.run(SampleServer(options_from(sys.argv[1:])).run())


if __name__ == "__main__":
    sys.exit(main())
