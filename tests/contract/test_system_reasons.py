"""The operating system's reasons in Chinese."""

import errno
import os

import pytest

from tracetail.cli import refusals
from tracetail.contract.system_reasons import in_chinese


def test_a_reason_is_said_in_chinese_and_what_is_none_stays():
    assert in_chinese(os.strerror(errno.ENOENT)) == "文件或目录不存在"
    assert in_chinese("no such thing") == "no such thing"


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("--params @/x cannot be read: Permission denied", "无法读取 --params @/x：权限不足"),
        (
            "cannot listen on 127.0.0.1:9: Address already in use; set panel.listen to another address",
            "无法监听 127.0.0.1:9：地址已被占用；请把 panel.listen 设为其他地址",
        ),
    ],
)
def test_the_reason_within_a_refusal_is_said_in_chinese(english, chinese):
    assert refusals.in_chinese(english) == chinese
