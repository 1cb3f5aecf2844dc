"""Reads secrets from the files that settings name; a secret itself never stands in a setting.

Every use of a secret reads its file again, so that a rotated secret takes effect without a restart.
"""

from tracetail.contract.safe_open import read_file


class SecretFileError(ValueError):
    """A setting names a file that holds no usable secret; the message names setting and file.

    zh: the message in Chinese, for a cause that is kept in both languages; in English where no launch can have it.
    """

    def __init__(self, message: str, zh: str = "") -> None:
        super().__init__(message)
        self.zh = zh or message


def read_secret(setting: str, path: str) -> str:
    """Return the secret in a file: one printable line, without the white space around it. Raises SecretFileError.

    setting: the name of the setting for messages, as `loki.password_file`.
    """
    try:
        secret = _read(setting, path).decode()
    except UnicodeDecodeError as error:
        raise SecretFileError(
            f"{setting} cannot be read: {path}: it is not text", f"无法读取 {setting}：{path}：不是文本"
        ) from error
    if not secret.isprintable():
        raise SecretFileError(
            f"{setting} holds more than one line, or unprintable characters: {path}",
            f"{setting} 不止一行，或含有不可打印的字符：{path}",
        )
    return secret


class SecretFile:
    """The secret of a server that checks the requests of others: the file's content, read at each use.

    While a replaced file cannot be used, the last usable content stays valid: a rotation that is half done (the file
    deleted, or still empty) must lock nobody out.
    """

    def __init__(self, setting: str, path: str, *, min_bytes: int = 1) -> None:
        """Read the file; without a path the secret is empty. Raises SecretFileError."""
        self._setting = setting
        self._path = path
        self._min_bytes = min_bytes
        self._value = self._usable() if path else b""
        self._failure = ""

    @property
    def path(self) -> str:
        """The path of the file; empty if there is no secret."""
        return self._path

    @property
    def value(self) -> bytes:
        """The secret without the white space around it; empty if there is no path."""
        if self._path:
            try:
                self._value = self._usable()
                self._failure = ""
            except SecretFileError as error:
                self._report(str(error))
        return self._value

    def _report(self, failure: str) -> None:
        """Log why the file cannot be used, once."""
        import logging  # noqa: PLC0415  (the keeper reads secrets too, logs nothing and must stay small)

        if failure != self._failure:
            logging.getLogger(__name__).error("%s; the previous secret stays in use", failure)
        self._failure = failure

    def _usable(self) -> bytes:
        secret = _read(self._setting, self._path)
        if len(secret) < self._min_bytes:
            raise SecretFileError(
                f"{self._setting}: {self._path} holds {len(secret)} bytes, {self._min_bytes} are needed",
                f"{self._setting}：{self._path} 有 {len(secret)} 字节，需要 {self._min_bytes} 字节",
            )
        return secret


def _read(setting: str, path: str) -> bytes:
    try:
        secret = read_file(path).strip()
    except OSError as error:
        raise SecretFileError(
            f"{setting} cannot be read: {path}: {error.strerror}", f"无法读取 {setting}：{path}：{error.strerror}"
        ) from error
    if not secret:
        raise SecretFileError(f"{setting} is empty: {path}", f"{setting} 是空的：{path}")
    return secret
