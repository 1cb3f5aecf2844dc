"""A secret in a file that is read again when the file changes, so that it can be rotated while the panel runs."""

import logging
from pathlib import Path

log = logging.getLogger(__name__)


class SecretError(ValueError):
    """A secret file is unreadable or too short; the message names the setting."""


class SecretFile:
    """The file that a setting names. Without a path the secret is empty."""

    def __init__(self, setting: str, path: str, min_bytes: int = 1) -> None:
        """Read the file. Raises SecretError."""
        self._setting = setting
        self._path = path
        self._min_bytes = min_bytes
        self._read_of: tuple[int, int, int] | None = None
        self._value = b""
        if path:
            self._read()

    @property
    def value(self) -> bytes:
        """The secret, without surrounding white space. While a changed file is unusable, the previous secret."""
        if self._path and self._version() != self._read_of:
            try:
                self._read()
            except SecretError as error:
                log.error("%s; the previous secret stays in use", error)  # noqa: TRY400  (the message says all)
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
