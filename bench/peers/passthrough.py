"""A bare aiohttp pass-through: server, client session, nothing else.

Run as ``python passthrough.py PORT UPSTREAM_PORT``. What a straightforward Python gateway pays
before it has checked anything.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from aiohttp import web
from yarl import URL

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host"}


def build(upstream: str) -> web.Application:
    """One handler for everything."""
    session: aiohttp.ClientSession

    async def handle(request: web.Request) -> web.Response:
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP]
        body = await request.read() if request.body_exists else None
        url = URL(upstream + request.raw_path, encoded=True)
        async with session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            content = await answer.read()
            kept = [
                (k, v)
                for k, v in answer.headers.items()
                if k.lower() not in _HOP_BY_HOP and k.lower() != "content-length"
            ]
        response = web.Response(status=answer.status, body=content)
        response.headers.clear()
        for name, value in kept:
            response.headers.add(name, value)
        return response

    async def client(_: web.Application) -> AsyncIterator[None]:
        nonlocal session
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4)
        async with aiohttp.ClientSession(
            connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            yield

    app = web.Application()
    app.cleanup_ctx.append(client)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


if __name__ == "__main__":
    uvloop.install()
    application = build(f"http://127.0.0.1:{sys.argv[2]}")
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
