"""Callbacks as messages of chat robots, against robots that check signatures as the vendors' documentation says."""

import base64
import json
import subprocess
import urllib.parse

import pytest

from tracetail.contract import robots

BODY = {
    "model": "qwen-7b",
    "port": 8000,
    "event": "failed",
    "traceId": "t-1",
    "launchId": "20261122T211210-4bf92f",
    "env": "test",
    "host": "gpu-1",
    "exit": {"cause": "CUDA out of memory\n[a](http://evil)", "hint": "use fewer sequences"},
}
DINGTALK = "https://oapi.dingtalk.com/robot/send?access_token=abc"
FEISHU = "https://open.feishu.cn/open-apis/bot/v2/hook/abc"
WECOM = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=abc"
NOW = 1_764_192_000.5
LINES = [
    "主机：gpu-1:8000 (test)",
    "原因：CUDA out of memory [a] (http://evil)",
    "建议：use fewer sequences",
    "traceId：t-1",
]
LINK = "http://logs:8900/panel?traceId=t-1&launchId=20261122T211210-4bf92f"


def openssl_hmac(key, message):
    """Return what `openssl dgst` makes of it: an implementation that is not ours."""
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-binary"]
    return base64.b64encode(subprocess.run(command, input=message, capture_output=True, check=True).stdout).decode()


def test_dingtalk_gets_markdown_and_a_signature_in_the_query():
    sent = robots.request(f"{DINGTALK}#panel=http://logs:8900/", BODY, "SECabc", NOW)
    assert sent.robot
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(sent.url).query))
    assert query["access_token"] == "abc"
    assert query["timestamp"] == "1764192000500"
    assert query["sign"] == openssl_hmac(b"SECabc", b"1764192000500\nSECabc")
    text = "\n\n".join(["#### qwen-7b 启动失败", *LINES, f"[查看日志]({LINK})"])
    assert sent.body == {"msgtype": "markdown", "markdown": {"title": "qwen-7b 启动失败", "text": text}}


def test_feishu_gets_a_post_and_a_signature_in_the_body():
    sent = robots.request(f"{FEISHU}#panel=http://logs:8900", BODY, "abc", NOW)
    assert sent.url == FEISHU
    assert sent.body.pop("timestamp") == "1764192000"
    assert sent.body.pop("sign") == openssl_hmac(b"1764192000\nabc", b"")
    rows = [[{"tag": "text", "text": line}] for line in LINES] + [[{"tag": "a", "text": "查看日志", "href": LINK}]]
    post = {"zh_cn": {"title": "qwen-7b 启动失败", "content": rows}}
    assert sent.body == {"msg_type": "post", "content": {"post": post}}


def test_wecom_gets_markdown_within_its_limit():
    long = {**BODY, "exit": {"cause": "错" * 5000}}
    sent = robots.request(WECOM, long, "", NOW)
    assert sent.url == WECOM
    assert sent.body["msgtype"] == "markdown"
    assert sent.body["markdown"]["content"].startswith("**qwen-7b 启动失败**\n主机")
    assert len(sent.body["markdown"]["content"].encode()) < 4096


@pytest.mark.parametrize(
    ("url", "title"),
    [
        (f"{DINGTALK}#lang=en", "qwen-7b failed to start"),
        ("https://open.larksuite.com/open-apis/bot/v2/hook/abc", "qwen-7b failed to start"),
        ("https://open.larksuite.com/open-apis/bot/v2/hook/abc#lang=zh", "qwen-7b 启动失败"),
        ("http://relay.example/robot#format=wecom", "qwen-7b 启动失败"),
    ],
)
def test_the_fragment_sets_language_and_format_and_is_not_sent(url, title):
    sent = robots.request(url, BODY, "", NOW)
    assert "#" not in sent.url
    assert title in json.dumps(sent.body, ensure_ascii=False)


