"""What MLflow's page gets in place of a call that is never forwarded.

The page asks for the endpoints of an AI gateway behind MLflow whenever an experiment is opened, and
shows a red box when that is refused. The call itself is refused for everyone, because MLflow would
call an address of the caller's choice; the page gets what an MLflow without such a gateway answers.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.web.answer import Whole, json_answer

_ANSWERS: Mapping[str, object] = {"gateway-proxy:GET": {"endpoints": []}}


def stand_in(call: str) -> Whole | None:
    """The answer for a call of MLflow's page; None: it has none, and goes on."""
    answer = _ANSWERS.get(call)
    return None if answer is None else json_answer(200, answer)
