"""Amazon's DynamoDB Local on this machine: fetched once by Maven, run on loopback only.

For tests and for ``mlgate up --store dynamodb-local``; needs Java 17 (a JDK) and Maven. The jar
binds to every interface and has no option for that, so a few lines of Java start the same server
bound to 127.0.0.1; they also end it when our end of its standard input closes, so it never
outlives us. Its usage figures, which it would send home, are switched off.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections import deque
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import TracebackType

from gateway.maven import MavenError, Progress, fetch_jars

VERSION = "3.3.1"
_LIBRARY = "software.amazon.dynamodb:DynamoDBLocal"

START_SECONDS = 60.0

_LAUNCHER = """\
import java.lang.reflect.Field;
import java.util.Arrays;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import software.amazon.dynamodb.services.local.main.ServerRunner;
import software.amazon.dynamodb.services.local.server.DynamoDBProxyServer;

public class Launcher {
    public static void main(String[] args) throws Exception {
        DynamoDBProxyServer proxy = ServerRunner.createServerFromCommandLineArgs(
            Arrays.copyOfRange(args, 1, args.length));
        Field field = DynamoDBProxyServer.class.getDeclaredField("server");
        field.setAccessible(true);
        Server server = (Server) field.get(proxy);
        ServerConnector connector = (ServerConnector) server.getConnectors()[0];
        connector.setHost("127.0.0.1");
        connector.setPort(Integer.parseInt(args[0]));
        proxy.start();
        System.out.println("LISTENING " + connector.getLocalPort());
        while (System.in.read() >= 0) {
        }
        System.exit(0);
    }
}
"""


class DynamoDbLocalError(Exception):
    """DynamoDB Local cannot be fetched or started; the message says what is missing."""


def fetch(folder: Path, progress: Progress | None = None) -> Path:
    """Put the jars of DynamoDB Local under ``folder`` unless they are there; returns their place.

    Several processes may do so at once. Interrupted, it leaves nothing running. Raises
    DynamoDbLocalError.
    """
    folder = folder.resolve()  # Maven would take it from the place of the pom
    jars = folder / f"{VERSION}-{sha256(_LAUNCHER.encode()).hexdigest()[:8]}"
    if jars.is_dir():
        return jars
    _need("java", "mvn")
    launcher = {"Launcher.java": _LAUNCHER}
    try:
        fetch_jars(jars, f"{_LIBRARY}:{VERSION}", files=launcher, progress=progress)
    except MavenError as error:
        raise DynamoDbLocalError(
            f"Maven could not fetch DynamoDB Local {VERSION}: {error}"
        ) from error
    return jars


@dataclass
class DynamoDbLocal:
    """A running server; ``stop`` it, or use it in a ``with``."""

    process: subprocess.Popen[str]
    endpoint: str
    output: deque[str] = field(repr=False)

    def store_url(self, table: str) -> str:
        """The ``store`` setting for a table of this server."""
        return f"dynamodb://{self.endpoint}/{table}"

    def stop(self) -> None:
        """End the server and wait until it is gone."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> DynamoDbLocal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start(jars: Path, *, data: Path | None = None, port: int = 0) -> DynamoDbLocal:
    """Start the server of ``fetch`` and wait until it listens on 127.0.0.1.

    ``data``: a folder to keep tables in (None: in memory); ``port`` 0: a free one. Raises
    DynamoDbLocalError.
    """
    _need("java", "javac")
    where = ["-inMemory"] if data is None else ["-dbPath", str(data)]
    command = [
        "java", f"-Djava.library.path={jars}", "-cp", f"{jars}/*", f"{jars}/Launcher.java",
        str(port), *where, "-sharedDb", "-disableTelemetry",
    ]  # fmt: skip
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Ctrl-C in the terminal is for us; we end it in our own order.
        start_new_session=True,
    )
    output: deque[str] = deque(maxlen=50)
    listening: list[str] = []
    ready = threading.Event()

    def drain() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            output.append(line)
            if line.startswith("LISTENING "):
                listening.append(line.split()[1])
                ready.set()
        ready.set()  # it ended

    try:
        threading.Thread(target=drain, daemon=True, name="dynamodb-local").start()
        ready.wait(START_SECONDS)
    finally:  # also when a Ctrl-C ends the waiting
        if not listening:
            process.kill()
            process.wait()
    if not listening:
        words = " ".join("".join(output).split())[-600:]
        raise DynamoDbLocalError(f"DynamoDB Local did not start: {words}")
    return DynamoDbLocal(process, f"http://127.0.0.1:{listening[0]}", output)


def _need(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise DynamoDbLocalError(
            f"DynamoDB Local needs {' and '.join(missing)} on the PATH (a JDK 17 and Maven)."
        )
