"""Decodes push requests: protobuf in block snappy, or JSON, plain, gzip or deflate.

Source of the formats: https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs
"""

import math
import zlib

import cramjam

from tracetail.store.ingest.json_body import decode_json
from tracetail.store.ingest.protobuf_body import decode_protobuf
from tracetail.store.ingest.stream import BodyTooLargeError, PushedStream, PushError

_DEFLATE_RATIO_MAX = 1032
"""RFC 1951: a match of 258 bytes takes two bits at least."""
_GZIP_MIN_BYTES = 18


def decode(body: bytes, content_type: str, content_encoding: str, max_bytes: int) -> list[PushedStream]:
    """Return the streams of a push request.

    Args:
        body: the request's body.
        content_type: `application/json` for JSON; everything else means protobuf, as in Loki.
        content_encoding: `gzip`, `deflate` or empty for JSON; `snappy` or empty for protobuf, which is always snappy.
        max_bytes: limit of the decompressed size.

    Raises PushError or BodyTooLargeError.

    """
    encoding = content_encoding.strip().lower()
    if content_type.partition(";")[0].strip().lower() == "application/json":
        return decode_json(_decompress(body, encoding, max_bytes))
    if encoding not in ("", "identity", "snappy"):
        raise PushError(
            f"Content-Encoding {content_encoding!r} is not supported with protobuf, which is always snappy"
        )
    return decode_protobuf(_decompress_snappy(body, max_bytes))


def declared_size(body: bytes, content_type: str, content_encoding: str) -> float:
    """Return the decompressed size that the body declares; infinity if it declares none or is corrupt."""
    if content_type.partition(";")[0].strip().lower() == "application/json":
        return len(body) if content_encoding.strip().lower() in ("", "identity") else math.inf
    try:
        return cramjam.snappy.decompress_raw_len(body)
    except (cramjam.DecompressionError, ValueError, OverflowError):
        return math.inf


def decompressed_bytes_max(body: bytes, content_type: str, content_encoding: str, max_bytes: int) -> int:
    """Return how many bytes the body may take when it is decompressed: what is reserved before it is.

    decode refuses a body that has more. Snappy and gzip declare their size (RFC 1952, ISIZE); deflate declares none.
    """
    declared = declared_size(body, content_type, content_encoding)
    if math.isinf(declared):
        declared = len(body) * _DEFLATE_RATIO_MAX
        if content_encoding.strip().lower() == "gzip" and len(body) > _GZIP_MIN_BYTES:
            declared = min(declared, int.from_bytes(body[-4:], "little"))
    return int(min(declared, max_bytes))


def _decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise PushError(f"Content-Encoding {encoding!r} is not supported; use gzip or deflate")
    inflater = zlib.decompressobj(wbits=31 if encoding == "gzip" else 15)
    try:
        data = inflater.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise PushError(f"{encoding}: {error}") from None
    if len(data) > max_bytes:
        raise BodyTooLargeError(f"the body decompresses to more than {max_bytes} bytes")
    if not inflater.eof:
        raise PushError(f"{encoding}: unexpected end of the body")
    return data


def _decompress_snappy(body: bytes, max_bytes: int) -> bytes:
    try:
        size = cramjam.snappy.decompress_raw_len(body)
        if size > max_bytes:
            raise BodyTooLargeError(f"the body decompresses to {size} bytes; {max_bytes} are allowed")
        # Snappy expands 3 bytes to at most 64; a larger declared size would only reserve memory.
        if size > 22 * len(body) + 64:
            raise PushError("snappy: corrupt input")
        return bytes(cramjam.snappy.decompress_raw(body))
    except (cramjam.DecompressionError, ValueError, OverflowError) as error:
        raise PushError("snappy: corrupt input") from error
