"""A server that prints what vLLM prints about requests, and fails those that ask for it: for tests of the plugin.

The lines are those of vLLM 0.11 with --enable-log-requests (vllm/entrypoints/logger.py) and of uvicorn.
"""

import http.server
import json
import os
import sys
import time


def log(level: str, source: str, text: str) -> None:
    """Print a line as vLLM's API server does."""
    head = f"(APIServer pid={os.getpid()}) {level} {time.strftime('%m-%d %H:%M:%S')} [{source}] "
    print("".join(f"{head}{line}\n" for line in text.split("\n")), end="", flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers /health, and completions; the prompt `fail` fails as vLLM does, `die` ends the server."""

    def do_GET(self) -> None:
        self.answer(200, {})

    def do_POST(self) -> None:
        prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["prompt"]
        request_id = f"cmpl-{self.headers.get('X-Request-Id', 'none')}-0"
        log("INFO", "logger.py:40", f"Received request {request_id}: prompt: {prompt!r}, params: SamplingParams(n=1)")
        if prompt == "die":
            print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", flush=True)
            os._exit(1)
        if prompt == "fail":
            log(
                "ERROR",
                "serving_completion.py:150",
                f"Error in request {request_id}: EngineCore encountered an issue.",
            )
        self.answer(500 if prompt == "fail" else 200, {"text": prompt})

    def answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, text: str, *arguments: object) -> None:
        del text
        print(f'INFO:     127.0.0.1:1 - "{self.requestline}" {arguments[1]}', flush=True)


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
