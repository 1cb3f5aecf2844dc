"""What other processes say of themselves in /proc, which is theirs to choose."""

import subprocess
import sys
import tracemalloc

import pytest

from tracetail.contract.processes import read_command_line, read_environ
from tracetail.launcher.machine import processes

LARGE = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.sbrk.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
size = 64 << 20
at = libc.mmap(None, size, 3, 0x4022, -1, 0)  # private, anonymous, without reserve
fields = [0, 0, 0, *open("/proc/self/stat").read().rpartition(")")[2].split()]
code, code_end, stack, data, data_end, brk = (int(fields[at]) for at in (26, 27, 28, 45, 46, 47))
# struct prctl_mm_map of linux/prctl.h
layout = struct.pack(
    "<11QQII", code, code_end, data, data_end, brk, libc.sbrk(0), stack, at, at + size, at, at + size, 0, 0, 2**32 - 1
)
PR_SET_MM, PR_SET_MM_MAP = 35, 14
given = ctypes.create_string_buffer(layout)
address, length = ctypes.c_ulong(ctypes.addressof(given)), ctypes.c_ulong(len(layout))
done = libc.prctl(PR_SET_MM, PR_SET_MM_MAP, address, length, 0)
print("large" if done == 0 else os.strerror(ctypes.get_errno()), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def large():
    """The pid of a process with 64 MiB each of command line and environment, as any user's can have."""
    with subprocess.Popen([sys.executable, "-c", LARGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        said = child.stdout.readline().decode().strip()
        if said != "large":
            child.kill()
            pytest.skip(f"this kernel lets no process choose its arguments (CONFIG_CHECKPOINT_RESTORE): {said}")
        yield child.pid
        child.kill()


@pytest.mark.parametrize("read", [read_environ, read_command_line, processes.command_line])
def test_a_process_that_names_all_its_memory_as_its_arguments_costs_little_to_look_at(large, read):
    tracemalloc.start()
    try:
        read(large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20


def test_a_long_environment_is_read_to_its_end():
    environ = {f"NAME_{number}": "x" * 100_000 for number in range(10)} | {"ZZ_LAST": "last"}
    with subprocess.Popen(
        [sys.executable, "-Sc", "print(flush=True); input()"],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        child.stdout.readline()
        found = read_environ(child.pid)
        child.kill()
    assert found == {name.encode(): value.encode() for name, value in environ.items()}
