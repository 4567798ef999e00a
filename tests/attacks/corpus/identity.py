"""Who calls: headers that claim to know, bad credentials, exceptions that should not be."""

from __future__ import annotations

from tests.attacks.attempt import BAD, DENIED, NOBODY, Attempt, Expect, Request, get

_PATH = "/api/2.0/mlflow/experiments/get?experiment_id=@E@"


def _header(
    name: str, value: str, why: str, who: str | None = None, *more: tuple[str, str]
) -> Attempt:
    expect = NOBODY if who is None else DENIED
    label = name.lower().replace("_", "-underscore-") + ("" if who is None else "-signed-in")
    request = Request("GET", _PATH, headers=((name, value), *more), who=who)
    return Attempt(f"identity-{label}", why, request, expect)


_PROXY = "a proxy in front sets it; from a client it is a claim"
_CGI = "WSGI reads - and _ alike (oauth2-proxy GHSA-vjrc)"

CLAIMS = (
    _header("X-Forwarded-User", "alice", _PROXY),
    _header("X-Forwarded-User", "alice", _PROXY, "carol"),
    _header("X_Forwarded_User", "alice", _CGI),
    _header("X-Forwarded-Email", "alice", _PROXY, "carol"),
    _header("X-Forwarded-Preferred-Username", "alice", _PROXY),
    _header("X-Forwarded-Groups", "mlflow-admins", _PROXY, "carol"),
    _header("X-Auth-Request-User", "alice", _PROXY),
    _header("X_Auth_Request_Groups", "mlflow-admins", _CGI, "carol"),
    _header("Remote-User", "alice", _PROXY),
    _header("REMOTE_USER", "dave", _CGI),
    _header("X-Remote-User", "dave", _PROXY, "carol"),
    _header("X-Remote-Group", "mlflow-admins", "Kubernetes' front proxy sets it", "carol"),
    _header("X-Amzn-Oidc-Identity", "alice", "a load balancer of AWS sets it"),
    _header("X-Amzn-Oidc-Data", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.", "the same, signed"),
    _header("X-Goog-Authenticated-User-Email", "accounts.google.com:alice", "Google IAP sets it"),
    _header("Cf-Access-Authenticated-User-Email", "alice", "Cloudflare Access sets it"),
    _header("X-Mlflow-User", "alice", "an MLflow plugin reads it"),
    _header("X-Mlgate-Principal", "user:dave", "the gateway's own name in it", "carol"),
    _header("Impersonate-User", "alice", "Kubernetes' way to act as another", "carol"),
    _header("Proxy-Authorization", "Bearer @TOKEN_CAROL@", "a credential for another hop"),
    _header("X-Api-Key", "@TOKEN_CAROL@", "a credential where none belongs"),
)

_HEALTH = "health checkers are let through by their name (oauth2-proxy GHSA-5hvv)"

EXCEPTIONS = (
    _header("User-Agent", "ELB-HealthChecker/2.0", _HEALTH),
    Attempt(
        "identity-user-agent-kube",
        _HEALTH,
        get(_PATH, None, None, User_Agent="kube-probe/1.31"),
        NOBODY,
    ),
    Attempt(
        "identity-user-agent-google",
        _HEALTH,
        get(_PATH, None, None, User_Agent="GoogleHC/1.0"),
        NOBODY,
    ),
    _header("X-Forwarded-Uri", "/health", "GHSA-7x63: the route is chosen by a header"),
    _header("X-Original-Url", "/health", "the same in another proxy"),
    _header("X-Rewrite-Url", "/health", "the same in IIS"),
    _header("X-Forwarded-Uri", "/api/2.0/mlflow/experiments/get?experiment_id=0", _PROXY, "carol"),
    _header("X-Forwarded-For", "127.0.0.1", "the loopback address is trusted somewhere"),
    _header("X-Forwarded-Host", "@MLFLOW@", "a host that is trusted"),
    _header("X-Forwarded-Prefix", "/access/healthz", "moves the path"),
    _header("X-Real-Ip", "127.0.0.1", "the loopback address once more"),
    _header("Forwarded", "for=127.0.0.1;host=localhost;proto=https", "RFC 7239 once more"),
    _header("X-Http-Method-Override", "OPTIONS", "preflight requests need no credential"),
    Attempt(
        "identity-options-preflight",
        "preflight requests need no credential",
        Request(
            "OPTIONS",
            _PATH,
            headers=(
                ("Origin", "https://evil.example"),
                ("Access-Control-Request-Method", "GET"),
            ),
            who=None,
        ),
        DENIED,
    ),
    Attempt(
        "identity-workspace",
        "the header picks another tenant",
        get(_PATH, X_MLFLOW_WORKSPACE="other"),
        BAD,
    ),
    Attempt(
        "identity-workspace-underscore",
        _CGI,
        Request("GET", _PATH, headers=(("X_MLFLOW_WORKSPACE", "other"),)),
        BAD,
    ),
)


def _authorization(name: str, why: str, *values: str, expect: Expect = NOBODY) -> Attempt:
    headers = tuple(("Authorization", value) for value in values)
    return Attempt(f"credential-{name}", why, Request("GET", _PATH, headers=headers), expect)


_NONE = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhbGljZSIsImVtYWlsIjoiYWxpY2UifQ."
_HS = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImVtYWlsIjoiYWxpY2UifQ.c2ln"

CREDENTIALS = (
    Attempt("credential-none", "no credential", get(_PATH, None, None), NOBODY, direct="leaks"),
    _authorization("empty", "an empty one", ""),
    _authorization("bearer-empty", "a scheme without a token", "Bearer "),
    _authorization("unknown-scheme", "a scheme that nobody knows is skipped", "Negotiate YWxpY2U="),
    _authorization("jwt-none", "a token without a signature", f"Bearer {_NONE}"),
    _authorization("jwt-hs256", "a token signed with something public", f"Bearer {_HS}"),
    _authorization("token-truncated", "a prefix of a token", "Bearer @TOKEN_ID@"),
    _authorization("token-id", "the public id of alice's token", "Bearer mlg_@TOKEN_ID@"),
    _authorization("token-with-more", "a token with something behind it", "Bearer @TOKEN_ALICE@x"),
    _authorization(
        "token-two-in-one", "two tokens in one header", "Bearer @TOKEN_CAROL@, Bearer @TOKEN_ALICE@"
    ),
    _authorization(
        "two-headers",
        "one check reads the first, one the last",
        "Bearer @TOKEN_CAROL@",
        "Bearer @TOKEN_ALICE@",
    ),
    _authorization(
        "two-headers-second-bad", "one of two is nonsense", "Bearer @TOKEN_CAROL@", "Bearer x"
    ),
    _authorization(
        "basic-password", "MLflow's own default password", "Basic YWRtaW46cGFzc3dvcmQxMjM0"
    ),
    _authorization("basic-name-only", "a name without a password", "Basic YWxpY2U6"),
    _authorization(
        "basic-as-alice",
        "alice's name with one's own token: the name is believed",
        "Basic @BASIC_AS_ALICE@",
    ),
    Attempt(
        "credential-ui-cookie",
        "MLflow's UI turns this cookie into a header",
        Request(
            "GET",
            _PATH,
            headers=(("Cookie", "mlflow-request-header-Authorization=Bearer%20@TOKEN_ALICE@"),),
            who=None,
        ),
        NOBODY,
    ),
    Attempt(
        "credential-session-cookie-forged",
        "a session cookie of one's own making",
        Request(
            "GET",
            _PATH,
            headers=(("Cookie", "__Host-mlgate=user:alice; session=alice; mlgate=YWxpY2U="),),
            who=None,
        ),
        NOBODY,
    ),
    Attempt(
        "credential-in-query",
        "a token in the query ends up in logs",
        get(_PATH + "&access_token=@TOKEN_CAROL@&token=@TOKEN_CAROL@", None, None),
        NOBODY,
    ),
)

ROWS = (*CLAIMS, *EXCEPTIONS, *CREDENTIALS)
