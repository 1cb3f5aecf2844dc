"""The words that all parts of tracetail share: identity, log line, record, labels, redaction.

Everything here is pure or reads and writes one small file. It imports the standard library only, but for
`tracetail.contract.redaction`, which needs google-re2 and is therefore never imported by the keeper.
"""
