"""gateway.yaml and the ``MLGATE_…`` environment variables as ``Settings``.

The environment wins over the file, key by key. Everything that is wrong is collected and
reported at once, with its line and key; nothing is guessed and no unknown key is skipped. Paths
are relative to the working directory, as in the file's own sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.idp import cognito
from gateway.settings import IdentityProvider, Settings, Upstream
from gateway.settings_keys import IDENTITY, SECTIONS, TOP, UPSTREAM, Key, Section
from gateway.settings_types import BAD, Bad, Notes, did_you_mean, is_loopback, split_listen
from gateway.yaml_doc import Fields, Items, Node, Problem, Scalar, parse_document

PREFIX = "MLGATE_"
COMMAND_LINE_VARIABLES = frozenset({"MLGATE_CONFIG", "MLGATE_URL"})
"""Variables of the command line; no settings."""

_SERVICE_LINK = re.compile(
    r"MLGATE_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?"
    r"|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""What Kubernetes puts into every pod beside a Service named mlgate or mlgate-….
https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables"""


class SettingsError(Exception):
    """The settings are not usable; ``problems`` is all that is wrong, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.line or 0, p.key)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def load_settings(path: str | Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of the file at ``path`` (None: no file) under those of ``environ``.

    Raises SettingsError with every problem found.
    """
    if path is None:
        return parse_settings("", environ)
    try:
        text = Path(path).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise SettingsError([Problem(None, "", f"{path} is not UTF-8 text")]) from error
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise SettingsError([Problem(None, "", message)]) from error
    return parse_settings(text, environ)


def parse_settings(text: str, environ: Mapping[str, str]) -> Settings:
    """The settings of a file's text under those of ``environ``; "" is a file without keys."""
    notes = Notes(environ)
    document, notes.problems = parse_document(text)
    if isinstance(document, Scalar) and document.empty:
        document = Fields(None, {})
    if not isinstance(document, Fields):
        if document is not None:
            notes.note(document.line, "", "must be a mapping (key: value)")
        raise SettingsError(notes.problems)
    settings = _read_top(_with_environ(document, notes), notes)
    if notes.problems or settings is None:
        raise SettingsError(notes.problems)
    return settings


def missing_files(settings: Settings) -> list[Problem]:
    """A problem for each file that the settings name and that cannot be read."""
    named = {
        "roles": settings.roles,
        "upstream.ca_file": settings.upstream.ca_file,
        "upstream.client_cert": settings.upstream.client_cert,
        "upstream.client_key": settings.upstream.client_key,
        "tls.cert_file": settings.tls.cert_file,
        "tls.key_file": settings.tls.key_file,
    }
    for i, provider in enumerate(settings.identity):
        named[f"identity[{i}].ca_file"] = provider.ca_file
        named[f"identity[{i}].bearer_token_file"] = provider.bearer_token_file
    problems = []
    for key, path in named.items():
        if path is None:
            continue
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            message = f"cannot read {path}: {error.strerror} (relative to {Path.cwd()})"
            problems.append(Problem(None, key, message))
    return problems


# --- the environment over the file --------------------------------------------------------------


def _with_environ(document: Fields, notes: Notes) -> Fields:
    """The document with every ``MLGATE_…`` variable laid over it; whole keys before parts."""
    referred = set(_secret_names(document)) | COMMAND_LINE_VARIABLES
    referred.update(v for name, v in notes.environ.items() if name.endswith("_SECRET_ENV"))
    names = [name for name in notes.environ if name.startswith(PREFIX) and name not in referred]
    for name in sorted(names, key=lambda n: (n.count("__"), n)):
        value = notes.environ[name]
        if value == "" or _SERVICE_LINK.fullmatch(name):
            continue
        steps = name.removeprefix(PREFIX).lower().split("__")
        laid = _lay(document, steps, Scalar(None, value), "", name, notes)
        if isinstance(laid, Fields):
            document = laid
    return document


def _secret_names(node: Node) -> Iterable[str]:
    """Values of ``…secret_env`` keys: such a variable may itself begin with MLGATE_."""
    if isinstance(node, Items):
        for item in node.items:
            yield from _secret_names(item)
    if isinstance(node, Fields):
        for name, value in node.fields.items():
            if name.endswith("secret_env") and isinstance(value, Scalar):
                yield value.text
            yield from _secret_names(value)


