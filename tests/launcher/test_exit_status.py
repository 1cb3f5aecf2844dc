"""The exit status of a process that somebody else has reaped: the kernel keeps it for whoever holds a pidfd."""

import os
import subprocess
from pathlib import Path

import pytest
from support.kernel import KEEPS_EXIT_STATUS, WHY_NOT

from tracetail.contract.processes import process_ref
from tracetail.launcher.machine.exit_status import wait_status


@pytest.mark.skipif(not KEEPS_EXIT_STATUS, reason=WHY_NOT)
@pytest.mark.parametrize(("end", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -9), ("kill -s 37 $$", -37)])
def test_the_status_of_a_process_that_its_parent_has_reaped_is_known(wait_until, end, code):
    script = f"exec 3<&0; sh -c 'read line; {end}' <&3 & echo $!; wait"  # the shell reaps its child
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        ref, pidfd = process_ref(pid), os.pidfd_open(pid)
        try:
            assert wait_status(ref, pidfd) is None  # it still runs
            parent.communicate("\n")
            wait_until(lambda: not Path(f"/proc/{pid}").exists())
            assert os.waitstatus_to_exitcode(wait_status(ref, pidfd)) == code
            assert wait_status(ref, -1) is None
        finally:
            os.close(pidfd)
