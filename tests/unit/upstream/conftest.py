import asyncio
import datetime
import ipaddress
from dataclasses import dataclass
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.settings import Upstream
from gateway.upstream import UpstreamPool

LOOPS = {"uvloop": uvloop.EventLoopPolicy, "asyncio": asyncio.DefaultEventLoopPolicy}


def pytest_generate_tests(metafunc):
    """Every test that needs a loop runs on both."""
    if asyncio.iscoroutinefunction(metafunc.function):
        metafunc.fixturenames.append("event_loop_policy")
        metafunc.parametrize(
            "event_loop_policy", [new() for new in LOOPS.values()], ids=list(LOOPS)
        )


@pytest.fixture
async def make_pool():
    pools: list[UpstreamPool] = []

    def make(url: str, **settings: object) -> UpstreamPool:
        pool = UpstreamPool(url, Upstream(**settings))
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        await pool.close()


class FakeLoopTime:
    """The loop of a pool, whose time goes on by ``advance`` only.

    So that a bound of time can be told from a machine that has something else to do.
    """

    def __init__(self, pool: UpstreamPool) -> None:
        self._loop = pool._loop
        self._now = self._loop.time()
        self._timers: list[tuple[float, asyncio.Handle]] = []
        pool._loop = self  # before its first connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def time(self) -> float:
        return self._now

    def call_later(self, delay: float, callback: Any, *args: Any) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self._loop)
        self._timers.append((self._now + delay, handle))
        return handle

    def advance(self, seconds: float) -> None:
        end = self._now + seconds
        while due := [timer for timer in self._timers if timer[0] <= end]:
            first = min(due, key=lambda timer: timer[0])
            self._timers.remove(first)
            self._now = first[0]
            if not first[1].cancelled():
                first[1]._run()
        self._now = end


@dataclass(frozen=True)
class Certificates:
    authority: str
    cert: str
    key: str


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A self-signed certificate of 127.0.0.1, good for server and client, its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    cert_file = str(folder / "cert.pem")
    return Certificates(cert_file, cert_file, str(folder / "key.pem"))
