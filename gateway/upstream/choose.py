"""Which MLflow server to try next. Pure: standings and times in, an order out.

A server that fails is put aside, for longer each time: requests try it only when no better one
is left, the health check goes on asking it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one server: failures in a row, and until when it is put aside."""

    failures: int = 0
    aside_until: float = 0.0

    @property
    def healthy(self) -> bool:
        """Whether its last word was a good one."""
        return self.failures == 0


GOOD = Standing()


def after_failure(standing: Standing, now: float) -> Standing:
    """The standing once more failed at ``now``: put aside twice as long as the last time.

    Failures while it is aside are one and the same outage and do not add up.
    """
    if now < standing.aside_until:
        return standing
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(standing.failures, 10))
    return Standing(standing.failures + 1, now + pause)


def order(standings: Sequence[Standing], in_use: Sequence[int], turn: int) -> list[int]:
    """The indexes of all servers, best first.

    Healthy ones come first, the one with fewest connections ``in_use`` leading and ``turn``
    (which grows with each request) breaking ties; then the failing ones, the one whose pause
    ends soonest leading, so that with every server down a request still tries.
    """
    count = len(standings)

    def key(index: int) -> tuple[bool, float, int, int]:
        standing = standings[index]
        aside = 0.0 if standing.healthy else standing.aside_until
        return (not standing.healthy, aside, in_use[index], (index - turn) % count)

    return sorted(range(count), key=key)
