"""The entries of a result as JSON, which took most of the time of a page: compiled, or plain Python."""

from tracetail.store.http.streams_json_plain import encode_streams

__all__ = ["COMPILED", "encode_streams"]

COMPILED = True
try:
    from tracetail.store.http._streams_json import encode_streams  # type: ignore[no-redef]
except ImportError:
    COMPILED = False