def test_a_ready_server_has_no_cause():
    sent = robots.request(f"{DINGTALK}#lang=en", {**BODY, "event": "ready", "exit": None}, "", NOW)
    assert sent.url == DINGTALK
    assert sent.body["markdown"]["text"].split("\n\n") == [
        "#### qwen-7b ready",
        "host: gpu-1:8000 (test)",
        "traceId: t-1",
    ]


def test_chinese_messages_have_the_cause_in_chinese():
    ended = {"cause": "out of memory", "hint": "less", "causeZh": "显存已满", "hintZh": "调低"}
    for url, shown in (
        (DINGTALK, ("原因：显存已满", "建议：调低")),
        (f"{DINGTALK}#lang=en", ("cause: out of memory",)),
    ):
        text = robots.request(url, {**BODY, "exit": ended}, "", NOW).body["markdown"]["text"]
        assert set(shown) <= set(text.split("\n\n"))


def test_cause_and_hint_are_of_one_finding():
    body = {
        **BODY,
        "health": {"cause": "no answer", "causeZh": "无应答", "hintZh": "看日志"},
        "exit": {"cause": "killed"},
    }
    lines = robots.request(DINGTALK, body, "", NOW).body["markdown"]["text"].split("\n\n")
    assert lines[2:] == ["原因：killed", "traceId：t-1"]


@pytest.mark.parametrize(
    ("template", "sent"),
    [
        ('{"text":"{text}"}', {"text": "\n".join(["qwen-7b 启动失败", *LINES, LINK])}),
        (
            '{"title":"{model} {state}","tags":["{event}",{"at":"{host}:{port}"}],"n":1}',
            {"title": "qwen-7b 启动失败", "tags": ["failed", {"at": "gpu-1:8000"}], "n": 1},
        ),
        ('{"cause":"{cause}","x":"{unknown} {hint}"}', {"cause": LINES[1][3:], "x": "{unknown} use fewer sequences"}),
        ('{"open":"{link}","id":"{instanceId}"}', {"open": LINK, "id": ""}),
    ],
)
def test_a_template_makes_the_body_for_any_receiver(template, sent):
    url = f"http://chat.example/hook?a=b#panel=http://logs:8900&template={template}"
    robots.check(url)
    assert robots.request(url, BODY, "token", NOW) == ("http://chat.example/hook?a=b", sent, False)


def test_a_value_cannot_change_a_templates_structure():
    body = {**BODY, "exit": {"cause": '"},"x":{"y":"{model}'}}
    sent = robots.request('http://c/#lang=en&template={"a":"{cause}"}', body, "", NOW)
    assert sent.body == {"a": '"},"x":{"y":"{model}'}


@pytest.mark.parametrize("template", ["{", "[]", '"{text}"', "[" * 10_000])
def test_a_template_that_is_no_object_is_refused(template):
    with pytest.raises(ValueError, match="the template behind # is no JSON object"):
        robots.check(f"http://chat.example/#template={template}")


@pytest.mark.parametrize("url", ["http://platform/api", "http://platform/api#format=json", f"{DINGTALK}#format=json"])
def test_other_receivers_get_the_body_as_it_is(url):
    assert robots.request(url, BODY, "token", NOW) == (url.partition("#")[0], BODY, False)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('{"errcode":0,"errmsg":"ok"}', ""),
        ('{"errcode":310000,"errmsg":"sign not match"}', "310000 sign not match"),
        (
            '{"code":19021,"msg":"sign match fail or timestamp is not within one hour from current time"}',
            "19021 sign",
        ),
        ('{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}', ""),
        ('{"errcode":93000,"errmsg":"invalid webhook url"}', "93000 invalid webhook url"),
        ("not JSON", ""),
        ("[]", ""),
    ],
)
def test_a_refusal_is_in_the_answer(answer, reason):
    assert robots.refusal(answer.encode()).startswith(reason)
    assert bool(robots.refusal(answer.encode())) == bool(reason)
