"""The compiled sums are those of plain Python, and blocks of both are read alike."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetail.store.disk import block, running_sums, running_sums_plain
from tracetail.store.disk.block import Entries

needs_loops = pytest.mark.skipif(not running_sums.COMPILED, reason="the loops are not compiled")
NANOSECONDS = st.integers(0, 2**63 - 1)


@needs_loops
@given(st.lists(NANOSECONDS).map(sorted))
def test_the_times_are_those_of_plain_python(times: list[int]) -> None:
    differences = array("q", [time - before for before, time in zip([0, *times], times, strict=False)])
    assert list(running_sums.running_sums(differences)) == running_sums_plain.running_sums(differences) == times


@needs_loops
@given(st.lists(st.integers(0, 2**32 - 1)))
def test_the_starts_of_lines_are_those_of_plain_python(lengths: list[int]) -> None:
    column = array("I", lengths)
    assert list(running_sums.line_starts(column)) == running_sums_plain.line_starts(column)


@needs_loops
def test_the_sums_of_a_damaged_block_end_in_no_crash() -> None:
    assert len(running_sums.running_sums(array("q", [2**63 - 1] * 3))) == 3


@pytest.mark.parametrize("loops", [running_sums, running_sums_plain])
@given(lines=st.lists(st.binary(max_size=9), min_size=1, max_size=40), first=NANOSECONDS.map(lambda time: time // 2))
def test_a_block_is_read_as_it_was_written(loops: object, lines: list[bytes], first: int) -> None:
    times = [first + 3 * index for index in range(len(lines))]
    text = b"\n".join(lines)
    encoded = block.encode(Entries(times, lines, [0] * len(lines), [()]), text, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block, "running_sums", loops.running_sums)  # type: ignore[attr-defined]
        patch.setattr(block, "line_starts", loops.line_starts)  # type: ignore[attr-defined]
        read = block.decode(encoded.index, encoded.text, encoded.text_bytes)
    assert (list(read.times), read.lines) == (times, lines)
