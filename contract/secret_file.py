"""Secrets stand in files that settings name, never in the settings themselves.

A file is read anew whenever its secret is needed: who rotates it restarts nothing.
"""

from pathlib import Path


class SecretFileError(ValueError):
    """A setting names a file that holds no usable secret; the message names setting and file."""


def read_secret(setting: str, path: str) -> str:
    """Return the secret that a file holds, without white space around it. Raises SecretFileError.

    setting: its name, for messages, as `loki.password_file`.
    """
    try:
        secret = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SecretFileError(f"{setting} cannot be read: {path}: {reason}") from error
    if not secret:
        raise SecretFileError(f"{setting} is empty: {path}")
    if not secret.isprintable():
        raise SecretFileError(f"{setting} holds more than one line, or unprintable characters: {path}")
    return secret
