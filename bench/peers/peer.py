"""What every peer offers: say what is missing, start in front of an upstream, prove itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Protocol

from issuer import OWNER, STRANGER, Issuer
from processes import BenchError, Farm, Server, ask
from upstreams import Upstream

_HERE = Path(__file__).resolve().parent
ROOT = _HERE.parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a peer starts: the upstream, the trusted issuer, and the cores."""

    farm: Farm
    upstream: Upstream
    issuer: Issuer
    proxy_core: int | None
    upstream_core: int | None

    @property
    def bearer(self) -> str:
        """The Authorization of the measured request."""
        return f"Bearer {self.issuer.token(OWNER)}"

    def template(self, name: str, values: Mapping[str, object]) -> Path:
        """Fill ``peers/NAME`` and write it to the run's folder; the path of the result."""
        text = Template((_HERE / name).read_text()).substitute(values)
        path = self.farm.folder / name
        path.write_text(text)
        return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A peer that answers: which port, which Authorization, whose CPU counts.

    ``proxy`` is None where there is no process between client and MLflow.
    """

    port: int
    authorization: str
    proxy: Server | None
    upstream: Server


class Peer(Protocol):
    """One contestant."""

    @property
    def name(self) -> str: ...

    @property
    def upstreams(self) -> tuple[str, ...]:
        """The upstreams it can stand in front of."""
        ...

    def missing(self) -> str | None:
        """Which package to install, or None when all is there."""
        ...

    def start(self, site: Site) -> Running:
        """Start, wait until it answers, and check that it refuses whom it should.

        Raises:
            BenchError: It does not start, or lets somebody in.
        """
        ...


BOTH = ("fast", "mlflow")


def expect_refusals(name: str, running: Running, site: Site) -> None:
    """Void the comparison unless no token and a forged one get 401, and a stranger's 403.

    Raises:
        BenchError: An answer is another one.
    """
    cases = (
        ("no token", None, 401),
        ("a forged signature", site.issuer.forged_token(OWNER), 401),
        ("a valid token of somebody without access", site.issuer.token(STRANGER), 403),
    )
    for what, token, expected in cases:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        status, body = ask(running.port, "GET", site.upstream.target, headers)
        if status != expected:
            raise BenchError(
                f"{name} answered {status} instead of {expected} to {what}; "
                f"the comparison would be void: {body[:300]!r}"
            )
