import platform
import subprocess
import sys

import pytest

HELD_BELOW_ONE_THAT_STAYS = """
from pathlib import Path
from tracetail.contract import allocator

def resident_mib():
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) >> 10

allocator.tune_allocator()
blocks = [b"x" * (1 << 20) for _ in range(64)]
stays = b"x" * (1 << 20)
del blocks
print(resident_mib())
allocator.give_back()
print(resident_mib())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc_trim is glibc's")
def test_memory_that_was_used_for_a_while_is_given_back():
    done = subprocess.run(
        [sys.executable, "-c", HELD_BELOW_ONE_THAT_STAYS], capture_output=True, text=True, check=True
    )
    before, after = map(int, done.stdout.split())
    assert before - after >= 48
