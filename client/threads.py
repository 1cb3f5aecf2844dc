"""Runs what blocks in threads, for event loops: one answer, or the items of an iterator, both cancellable."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

from tracetail.client.cancellation import CURRENT, Cancellation

T = TypeVar("T")

_BUFFERED = 10_000
"""Items that may wait to be taken before the iterator waits."""


async def in_thread(call: Callable[[], T]) -> T:
    """Return what call returns, or raise what it raises. If this is cancelled, call is, and its end is waited for."""
    loop = asyncio.get_running_loop()
    cancellation = Cancellation()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        CURRENT.set(cancellation)
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001  (raised again where it is awaited)
            _post(loop, _fail, future, error)
        else:
            _post(loop, _succeed, future, result)

    _start(run)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        cancellation.cancel()
        with contextlib.suppress(Exception):
            await future
        raise


async def iterate_in_thread(iterator: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
    """Yield the items of an iterator that blocks; it is ended when this generator is closed."""
    loop = asyncio.get_running_loop()
    cancellation = Cancellation()
    items: list[T] = []
    changed = threading.Condition()
    arrived = asyncio.Event()
    failure: list[BaseException] = []
    ended = False

    def run() -> None:
        nonlocal ended
        CURRENT.set(cancellation)
        found = iterator()
        try:
            for item in found:
                with changed:
                    items.append(item)
                    changed.wait_for(lambda: len(items) < _BUFFERED or cancellation.is_cancelled)
                _post(loop, arrived.set)
                if cancellation.is_cancelled:
                    break
        except BaseException as error:  # noqa: BLE001  (raised again where the items are taken)
            failure.append(error)
        finally:
            if hasattr(found, "close"):
                found.close()
            ended = True
            _post(loop, arrived.set)

    _start(run)
    try:
        while True:
            await arrived.wait()
            arrived.clear()
            done = ended  # before the items are taken: those that came before the end are among them
            with changed:
                taken = items[:]
                items.clear()
                changed.notify()
            for item in taken:
                yield item
            if done:
                break
        if failure:
            raise failure[0]
    finally:
        cancellation.cancel()
        with changed:
            changed.notify()


def _start(run: Callable[[], None]) -> None:
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), daemon=True, name="tracetail-client").start()


def _post(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(call, *arguments)


def _succeed(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
