"""What can go wrong between the gateway and MLflow, and what the caller is told about it.

    UpstreamFailure
    ├── NotSent           no byte of the request left: safe to try another upstream
    ├── Cut               the request was (partly) sent, no answer came back
    │   └── Garbled       what came back is not HTTP that has one meaning
    ├── CutBody           the answer began and did not end
    └── AnswerTooLarge    the answer is longer than the reader may hold

``error_for`` is the only place that turns them into statuses; the statuses follow from what
MLflow's clients repeat by themselves (see ``gateway.errors``).
"""

from __future__ import annotations

from gateway.errors import GatewayError, MayHaveRun, TooLarge, Unavailable


class UpstreamFailure(Exception):
    """Base of all failures of the upstream side; the text is for the log, not for the caller."""


class NotSent(UpstreamFailure):
    """No connection could be had; MLflow has seen nothing of this request.

    ``busy`` says that the server is alive and all its connections are in use.
    """

    def __init__(self, why: str, *, busy: bool = False) -> None:
        super().__init__(why)
        self.busy = busy


class Cut(UpstreamFailure):
    """The connection was lost or timed out after (part of) the request was sent.

    ``stale`` says that a kept-alive connection died before the first byte of an answer, which
    is most often the server closing an idle connection at the moment we reused it.
    """

    def __init__(self, why: str, *, stale: bool = False) -> None:
        super().__init__(why)
        self.stale = stale


class Garbled(Cut):
    """The upstream sent bytes that are not one clear HTTP/1.x answer."""


class CutBody(UpstreamFailure):
    """The connection was lost, timed out or was aborted in the middle of the answer."""


class AnswerTooLarge(UpstreamFailure):
    """The whole answer was asked for and is over the reader's limit."""


def error_for(failure: UpstreamFailure, repeatable: bool) -> GatewayError:
    """The refusal that the caller gets for ``failure``.

    ``repeatable`` says that making the call twice does no harm. Once the answer's head has
    been passed on it is too late for any error: then cut the caller's connection instead.
    """
    detail = f"{type(failure).__name__}: {failure}"
    if isinstance(failure, NotSent):
        return Unavailable(
            "MLflow cannot be reached right now; nothing was changed. Try again in half a minute.",
            detail=detail,
        )
    if isinstance(failure, AnswerTooLarge):
        return TooLarge(
            "MLflow's answer is larger than the gateway may hold; ask for fewer results at once.",
            detail=detail,
        )
    if repeatable:
        return Unavailable(
            "The connection to MLflow was lost before its answer. Try again in half a minute.",
            detail=detail,
        )
    return MayHaveRun(
        "The connection to MLflow was lost before its answer, so this call may or may not have "
        "taken effect. Look at the result before you repeat it.",
        detail=detail,
    )
