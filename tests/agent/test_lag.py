from tracetail.agent.metrics.lag import Lag


def test_an_idle_log_has_no_lag_and_a_line_after_silence_starts_without_one():
    lag = Lag()
    lag.sample(0, acknowledged=100, backlog=0)
    lag.sample(3600, acknowledged=100, backlog=50)

    assert (lag.bytes, lag.seconds) == (50, 0)

    lag.sample(3605, acknowledged=100, backlog=70)
    assert (lag.bytes, lag.seconds) == (70, 5)


def test_the_lag_is_the_age_of_the_oldest_byte_that_waits():
    lag = Lag()
    lag.sample(10, acknowledged=0, backlog=100)
    lag.sample(20, acknowledged=0, backlog=200)
    lag.sample(30, acknowledged=150, backlog=150)

    assert lag.seconds == 10

    lag.sample(40, acknowledged=300, backlog=0)
    assert (lag.bytes, lag.seconds) == (0, 0)


def test_the_number_of_samples_is_bounded_and_the_lag_stays_nearly_exact():
    lag = Lag()
    for second in range(10_000):
        lag.sample(second, acknowledged=second // 2, backlog=second - second // 2 + 1)

    assert len(lag._samples) <= 128
    # The byte acknowledged last was written 5,000 s ago.
    assert 4_000 <= lag.seconds <= 5_000
