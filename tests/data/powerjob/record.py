"""Records the answers of a PowerJob server in exchanges.json; README.md says of which."""

import hashlib
import json
import re
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

APP, APP_PASSWORD, USER, PASSWORD = "llm-test", "app secret", "ADMIN", "powerjob_admin"
SHELL = "tech.powerjob.official.processors.impl.script.ShellProcessor"
KEPT_HEADERS = ("X-POWERJOB-AUTH-PASSED",)


class Recorder:
    """Asks a server, and keeps each answer under a name."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.access = self.console = ""
        self.exchanges: list[dict[str, Any]] = []
        self._secrets: dict[str, str] = {}

    def ask(
        self, name: str, method: str, path: str, query: Any = None, *, body: Any = None, headers: Any = None
    ) -> Any:
        """Return the `data` of an answer; with a name, keep the exchange."""
        headers = dict(headers or {})
        data = None if body is None else json.dumps(body).encode()
        sent = {**headers, "Content-Type": "application/json"} if data else headers
        address = self.url + path + ("?" + urllib.parse.urlencode(query) if query else "")
        request = urllib.request.Request(address, data, sent, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text, found = answer.read().decode(), answer.headers
        if name:
            response = {key: found[key] for key in KEPT_HEADERS if key in found}
            exchange = {
                "name": name,
                "request": {"method": method, "path": path, "query": query, "headers": headers, "body": body},
                "response": {"headers": response, "body": json.loads(text)},
            }
            self.exchanges.append(exchange)
        return json.loads(text).get("data")

    def secret(self, value: str, shown: str) -> str:
        """Write `shown` in the place of a value."""
        self._secrets[value] = shown
        return value

    def write(self, path: Path) -> None:
        """Write all exchanges, tokens and addresses replaced."""
        text = json.dumps(self.exchanges, indent=1, ensure_ascii=False)
        for value, shown in self._secrets.items():
            text = text.replace(value, shown)
        text = re.sub(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "a.recorded.token", text)
        text = re.sub(r"\d+\.\d+\.\d+\.\d+:\d+", "192.0.2.2:27777", text)
        path.write_text(re.sub(r"path: \S*/official_script", "path: /powerjob/worker/official_script", text) + "\n")


def shell_job(recorder: Recorder, script: str, name: str = "") -> str:
    """Save a shell job, run it, and return the instance id. name: under which to keep the answer to the latter."""
    job = {
        "jobName": "recorded",
        "appId": 1,
        "jobParams": script,
        "timeExpressionType": "API",
        "executeType": "STANDALONE",
        "processorType": "BUILT_IN",
        "processorInfo": SHELL,
        "maxInstanceNum": 0,
        "concurrency": 5,
        "instanceRetryNum": 0,
        "taskRetryNum": 0,
        "enable": True,
    }
    headers = open_api(recorder)
    job_id = recorder.ask("", "POST", "/openApi/saveJob", body=job, headers=headers)
    query = {"appId": 1, "jobId": job_id}
    return str(recorder.ask(name, "POST", "/openApi/runJob", query, headers=headers))


def open_api(recorder: Recorder) -> dict[str, str]:
    return {"X-POWERJOB-APP-ID": "1", "X-POWERJOB-ACCESS-TOKEN": recorder.access}


def console(recorder: Recorder) -> dict[str, str]:
    return {"PowerJwt": recorder.console, "AppId": "1"}


def info(recorder: Recorder, name: str, instance: str) -> Any:
    query = {"appId": 1, "instanceId": instance}
    return recorder.ask(name, "POST", "/openApi/fetchInstanceInfo", query, headers=open_api(recorder))


def log(recorder: Recorder, name: str, instance: str, index: int = 0) -> Any:
    query = {"appId": 1, "instanceId": instance, "index": index}
    return recorder.ask(name, "GET", "/instance/log", query, headers=console(recorder))


def wait_for(recorder: Recorder, instance: str, status: int) -> None:
    while info(recorder, "", instance)["status"] < status:
        time.sleep(0.3)


def authentication(recorder: Recorder) -> None:
    """Record both logins, and what is refused without them."""
    md5 = {"appName": APP, "encryptedPassword": "", "encryptType": "md5"}
    recorder.ask("authApp: wrong password", "POST", "/openApi/authApp", body={**md5, "encryptedPassword": "0" * 32})
    recorder.ask("authApp: unknown app", "POST", "/openApi/authApp", body={**md5, "appName": "nobody"})
    md5["encryptedPassword"] = hashlib.md5(APP_PASSWORD.encode(), usedforsecurity=False).hexdigest()
    recorder.access = recorder.ask("authApp", "POST", "/openApi/authApp", body=md5)["token"]
    recorder.secret(recorder.access, "ACCESS_TOKEN")
    for name, headers in {
        "info: without a login": {},
        "info: with the console's token": {"PowerJwt": "CONSOLE_TOKEN", "AppId": "1"},
        "info: without a token": {"X-POWERJOB-APP-ID": "1"},
        "info: with a bad token": {"X-POWERJOB-APP-ID": "1", "X-POWERJOB-ACCESS-TOKEN": "bad"},
    }.items():
        query = {"appId": 1, "instanceId": 1}
        recorder.ask(name, "POST", "/openApi/fetchInstanceInfo", query, headers=headers)

    def login(name: str, user: str, password: str) -> Any:
        origin = json.dumps({"username": user, "password": password})
        body = {"loginType": "PWJB", "originParams": origin}
        return recorder.ask(name, "POST", "/auth/thirdPartyLoginDirect", body=body)

    login("login: wrong password", USER, "wrong")
    login("login: unknown user", "nobody", "wrong")
    recorder.console = login("login", USER, PASSWORD)["jwtToken"]
    recorder.secret(recorder.console, "CONSOLE_TOKEN")
    visitor = {"username": "visitor", "nick": "visitor", "password": "visitor"}
    recorder.ask("", "POST", "/pwjbUser/create", body=visitor, headers=console(recorder))
    other = login("", "visitor", "visitor")["jwtToken"]
    query = {"appId": 1, "instanceId": 1, "index": 0}
    for name, headers in {
        "log: without a login": {},
        "log: with a bad token": {"PowerJwt": "bad", "AppId": "1"},
        "log: of an app that the user may not see": {"PowerJwt": other, "AppId": "1"},
    }.items():
        recorder.ask(name, "GET", "/instance/log", query, headers=headers)


def runs(recorder: Recorder) -> None:
    """Record the states and the logs of runs."""
    info(recorder, "info: unknown", "1")
    info(recorder, "info: no number of 64 bits", "9" * 20)
    script = r"seq -f 'line %g' 240; printf 'a\342\200\250b\vc\n'; sleep 15"
    long = recorder.secret(shell_job(recorder, script, "runJob"), "1001")
    info(recorder, "info: waiting", long)
    wait_for(recorder, long, 3)
    info(recorder, "info: running", long)
    early = recorder.secret(shell_job(recorder, "echo early"), "1002")
    log(recorder, "log: asked for before its first line", early)
    failed = recorder.secret(shell_job(recorder, "exit 3"), "1003")
    stopped = recorder.secret(shell_job(recorder, "sleep 600"), "1004")
    time.sleep(3)
    query = {"appId": 1, "instanceId": stopped}
    recorder.ask("stopInstance", "POST", "/openApi/stopInstance", query, headers=open_api(recorder))
    info(recorder, "info: stopped", stopped)
    wait_for(recorder, failed, 4)
    info(recorder, "info: failed", failed)
    wait_for(recorder, long, 4)
    log(recorder, "log: right after the end", long, 2)
    info(recorder, "info: succeeded", long)
    time.sleep(16)
    pages = log(recorder, "log: page 0", long)["totalPages"]
    for index in range(1, pages):
        log(recorder, f"log: page {index}", long, index)
    log(recorder, "log: behind the last page", long, 90)
    log(recorder, "log: of a run that failed at once", failed)
    time.sleep(60)
    log(recorder, "log: a minute later", long, 0)
    log(recorder, "log: asked for too early, a minute later", early)


def main() -> None:
    recorder = Recorder(sys.argv[1])
    authentication(recorder)
    if recorder.ask("", "GET", "/system/listWorker", {"appId": 1}, headers=console(recorder)) == []:
        sys.exit("no worker has registered yet: runs would fail at once")
    runs(recorder)
    recorder.write(Path(__file__).with_name("exchanges.json"))


if __name__ == "__main__":
    main()
