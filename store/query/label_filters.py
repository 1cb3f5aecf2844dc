"""The label filters, drop and keep."""

from collections.abc import Callable

from tracetail.store.disk.block import Labels
from tracetail.store.logql.matching import compile_matcher
from tracetail.store.logql.quantities import go_bytes, go_duration, go_number
from tracetail.store.logql.tree import AllOf, AnyOf, Comparison, Drop, Keep, LabelFilter, Matcher
from tracetail.store.query.labels import ERROR, ERROR_LABELS, LabelSet, LabelStage, set_error


def filter_stage(part: LabelFilter) -> LabelStage:
    """Return the stage of a label filter."""
    match part:
        case Matcher():
            test = compile_matcher(part)
            return lambda labels, _stream, _line: test(labels.get(part.name, ""))
        case Comparison():
            return _comparison_stage(part)
        case AllOf(parts):
            stages = [filter_stage(p) for p in parts]
            # As in Loki every part runs: one that cannot convert a value sets an error, whatever the others return.
            return lambda labels, stream, line: all([stage(labels, stream, line) for stage in stages])  # noqa: C419
        case AnyOf(parts):
            stages = [filter_stage(p) for p in parts]
            return lambda labels, stream, line: any(stage(labels, stream, line) for stage in stages)


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}
_PARSE: dict[str, Callable[[str], float]] = {"number": go_number, "duration": go_duration, "bytes": go_bytes}


def _comparison_stage(part: Comparison) -> LabelStage:
    compare, parse, wanted = _COMPARE[part.op], _PARSE[part.value.kind], part.value.value

    def stage(labels: LabelSet, _stream: Labels, _line: bytes) -> bool:
        text = labels.get(part.name)
        if text is None:
            return False
        try:
            value = parse(text)
        except ValueError as error:
            if not labels.get(ERROR):
                set_error(labels, "LabelFilterErr", str(error))
            return True
        return compare(value, wanted)

    return stage


def drop_stage(part: Drop) -> LabelStage:
    """Return the stage of `drop`."""
    picks = [(p, None) if isinstance(p, str) else (p.name, compile_matcher(p)) for p in part.picks]

    def stage(labels: LabelSet, _stream: Labels, _line: bytes) -> bool:
        for name, test in picks:
            if name in labels and (test is None or test(labels[name])):
                del labels[name]
        return True

    return stage


def keep_stage(part: Keep) -> LabelStage:
    """Return the stage of `keep`."""
    picks = [(p, None) if isinstance(p, str) else (p.name, compile_matcher(p)) for p in part.picks]

    def stage(labels: LabelSet, _stream: Labels, _line: bytes) -> bool:
        for name in list(labels):
            kept = any(name == wanted and (test is None or test(labels[name])) for wanted, test in picks)
            if not kept and name not in ERROR_LABELS:
                del labels[name]
        return True

    return stage
