"""Writes the record of the launch that a keeper keeps, on a full disk too."""

from tracetail.contract.record import LaunchDir, LaunchLock
from tracetail.launcher import disk_reserve
from tracetail.launcher.keeper.keeper_log import report


class RecordWriter:
    """The record in memory, and its file."""

    def __init__(self, launch: LaunchDir, lock: LaunchLock) -> None:
        """Args: launch: whose record; lock: of the launch, held."""
        self.record = launch.read()
        self._launch = launch
        self._lock = lock

    def write(self) -> None:
        """Write the record. On a full disk the reserve is given up for it; if that does not help, print why."""
        try:
            self._lock.write(self.record)
        except OSError:
            disk_reserve.release(self._launch)
            try:
                self._lock.write(self.record)
            except OSError as error:
                # The log's writer waits for space too, and the next change writes the record in full.
                report(f"cannot write the record: {error}")
