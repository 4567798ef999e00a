"""nginx as a plain keep-alive proxy without any access control: the raw floor."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from processes import free_port, wait_until_ready

from peers.peer import BOTH, Running, Site


class NginxPeer:
    """One worker, no access log."""

    name = "nginx"
    upstreams = BOTH

    def missing(self) -> str | None:
        if _binary():
            return None
        return "install the Debian package nginx-light (apt-get install nginx-light)"

    def start(self, site: Site) -> Running:
        """Start it in the foreground with all its files in the run's folder."""
        port = free_port()
        config = site.template(
            "nginx.conf",
            {
                # Started by root, the worker would be `nobody` and could not enter the folder.
                "user": "user root;" if os.geteuid() == 0 else "",
                "folder": site.farm.folder,
                "port": port,
                "upstream": site.upstream.port,
            },
        )
        argv: list[str | Path] = [_binary(), "-p", site.farm.folder, "-c", config, "-e", "stderr"]
        server = site.farm.start(self.name, argv, core=site.proxy_core)
        wait_until_ready(server, port, "/health")
        return Running(
            port=port, authorization=site.bearer, proxy=server, upstream=site.upstream.server
        )


def _binary() -> str:
    """Debian installs it where an ordinary user's PATH does not look."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    return shutil.which("nginx", path=path) or ""
