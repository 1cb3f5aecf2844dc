"""Finds programs on PATH, as `shutil.which` does, whose module imports all of Python's compression libraries."""

import os


def which(program: str) -> str | None:
    """Return the path at which a program is executed, found on PATH if it is a name alone; None if there is none."""
    directories = [""] if "/" in program else os.get_exec_path()
    paths = (os.path.join(directory, program) for directory in directories)  # noqa: PTH118  (as exec joins them)
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)  # noqa: PTH113
