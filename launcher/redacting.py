"""Hides secrets in any text, by the contract's redaction; not for the keeper, which is to stay small."""


def mask(text: str) -> str:
    """Return a text without its secrets."""
    if not text:
        return text
    from tracetail.contract.redaction import Redactor  # noqa: PLC0415  (needs google-re2, which takes its time to load)

    return Redactor().redact(text.encode(errors="replace"))[0].decode(errors="replace")
