"""Masks the secrets in the entries of a stream."""

from tracetail.agent.parsing import scan
from tracetail.agent.parsing.parsed import Stream
from tracetail.contract import private_key_lines
from tracetail.contract.private_key_lines import PrivateKeyLines
from tracetail.contract.redaction import Redactor
from tracetail.loki.entries import Columns


def redact(stream: Stream, redactor: Redactor, private_key: PrivateKeyLines | None = None) -> int:
    """Mask the secrets in the texts and make them valid UTF-8, in place; return the number of masked secrets.

    private_key: the state of the log's parser, which is advanced.
    """
    entries = stream.entries
    pieces: dict[int, bytes] = {}
    in_pieces = 0
    for index, piece in stream.pieces.items():
        # A secret may begin in one piece of a line and end in the next.
        pieces[index], found = redactor.redact_piece(piece.before, entries.text(index), goes_on=piece.goes_on)
        in_pieces += found
        entries.replace(index, b"")
    count = _redact_lines(entries, redactor, private_key)
    for index, text in pieces.items():
        entries.replace(index, text)
    for index in entries.not_utf8():
        entries.replace(index, entries.text(index).decode(errors="replace").encode())
    return count + in_pieces


def _redact_lines(entries: Columns, redactor: Redactor, private_key: PrivateKeyLines | None) -> int:
    finder = redactor.search.finder
    if finder is None or redactor.search.others or (private_key is not None and private_key.lines_left):
        return _redact_all(entries, redactor, private_key)
    found = [(index, entries.text(index)) for index in scan.with_needles(entries, finder)]
    if any(private_key_lines.BEGIN in text for _, text in found):
        return _redact_all(entries, redactor, private_key)
    count = 0
    for index, text in found:
        masked, secrets = redactor.redact_line(text)
        if secrets:
            entries.replace(index, masked)
            count += secrets
    return count


def _redact_all(entries: Columns, redactor: Redactor, private_key: PrivateKeyLines | None) -> int:
    before = entries.texts
    texts = before.copy()
    count = redactor.redact_lines(texts, private_key)
    for index, (text, was) in enumerate(zip(texts, before, strict=True)):
        if text is not was:
            entries.replace(index, text)
    return count
