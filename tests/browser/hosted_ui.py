"""Amazon Cognito's hosted UI in front of moto's user pool, as AWS documents it.

moto has the pool (users, passwords, groups, refresh tokens, the signing key); the pages and the
token endpoint of the hosted UI are here. Peculiar to Cognito and kept so: ``/oauth2/authorize``
and ``/oauth2/token`` below a domain that is not the issuer's, no ``iss`` in the answer, no refresh
token at refresh, the groups in ``cognito:groups``, and a ``/logout`` with ``logout_uri``.
https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-userpools-server-contract-reference.html

Run it: ``python -m tests.browser.hosted_ui PORT REDIRECT_URI LOGOUT_URI`` prints the client's id
and reads ``NAME GROUP…`` lines that move somebody to other groups.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import secrets
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import boto3
import jwt
from botocore.exceptions import ClientError
from moto import mock_aws

PASSWORD = "Passw0rd!"
REGION = "us-east-1"


@dataclass
class Pool:
    """The user pool in moto, and what the hosted UI remembers."""

    url: str
    redirect_uri: str
    logout_uri: str
    client: Any = None
    pool: str = ""
    client_id: str = ""
    signed_in: str | None = None
    """The hosted UI's own session; one browser is enough here."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def make(self) -> None:
        """The pool, its app client and people."""
        self.client = boto3.client("cognito-idp", region_name=REGION)
        self.pool = self.client.create_user_pool(PoolName="mlgate")["UserPool"]["Id"]
        app = self.client.create_user_pool_client(
            UserPoolId=self.pool,
            ClientName="mlgate",
            GenerateSecret=False,
            CallbackURLs=[self.redirect_uri],
            LogoutURLs=[self.logout_uri],
            AllowedOAuthFlows=["code"],
        )
        self.client_id = app["UserPoolClient"]["ClientId"]
        for name, group in (("alice", "data-science"), ("carol", "research")):
            self.client.admin_create_user(
                UserPoolId=self.pool, Username=name, TemporaryPassword=PASSWORD
            )
            self.client.admin_set_user_password(
                UserPoolId=self.pool, Username=name, Password=PASSWORD, Permanent=True
            )
            self.move(name, group)

    def move(self, name: str, *groups: str) -> None:
        """Put somebody into exactly these groups."""
        listed = self.client.admin_list_groups_for_user(UserPoolId=self.pool, Username=name)
        for one in listed["Groups"]:
            self.client.admin_remove_user_from_group(
                UserPoolId=self.pool, Username=name, GroupName=one["GroupName"]
            )
        known = {g["GroupName"] for g in self.client.list_groups(UserPoolId=self.pool)["Groups"]}
        for group in groups:
            if group not in known:
                self.client.create_group(UserPoolId=self.pool, GroupName=group)
            self.client.admin_add_user_to_group(
                UserPoolId=self.pool, Username=name, GroupName=group
            )

    def tokens(self, nonce: str | None, **asked: str) -> dict[str, Any]:
        """moto's tokens, with this issuer's name and the nonce, signed by moto's key again."""
        flow = "REFRESH_TOKEN_AUTH" if "REFRESH_TOKEN" in asked else "ADMIN_USER_PASSWORD_AUTH"
        made = self.client.admin_initiate_auth(
            UserPoolId=self.pool, ClientId=self.client_id, AuthFlow=flow, AuthParameters=asked
        )["AuthenticationResult"]
        answer = {
            "id_token": self._again(made["IdToken"], nonce),
            "access_token": self._again(made["AccessToken"], None),
            "token_type": "Bearer",
            "expires_in": 3600,
        }
        if "RefreshToken" in made and flow != "REFRESH_TOKEN_AUTH":
            answer["refresh_token"] = made["RefreshToken"]
        return answer

    def _again(self, token: str, nonce: str | None) -> str:
        claims = jwt.decode(token, options={"verify_signature": False})
        claims["iss"] = self.url
        if nonce is not None:
            claims["nonce"] = nonce
        key = jwt.PyJWK(json.loads(_resource("jwks-private.json")))
        kid = jwt.get_unverified_header(token)["kid"]
        return jwt.encode(claims, key.key, "RS256", {"kid": kid})

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "jwks_uri": self.url + "/.well-known/jwks.json",
            "authorization_endpoint": self.url + "/oauth2/authorize",
            "token_endpoint": self.url + "/oauth2/token",
            "userinfo_endpoint": self.url + "/oauth2/userInfo",
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }


