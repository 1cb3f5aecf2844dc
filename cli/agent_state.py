"""Where the agent's state is: for the commands that read or follow it."""

import os
from pathlib import Path

from tracetail.cli.configuration import Configuration


def state_dirs(settings: Configuration) -> list[Path]:
    """Return the directories whose launches are followed: the configured ones, else every default that exists."""
    from tracetail.contract.state import existing_state_dirs, state_dir

    configured = [Path(path) for path in settings.agent.state_dirs]
    return configured or existing_state_dirs(os.environ) or [state_dir(os.environ)]
