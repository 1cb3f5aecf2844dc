"""Masks the secrets in the entries of a stream."""

from tracetail.agent.parsing import scan
from tracetail.agent.parsing.parsed import Stream
from tracetail.contract import secret_lines
from tracetail.contract.redaction import Redactor
from tracetail.contract.secret_lines import SecretLines
from tracetail.loki.entries import Columns


def redact(stream: Stream, redactor: Redactor, before: SecretLines | None = None) -> int:
    """Mask the secrets in the texts and make them valid UTF-8, in place; return the number of masked secrets.

    before: the state of the log's parser, which is advanced.
    """
    entries = stream.entries
    pieces: dict[int, bytes] = {}
    in_pieces = 0
    for index, piece in stream.pieces.items():
        # A secret may begin in one piece of a line and end in the next.
        pieces[index], found = redactor.redact_piece(piece.before, entries.text(index), goes_on=piece.goes_on)
        in_pieces += found
        entries.replace(index, b"")
    count = _redact_lines(entries, redactor, before)
    for index, text in pieces.items():
        entries.replace(index, text)
    for index in entries.not_utf8():
        entries.replace(index, entries.text(index).decode(errors="replace").encode())
    return count + in_pieces


def _redact_lines(entries: Columns, redactor: Redactor, before: SecretLines | None) -> int:
    finder = redactor.search.finder
    if finder is None or redactor.search.others or (before is not None and before.in_secret):
        return _redact_all(entries, redactor, before)
    found = [(index, entries.text(index)) for index in scan.with_needles(entries, finder)]
    if any(secret_lines.begins(text) for _, text in found):
        return _redact_all(entries, redactor, before)
    count = 0
    for index, text in found:
        masked, secrets = redactor.redact_line(text)
        if secrets:
            entries.replace(index, masked)
            count += secrets
    return count


def _redact_all(entries: Columns, redactor: Redactor, before: SecretLines | None) -> int:
    were = entries.texts
    texts = were.copy()
    count = redactor.redact_lines(texts, before)
    for index, (text, was) in enumerate(zip(texts, were, strict=True)):
        if text is not was:
            entries.replace(index, text)
    return count
