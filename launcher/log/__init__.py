"""The log of a launch on disk: what its keeper shares with whoever reads or completes it without one."""
