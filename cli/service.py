"""What `tracetail agent`, `store` and `panel` share: where they log, and how they print their address."""

import gc
import logging
import sys

_REASON_MAX = 200
_OBJECTS_BETWEEN_COLLECTIONS = 700
"""As Python 3.12 begins with; a start raises it (cli.main), and then the garbage of requests would pile up."""


def log_to_stderr() -> None:
    """Send log records from the level INFO on to stderr."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("aiohttp.server").addFilter(shorten_malformed)


def shorten_malformed(record: logging.LogRecord) -> bool:
    """Turn aiohttp's traceback for a request that is not HTTP into one line. For Logger.addFilter; returns True."""
    from aiohttp.http_exceptions import HttpProcessingError

    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        reason = " ".join(str(error.message).split())[:_REASON_MAX]
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args, record.exc_info = f"{record.getMessage()}: not HTTP: %s", (reason,), None
    return True


def print_address(part: str, url: str) -> None:
    """Print the line that `tracetail up` waits for. It is the first on stdout, and the start is over with it."""
    gc.freeze()  # what was imported stays: later collections need not look through it
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    print(f"tracetail {part}: listening on {url}", flush=True)
