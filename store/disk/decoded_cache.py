"""Keeps what was decoded last: whoever looks at a launch asks for it again and again.

A block's id is given to another block once it was merged or deleted. So what was decoded is kept together with the
bytes that it was decoded from, and is returned only for the same bytes.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

_T = TypeVar("_T")


class DecodedCache:
    """What was decoded last, up to a number of bytes. For one thread."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[Hashable, tuple[bytes, Any, int]] = OrderedDict()

    def get(self, key: Hashable, data: bytes, size: int, decode: Callable[[bytes], _T]) -> _T:
        """Return what decode returns for data, without calling it if that was the last data of this key.

        Args:
            key: what the data is, as the text of a block.
            data: encoded.
            size: bytes of memory that the result takes.
            decode: what it raises is raised.

        """
        known = self._kept.get(key)
        if known is not None and known[0] == data:
            self._kept.move_to_end(key)
            decoded: _T = known[1]
            return decoded
        decoded = decode(data)
        if known is not None:
            self._bytes -= known[2]
        size += len(data)
        self._kept[key] = data, decoded, size
        self._kept.move_to_end(key)
        self._bytes += size
        while self._bytes > self._bytes_max:
            _, (_, _, dropped) = self._kept.popitem(last=False)
            self._bytes -= dropped
        return decoded
