"""The settings of ``gateway.yaml`` as frozen values; each part receives only its own section.

Shapes and defaults only. Reading the file and the ``MLGATE_…`` environment variables, and
reporting every problem with line and key, is ``settings_load.py``'s work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


class Secret(str):
    """A string that prints as stars; ``str.__str__(secret)`` or ``.reveal()`` gives the value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def reveal(self) -> str:
        """The secret itself, for the one place that uses it."""
        return str.__str__(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityProvider:
    """One trusted issuer. ``issuer`` names it: a token goes to the provider its ``iss`` names.

    For ``type: cognito`` the issuer and claims derive from ``user_pool`` unless given.
    """

    type: Literal["oidc", "cognito"]
    name: str
    issuer: str
    audience: tuple[str, ...] = ()
    user_claims: tuple[str, ...] = ("email", "preferred_username", "sub")
    groups_claim: str = "groups"
    home_group_claim: str | None = None
    algorithms: tuple[str, ...] = (
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
    )  # fmt: skip
    client_id: tuple[str, ...] = ()
    client_secret: Secret | None = None
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    authorization_parameters: tuple[str, ...] = ()
    """``name=value``, added to the authorization request of browser sign-in."""
    jwks_url: str | None = None
    accept: tuple[Literal["access", "id"], ...] = ("access", "id")
    skew_seconds: float = 30.0
    ca_file: str | None = None
    bearer_token_file: str | None = None
    """Sent (over https only) when fetching discovery and keys: a Kubernetes API server asks for
    a service account token there."""
    user_prefix: str = ""
    """Put before every user and service name of this issuer, so that ``alice`` of a second
    issuer is not the first one's ``alice``. Without it, same name means same principal."""
    groups_prefix: str = ""
    """The same for group names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admins:
    """Who may make every call. Users as ``user_claim`` spells them, without ``user:``."""

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """How to reach MLflow. ``host`` overrides the Host header (MLflow checks it).

    ``secret`` is sent in ``secret_header`` so that a proxy or firewall in front of MLflow can
    close it to everyone but the gateway. Times in seconds.
    """

    urls: tuple[str, ...] = ("http://127.0.0.1:5000",)
    host: str | None = None
    secret_header: str = "X-Mlgate-Upstream-Secret"
    secret: Secret | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    static_prefix: str = ""
    connections: int = 256
    keepalive_seconds: float = 4.0
    connect_seconds: float = 5.0
    answer_seconds: float = 900.0
    health_seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that keep one caller from starving the rest. Sizes in bytes, times in seconds."""

    json_body: int = 16 * 1024 * 1024
    otlp_body: int = 64 * 1024 * 1024
    artifact_body: int = 0
    """0: no bound of our own on artifact streams."""
    header_bytes: int = 64 * 1024
    target_bytes: int = 16 * 1024
    search_upstream_calls: int = 50
    acl_cache: int = 100_000
    ref_cache: int = 200_000
    token_cache: int = 20_000
    acl_grace_seconds: float = 60.0
    drain_seconds: float = 30.0
    requests_per_second: float = 0.0
    """Per principal; 0: no rate limit."""
    burst: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Where the audit lines go: ``stdout``, ``stderr``, ``off`` or a file path."""

    to: str = "stdout"
    reads: bool = True
    """False: only what changes something, and refusals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Certificate and key of the gateway's own listener."""

    cert_file: str | None = None
    key_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """API tokens: the longest and the usual time to live, in days."""

    max_days: int = 365
    default_days: int = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Browser sessions. Times in seconds."""

    idle_seconds: float = 8 * 3600.0
    """A session that nobody used for this long has ended."""
    max_seconds: float = 7 * 86_400.0
    """Nor does it live longer than this, however much it is used."""
    refresh_seconds: float = 600.0
    """How often the provider is asked whether the person is still there, and in which groups."""
    unrefreshed_seconds: float = 12 * 3600.0
    """Instead of ``max_seconds`` where the provider gives no refresh token: nobody can be asked."""
    menu: bool = True
    """Add the small menu to MLflow's page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifacts:
    """What the gateway does about artifacts.

    ``presigned_seconds`` caps the life of a presigned URL, which outlives a revoked grant.
    """

    presigned_seconds: int = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of ``gateway.yaml``."""

    listen_host: str = "127.0.0.1"
    listen_port: int = 8080
    public_url: str = "http://127.0.0.1:8080"
    upstream: Upstream = field(default_factory=Upstream)
    roles: str = "config/roles.yaml"
    store: str = "sqlite:///mlgate.db"
    workers: int = 1
    admins: Admins = field(default_factory=Admins)
    identity: tuple[IdentityProvider, ...] = ()
    tokens: Tokens = field(default_factory=Tokens)
    session: Session = field(default_factory=Session)
    limits: Limits = field(default_factory=Limits)
    audit: Audit = field(default_factory=Audit)
    tls: Tls = field(default_factory=Tls)
    artifacts: Artifacts = field(default_factory=Artifacts)
    stamp_user: bool = True
    """Set ``mlflow.user`` of new runs to the authenticated person."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) whose ``X-Forwarded-For`` is believed, for the audit line only."""
