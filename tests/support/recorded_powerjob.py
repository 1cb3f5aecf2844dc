"""A PowerJob server that gives the answers of a real one (tests/data/powerjob)."""

import json
import time
from pathlib import Path
from typing import Any

from aiohttp import web
from multidict import CIMultiDictProxy

DATA = Path(__file__).parents[1] / "data" / "powerjob" / "exchanges.json"
LONG_RUN = "1001"
PAGES = 5


def exchanges() -> dict[str, dict[str, Any]]:
    """Return what was asked and answered, by name."""
    return {exchange["name"]: exchange for exchange in json.loads(DATA.read_text())}


class RecordedPowerJob:
    """One server with one app, one user and one run.

    state: which recorded state the run is in. started_ago, ended_ago: seconds. log: the recorded log in the place of
    the run's pages. valid: the tokens that it accepts; empty as if all had expired.
    """

    def __init__(self) -> None:
        self.url = ""
        self.state = "running"
        self.started_ago = 60.0
        self.ended_ago = 60.0
        self.log: str | dict[str, Any] = ""
        self.requests: list[str] = []
        self.valid: set[str] = set()
        self._exchanges = exchanges()

    def lines(self) -> list[str]:
        """Return the run's whole log."""
        return [line for page in range(PAGES) for line in self._data(f"log: page {page}").split("\n")[:-1]]

    def app(self) -> web.Application:
        """Return the server."""
        app = web.Application()
        app.router.add_post("/openApi/authApp", self._auth_app)
        app.router.add_post("/auth/thirdPartyLoginDirect", self._login)
        app.router.add_post("/openApi/fetchInstanceInfo", self._info)
        app.router.add_get("/instance/log", self._log)
        return app

    async def _auth_app(self, request: web.Request) -> web.Response:
        self.requests.append("authApp")
        asked = self._exchanges["authApp"]["request"]["body"]
        return self._token(await request.json() == asked, "authApp", "ACCESS_TOKEN")

    async def _login(self, request: web.Request) -> web.Response:
        self.requests.append("login")
        asked = self._exchanges["login"]["request"]["body"]
        body = await request.json()
        same = body["loginType"] == asked["loginType"]
        same = same and json.loads(body["originParams"]) == json.loads(asked["originParams"])
        return self._token(same, "login", "CONSOLE_TOKEN")

    def _token(self, accepted: bool, name: str, token: str) -> web.Response:
        if not accepted:
            return self._answer(f"{name}: wrong password")
        self.valid.add(token)
        return self._answer(name)

    async def _info(self, request: web.Request) -> web.Response:
        self.requests.append("info")
        refusal = self._refusal_of_app(request.headers)
        if refusal:
            return self._answer(refusal)
        if request.query["instanceId"] != LONG_RUN:
            return self._answer("info: unknown")
        now = time.time()
        times = {"actualTriggerTime": int((now - self.started_ago) * 1000)}
        if self.state not in ("waiting", "running"):
            times["finishedTime"] = int((now - self.ended_ago) * 1000)
        return self._answer(f"info: {self.state}", times)

    def _refusal_of_app(self, headers: CIMultiDictProxy[str]) -> str:
        if "X-POWERJOB-APP-ID" not in headers:
            return "info: without a login"
        return "" if headers.get("X-POWERJOB-ACCESS-TOKEN") in self.valid else "info: with a bad token"

    async def _log(self, request: web.Request) -> web.Response:
        self.requests.append("log")
        token = request.headers.get("PowerJwt")
        if token not in self.valid:
            return self._answer("log: with a bad token" if token else "log: without a login")
        if request.headers.get("AppId") != "1":
            return self._answer("log: of an app that the user may not see")
        if isinstance(self.log, dict):
            return web.json_response({"success": True, "message": None, "data": self.log})
        index = int(request.query["index"])
        return self._answer(self.log or (f"log: page {index}" if index < PAGES else "log: behind the last page"))

    def _data(self, name: str) -> str:
        return str(self._exchanges[name]["response"]["body"]["data"]["data"])

    def _answer(self, name: str, changed: dict[str, Any] | None = None) -> web.Response:
        response = self._exchanges[name]["response"]
        body = response["body"]
        if changed:
            body = {**body, "data": {**body["data"], **changed}}
        return web.json_response(body, headers=response["headers"])
