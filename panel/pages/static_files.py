"""The files of the pages, answered from memory; a page's modules are answered as one."""

import gzip
import hashlib
from pathlib import Path
from typing import NamedTuple

from aiohttp import ETag, hdrs, web

from tracetail.panel.pages.joined_modules import join

_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""Not those of mimetypes, which depend on the machine's files and on the version of Python."""
_COMPRESSED_FROM_BYTES = 512
"""Smaller files are not worth it."""


class _File(NamedTuple):
    changed: object
    """Compares equal as long as the file, or what it is made of, has not changed."""
    content: bytes
    compressed: bytes
    """By gzip; empty if that does not pay."""
    content_type: str
    etag: str


class StaticFiles:
    """The files below a directory. One that is changed is read again, so that who writes them need not restart."""

    def __init__(self, directory: Path) -> None:
        """directory: nothing outside of it is served, and no link in it.

        The modules right in it, not in a directory below, are answered with all that they import.
        """
        self._directory = directory
        self._paths = {
            path.relative_to(directory).as_posix(): path
            for path in directory.rglob("*")
            if path.is_file() and not path.is_symlink()
        }
        self._files: dict[str, _File] = {}

    def answer(self, request: web.Request, name: str) -> web.Response:
        """Return a file, or 304 if the browser has it. Raises HTTPNotFound.

        name: relative to the directory.
        """
        path = self._paths.get(name)
        if path is None:
            raise web.HTTPNotFound
        file = self._read(name, path)
        headers = {hdrs.CACHE_CONTROL: "no-cache", hdrs.VARY: hdrs.ACCEPT_ENCODING}
        if any(known.value in (file.etag, "*") for known in request.if_none_match or ()):
            response = web.Response(status=304, headers=headers)
        else:
            packs = bool(file.compressed) and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")
            if packs:
                headers[hdrs.CONTENT_ENCODING] = "gzip"
            response = web.Response(
                body=file.compressed if packs else file.content, headers=headers, content_type=file.content_type
            )
            if file.content_type.startswith("text/"):
                response.charset = "utf-8"
        response.etag = ETag(file.etag, is_weak=True)
        return response

    def _read(self, name: str, path: Path) -> _File:
        is_joined = path.suffix == ".js" and path.parent == self._directory
        changed = [_changed(part) for part in (self._modules() if is_joined else [path])]
        file = self._files.get(name)
        if file is None or file.changed != changed:
            content = join(path).encode() if is_joined else path.read_bytes()
            compressed = gzip.compress(content, mtime=0) if len(content) >= _COMPRESSED_FROM_BYTES else b""
            content_type = _TYPES.get(path.suffix, "application/octet-stream")
            file = _File(changed, content, compressed, content_type, hashlib.sha256(content).hexdigest()[:32])
            self._files[name] = file
        return file

    def _modules(self) -> list[Path]:
        return [path for path in self._paths.values() if path.suffix == ".js"]


def _changed(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size
