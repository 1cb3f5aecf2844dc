"""An HTTP server that receives callbacks, as a test platform does."""

import http.server
import json
import threading


class Receiver:
    """Records the callbacks that are posted, after refusing the first `refusals` of them with a 503."""

    def __init__(self, refusals=0):
        self.posts = []
        self.headers = []
        self.refusals = refusals
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if receiver.refusals:
                    receiver.refusals -= 1
                    self.send_response(503)
                else:
                    receiver.headers.append(dict(self.headers))
                    receiver.posts.append(body)
                    self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/report/llm-start"
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def close(self):
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def events(self):
        return [post["event"] for post in self.posts]
