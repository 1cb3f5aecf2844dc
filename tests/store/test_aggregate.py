"""The assignment of entries to the steps of a metric query."""

from hypothesis import given
from hypothesis import strategies as st

from tracetail.store.query.aggregate import Steps, runs


@given(
    times=st.lists(st.integers(0, 400), max_size=60).map(sorted),
    steps=st.builds(Steps, st.integers(0, 300), st.integers(1, 90), st.integers(1, 6)),
    offset_ns=st.integers(-50, 50),
    range_ns=st.integers(1, 200),
)
def test_a_run_covers_the_steps_in_which_its_entries_count(times, steps, offset_ns, range_ns):
    counted = {i: [] for i in range(len(times))}
    for low, high, begin, end in runs(times, steps, offset_ns, range_ns):
        for i in range(low, high):
            counted[i] += range(begin, end)
    for i, time_ns in enumerate(times):
        at = [steps.first + k * steps.step - offset_ns for k in range(steps.count)]
        assert counted[i] == [k for k, t in enumerate(at) if t - range_ns < time_ns <= t]


@given(count=st.integers(1, 8), step=st.integers(1, 50), range_ns=st.integers(1, 10_000))
def test_the_number_of_runs_depends_on_the_steps_not_on_the_entries(count, step, range_ns):
    times = range(-5000, 500)
    found = list(runs(times, Steps(0, step, count), 0, range_ns))
    assert len(found) <= 2 * count + 1
