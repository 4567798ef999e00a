"""The token bucket, on a clock that stands still until it is moved."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import TooManyRequests
from gateway.rate import RateLimit
from gateway.settings import Limits
from tests.fakes.clock import FakeClock


def limit(rate: float, burst: int) -> tuple[RateLimit, FakeClock]:
    clock = FakeClock()
    return RateLimit(Limits(requests_per_second=rate, burst=burst), clock), clock


def passes(rate: RateLimit, who: str = "user:a") -> bool:
    try:
        rate.take(who)
    except TooManyRequests:
        return False
    return True


def test_a_burst_then_one_by_one() -> None:
    rate, clock = limit(2, 3)
    assert [passes(rate) for _ in range(5)] == [True, True, True, False, False]
    clock.advance(0.5)
    assert [passes(rate), passes(rate)] == [True, False]
    clock.advance(1000)
    assert [passes(rate) for _ in range(4)] == [True, True, True, False]


def test_one_caller_does_not_slow_another() -> None:
    rate, _ = limit(1, 1)
    assert passes(rate, "user:a")
    assert not passes(rate, "user:a")
    assert passes(rate, "user:b")


@pytest.mark.parametrize(("per_second", "wait"), [(10.0, 1), (1.0, 1), (0.1, 10), (0.3, 4)])
def test_the_wait_that_is_named_is_enough(per_second: float, wait: int) -> None:
    rate, clock = limit(per_second, 1)
    rate.take("user:a")
    with pytest.raises(TooManyRequests) as caught:
        rate.take("user:a")
    assert caught.value.retry_after == wait
    clock.advance(wait + 1e-6)
    assert passes(rate)


def test_no_rate_is_no_limit() -> None:
    rate, _ = limit(0, 1)
    assert not rate.limits
    assert all(passes(rate) for _ in range(1000))


@given(st.floats(0.1, 50), st.integers(1, 20), st.lists(st.floats(0, 2), max_size=60))
@settings(max_examples=100, deadline=None)
def test_never_more_than_the_burst_and_what_time_has_brought(
    per_second: float, burst: int, pauses: list[float]
) -> None:
    rate, clock = limit(per_second, burst)
    passed = 0
    for pause in pauses:
        clock.advance(pause)
        passed += passes(rate)
    assert passed <= burst + per_second * sum(pauses) + 1e-6
