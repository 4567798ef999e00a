"""Installs a Debian package that a heavy test needs and this machine may lack."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from pathlib import Path

FETCH_SECONDS = 600


def installed(package: str, program: str | Path) -> None:
    """Install ``package`` unless ``program``, an absolute path, is there already.

    One process at a time. Raises CalledProcessError where that is not possible.
    """
    lock = Path(tempfile.gettempdir()) / f"mlgate-apt-{os.getuid()}.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if Path(program).exists():
            return
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "--no-install-recommends", package]
        for command in (["apt-get", "update", "-q"], install):
            subprocess.run(command, check=True, env=env, timeout=FETCH_SECONDS, capture_output=True)
