"""The lines around the evidence of a cause, from the segments of a log."""

from tracetail.contract.logline import MARK_EVENT, render_line
from tracetail.launcher.log.excerpt import excerpt_of


def segment(path, *texts, mark=None):
    path.write_bytes(
        b"".join(
            render_line(1_800_000_000_000_000_000 + n, "t", "i", text.encode(), mark) for n, text in enumerate(texts)
        )
    )
    return str(path)


def test_the_first_line_with_the_evidence_and_those_around_it_over_segments(tmp_path):
    first = segment(tmp_path / "a", *(f"line {n}" for n in range(20)))
    second = segment(tmp_path / "b", "ValueError: too large", "one", "two", "ValueError: too large", "three", "four")
    found = excerpt_of([first, second], "ValueError: too large")
    assert found.lines == [
        *(f"line {n}" for n in range(14, 20)),
        "ValueError: too large",
        "one",
        "two",
        "ValueError: too large",
        "three",
    ]
    assert found.at == 6


def test_a_masked_line_is_found_by_what_stands_before_its_secret(tmp_path):
    path = segment(tmp_path / "a", "start", "login failed for api_key=sk-1234567890abcdefghij", "end")
    found = excerpt_of([path], "login failed for api_key=***")
    assert found.lines[found.at] == "login failed for api_key=***"


def test_an_event_that_quotes_the_evidence_is_not_it(tmp_path):
    event = segment(tmp_path / "a", 'failed evidence="boom"', mark=MARK_EVENT)
    assert excerpt_of([event, str(tmp_path / "gone")], "boom") is None
    assert excerpt_of([event], "") is None
