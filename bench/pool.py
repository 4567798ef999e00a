"""CPU per request of a bare pass-through: our upstream pool against aiohttp's client.

Run by hand: ``python bench/pool.py [seconds]``. Each variant runs in a process of its own, in
front of one trivial upstream, under 32 keep-alive connections of a trivial load generator; the
figure is the proxy process's CPU time divided by the requests it served. "server alone" does the
same header work and has no upstream.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time

CONNECTIONS = 32
BODY = json.dumps({"experiment": {"experiment_id": "1", "name": "x" * 200}}).encode()
ANSWER = (
    b"HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\nserver: uvicorn\r\n"
    b"content-type: application/json\r\nx-content-type-options: nosniff\r\n"
    b"x-frame-options: SAMEORIGIN\r\ncontent-length: %d\r\n\r\n" % len(BODY)
) + BODY
REQUEST = (
    b"GET /api/2.0/mlflow/experiments/get?experiment_id=1 HTTP/1.1\r\nhost: a\r\n"
    b"user-agent: mlflow-python-client/3.17.2\r\naccept: */*\r\naccept-encoding: gzip\r\n"
    b"authorization: Bearer abcdefghijklmnopqrstuvwxyz\r\n\r\n"
)
DROPPED = frozenset({b"host", b"connection", b"content-length", b"transfer-encoding"})


class Trivial(asyncio.Protocol):
    """Answers every request without parsing more than its end."""

    def connection_made(self, transport):
        self.transport, self.seen = transport, b""

    def data_received(self, data):
        self.seen += data
        while b"\r\n\r\n" in self.seen:
            _, _, self.seen = self.seen.partition(b"\r\n\r\n")
            self.transport.write(ANSWER)


class Load(asyncio.Protocol):
    """Sends the next request as soon as the last answer is whole."""

    served = 0

    def connection_made(self, transport):
        self.transport, self.got = transport, b""
        transport.write(REQUEST)

    def data_received(self, data):
        self.got += data
        if self.got.endswith(BODY):
            self.got = b""
            Load.served += 1
            self.transport.write(REQUEST)


async def serve(variant, port, upstream):
    from aiohttp import ClientSession, TCPConnector, web

    from gateway.settings import Upstream
    from gateway.upstream import UpstreamPool

    url = f"http://127.0.0.1:{upstream}"
    loop = asyncio.get_running_loop()
    if variant == "pool":
        pool = UpstreamPool(url, Upstream())

        async def handler(request):
            headers = [h for h in request.raw_headers if h[0].lower() not in DROPPED]
            answer = await pool.request(request.method, request.raw_path, headers, repeatable=True)
            body = answer.body_if_complete()
            kept = [(n.decode(), v.decode()) for n, v in answer.headers if n.lower() not in DROPPED]
            return web.Response(status=answer.status, headers=kept, body=body)
    elif variant == "client":
        session = ClientSession(connector=TCPConnector(limit=256), auto_decompress=False)

        async def handler(request):
            headers = [h for h in request.headers.items() if h[0].lower().encode() not in DROPPED]
            async with session.request(
                request.method, url + request.raw_path, headers=headers
            ) as answer:
                kept = [h for h in answer.headers.items() if h[0].lower().encode() not in DROPPED]
                return web.Response(status=answer.status, headers=kept, body=await answer.read())
    else:
        lines = [line.split(b": ", 1) for line in ANSWER.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]]

        async def handler(request):
            _ = [h for h in request.raw_headers if h[0].lower() not in DROPPED]
            kept = [(n.decode(), v.decode()) for n, v in lines if n.lower() not in DROPPED]
            return web.Response(headers=kept, body=BODY)

    await loop.create_server(web.Server(handler, access_log=None), "127.0.0.1", port)
    await asyncio.Event().wait()


async def trivial(port):
    await asyncio.get_running_loop().create_server(Trivial, "127.0.0.1", port)
    await asyncio.Event().wait()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(pid, port, seconds):
    loop = asyncio.get_running_loop()
    deadline = time.monotonic() + 10
    while True:
        try:
            first, _ = await loop.create_connection(Load, "127.0.0.1", port)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
    others = [await loop.create_connection(Load, "127.0.0.1", port) for _ in range(CONNECTIONS - 1)]
    await asyncio.sleep(1)
    served, cpu, began = Load.served, cpu_seconds(pid), time.monotonic()
    await asyncio.sleep(seconds)
    served, cpu = Load.served - served, cpu_seconds(pid) - cpu
    rate = served / (time.monotonic() - began)
    for transport in (first, *(transport for transport, _ in others)):
        transport.abort()
    return cpu / served * 1e6, rate


def main():
    import uvloop

    if sys.argv[1:2] == ["--trivial"]:
        uvloop.run(trivial(int(sys.argv[2])))
    elif sys.argv[1:2] == ["--serve"]:
        uvloop.run(serve(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    upstream = free_port()
    python = [sys.executable, __file__]
    children = [subprocess.Popen([*python, "--trivial", str(upstream)])]
    try:
        for variant in ("server alone", "pool", "client"):
            port = free_port()
            proxy = subprocess.Popen([*python, "--serve", variant, str(port), str(upstream)])
            children.append(proxy)
            cost, rate = uvloop.run(measure(proxy.pid, port, seconds))
            print(f"{variant:>13}: {cost:6.1f} us CPU a request, {rate:8.0f} requests/s")
            proxy.terminate()
            proxy.wait()
    finally:
        for child in children:
            child.terminate()
            child.wait()


if __name__ == "__main__":
    main()
