"""aiohttp on both sides, passing through: what plain Python tools cost."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from processes import free_port, wait_until_ready

from peers.peer import BOTH, Running, Site


class AiohttpPeer:
    """``passthrough.py`` in one process on uvloop."""

    name = "aiohttp"
    upstreams = BOTH

    def missing(self) -> str | None:
        absent = [name for name in ("aiohttp", "uvloop") if importlib.util.find_spec(name) is None]
        return f"install the PyPI packages {' '.join(absent)}" if absent else None

    def start(self, site: Site) -> Running:
        """Start it."""
        port = free_port()
        script = Path(__file__).with_name("passthrough.py")
        argv: list[str | Path] = [sys.executable, script, str(port), str(site.upstream.port)]
        server = site.farm.start(self.name, argv, core=site.proxy_core)
        wait_until_ready(server, port, "/health")
        return Running(
            port=port, authorization=site.bearer, proxy=server, upstream=site.upstream.server
        )
