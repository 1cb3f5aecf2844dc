"""A secret in a file, read anew when the file changes, so that it can be replaced while the panel runs."""

import logging
from pathlib import Path

_log = logging.getLogger(__name__)


class SecretError(ValueError):
    """A file of a secret cannot be used; the message names the setting."""


class SecretFile:
    """One setting that names a file; without a path the secret is empty."""

    def __init__(self, setting: str, path: str, min_bytes: int = 1) -> None:
        """Read it. Raises SecretError."""
        self._setting = setting
        self._path = path
        self._min_bytes = min_bytes
        self._read_of: tuple[int, int, int] | None = None
        self._value = b""
        if path:
            self._read()

    @property
    def value(self) -> bytes:
        """The secret, without white space around it; while a changed file cannot be used, the one before it."""
        if self._path and self._version() != self._read_of:
            try:
                self._read()
            except SecretError as error:
                _log.error("%s; what was read before still holds", error)
                self._read_of = self._version()
        return self._value

    def _version(self) -> tuple[int, int, int] | None:
        try:
            found = Path(self._path).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> None:
        version = self._version()
        try:
            secret = Path(self._path).read_bytes().strip()
        except OSError as error:
            raise SecretError(f"{self._setting} cannot be read: {error}") from error
        if len(secret) < self._min_bytes:
            raise SecretError(
                f"{self._setting}: {self._path} holds {len(secret)} bytes, {self._min_bytes} are needed"
            )
        self._value, self._read_of = secret, version
