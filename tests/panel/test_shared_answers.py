"""Concurrent callers share one answer, which is cached briefly."""

import asyncio

import pytest

from tracetail.panel.trace.shared_answers import SharedAnswers


class Question:
    def __init__(self):
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.error = None

    async def __call__(self):
        self.asked += 1
        await self.may_answer.wait()
        if self.error:
            raise self.error
        return self.asked


async def test_a_cancelled_caller_does_not_cancel_the_answer_for_others():
    shared, question = SharedAnswers(2.0), Question()
    first = asyncio.create_task(shared.get("q", question))
    second = asyncio.create_task(shared.get("q", question))
    await asyncio.sleep(0)
    first.cancel()
    question.may_answer.set()
    assert await second == 1
    assert first.cancelled()


async def test_answers_are_cached_for_their_time_and_failures_not_at_all():
    now = 0.0
    shared, question = SharedAnswers(2.0, clock=lambda: now), Question()
    question.may_answer.set()
    assert [await shared.get("q", question), await shared.get("q", question)] == [1, 1]
    now = 2.1
    assert await shared.get("q", question) == 2
    now, question.error = 5.0, ValueError("no")
    with pytest.raises(ValueError, match="no"):
        await shared.get("q", question)
    question.error = None
    assert await shared.get("q", question) == 4
