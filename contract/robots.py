"""Callbacks as messages of chat robots: DingTalk, Feishu (Lark) and WeCom.

The format follows from the host of the callback's URL. Its fragment, which is never sent, sets the rest:
`#panel=https://logs.example.com&lang=en`, and `format=dingtalk|feishu|wecom|json` for a relay with a host of its own.
Where a robot signs, the callback's token file holds its secret. Formats and signatures are those of the vendors' own
documentation (DingTalk: "custom robot security settings"; Feishu: "use bots in groups"; WeCom: "group robots").
"""

import base64
import hashlib
import hmac
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any, NamedTuple

_FORMATS = {
    "oapi.dingtalk.com": "dingtalk",
    "open.feishu.cn": "feishu",
    "open.larksuite.com": "feishu",
    "qyapi.weixin.qq.com": "wecom",
}
_ENGLISH_HOSTS = ("open.larksuite.com",)
CAUSE_MAX = 500
"""Characters: WeCom takes messages of up to 4096 bytes."""
_WORDS: dict[str, dict[str, str]] = {
    "zh": {
        "ready": "已就绪",
        "failed": "启动失败",
        "stopped": "已停止",
        "crashed": "已崩溃",
        "unhealthy": "不健康",
        "recovered": "已恢复",
        "starting": "启动中",
        "stopping": "停止中",
        "host": "主机",
        "cause": "原因",
        "hint": "建议",
        "link": "查看日志",
        "colon": "\N{FULLWIDTH COLON}",
    },
    "en": {
        "failed": "failed to start",
        "host": "host",
        "cause": "cause",
        "hint": "hint",
        "link": "log",
        "colon": ": ",
    },
}


class Request(NamedTuple):
    """What is to be posted."""

    url: str
    body: dict[str, Any]
    robot: bool
    """Whether a robot receives it: its secret signs and is not sent, and its answer may be a refusal()."""


class _Message(NamedTuple):
    title: str
    lines: list[str]
    link_text: str
    link: str


def format_of(url: str) -> str:
    """Return dingtalk, feishu, wecom, or json for any other receiver."""
    found = _options(url).get("format") or _FORMATS.get(urllib.parse.urlsplit(url).hostname or "", "json")
    return found if found in _FORMATS.values() else "json"


def request(url: str, body: dict[str, Any], secret: str, now: float) -> Request:
    """Return the request that delivers a callback.

    Args:
        url: the callback's URL, with its fragment.
        body: the callback's own JSON.
        secret: what the token file holds; empty for none.
        now: seconds since the epoch: a signature is valid for an hour.

    """
    kind = format_of(url)
    sent = url.partition("#")[0]
    if kind == "json":
        return Request(sent, body, robot=False)
    message = _message(url, body)
    if kind == "dingtalk":
        text = "\n\n".join([f"#### {message.title}", *message.lines, *_markdown_link(message)])
        markdown = {"msgtype": "markdown", "markdown": {"title": message.title, "text": text}}
        return Request(_signed_for_dingtalk(sent, secret, now), markdown, robot=True)
    if kind == "wecom":
        text = "\n".join([f"**{message.title}**", *message.lines, *_markdown_link(message)])
        return Request(sent, {"msgtype": "markdown", "markdown": {"content": text}}, robot=True)
    rows: list[list[dict[str, str]]] = [[{"tag": "text", "text": line}] for line in message.lines]
    if message.link:
        rows.append([{"tag": "a", "text": message.link_text, "href": message.link}])
    post = {"zh_cn": {"title": message.title, "content": rows}}
    signature = _signature_for_feishu(secret, now)
    return Request(sent, {**signature, "msg_type": "post", "content": {"post": post}}, robot=True)


def refusal(answer: bytes) -> str:
    """Return why a robot refuses a message: it answers 200 with a code. "" if it has accepted it."""
    try:
        found = json.loads(answer)
    except ValueError:
        return ""
    code = found.get("errcode", found.get("code", 0)) if isinstance(found, dict) else 0
    return "" if code in (0, None) else f"{code} {found.get('errmsg') or found.get('msg') or ''}".strip()


def _options(url: str) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).fragment))


def _message(url: str, body: Mapping[str, Any]) -> _Message:
    options = _options(url)
    english = options.get("lang") == "en" or (
        "lang" not in options and urllib.parse.urlsplit(url).hostname in _ENGLISH_HOSTS
    )
    words = _WORDS["en" if english else "zh"]
    event = str(body.get("event"))
    colon = words["colon"]
    port = f":{body['port']}" if body.get("port") else ""
    ended = {**(body.get("health") or {}), **(body.get("exit") or {})}
    lines = [f"{words['host']}{colon}{body.get('host')}{port} ({body.get('env')})"]
    lines += [
        f"{words[name]}{colon}{_line(str(ended[name]))}"
        for name in ("cause", "hint")
        if ended.get(name) and event not in ("ready", "recovered")
    ]
    lines.append(f"traceId{colon}{body.get('traceId')}")
    link = ""
    if options.get("panel"):
        query = urllib.parse.urlencode({"traceId": body.get("traceId"), "launchId": body.get("launchId")})
        link = f"{options['panel'].rstrip('/')}/panel?{query}"
    return _Message(f"{body.get('model')} {words.get(event, event)}", lines, words["link"], link)


def _line(text: str) -> str:
    """Return text that may quote a server as one line that makes no link."""
    return " ".join(text[:CAUSE_MAX].split()).replace("](", "] (")


def _markdown_link(message: _Message) -> list[str]:
    return [f"[{message.link_text}]({message.link})"] if message.link else []


def _signed_for_dingtalk(url: str, secret: str, now: float) -> str:
    if not secret:
        return url
    timestamp = str(int(now * 1000))
    digest = hmac.new(secret.encode(), f"{timestamp}\n{secret}".encode(), hashlib.sha256).digest()
    query = urllib.parse.urlencode({"timestamp": timestamp, "sign": base64.b64encode(digest).decode()})
    return f"{url}{'&' if '?' in url else '?'}{query}"


def _signature_for_feishu(secret: str, now: float) -> dict[str, str]:
    if not secret:
        return {}
    timestamp = str(int(now))
    digest = hmac.new(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256).digest()
    return {"timestamp": timestamp, "sign": base64.b64encode(digest).decode()}
