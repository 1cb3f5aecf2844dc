"""Callbacks as messages of chat robots: DingTalk, Feishu (Lark) and WeCom, and as what a template makes of them.

The format follows from the host of the callback's URL. Its fragment, which is never sent, sets the rest:
`#panel=https://logs.example.com&lang=en`, `format=dingtalk|feishu|wecom|json` for a relay with a host of its own, and
`template={"text":"{text}"}` for any other receiver: JSON in whose texts the names of `_fields()` are replaced.
Where a robot signs, the callback's token file holds its secret. Formats and signatures are those of the vendors' own
documentation (DingTalk: "custom robot security settings"; Feishu: "use bots in groups"; WeCom: "group robots").
"""

import base64
import hashlib
import hmac
import json
import re
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
    state: str
    lines: list[str]
    cause: str
    hint: str
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
    template = _options(url).get("template")
    if template is not None:
        return Request(sent, _filled(json.loads(template), _fields(_message(url, body), body)), robot=False)
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


def check(url: str) -> None:
    """Raise ValueError, with the reason, if the template in a callback's URL cannot be used."""
    template = _options(url).get("template")
    try:
        usable = template is None or isinstance(json.loads(template), dict)
    except (ValueError, RecursionError):
        usable = False
    if not usable:
        raise ValueError("the template behind # is no JSON object; & % + in it are written as %26 %25 %2B")


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
    parts = (body.get("exit"), body.get("health"))
    ended: Mapping[str, Any] = next((part for part in parts if part and part.get("cause")), {})
    lines = [f"{words['host']}{colon}{body.get('host')}{port} ({body.get('env')})"]
    why = {} if event in ("ready", "recovered") else {name: _why(ended, name, english) for name in ("cause", "hint")}
    lines += [f"{words[name]}{colon}{text}" for name, text in why.items() if text]
    lines.append(f"traceId{colon}{body.get('traceId')}")
    link = ""
    if options.get("panel"):
        query = urllib.parse.urlencode({"traceId": body.get("traceId"), "launchId": body.get("launchId")})
        link = f"{options['panel'].rstrip('/')}/panel?{query}"
    state = words.get(event, event)
    title = f"{body.get('model')} {state}"
    return _Message(title, state, lines, why.get("cause", ""), why.get("hint", ""), words["link"], link)


def _why(ended: Mapping[str, Any], name: str, english: bool) -> str:
    return _line(str((not english and ended.get(f"{name}Zh")) or ended.get(name) or ""))


def _fields(message: _Message, body: Mapping[str, Any]) -> dict[str, str]:
    """Return what a template may name."""
    names = ("model", "host", "port", "env", "event", "traceId", "launchId", "instanceId")
    return {
        **{name: "" if body.get(name) is None else str(body[name]) for name in names},
        **{name: getattr(message, name) for name in ("title", "state", "cause", "hint", "link")},
        "text": "\n".join(filter(None, [message.title, *message.lines, message.link])),
    }


def _filled(template: Any, fields: Mapping[str, str]) -> Any:
    """Return a template with the names in its texts replaced; names that it does not know stay as they are."""
    match template:
        case str():
            return re.sub(r"\{(\w+)\}", lambda found: fields.get(found[1], found[0]), template)
        case list():
            return [_filled(item, fields) for item in template]
        case dict():
            return {key: _filled(item, fields) for key, item in template.items()}
        case _:
            return template


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
