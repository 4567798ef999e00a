"""Every key of gateway.yaml: how it is read, which field of ``Settings`` it fills, what it means.

One table for the loader, the JSON Schema and docs/settings.md. A test asserts that it covers
every field of the dataclasses.
"""

# ruff: noqa: E501  (one key, one line: the table is read downwards)

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Any

from gateway.settings import (
    Admins,
    Artifacts,
    Audit,
    IdentityProvider,
    Limits,
    Session,
    Settings,
    Tls,
    Tokens,
    Upstream,
)
from gateway.settings_types import (
    Choice,
    Flag,
    Many,
    Number,
    Reader,
    SecretFrom,
    Text,
    Whole,
    listen,
    network,
    secure_url,
    server_url,
    store_url,
)

DAY = 86_400
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Key:
    """One key. ``fills`` is the field of the section's dataclass; usually the same name."""

    name: str
    reader: Reader
    means: str
    fills: str = ""

    @property
    def field(self) -> str:
        """The dataclass field; empty keys such as ``user_pool`` fill several."""
        return self.fills or self.name


@dataclass(frozen=True, slots=True)
class Section:
    """One mapping of the file and the dataclass that it becomes."""

    name: str
    makes: type[Any]
    keys: tuple[Key, ...]

    def key(self, name: str) -> Key | None:
        """The key of that name."""
        return next((key for key in self.keys if key.name == name), None)

    def default(self, key: Key) -> object:
        """The default of a key, or MISSING."""
        if key.name == "listen":
            return f"{Settings().listen_host}:{Settings().listen_port}"
        if key.name == "upstreams":
            return Upstream().urls
        for f in fields(self.makes):
            if f.name == key.field:
                return f.default_factory() if f.default_factory is not MISSING else f.default
        return MISSING


def _provider_name(text: str) -> str | None:
    if text.isascii() and len(text) <= 64 and text.replace("-", "").replace("_", "").isalnum():
        return None
    return "must be up to 64 letters, digits, - and _"


def _bare_user(text: str) -> str | None:
    if text.partition(":")[0] in ("user", "group", "service"):
        return "write the name as the user_claim spells it, without the part before the colon"
    return None


def _user_pool(text: str) -> str | None:
    region, _, rest = text.partition("_")
    if text.isascii() and rest.isalnum() and region.count("-") >= 2:
        return None
    return "must be a user pool id such as us-east-1_AbCdEf"


def _static_prefix(text: str) -> str | None:
    if text.startswith("/") and not text.endswith("/") and "//" not in text:
        return None
    return "must begin with / and not end with it, such as /mlflow"


def _algorithm(text: str) -> str | None:
    allowed = IdentityProvider(type="oidc", name="", issuer="").algorithms
    return None if text in allowed else f"must be one of {', '.join(allowed)}"


# What the flow itself sets or what would take its answer elsewhere: OAuth 2.0 (RFC 6749 section
# 4.1.1), OpenID Connect Core sections 3.1.2.1 and 6, PKCE (RFC 7636).
_OF_THE_FLOW = frozenset(
    ("client_id", "code_challenge", "code_challenge_method", "id_token_hint", "nonce",
     "redirect_uri", "registration", "request", "request_uri", "response_mode", "response_type",
     "scope", "state")
)  # fmt: skip


def _authorization_parameter(text: str) -> str | None:
    name, equals, _ = text.partition("=")
    if not name or not equals:
        return "must be name=value, such as prompt=consent"
    if name in _OF_THE_FLOW:
        return f"must not set {name}, which the sign-in sets itself"
    return None


IDENTITY = Section(
    "identity",
    IdentityProvider,
    (
        Key("type", Choice(("oidc", "cognito")), "`oidc` (Keycloak, Entra ID, Google, Auth0, Okta, Kubernetes, …) or `cognito`"),
        Key("name", Text(_provider_name), "what log lines and `mlgate check` call it (Cognito: the user pool)"),
        Key("issuer", Text(secure_url), "the `iss` of its tokens, letter by letter (Cognito: from `user_pool`)"),
        Key("user_pool", Text(_user_pool), "Cognito only: the user pool id; gives issuer, name and claims", "issuer"),
        Key("audience", Many(Text()), "OIDC: a token must carry one of these in `aud`; this or `client_id` is required"),
        Key("user_claim", Many(Text(), at_least=1), "the claim that names the person; of several, the first that is there (Cognito: `cognito:username`, then `username`)", "user_claims"),
        Key("groups_claim", Text(), "the claim that lists the groups (Cognito: `cognito:groups`)"),
        Key("home_group_claim", Text(), "the claim that names the one group that shares what the person creates"),
        Key("algorithms", Many(Text(_algorithm), at_least=1), "signature algorithms accepted"),
        Key("client_id", Many(Text()), "the app client; Cognito: required, checked on every token; OIDC: the audience if none is given. The first one is used for browser sign-in"),
        Key("client_secret_env", SecretFrom(), "the environment variable with the client secret, for browser sign-in", "client_secret"),
        Key("scopes", Many(Text()), "scopes asked for at browser sign-in"),
        Key("authorization_parameters", Many(Text(_authorization_parameter)), "`name=value`, sent along at browser sign-in, such as Google's `access_type=offline`"),
        Key("jwks_url", Text(secure_url), "where the keys are, if discovery does not say"),
        Key("accept", Many(Choice(("access", "id")), at_least=1), "which kinds of token are accepted"),
        Key("skew_seconds", Number(0, 300), "how far the clocks may differ"),
        Key("ca_file", Text(), "certificates (PEM) to trust when talking to it"),
        Key("bearer_token_file", Text(), "a token to send (over https only) when fetching discovery and keys, as a Kubernetes API server wants"),
        Key("user_prefix", Text(), "put before every user and service name of this issuer, so that its `alice` is not another issuer's"),
        Key("groups_prefix", Text(), "the same for group names"),
    ),
)  # fmt: skip

