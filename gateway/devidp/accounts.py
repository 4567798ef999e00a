"""The sample accounts. Passwords are random per data folder, so knowing mlgate is not enough."""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from gateway.devidp.files import read_or_create

ADMIN_GROUP = "mlflow-admins"

_PEOPLE = (
    ("alice", "data-science"),
    ("bob", "data-science"),
    ("carol", "research"),
    ("dave", ADMIN_GROUP),
)
_SERVICES = (("nightly-train", "data-science"),)
_READABLE = "abcdefghjkmnpqrstuvwxyz23456789"
_PASSWORD_CHARACTERS = 20


@dataclass(frozen=True, slots=True)
class Account:
    """A person who signs in with a password."""

    name: str
    groups: tuple[str, ...]
    password: str


@dataclass(frozen=True, slots=True)
class Client:
    """A service that signs in with its client id and secret."""

    client_id: str
    groups: tuple[str, ...]
    secret: str


@dataclass(frozen=True, slots=True)
class Accounts:
    """All accounts of one data folder."""

    people: tuple[Account, ...]
    services: tuple[Client, ...]

    @classmethod
    def load(cls, folder: Path) -> Accounts:
        """The accounts kept in ``folder``, made on first use.

        Raises OSError, and ValueError when the file is damaged.
        """
        path = folder / "accounts.json"
        try:
            content = json.loads(read_or_create(path, _sample))
            return cls(
                tuple(
                    Account(row["name"], tuple(row["groups"]), row["password"])
                    for row in content["people"]
                ),
                tuple(
                    Client(row["client_id"], tuple(row["groups"]), row["secret"])
                    for row in content["services"]
                ),
            )
        except (ValueError, KeyError, TypeError) as problem:
            raise ValueError(f"{path} is damaged; delete it to get new passwords") from problem

    def person(self, name: str, password: str) -> Account | None:
        """The account of that name, if the password is its own."""
        found = next((account for account in self.people if account.name == name), None)
        return found if _same(password, found.password if found else None) else None

    def service(self, client_id: str, secret: str) -> Client | None:
        """The client of that id, if the secret is its own."""
        found = next((client for client in self.services if client.client_id == client_id), None)
        return found if _same(secret, found.secret if found else None) else None


def _same(given: str, expected: str | None) -> bool:
    # Compared also when there is no such account, so that time does not tell which exist.
    right = hmac.compare_digest(given.encode("utf-8", "surrogatepass"), (expected or "").encode())
    return right and bool(expected)


def _sample() -> bytes:
    accounts = Accounts(
        tuple(Account(name, (group,), _password()) for name, group in _PEOPLE),
        tuple(Client(name, (group,), _password()) for name, group in _SERVICES),
    )
    return json.dumps(asdict(accounts), indent=2).encode()


def _password() -> str:
    return "".join(secrets.choice(_READABLE) for _ in range(_PASSWORD_CHARACTERS))
