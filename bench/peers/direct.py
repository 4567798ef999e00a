"""No proxy at all: what every ratio is taken to."""

from __future__ import annotations

from peers.peer import BOTH, Running, Site


class DirectPeer:
    """The load generator speaks to the upstream itself."""

    name = "direct"
    upstreams = BOTH

    def missing(self) -> str | None:
        return None

    def start(self, site: Site) -> Running:
        """Nothing to start."""
        upstream = site.upstream
        return Running(
            port=upstream.port, authorization=site.bearer, proxy=None, upstream=upstream.server
        )
