"""Bounds the bytes of requests that are on their way together."""

import asyncio


class Room:
    """Room for so many bytes; who finds it full waits."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._changed = asyncio.Condition()

    def take(self, size: int) -> "_Taken":
        """Return a context manager that holds size bytes; more than there is counts as all there is."""
        return _Taken(self, min(size, self._size))

    async def enter(self, size: int) -> None:
        """Wait for size bytes and take them."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._free >= size)
            self._free -= size

    async def leave(self, size: int) -> None:
        """Give size bytes back."""
        async with self._changed:
            self._free += size
            self._changed.notify_all()


class _Taken:
    def __init__(self, room: Room, size: int) -> None:
        self._room = room
        self._size = size

    async def __aenter__(self) -> None:
        await self._room.enter(self._size)

    async def __aexit__(self, *_: object) -> None:
        await self._room.leave(self._size)
