"""Fetches a library for Java, with all that it needs at run time, by Maven into one folder.

The folder appears whole or not at all, so several processes may fetch the same at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

FETCH_SECONDS = 600.0

Progress = Callable[[int], None]
"""Told the seconds that have passed, about once a second."""

_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>mlgate</groupId>
  <artifactId>fetched</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>{}</groupId>
      <artifactId>{}</artifactId>
      <version>{}</version>
    </dependency>
  </dependencies>
</project>
"""


class MavenError(Exception):
    """Maven did not fetch it; the message is what Maven said."""


def fetch_jars(
    place: Path,
    coordinates: str,
    *,
    files: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> None:
    """Put the jars of ``group:artifact:version``, and ``files``, into ``place``, an absolute path.

    Does nothing where it exists. Interrupted, it leaves nothing running. Raises MavenError.
    """
    if place.is_dir():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        pom = Path(scratch, "pom.xml")
        pom.write_text(_POM.format(*coordinates.split(":")))
        fetched = Path(scratch, "jars")
        command = [
            "mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies",
            "-DincludeScope=runtime", f"-DoutputDirectory={fetched}",
        ]  # fmt: skip
        said = _run_to_its_end(command, progress)
        if said is not None or not fetched.is_dir():
            said = said or ""
            words = said[max(said.find("[ERROR]"), 0) :].split()  # the first one says what is wrong
            raise MavenError(" ".join(words)[:400])
        for name, text in (files or {}).items():
            (fetched / name).write_text(text)
        try:
            fetched.rename(place)
        except OSError:
            if not place.is_dir():  # else another process was faster
                raise


def _run_to_its_end(command: list[str], progress: Progress | None) -> str | None:
    """None when the command succeeds, else what it said; all that it started ends with it."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            for second in range(int(FETCH_SECONDS)):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(1.0)
                    break
                if progress is not None:
                    progress(second + 1)
            else:
                return f"it did not end within {FETCH_SECONDS:.0f} s"
            output.seek(0)
            return output.read() if process.returncode else None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
