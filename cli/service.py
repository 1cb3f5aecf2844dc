"""What `tracetail agent`, `store` and `panel` share: where they log, and how they print their address."""

import logging
import sys


def log_to_stderr() -> None:
    """Send log records from the level INFO on to stderr."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )


def print_address(part: str, url: str) -> None:
    """Print the line that `tracetail up` waits for. It is the first on stdout."""
    print(f"tracetail {part}: listening on {url}", flush=True)
