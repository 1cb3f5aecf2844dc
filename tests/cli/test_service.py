"""What the parts that run for long log, whatever is done to them."""

import errno
import logging
import os

from tracetail.cli.service import LineFormatter, OutOfFiles


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


def test_a_file_name_forges_no_line_of_the_log_and_controls_no_terminal():
    name = "x\n2026-11-28 12:00:00,000 ERROR tracetail: forged\x1b]0;title\x07\x9b2J.log"
    record = logging.LogRecord("tracetail.agent", logging.WARNING, __file__, 1, "cannot follow %s", (name,), None)
    shown = LineFormatter("%(levelname)s %(message)s").format(record)
    assert shown == "WARNING cannot follow x 2026-11-28 12:00:00,000 ERROR tracetail: forged?]0;title??2J.log"
