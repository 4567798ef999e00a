"""Fetches what the browser tests need and this machine may lack: Chromium, npm's oidc-provider."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from playwright.async_api import Browser, Playwright

from tests.debian import FETCH_SECONDS, installed

CHROMIUM = "/usr/bin/chromium"
PROVIDER_VERSION = "9.13.3"
AXE_VERSION = "4.14.1"
_ARGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def fetch_chromium() -> None:
    """Debian's Chromium, if it is not there."""
    installed("chromium", CHROMIUM)


async def launch(playwright: Playwright) -> Browser:
    """A browser without a window."""
    return await playwright.chromium.launch(executable_path=CHROMIUM, args=list(_ARGS))


def node_modules() -> Path:
    """The folder with oidc-provider, fetched on first use."""
    return _fetched("oidc-provider", PROVIDER_VERSION)


def axe_core() -> Path:
    """The folder of axe-core, which finds what people with assistive technology stumble over."""
    return _fetched("axe-core", AXE_VERSION) / "axe-core"


def _fetched(package: str, version: str) -> Path:
    folder = Path(tempfile.gettempdir()) / f"mlgate-{package}-{version}-{os.getuid()}"
    with _alone(package):
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            (folder / "package.json").write_text("{}")
            subprocess.run(
                ["npm", "install", "--no-audit", "--no-fund", f"{package}@{version}"],
                check=True,
                cwd=folder,
                timeout=FETCH_SECONDS,
                capture_output=True,
            )
            (folder / "done").touch()
    return folder / "node_modules"


class _alone:
    """One process at a time."""

    def __init__(self, what: str) -> None:
        self._path = Path(tempfile.gettempdir()) / f"mlgate-fetch-{what}-{os.getuid()}.lock"

    def __enter__(self) -> None:
        self._file = self._path.open("a")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()
