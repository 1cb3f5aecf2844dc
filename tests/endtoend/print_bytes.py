"""A server that prints exactly the bytes of a file, with pauses where asked, and stays until SIGTERM.

usage: print_bytes.py FILE [PAUSE_AT_BYTE SECONDS]...
"""

import os
import signal
import sys
import time
from pathlib import Path


def write_all(data):
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
data = Path(sys.argv[1]).read_bytes()
start = 0
for place, seconds in zip(map(int, sys.argv[2::2]), map(float, sys.argv[3::2]), strict=True):
    write_all(data[start:place])
    time.sleep(seconds)
    start = place
write_all(data[start:])
while True:
    signal.pause()
