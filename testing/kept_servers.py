"""Servers that are left running after a failure, for a person who looks at them."""

import pytest

from tracetail.client import Launch


def keeps(config: pytest.Config) -> bool:
    """Return whether the server of a failed test is left running."""
    return bool(config.getoption("--tracetail-keep"))


def where(launch: Launch) -> str:
    """Return a line that says where a server runs, and how it is stopped."""
    at = f" at {launch.url}" if launch.url else ""
    return f"{launch.info.service}{at}: tracetail stop --launch {launch.launch_id}"
