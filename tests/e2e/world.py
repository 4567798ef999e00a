"""What the end-to-end tests share: calls by name, waiting with a deadline, the command line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from gateway.acl.open import open_store
from gateway.acl.store import Store
from gateway.model import Acl, Kind, Resource
from tests.stack import ROOT, Answer, Stack, http

T = TypeVar("T")

API = "/api/2.0/mlflow"
OWN = "/access/api/v1"
IN_FORCE_SECONDS = 1.0
"""How soon a grant or revocation must be in force on another gateway (DESIGN.md)."""
_ANSWER_SECONDS = 0.1
"""A gateway that takes longer for an answer does not get the machine to look for changes either."""


def until(
    holds: Callable[[], T], *, seconds: float = 20.0, every: float = 0.02, what: str = ""
) -> T:
    """Ask again until the answer is true, at most ``seconds``; the answer."""
    deadline = time.monotonic() + seconds
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or holds}")
        time.sleep(every)  # polling a real process, with a deadline


def in_force(holds: Callable[[], T], seconds: float = IN_FORCE_SECONDS + 0.5) -> T:
    """Ask from the moment of a change until it is in force, which it must be in time; the answer.

    Time in which a gateway does not answer at all does not count: then it is not the gateway that
    is late. A machine of two cores stops a process for seconds when others start on it.
    """
    left = seconds
    while True:
        asked = time.monotonic()
        found = holds()
        if found:
            return found
        if left < 0:
            raise AssertionError(f"not in force within {seconds} s: {holds}")
        time.sleep(0.02)  # polling a real process, with a deadline
        left -= min(time.monotonic() - asked, _ANSWER_SECONDS)


# --- MLflow, by plain HTTP --------------------------------------------------------------------


def ok(answer: Answer) -> Any:
    """The JSON of an answer that must be 200."""
    assert answer.status == 200, (answer.status, answer.body[:500])
    return answer.json() if answer.body else {}


def refused(answer: Answer, status: int = 403, code: str = "PERMISSION_DENIED") -> str:
    """The sentence of a refusal, which must be shaped as MLflow's errors are."""
    assert answer.status == status, (answer.status, answer.body[:500])
    body = answer.json()
    assert body["error_code"] == code, body
    assert {"error_code", "message"} <= set(body)
    assert "Traceback" not in body["message"]
    return str(body["message"])


def name_of(what: str) -> str:
    """A name that nobody else uses."""
    return f"{what}-{uuid.uuid4().hex[:8]}"


def new_experiment(stack: Stack, who: str, name: str | None = None) -> str:
    """An experiment made through the gateway; its id."""
    body = {"name": name or name_of("experiment")}
    return str(ok(stack.call(who, "POST", f"{API}/experiments/create", body))["experiment_id"])


def new_model(stack: Stack, who: str, name: str | None = None) -> str:
    """A registered model made through the gateway; its name."""
    name = name or name_of("model")
    ok(stack.call(who, "POST", f"{API}/registered-models/create", {"name": name}))
    return name


def new_run(stack: Stack, who: str, experiment: str) -> str:
    """A run made through the gateway; its id."""
    body = {"experiment_id": experiment, "start_time": 1}
    made = ok(stack.call(who, "POST", f"{API}/runs/create", body))
    return str(made["run"]["info"]["run_id"])


def get_experiment(stack: Stack, who: str | None, experiment: str, **more: Any) -> Answer:
    """``experiments/get`` through the gateway."""
    return stack.call(who, "GET", f"{API}/experiments/get?experiment_id={experiment}", **more)


def get_model(stack: Stack, who: str | None, name: str) -> Answer:
    """``registered-models/get`` through the gateway."""
    return stack.call(who, "GET", f"{API}/registered-models/get?name={quote(name, safe='')}")


# --- sharing ----------------------------------------------------------------------------------


def acl_path(kind: str, name: str, principal: str | None = None) -> str:
    """The path of an ACL, or of one grant of it, percent-encoded."""
    path = f"{OWN}/acl/{kind}/{quote(name, safe='')}"
    return path if principal is None else f"{path}/{quote(principal, safe='')}"


def share(stack: Stack, who: str, kind: str, name: str, principal: str, role: str) -> Answer:
    """Give a role."""
    return stack.call(who, "PUT", acl_path(kind, name, principal), {"role": role})


def unshare(stack: Stack, who: str, kind: str, name: str, principal: str) -> Answer:
    """Take a role away."""
    return stack.call(who, "DELETE", acl_path(kind, name, principal))


def grants_of(stack: Stack, who: str, kind: str, name: str) -> dict[str, str]:
    """Principal -> role."""
    shown = ok(stack.call(who, "GET", acl_path(kind, name)))
    return {grant["principal"]: grant["role"] for grant in shown["grants"]}


# --- the gateway's own store ------------------------------------------------------------------


def in_store(folder: Path, work: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
    """Work on the SQLite store of a gateway, from outside."""

    async def done() -> T:
        store = open_store(f"sqlite:///{folder / 'acl.db'}")
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(done())


def stored_acl(folder: Path, kind: Kind, name: str) -> Acl | None:
    """The ACL row, or None."""
    return in_store(folder, lambda store: store.get_acl(Resource(kind, name)))


# --- processes --------------------------------------------------------------------------------


def mlgate(
    *args: str, cwd: Path, seconds: float = 180.0, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "MLGATE_"))}
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", *args],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=seconds,
        check=False,
        env={**clean, "PYTHONPATH": str(ROOT), **env},
    )


def children_of(pid: int) -> list[int]:
    """The child processes of a process."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(one) for one in listed.split()]


def processes_in(folder: Path) -> list[str]:
    """The processes that work in a folder (or name it on their command line)."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = str((entry / "cwd").readlink())
            if where.startswith(str(folder)) or str(folder) in command:
                found.append(f"{entry.name}: {command}")
    return found


def forget_peak(pid: int) -> int:
    """Start measuring a process's peak memory from now on; its memory now, in bytes."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _memory(pid, "VmRSS")


def peak_of(pid: int) -> int:
    """The most memory since ``forget_peak``, in bytes."""
    return _memory(pid, "VmHWM")


def _memory(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"{field} of process {pid}")


def metric(url: str, name: str) -> float:
    """One sample of ``/access/metrics``, its labels part of the name."""
    text = http("GET", url + "/access/metrics").body.decode()
    for line in text.splitlines():
        if line.startswith(name + " "):
            return float(line.rpartition(" ")[2])
    raise AssertionError(f"no metric {name} in:\n{text}")
