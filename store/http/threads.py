"""Threads that the event loop lets functions run in.

Like a ThreadPoolExecutor, but for this one purpose: its futures, which any thread may wait for, take as long as a
short query does.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")
_Job = tuple[Callable[[], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class Threads:
    """A number of threads, for one event loop."""

    def __init__(self, count: int, name: str) -> None:
        """Create them; none runs yet. name: of the threads."""
        self._count = count
        self._name = name
        self._threads: list[threading.Thread] = []
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._unfinished = 0

    async def run(self, function: Callable[[], _T]) -> _T:
        """Call the function in a thread, and return its result. Cancelled before, it is not called."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_T] = loop.create_future()
        self._unfinished += 1
        if len(self._threads) < min(self._unfinished, self._count):
            self._start()
        self._jobs.put((function, done, loop))
        return await done

    def shutdown(self) -> None:
        """Wait for the functions that run, and cancel those that wait."""
        try:
            while (job := self._jobs.get_nowait()) is not None:
                job[1].cancel()
        except queue.Empty:
            pass
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=f"{self._name}_{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, done, loop = job
            result, error = None, None
            if not done.cancelled():
                try:
                    result = function()
                except BaseException as raised:  # noqa: BLE001  (whatever it is, the caller gets it)
                    error = raised
            loop.call_soon_threadsafe(self._finish, done, result, error)
            # Nothing of it, and of what it has found, is kept until the next one.
            del job, function, done, loop, result, error

    def _finish(self, done: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
        self._unfinished -= 1
        if done.cancelled():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)
