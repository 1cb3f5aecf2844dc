"""Callbacks to a chat robot that checks what it gets, as DingTalk's does: a refusal is a 200 with a code."""

import base64
import hashlib
import hmac
import http.server
import json
import threading
import time
import urllib.parse

import pytest

from tracetail.contract import outbox
from tracetail.launcher import callbacks

SECRET = "SEC0123"
BODY = {"eventId": "e1", "event": "crashed", "model": "m", "port": 1, "host": "h", "env": "test", "traceId": "t"}


@pytest.fixture
def robot():
    messages = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
            text = f"{query.get('timestamp')}\n{SECRET}".encode()
            wanted = base64.b64encode(hmac.new(SECRET.encode(), text, hashlib.sha256).digest()).decode()
            fresh = abs(time.time() * 1000 - int(query.get("timestamp", 0))) < 3_600_000
            accepted = query.get("sign") == wanted and fresh and "Authorization" not in self.headers
            if accepted:
                messages.append(body["markdown"]["title"])
            answer = {"errcode": 0, "errmsg": "ok"} if accepted else {"errcode": 310000, "errmsg": "sign not match"}
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    server.messages = messages
    server.url = f"http://127.0.0.1:{server.server_port}/robot/send?access_token=x#format=dingtalk&lang=en"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("secret", "delivered"), [(SECRET, True), ("another", False), ("", False)])
def test_a_message_is_delivered_only_if_the_robot_accepts_its_signature(robot, tmp_path, secret, delivered):
    file = tmp_path / "secret"
    file.write_text(secret)
    path = outbox.put(
        tmp_path / "outbox",
        {
            "url": robot.url,
            "tokenFile": str(file) if secret else "",
            "createdAt": time.time(),
            "attempts": 0,
            "body": BODY,
        },
    )
    assert callbacks.deliver(path, time.monotonic()) is delivered
    assert path.exists() is not delivered
    assert robot.messages == (["m crashed"] if delivered else [])
