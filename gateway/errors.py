"""Every refusal of the gateway, as one tree.

    GatewayError                      status  MLflow error_code
    ├── BadRequest                    400     INVALID_PARAMETER_VALUE
    ├── Unauthenticated               401     UNAUTHENTICATED
    ├── Forbidden                     403     PERMISSION_DENIED
    ├── NotFound                      404     RESOURCE_DOES_NOT_EXIST
    ├── UnknownEndpoint               404     ENDPOINT_NOT_FOUND
    ├── MayHaveRun                    409     ABORTED
    ├── TooLarge                      413     INVALID_PARAMETER_VALUE
    ├── TooManyRequests               429     REQUEST_LIMIT_EXCEEDED
    └── Unavailable                   503     TEMPORARILY_UNAVAILABLE

``message`` is safe to show to the caller and says what to do; ``detail`` goes to the log only.
The statuses follow what MLflow's clients make of them: they retry 408, 429, 5xx for every
method, so a call that may have run is never answered with one of those (see MayHaveRun).
"""

from __future__ import annotations


class GatewayError(Exception):
    """Base of all refusals; never raised itself."""

    status = 500
    error_code = "INTERNAL_ERROR"
    retry_after: int | None = None

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class BadRequest(GatewayError):
    """The request is malformed or ambiguous; it was not forwarded."""

    status = 400
    error_code = "INVALID_PARAMETER_VALUE"


class Unauthenticated(GatewayError):
    """No credential, or one that is not valid (any more)."""

    status = 401
    error_code = "UNAUTHENTICATED"
    www_authenticate = 'Bearer realm="mlgate"'
    """Safe for browsers; ``gateway.credentials.chain.challenge`` knows who may get Basic too."""


class Forbidden(GatewayError):
    """The principal is known and may not do this."""

    status = 403
    error_code = "PERMISSION_DENIED"


class NotFound(GatewayError):
    """Absent, or hidden from this principal: the two are told apart to nobody."""

    status = 404
    error_code = "RESOURCE_DOES_NOT_EXIST"


class UnknownEndpoint(GatewayError):
    """The route catalogue has no such method and path; default deny."""

    status = 404
    error_code = "ENDPOINT_NOT_FOUND"


class MayHaveRun(GatewayError):
    """MLflow vanished after it got a call that is not safe to repeat.

    409 because MLflow's clients repeat every 408, 429, 5xx and every cut connection, POST
    included; a second ``runs/create`` would make a second run.
    """

    status = 409
    error_code = "ABORTED"


class TooLarge(GatewayError):
    """A body over a limit. Never carries Retry-After: the Python client would repeat it."""

    status = 413
    error_code = "INVALID_PARAMETER_VALUE"


class TooManyRequests(GatewayError):
    """A limit per principal was hit."""

    status = 429
    error_code = "REQUEST_LIMIT_EXCEEDED"

    def __init__(self, message: str, *, detail: str = "", retry_after: int = 1) -> None:
        super().__init__(message, detail=detail)
        self.retry_after = retry_after


class Unavailable(GatewayError):
    """MLflow, the ACL store or an identity provider cannot be reached; safe to repeat.

    35 seconds: the Python client sleeps exactly that and repeats up to 7 times, so a job
    survives four minutes of outage.
    """

    status = 503
    error_code = "TEMPORARILY_UNAVAILABLE"
    retry_after = 35