def _lay(
    onto: Node | None, steps: list[str], value: Scalar, key: str, name: str, notes: Notes
) -> Node | None:
    """``onto`` with ``value`` at ``steps``; None (and a problem) when there is no such place."""
    if not steps:
        notes.from_environ[key] = name
        return _structured(value)
    step, *rest = steps
    if step.isdigit():
        return _lay_item(onto, int(step), rest, value, key, name, notes)
    if onto is None or (isinstance(onto, Scalar) and onto.empty):
        onto = Fields(None, {})
    dotted = f"{key}.{step}" if key else step
    if not isinstance(onto, Fields):
        notes.problems.append(Problem(None, name, f"there is no setting {dotted}"))
        return None
    child = _lay(onto.fields.get(step), rest, value, dotted, name, notes)
    return None if child is None else Fields(onto.line, {**onto.fields, step: child})


def _lay_item(
    onto: Node | None, at: int, rest: list[str], value: Scalar, key: str, name: str, notes: Notes
) -> Node | None:
    items = onto.items if isinstance(onto, Items) else ()
    if (onto is not None and not isinstance(onto, Items)) or at > len(items):
        message = f"{key} has {len(items)} entries; number {len(items)} comes next"
        notes.problems.append(Problem(None, name, message))
        return None
    old = items[at] if at < len(items) else None
    child = _lay(old, rest, value, f"{key}[{at}]", name, notes)
    if child is None:
        return None
    return Items(onto.line if onto else None, (*items[:at], child, *items[at + 1 :]))


def _structured(value: Scalar) -> Node:
    """A variable that holds a JSON object, or a list of them, stands for a part of the file."""
    if not re.match(r"\s*(\{|\[\s*\{)", value.text):
        return value
    parsed, problems = parse_document(value.text)
    return value if parsed is None or problems else parsed


# --- sections -------------------------------------------------------------------------------------


def _read_top(document: Fields, notes: Notes) -> Settings | None:
    nested = {"identity": document.fields.get("identity")}
    nested |= {section.name: document.fields.get(section.name) for section in SECTIONS}
    plain = {n: v for n, v in document.fields.items() if n not in nested}
    values = _values(TOP, Fields(document.line, plain), "", notes, tuple(nested))
    made: dict[str, Any] = {}
    for section in SECTIONS:
        made[section.name] = _section(section, nested[section.name], notes)
    made["identity"] = _identities(nested["identity"], notes)
    _together(UPSTREAM, made["upstream"], ("client_cert", "client_key"), nested, notes)
    tls = next(section for section in SECTIONS if section.name == "tls")
    _together(tls, made["tls"], ("cert_file", "key_file"), nested, notes)
    if (
        not isinstance(made["tokens"], Bad)
        and made["tokens"].default_days > made["tokens"].max_days
    ):
        notes.note(_line(nested["tokens"]), "tokens.default_days", "is more than tokens.max_days")
    _place_addresses(values, made, document, notes)
    if notes.problems:
        return None
    return Settings(**values, **made)


def _place_addresses(
    values: dict[str, Any], made: dict[str, Any], document: Fields, notes: Notes
) -> None:
    """``listen`` fills host and port, ``upstreams`` a field of ``upstream``."""
    if isinstance(address := values.get("listen_host"), str):
        pair = split_listen(address)
        assert pair is not None  # the reader checked it
        values["listen_host"], values["listen_port"] = pair
        if "public_url" not in document.fields:
            if is_loopback(pair[0]):
                host = f"[{pair[0]}]" if ":" in pair[0] else pair[0]
                values["public_url"] = f"http://{host}:{pair[1]}"
            else:
                message = "missing; give the URL that people type when listen is not this machine"
                notes.note(_line(document.fields.get("listen")), "public_url", message)
    if isinstance(url := values.get("public_url"), str):
        values["public_url"] = url.rstrip("/")
    if isinstance(urls := values.pop("upstream", None), tuple) and isinstance(
        made["upstream"], Upstream
    ):
        urls = tuple(url.rstrip("/") for url in urls)
        if len(set(urls)) < len(urls):
            notes.note(_line(document.fields.get("upstreams")), "upstreams", "names one twice")
        made["upstream"] = replace(made["upstream"], urls=urls)


