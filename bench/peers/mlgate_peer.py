"""mlgate itself: ``mlgate serve`` with one worker, SQLite store, and an audit line per request.

The measured person becomes editor of the one experiment through the sharing API, as an admin
would do it; everything is as a user would run it.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from urllib.parse import quote

from issuer import ADMIN, AUDIENCE, OWNER
from processes import BenchError, ask, free_port, wait_until_ready

from peers.peer import BOTH, ROOT, Running, Site, expect_refusals


class MlgatePeer:
    """The gateway of this checkout."""

    name = "mlgate"
    upstreams = BOTH

    def missing(self) -> str | None:
        if not (ROOT / "gateway" / "cli" / "main.py").exists():
            return "gateway/cli/main.py is not there yet"
        for module in ("aiohttp", "httptools", "jwt", "yaml"):
            if importlib.util.find_spec(module) is None:
                return "install mlgate with its dependencies (.venv/bin/pip install -e .)"
        return None

    def start(self, site: Site) -> Running:
        """Start it, share the experiment with the measured person, check that it refuses."""
        port = free_port()
        folder = site.farm.folder
        config = site.template(
            "gateway.yaml",
            {
                "port": port,
                "upstream": site.upstream.port,
                "roles": ROOT / "config" / "roles.yaml",
                "store": folder / "mlgate.db",
                "admin": ADMIN,
                "issuer": site.issuer.url,
                "audience": AUDIENCE,
                "audit": folder / "mlgate-audit.log",
            },
        )
        server = site.farm.start(
            self.name,
            [sys.executable, "-m", "gateway.cli.main", "serve", "--config", config],
            core=site.proxy_core,
            env={"PYTHONPATH": str(ROOT)},
        )
        wait_until_ready(server, port, "/access/readyz")
        self._share(port, site)
        running = Running(
            port=port, authorization=site.bearer, proxy=server, upstream=site.upstream.server
        )
        expect_refusals(self.name, running, site)
        return running

    @staticmethod
    def _share(port: int, site: Site) -> None:
        person = quote(f"user:{OWNER}", safe="")
        status, body = ask(
            port,
            "PUT",
            f"/access/api/v1/acl/experiment/{site.upstream.experiment_id}/{person}",
            {
                "Authorization": f"Bearer {site.issuer.token(ADMIN)}",
                "Content-Type": "application/json",
            },
            json.dumps({"role": "editor"}),
        )
        if status not in (200, 201, 204):
            raise BenchError(f"mlgate did not share the experiment: {status} {body[:500]!r}")
