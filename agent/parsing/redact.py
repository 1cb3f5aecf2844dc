"""Masks the secrets in the entries of a stream."""

from tracetail.agent.parsing.parsed import Stream
from tracetail.contract.private_key_lines import PrivateKeyLines
from tracetail.contract.redaction import Redactor


def redact(stream: Stream, redactor: Redactor, private_key: PrivateKeyLines | None = None) -> int:
    """Mask the secrets in the texts and make them valid UTF-8, in place; return the number of masked secrets.

    private_key: the state of the log's parser, which is advanced.
    """
    entries = stream.entries
    pieces: dict[int, bytes] = {}
    in_pieces = 0
    for index, piece in stream.pieces.items():
        # A secret may begin in one piece of a line and end in the next.
        pieces[index], found = redactor.redact_piece(piece.before, entries.texts[index], goes_on=piece.goes_on)
        in_pieces += found
        entries.texts[index] = b""
    texts = entries.texts
    count = redactor.redact_lines(texts, private_key)
    for index, text in pieces.items():
        texts[index] = text
    for index in [index for index, text in enumerate(texts) if not text.isascii()]:
        texts[index] = texts[index].decode(errors="replace").encode()
    return count + in_pieces
