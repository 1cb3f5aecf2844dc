"""Repeats calls that a file system fails now and then, as a network file system whose server restarts."""

import errno
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

ATTEMPTS = 3
TRANSIENT = (errno.EIO, errno.EAGAIN, errno.ETIMEDOUT, errno.ESTALE)


def patiently(call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Return what call returns, at the latest at the third attempt. Raises OSError.

    Without a pause: a log that cannot be read is tried again later anyway, and the others must not wait for it.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return call(*args, **kwargs)
        except OSError as error:
            if error.errno not in TRANSIENT:
                raise
    return call(*args, **kwargs)
