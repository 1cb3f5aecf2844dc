"""The loops over pushed entries, which took most of the time of ingestion: compiled, or plain Python."""

from tracetail.store.ingest.pushed_entries_plain import read_metadata, read_usual_entries

__all__ = ["COMPILED", "read_metadata", "read_usual_entries"]

COMPILED = True
try:
    from tracetail.store.ingest._pushed_entries import (  # type: ignore[no-redef]
        read_metadata,
        read_usual_entries,
    )
except ImportError:
    COMPILED = False
