"""On a terminal the events of a launch are sentences, in both languages; in a pipe they are what the log has."""

import pytest

from tracetail.cli import event_sentence, language
from tracetail.cli.event_sentence import event_sentence as sentence
from tracetail.cli.words import event_text
from tracetail.contract import events

FAILED = (
    'failed seconds=12.3 exitCode=1 evidence="CUDA out of memory." cause="the memory is full" '
    'hint="lower the share" causeZh=显存已满 hintZh=降低占比 causeCode=gpu_out_of_memory'
)


@pytest.mark.parametrize(
    ("event", "english", "chinese"),
    [
        (
            'started service=test/q:8000 model=q engine=vllm port=8000 pid=7 command="vllm serve q"',
            "Started q with vllm, port 8000, pid 7: vllm serve q",
            "启动 q，引擎 vllm，端口 8000，pid 7：vllm serve q",
        ),
        ('phase name="weights loaded" seconds=3.2', "Phase “weights loaded”: 3.2 s", "阶段“权重加载完成”：3.2 秒"),
        (
            "ready seconds=55.2 pid=7 port=8000 url=http://127.0.0.1:8000",
            "Ready after 55.2 s at http://127.0.0.1:8000",
            "55.2 秒后就绪，地址 http://127.0.0.1:8000",
        ),
        (
            FAILED,
            "Failed to start after 12.3 s: the memory is full (exit status 1); lower the share",
            "12.3 秒后启动失败：显存已满（退出码 1）；降低占比",
        ),
        (
            FAILED.replace("failed", "exited state=failed"),
            "Ended after 12.3 s, failed: the memory is full (exit status 1)",
            "12.3 秒后结束，启动失败：显存已满（退出码 1）",
        ),
        (
            "exited state=stopped seconds=9.1 signal=SIGTERM",
            "Ended after 9.1 s, stopped (signal SIGTERM)",
            "9.1 秒后结束，已停止（信号 SIGTERM）",
        ),
        ("receipt lines=1 bytes=586 rejected=0", "Loki has the one line", "Loki 已有全部 1 行"),
        ("receipt lines=41 bytes=4320 rejected=0", "Loki has all 41 lines", "Loki 已有全部 41 行"),
        (
            "receipt lines=41 bytes=4320 rejected=2",
            "Loki has the log but for 2 lines that it refused",
            "Loki 已有日志，但拒收了 2 行",
        ),
        ("rotated next=q.2.log", "The log continues in q.2.log", "日志在 q.2.log 中继续"),
    ],
)
def test_an_event_reads_as_a_sentence(event, english, chinese):
    with language.chosen("en"):
        assert sentence(event) == english
    with language.chosen("zh"):
        assert sentence(event) == chinese


def test_other_events_stay_as_they_are():
    event = 'gap from=1 to=2 file=/x.log reason="it was truncated"'
    assert sentence(event) == event_text(event)
    assert sentence("no event at all") == "no event at all"


def test_every_sentence_is_about_an_event():
    assert set(event_sentence._SENTENCES) <= {value for key, value in vars(events).items() if key.isupper()}