def _resource(name: str) -> str:
    """One of moto's key files, packed or not."""
    folder = files("moto.cognitoidp") / "resources"
    packed = folder / f"{name}.gz"
    if packed.is_file():
        return gzip.decompress(packed.read_bytes()).decode()
    return (folder / name).read_text()


def _handler(pool: Pool) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            match parts.path:
                case "/.well-known/openid-configuration":
                    self.send(200, json.dumps(pool.discovery()))
                case "/.well-known/jwks.json":
                    self.send(200, _resource("jwks-public.json"))
                case "/oauth2/authorize" if query.get("redirect_uri") == pool.redirect_uri:
                    if pool.signed_in:
                        return self.back(query)
                    hidden = html.escape(parts.query)
                    self.send(
                        200,
                        f"""<!doctype html><title>Sign in</title>
                        <form method="post" action="/login?{hidden}"><input name="username">
                        <input name="password" type="password"><button>Sign in</button></form>""",
                    )
                case "/logout" if (
                    query.get("logout_uri") == pool.logout_uri
                    and query.get("client_id") == pool.client_id
                ):
                    pool.signed_in = None
                    self.redirect(pool.logout_uri)
                case _:
                    self.send(400, "Required String parameter is not present")

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            form = {n: v[0] for n, v in parse_qs(self.rfile.read(length).decode()).items()}
            parts = urlsplit(self.path)
            if parts.path == "/login":
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                try:
                    pool.tokens(None, USERNAME=form["username"], PASSWORD=form["password"])
                except ClientError:
                    return self.send(200, "Incorrect username or password.")
                pool.signed_in = form["username"]
                return self.back(query)
            if parts.path != "/oauth2/token" or form.get("client_id") != pool.client_id:
                return self.send(400, '{"error": "invalid_client"}')
            try:
                self.send(200, json.dumps(self.grant(form)))
            except (ClientError, KeyError, AssertionError):
                self.send(400, '{"error": "invalid_grant"}')

        def grant(self, form: dict[str, str]) -> dict[str, Any]:
            if form["grant_type"] == "refresh_token":
                return pool.tokens(None, REFRESH_TOKEN=form["refresh_token"])
            asked = pool.codes.pop(form["code"])
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            assert challenge == asked["code_challenge"]
            assert form["redirect_uri"] == asked["redirect_uri"]
            return pool.tokens(asked["nonce"], USERNAME=asked["name"], PASSWORD=PASSWORD)

        def back(self, query: dict[str, str]) -> None:
            code = secrets.token_urlsafe(16)
            pool.codes[code] = {**query, "name": pool.signed_in or ""}
            answer = urlencode({"code": code, "state": query["state"]})
            self.redirect(f"{pool.redirect_uri}?{answer}")

        def redirect(self, to: str) -> None:
            self.send_response(302)
            self.send_header("Location", to)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send(self, status: int, text: str) -> None:
            raw = text.encode()
            self.send_response(status)
            kind = "application/json" if text.startswith("{") else "text/html"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def main() -> None:
    port, redirect_uri, logout_uri = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    with mock_aws():
        pool = Pool(f"http://127.0.0.1:{port}", redirect_uri, logout_uri)
        pool.make()
        server = ThreadingHTTPServer(("127.0.0.1", port), _handler(pool))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(pool.client_id, flush=True)
        for line in sys.stdin:
            name, *groups = line.split()
            pool.move(name, *groups)
            print("moved", flush=True)


if __name__ == "__main__":
    main()
