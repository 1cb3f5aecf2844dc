"""What a parsed header means for an entry: level, encoded metadata, timestamp and ids."""

from dataclasses import dataclass, field

from tracetail.agent.model import Ids


@dataclass(slots=True, eq=False)
class HeaderFields:
    """Timestamp and ids parsed from a line's header; many lines of one second share an instance."""

    timestamp: bytes | None = None
    """The engine's own time, as printed; header_cache.JSON_TIME if json_time() extracts it from the line."""
    ids: Ids | None = None
    """From VLLM_LOGGING_PREFIX."""


@dataclass(slots=True, eq=False)
class KnownHeader(HeaderFields):
    """A header with its encoded metadata."""

    meta: bytes = b""
    level: "Level" = field(kw_only=True)
    may_be_stats: bool = False
    """A line with this header may be a line of engine statistics."""
    may_be_followed: bool = False
    """The header names no level; another one may follow it that does."""
    level_only: bool = False
    """The header contains nothing but a level: an access line of uvicorn, or a line without a header."""
    place: tuple[int, int, int] | None = None
    """Start and end of its time in the line, and its own end, if every line with the same bytes around a time of the
    same shape has the same header but for the time."""


@dataclass(slots=True, eq=False)
class HeaderStart(HeaderFields):
    """The part of a header before ` [`: prefix, level and a clock with a resolution of one second."""

    sources: dict[bytes, KnownHeader] = field(default_factory=dict)
    """By the text in the bracket; shared by all seconds of the same prefix and level."""


class Level:
    """A level with its encoded metadata, for lines whose header contains nothing else."""

    __slots__ = ("meta", "name", "severe", "without_header")

    def __init__(self, name: str, meta: bytes) -> None:
        self.name = name
        self.meta = meta
        self.severe = name in ("error", "critical")
        """Frames of a traceback may follow, without its first line."""
        self.without_header = KnownHeader(meta=meta, level=self, level_only=True)
        """Of a line that has no header and gets this level."""
