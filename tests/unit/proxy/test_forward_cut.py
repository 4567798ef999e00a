"""An answer that was cut: who may repeat the call hears 503, who must not hears 409."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import MayHaveRun, Unavailable
from gateway.forward import Forwarder
from gateway.upstream import CutBody


class FakeCutAnswer:
    status = 200
    headers: list[tuple[bytes, bytes]] = []
    released = False

    def body_if_complete(self) -> None:
        return None

    async def read(self, limit: int) -> bytes:
        raise CutBody("the connection was lost")

    def release(self) -> None:
        self.released = True


@pytest.mark.parametrize(("repeatable", "error"), [(True, Unavailable), (False, MayHaveRun)])
async def test_a_cut_answer_invites_only_those_to_repeat_who_may(
    repeatable: bool, error: type[Exception]
) -> None:
    unused: Any = None
    answer: Any = FakeCutAnswer()
    with pytest.raises(error):
        await Forwarder(unused).receive(answer, repeatable=repeatable)
    assert answer.released
