"""What `tracetail agent`, `store` and `panel` share: where they log, and how they print their address."""

import errno
import gc
import logging
import resource
import sys

from tracetail.cli.printable import printable

_REASON_MAX = 200
_SAY_AGAIN_SECONDS = 10.0
_OPEN_FILES = 65_536
_OBJECTS_BETWEEN_COLLECTIONS = 700
"""As Python 3.12 begins with; a start raises it (cli.main), and then the garbage of requests would pile up."""


def raise_open_file_limit() -> None:
    """Raise the soft limit of open files: each connection and each log that is followed is one; 1,024 are usual."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def log_to_stderr() -> None:
    """Send log records from the level INFO on to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("aiohttp.server").addFilter(shorten_malformed)
    logging.getLogger("asyncio").addFilter(OutOfFiles())


class LineFormatter(logging.Formatter):
    """Makes a message one line that controls no terminal: the names of files, and what others send, may be in it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's name)
        """Return the line, to which a traceback is added."""
        return printable(" ".join(super().formatMessage(record).splitlines()))


def shorten_malformed(record: logging.LogRecord) -> bool:
    """Turn aiohttp's traceback for a request that is not HTTP into one line. For Logger.addFilter; returns True."""
    from aiohttp.http_exceptions import HttpProcessingError

    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        reason = " ".join(str(error.message).split())[:_REASON_MAX]
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args, record.exc_info = f"{record.getMessage()}: not HTTP: %s", (reason,), None
    return True


class OutOfFiles(logging.Filter):
    """Lets through one line in ten seconds of what asyncio says of connections that it has no file for.

    It is a traceback for each place in the queue of connections, again and again: a megabyte a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said_at = -_SAY_AGAIN_SECONDS

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged; shorten it."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            return True
        if record.created - self._said_at < _SAY_AGAIN_SECONDS:
            return False
        self._said_at = record.created
        record.msg, record.args, record.exc_info = "connections have to wait: %s", (error.strerror,), None
        return True


def print_address(part: str, url: str) -> None:
    """Print the line that `tracetail up` waits for. It is the first on stdout, and the start is over with it."""
    gc.freeze()  # what was imported stays: later collections need not look through it
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    print(f"tracetail {part}: listening on {url}", flush=True)