def _values(
    section: Section, node: Fields, key: str, notes: Notes, others: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Dataclass field -> value for the keys that are there; BAD ones are noted and left out."""
    values: dict[str, Any] = {}
    for name, child in node.fields.items():
        dotted = f"{key}.{name}" if key else name
        known = section.key(name)
        if known is None:
            choices = (*(k.name for k in section.keys), *others)
            notes.note(child.line, dotted, f"unknown key{did_you_mean(name, choices)}")
            continue
        value = known.reader.read(child, dotted, notes)
        if not isinstance(value, Bad):
            values[known.field] = value
    return values


def _section(section: Section, node: Node | None, notes: Notes) -> object:
    if node is None or (isinstance(node, Scalar) and node.empty):
        return section.makes()
    if not isinstance(node, Fields):
        return notes.note(node.line, section.name, "must be a mapping (key: value)")
    before = len(notes.problems)
    values = _values(section, node, section.name, notes)
    return section.makes(**values) if len(notes.problems) == before else BAD


def _together(
    section: Section, made: object, pair: tuple[str, str], nested: Mapping[str, Any], notes: Notes
) -> None:
    """Two keys of which neither is of use alone."""
    if isinstance(made, Bad):
        return
    there = [name for name in pair if getattr(made, name) is not None]
    if len(there) == 1:
        message = f"{pair[0]} and {pair[1]} go together; only {there[0]} is given"
        notes.note(_line(nested[section.name]), section.name, message)


def _line(node: Node | None) -> int | None:
    return node.line if node is not None else None


# --- identity providers ---------------------------------------------------------------------------


def _identities(node: Node | None, notes: Notes) -> tuple[IdentityProvider, ...]:
    if node is None or (isinstance(node, Scalar) and node.empty):
        return ()
    if not isinstance(node, Items):
        notes.note(node.line, "identity", "must be a list; begin each provider with - type:")
        return ()
    providers: list[IdentityProvider] = []
    for i, item in enumerate(node.items):
        key = f"identity[{i}]"
        provider = _identity(item, key, notes)
        if provider is None:
            continue
        for field in ("name", "issuer"):
            value = getattr(provider, field)
            if value in [getattr(other, field) for other in providers]:
                notes.note(item.line, f"{key}.{field}", f"{value} is another provider's as well")
        providers.append(provider)
    return tuple(providers)


def _identity(node: Node, key: str, notes: Notes) -> IdentityProvider | None:
    if not isinstance(node, Fields):
        notes.note(node.line, key, "must be a mapping (key: value)")
        return None
    before = len(notes.problems)
    values = _values(IDENTITY, _without(node, "issuer", "user_pool"), key, notes)
    kind = node.fields.get("type")
    if kind is None:
        notes.note(node.line, f"{key}.type", "missing; oidc or cognito")
    elif values.get("type") == "cognito":
        _cognito(values, node, key, notes)
    elif values.get("type") == "oidc":
        _oidc(values, node, key, notes)
    return IdentityProvider(**values) if len(notes.problems) == before else None


def _without(node: Fields, *names: str) -> Fields:
    return Fields(node.line, {n: v for n, v in node.fields.items() if n not in names})


def _read_key(name: str, node: Fields, key: str, notes: Notes) -> object:
    known: Key | None = IDENTITY.key(name)
    assert known is not None
    return known.reader.read(node.fields[name], f"{key}.{name}", notes)


def _oidc(values: dict[str, Any], node: Fields, key: str, notes: Notes) -> None:
    if "user_pool" in node.fields:
        line = node.fields["user_pool"].line
        notes.note(line, f"{key}.user_pool", "is for type: cognito only")
    for name in ("name", "issuer"):
        if name not in node.fields:
            notes.note(node.line, f"{key}.{name}", "missing")
    if "issuer" in node.fields:
        values["issuer"] = _read_key("issuer", node, key, notes)
    if "audience" not in node.fields and "client_id" not in node.fields:
        message = "missing; without it any token of the issuer would be accepted"
        notes.note(node.line, f"{key}.audience", message)


def _cognito(values: dict[str, Any], node: Fields, key: str, notes: Notes) -> None:
    """https://docs.aws.amazon.com/cognito/latest/developerguide/
    amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html: the issuer is the pool's URL."""
    if "user_pool" not in node.fields and "issuer" not in node.fields:
        notes.note(node.line, f"{key}.user_pool", "missing; such as us-east-1_AbCdEf")
    if "user_pool" in node.fields:
        pool = _read_key("user_pool", node, key, notes)
        if isinstance(pool, str):
            values["issuer"] = cognito.issuer_of(pool)
            values.setdefault("name", pool)
    if "issuer" in node.fields:
        values["issuer"] = _read_key("issuer", node, key, notes)
    values.setdefault("name", "cognito")
    values.setdefault("user_claims", cognito.USER_CLAIMS)
    values.setdefault("groups_claim", cognito.GROUPS_CLAIM)
    if "client_id" not in node.fields and "audience" not in node.fields:
        message = "missing; without it tokens of every app of the pool would be accepted"
        notes.note(node.line, f"{key}.client_id", message)
