"""What the parts that run for long log, whatever is done to them."""

import errno
import logging
import os

from tracetail.cli.service import OutOfFiles


def test_connections_that_no_file_is_left_for_are_a_line_in_ten_seconds_and_no_traceback():
    said = []
    logger = logging.getLogger("out of files")
    logger.addFilter(OutOfFiles())
    handler = logging.Handler()
    handler.emit = said.append
    logger.addHandler(handler)
    error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    for _ in range(100):  # as asyncio.selector_events does for each place in the queue
        logger.error("socket.accept() out of system resource\nsocket: <…>", exc_info=error)
    logger.error("another", exc_info=ValueError())
    assert [(record.getMessage(), bool(record.exc_info)) for record in said] == [
        ("connections have to wait: Too many open files", False),
        ("another", True),
    ]
