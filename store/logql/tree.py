"""The syntax tree of LogQL.

Source of the language: https://grafana.com/docs/loki/latest/query/
"""

from dataclasses import dataclass


class LogQLError(ValueError):
    """A query is invalid or unsupported. The message gives the reason, and names Loki if Loki supports it."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """A condition on a label: `=`, `!=`, `=~`, `!~`. A missing label counts as empty."""

    name: str
    op: str
    value: str


@dataclass(frozen=True, slots=True)
class LineFilter:
    """`|= "a" or "b"`: the line must contain one of the values; with `!=` and `!~` none of them."""

    op: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quantity:
    """The right side of a comparison: a number, a duration (in ns) or a number of bytes."""

    kind: str
    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`status >= 500`, `took > 10ms`, `size < 5MB`."""

    name: str
    op: str
    value: Quantity


@dataclass(frozen=True, slots=True)
class AllOf:
    """Label filters joined by `and`."""

    parts: "tuple[LabelFilter, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Label filters joined by `or`."""

    parts: "tuple[LabelFilter, ...]"


LabelFilter = Matcher | Comparison | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Extraction:
    """`label="expression"` of a parser. The expression defaults to the label's name."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class Json:
    """`| json`, of all fields or of some expressions."""

    extractions: tuple[Extraction, ...] = ()


@dataclass(frozen=True, slots=True)
class Logfmt:
    """`| logfmt`, of all keys or of some keys."""

    strict: bool = False
    keep_empty: bool = False
    extractions: tuple[Extraction, ...] = ()


@dataclass(frozen=True, slots=True)
class Regexp:
    """`| regexp "(?P<name>…)"`."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Drop:
    """`| drop a, b="c"`: removes these labels, one with a condition only if it holds."""

    picks: tuple[Matcher | str, ...]


@dataclass(frozen=True, slots=True)
class Keep:
    """`| keep a, b="c"`: removes all other labels."""

    picks: tuple[Matcher | str, ...]


Stage = LineFilter | LabelFilter | Json | Logfmt | Regexp | Drop | Keep


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A stream selector, and the stages that its entries pass through."""

    selector: tuple[Matcher, ...]
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True, slots=True)
class RangeAggregation:
    """`count_over_time(… [5m] offset 1h)`: one sample for each series and step."""

    function: str
    query: LogQuery
    range_ns: int
    offset_ns: int = 0


@dataclass(frozen=True, slots=True)
class Grouping:
    """`by (a, b)` or `without (a, b)`."""

    without: bool
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VectorAggregation:
    """`sum by (level) (…)`."""

    function: str
    inner: "RangeAggregation | VectorAggregation"
    grouping: Grouping | None = None


@dataclass(frozen=True, slots=True)
class Constant:
    """`vector(1)+vector(1)`: the same value at every time. Grafana sends it as a health check."""

    terms: tuple[str, ...]


Metric = RangeAggregation | VectorAggregation | Constant
Query = LogQuery | Metric
