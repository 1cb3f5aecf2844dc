"""A server that executes the steps of a test: a list in JSON, its only argument.

["text", "…"]            print a text                    ["file", PATH]       print a file's bytes
["wait", PATH]           wait until a file exists        ["touch", PATH]      make a file
["append", PATH]         append a line                   ["sleep", SECONDS]
["flood", COUNT, RATE]   print COUNT numbered lines, RATE a second
["bind", PORT]           bind without listening          ["serve", PORT, [MODELS]]  serve HTTP from now on;
                                                         with a fourth, a PATH: each GET adds its path to this file
["fork", STEPS]          a child with steps of its own   ["fork-away", STEPS] a grandchild in its own session
["ignore-term"]          ignore SIGTERM                  ["empty-environment"] continue without any environment
["exit", STATUS]         exit                            ["kill", SIGNAL]     end by a signal
["stay"]                 live until a signal ends it     ["sick"]             /health returns 503 from now on
["well"]                 /health returns 200 again       ["mute"]             completions get no answer from now on
["use-up-descriptors"]   open files until no more than 128 are allowed and open
["serve-tls", PORT, [MODELS], CERT, KEY]  serve HTTPS from now on
["close-output"]         continue with /dev/null as stdin, stdout and stderr
"""

import contextlib
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from pathlib import Path

SICK = threading.Event()
MUTE = threading.Event()
BOUND = []


def put(data):
    while data:
        data = data[os.write(1, data) :]


def serve(port, models, log=None, certificate=None, key=None):
    import http.server  # half of the time that this program takes to start, and most tests serve nothing

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if log:
                with Path(log).open("a") as file:
                    file.write(f"{self.path}\n")
            if self.path == "/v1/models":
                self.answer(200, {"data": [{"id": name} for name in models]})
            else:
                self.answer(503 if SICK.is_set() else 200, {})

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if MUTE.is_set():
                time.sleep(3600)
            self.answer(200, {"choices": [{"text": f"you said {asked['prompt']}"}]})

        def answer(self, status, body):
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("0.0.0.0", port), Handler)
    if certificate:
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def fork(steps, *, away):
    if os.fork():
        return
    if away:
        os.setsid()
        if os.fork():
            os._exit(0)
    run(steps)
    os._exit(0)


def run(steps):
    for name, *arguments in steps:
        match name:
            case "text":
                put(arguments[0].encode("utf-8", "surrogateescape"))
            case "file":
                put(Path(arguments[0]).read_bytes())
            case "wait":
                while not Path(arguments[0]).exists():
                    time.sleep(0.01)
            case "touch":
                Path(arguments[0]).touch()
            case "append":
                with Path(arguments[0]).open("ab") as file:
                    file.write(b"started\n")
            case "sleep":
                time.sleep(arguments[0])
            case "flood":
                count, rate = arguments
                begun = time.monotonic()
                for number in range(count):
                    put(b"line %d of a flood\n" % number)
                    time.sleep(max(0.0, begun + number / rate - time.monotonic()))
            case "bind":
                bound = socket.socket()
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                bound.bind(("0.0.0.0", arguments[0]))
                BOUND.append(bound)
            case "serve":
                serve(*arguments)
            case "serve-tls":
                port, models, certificate, key = arguments
                serve(port, models, certificate=certificate, key=key)
            case "use-up-descriptors":
                resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
                with contextlib.suppress(OSError):
                    while True:
                        os.open(os.devnull, os.O_RDONLY)
            case "sick":
                SICK.set()
            case "well":
                SICK.clear()
            case "mute":
                MUTE.set()
            case "fork":
                fork(arguments[0], away=False)
            case "fork-away":
                fork(arguments[0], away=True)
            case "ignore-term":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            case "close-output":
                null = os.open(os.devnull, os.O_RDWR)
                for descriptor in (0, 1, 2):
                    os.dup2(null, descriptor)
            case "empty-environment":
                rest = steps[[step[0] for step in steps].index(name) + 1 :]
                os.execve(sys.executable, ["innocent", __file__, json.dumps(rest)], {})
            case "exit":
                os._exit(arguments[0])
            case "kill":
                os.kill(os.getpid(), arguments[0])
                signal.pause()
            case "stay":
                while True:
                    signal.pause()


run(json.loads(sys.argv[1]))
