"""A server that prints numbered lines at a steady pace and stays until SIGTERM.

usage: count_lines.py COUNT LINES_PER_SECOND
"""

import os
import signal
import sys
import time

count, rate = int(sys.argv[1]), float(sys.argv[2])
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
began = time.monotonic()
printed = 0
while printed < count:
    due = min(count, int((time.monotonic() - began) * rate) + 1)
    lines = b"".join(
        b"(APIServer pid=1) INFO 11-22 13:12:10 [count.py:1] line %d of many\n" % n for n in range(printed, due)
    )
    while lines:
        lines = lines[os.write(1, lines) :]
    printed = due
    time.sleep(0.01)
while True:
    signal.pause()
