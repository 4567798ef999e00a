from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.choose import FIRST_PAUSE, GOOD, LONGEST_PAUSE, Standing, after_failure, order

STANDINGS = st.builds(Standing, st.integers(0, 3), st.floats(0, 100))


def test_least_used_of_the_healthy_leads():
    assert order([GOOD, GOOD, GOOD], [5, 1, 3], turn=0) == [1, 2, 0]


def test_equals_take_turns():
    assert [order([GOOD] * 3, [0] * 3, turn)[0] for turn in range(4)] == [0, 1, 2, 0]


def test_failing_ones_come_last_the_soonest_back_first():
    standings = [Standing(1, 30.0), GOOD, Standing(2, 20.0)]
    assert order(standings, [0, 99, 0], turn=0) == [1, 2, 0]


def test_pause_doubles_up_to_a_bound_and_one_outage_counts_once():
    standing, now, pauses = GOOD, 0.0, []
    for _ in range(8):
        standing = after_failure(standing, now)
        assert after_failure(standing, now) == standing
        pauses.append(standing.aside_until - now)
        now = standing.aside_until
    assert pauses[:4] == [FIRST_PAUSE, 2.0, 4.0, 8.0]
    assert pauses[-1] == LONGEST_PAUSE


@given(st.lists(st.tuples(STANDINGS, st.integers(0, 9)), min_size=1, max_size=6), st.integers())
def test_every_server_is_tried_once_and_healthy_ones_first(servers, turn):
    standings = [standing for standing, _ in servers]
    result = order(standings, [in_use for _, in_use in servers], turn)
    assert sorted(result) == list(range(len(servers)))
    health = [standings[index].healthy for index in result]
    assert health == sorted(health, reverse=True)