UPSTREAM = Section(
    "upstream",
    Upstream,
    (
        Key("host", Text(), "the `Host` that MLflow sees, if not the one of its URL"),
        Key("secret_header", Text(), "the header that carries the shared secret"),
        Key("secret_env", SecretFrom(), "the environment variable with the secret that closes MLflow to everyone else", "secret"),
        Key("ca_file", Text(), "certificates (PEM) to trust when MLflow is on https"),
        Key("client_cert", Text(), "certificate (PEM) to show to MLflow; with `client_key`"),
        Key("client_key", Text(), "its key (PEM)"),
        Key("static_prefix", Text(_static_prefix), "MLflow's own `--static-prefix`"),
        Key("connections", Whole(1, 100_000), "most connections to each MLflow server"),
        Key("keepalive_seconds", Number(0, 3600), "an idle connection is used again this long; less than MLflow's own"),
        Key("connect_seconds", Number(0.1, 300), "how long to wait for a connection"),
        Key("answer_seconds", Number(1, DAY), "how long MLflow may work before the first byte of its answer"),
        Key("health_seconds", Number(0.1, 3600), "time between two health checks of a server"),
    ),
)  # fmt: skip

ADMINS = Section(
    "admins",
    Admins,
    (
        Key("users", Many(Text(_bare_user), make=frozenset), "admins by name, as `user_claim` spells it"),
        Key("groups", Many(Text(_bare_user), make=frozenset), "whoever is in one of these groups is an admin"),
    ),
)  # fmt: skip

LIMITS = Section(
    "limits",
    Limits,
    (
        Key("json_body", Whole(1024, GIB, size=True), "largest JSON body, in bytes"),
        Key("otlp_body", Whole(1024, GIB, size=True), "largest OTLP body, after decompression"),
        Key("artifact_body", Whole(0, 1024 * GIB, size=True), "largest artifact upload; 0: no bound of our own"),
        Key("header_bytes", Whole(4096, 1024**2, size=True), "all headers of a request together"),
        Key("target_bytes", Whole(1024, 1024**2, size=True), "path and query of a request"),
        Key("search_upstream_calls", Whole(1, 10_000), "calls to MLflow that one trimmed search may spend"),
        Key("acl_cache", Whole(100, 10_000_000), "ACLs remembered per process"),
        Key("ref_cache", Whole(100, 10_000_000), "run -> experiment and the like remembered per process"),
        Key("token_cache", Whole(100, 10_000_000), "verified credentials remembered per process"),
        Key("acl_grace_seconds", Number(0, DAY), "decisions go on from memory this long when the store is down"),
        Key("drain_seconds", Number(0, 3600), "requests may finish this long after a stop signal"),
        Key("requests_per_second", Number(0, 1_000_000), "per principal; 0: no limit"),
        Key("burst", Whole(1, 1_000_000), "requests that may come at once before that limit counts"),
    ),
)  # fmt: skip

AUDIT = Section(
    "audit",
    Audit,
    (
        Key("to", Text(), "`stdout`, `stderr`, `off` or a file"),
        Key("reads", Flag(), "false: only what changes something, and refusals"),
    ),
)

TLS = Section(
    "tls",
    Tls,
    (
        Key("cert_file", Text(), "certificate chain (PEM) of the gateway itself; with `key_file`"),
        Key("key_file", Text(), "its key (PEM)"),
    ),
)

TOKENS = Section(
    "tokens",
    Tokens,
    (
        Key("max_days", Whole(1, 3650), "longest life of an API token"),
        Key("default_days", Whole(1, 3650), "life of an API token when none is asked for"),
    ),
)

ARTIFACTS = Section(
    "artifacts",
    Artifacts,
    (Key("presigned_seconds", Whole(1, 7 * DAY), "longest life of a presigned URL"),),
)

SESSION = Section(
    "session",
    Session,
    (
        Key("idle_seconds", Number(60, 400 * DAY), "a browser session that was not used for this long has ended"),
        Key("max_seconds", Number(60, 400 * DAY), "nor does it live longer than this, however much it is used"),
        Key("refresh_seconds", Number(5, DAY), "how often the provider is asked whether the person is still there, and in which groups"),
        Key("unrefreshed_seconds", Number(60, 400 * DAY), "instead of `max_seconds` where the provider gives no refresh token, so that it cannot be asked"),
        Key("menu", Flag(), "add the small menu (who I am, sharing, tokens, sign out) to MLflow's page"),
    ),
)  # fmt: skip

TOP = Section(
    "",
    Settings,
    (
        Key("listen", Text(listen), "host:port of the gateway", "listen_host"),
        Key("public_url", Text(secure_url), "what people type; https unless it is this machine"),
        Key("upstreams", Many(Text(server_url), at_least=1), "the MLflow servers", "upstream"),
        Key("roles", Text(), "the file with the roles; watched"),
        Key("store", Text(store_url), "the gateway's own store: `sqlite:///FILE`, `dynamodb://REGION/TABLE` or `dynamodb://http://HOST:PORT/TABLE`"),
        Key("workers", Whole(1, 256), "processes"),
        Key("stamp_user", Flag(), "set `mlflow.user` of new runs to the signed-in person"),
        Key("trusted_proxies", Many(Text(network)), "networks whose `X-Forwarded-For` is believed, for the audit line only"),
    ),
)  # fmt: skip

SECTIONS = (UPSTREAM, ADMINS, TOKENS, SESSION, LIMITS, AUDIT, TLS, ARTIFACTS)
"""The sections that are a mapping; ``identity`` is a list of them."""
