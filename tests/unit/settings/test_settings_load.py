"""gateway.yaml and its environment variables: what is read, and every message."""

# ruff: noqa: E501  (a message reads better in one piece)

import json
from dataclasses import fields
from pathlib import Path

import pytest

from gateway.settings import IdentityProvider, Secret, Settings
from gateway.settings_keys import IDENTITY, SECTIONS, TOP
from gateway.settings_load import SettingsError, load_settings, missing_files, parse_settings

ROOT = Path(__file__).parents[3]

OIDC = """\
identity:
  - type: oidc
    name: corp
    issuer: https://login.example.com/realms/corp
    audience: [mlflow]
"""


def problems(text: str, **environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, environ)
    return [str(problem) for problem in caught.value.problems]


def test_no_file_and_no_variables_are_the_defaults() -> None:
    assert load_settings(None, {}) == Settings()
    assert parse_settings("# nothing\n", {}) == Settings()


def test_the_shipped_file_is_the_defaults_with_an_admin_group() -> None:
    shipped = load_settings(ROOT / "config" / "gateway.yaml", {})
    assert shipped.admins.groups == {"mlflow-admins"}
    assert parse_settings("admins: {groups: mlflow-admins}", {}) == shipped


def test_the_commented_providers_of_the_shipped_file_are_valid() -> None:
    text = (ROOT / "config" / "gateway.yaml").read_text()
    text = text.replace("identity: []\n#", "identity:\n ").replace("\n#    ", "\n     ")
    read = parse_settings(text.replace("\n#  - ", "\n   - "), {"OIDC_CLIENT_SECRET": "s"})
    assert [provider.type for provider in read.identity] == ["oidc", "cognito"]


def test_the_contract_s_sample_is_read() -> None:
    read = parse_settings(
        OIDC
        + "    user_claim: email\n    client_id: mlgate\n    client_secret_env: OIDC_SECRET\n"
        + "  - {type: cognito, user_pool: us-east-1_AbCdEf, client_id: [abc123]}\n"
        + "listen: 127.0.0.1:9\nadmins: {users: [], groups: [a, b]}\n"
        + "artifacts: {}\nsession: {}\nlimits: {}\naudit: {}\ntls: {}\n",
        {"OIDC_SECRET": "hush"},
    )
    corp, pool = read.identity
    assert (corp.user_claims, corp.client_id, corp.audience) == (
        ("email",),
        ("mlgate",),
        ("mlflow",),
    )
    assert corp.client_secret is not None
    assert corp.client_secret.reveal() == "hush"
    assert pool == IdentityProvider(
        type="cognito",
        name="us-east-1_AbCdEf",
        issuer="https://cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEf",
        user_claims=("cognito:username", "username"),
        groups_claim="cognito:groups",
        client_id=("abc123",),
    )
    assert read.listen_port == 9
    assert read.public_url == "http://127.0.0.1:9"


def test_the_environment_wins_key_by_key() -> None:
    read = parse_settings(
        OIDC + "limits: {json_body: 2048, burst: 7}\nupstreams: http://a:1\n",
        {
            "MLGATE_LIMITS__JSON_BODY": "3 MiB",
            "MLGATE_UPSTREAMS": "http://b:1/, http://c:2",
            "MLGATE_IDENTITY__0__USER_CLAIM": '["sub"]',
            "MLGATE_IDENTITY__1": '{"type": "cognito", "user_pool": "eu-west-1_x", "client_id": "c"}',
            "MLGATE_IDENTITY__1__NAME": "pool",
            "MLGATE_AUDIT__TO": "off",
            "MLGATE_AUDIT__READS": "false",
            "MLGATE_STAMP_USER": "",
        },
    )
    assert (read.limits.json_body, read.limits.burst) == (3 * 1024**2, 7)
    assert read.upstream.urls == ("http://b:1", "http://c:2")
    assert read.identity[0].user_claims == ("sub",)
    assert read.identity[1].name == "pool"
    assert (read.audit.to, read.audit.reads, read.stamp_user) == ("off", False, True)


def test_variables_that_are_no_settings_are_left_alone() -> None:
    environ = {
        "MLGATE_URL": "http://x",
        "MLGATE_CONFIG": "x",
        "MLGATE_CORP_SECRET": "hush",
        "MLGATE_SERVICE_HOST": "10.0.0.1",
        "MLGATE_PORT": "tcp://10.0.0.1:80",
        "MLGATE_PORT_80_TCP_ADDR": "10.0.0.1",
        "MLGATE_UI_SERVICE_PORT_HTTP": "80",
    }
    read = parse_settings(OIDC + "    client_secret_env: MLGATE_CORP_SECRET\n", environ)
    assert read.identity[0].client_secret == Secret("hush")
    environ["MLGATE_UPSTREAM__SECRET_ENV"] = "MLGATE_SHARED"
    environ["MLGATE_SHARED"] = "hush"
    assert parse_settings("", {**environ, "MLGATE_CORP_SECRET": ""}).upstream.secret == "hush"


def test_a_secret_does_not_show() -> None:
    read = parse_settings("upstream: {secret_env: S}", {"S": "hush"})
    assert "hush" not in repr(read)
    assert "hush" not in f"{read.upstream.secret}"


GOLDEN = [
    ("listen: 127.0.0.1", ["line 1, listen: must be host:port, such as 127.0.0.1:8080 or [::1]:8080"]),
    ("listen: ::1:80", ["line 1, listen: must be host:port, such as 127.0.0.1:8080 or [::1]:8080"]),
    ("listen: a:99999", ["line 1, listen: must be host:port, such as 127.0.0.1:8080 or [::1]:8080"]),
    ("listen: 0.0.0.0:80", ["line 1, public_url: missing; give the URL that people type when listen is not this machine"]),
    ("public_url: http://mlflow.example.com", ["line 1, public_url: must be https (http is for this machine only)"]),
    ("public_url: ftp://x", ["line 1, public_url: must be a URL such as https://mlflow.example.com"]),
    ("public_url: https://a:b@x", ["line 1, public_url: must not hold a user name or password"]),
    ("public_url: https://x/?a", ["line 1, public_url: must not have a query or a fragment"]),
    ("public_url: https://[x", ["line 1, public_url: is not a valid URL"]),
    ("public_url: https://x:port", ["line 1, public_url: is not a valid URL"]),
    ("upstreams: []", ["line 1, upstreams: must have at least one value"]),
    ("upstreams:\n- http://a:1\n- http://b:1/mlflow", ["line 3, upstreams[1]: must end after the host and port, without /mlflow"]),
    ("upstreams: [http://a:1, http://a:1/]", ["line 1, upstreams: names one twice"]),
    ("upstreams: {a: b}", ["line 1, upstreams: must be a list"]),
    ("store: postgres://x/y", ["line 1, store: must be sqlite:///FILE, dynamodb://REGION/TABLE or dynamodb://http://HOST:PORT/TABLE"]),
    ("workers: many", ["line 1, workers: must be a whole number"]),
    ("workers: 0", ["line 1, workers: must be between 1 and 256"]),
    ("workers: 1.5", ["line 1, workers: must be a whole number"]),
    ("workers: 1 KiB", ["line 1, workers: must be a whole number"]),
    ("workers: [1]", ["line 1, workers: must be a single value"]),
    ("workers:", ["line 1, workers: is empty; give a value or remove the key"]),
    ("stamp_user: maybe", ["line 1, stamp_user: must be true or false"]),
    ("worker: 1", ["line 1, worker: unknown key; did you mean workers?"]),
    ("limit: {}", ["line 1, limit: unknown key; did you mean limits?"]),
    ("workers: 1\nworkers: 2", ["line 2, workers: written twice (first on line 1)"]),
    ("limits:\n  json_boddy: 1\n  drain_seconds: 1m\n  json_body: 99 GiB", [
        "line 2, limits.json_boddy: unknown key; did you mean json_body?",
        "line 3, limits.drain_seconds: must be a number, such as 30 or 2.5",
        "line 4, limits.json_body: must be between 1024 and 1073741824"]),
    ("limits: {json_body: 3 MB}", ["line 1, limits.json_body: must be a whole number (KiB, MiB and GiB may follow)"]),
    ("limits: [1]", ["line 1, limits: must be a mapping (key: value)"]),
    ("trusted_proxies: [10.0.0.1/8]", ["line 1, trusted_proxies[0]: must be an address or a network such as 10.0.0.0/8: 10.0.0.1/8 has host bits set"]),
    ("admins: {users: ['user:alice']}", ["line 1, admins.users[0]: write the name as the user_claim spells it, without the part before the colon"]),
    ("session: {hours: 8}", ["line 1, session.hours: unknown key"]),
    ("session: {idle_seconds: 5}", ["line 1, session.idle_seconds: must be between 60 and 3.456e+07"]),
    ("upstream: {client_cert: a.pem}", ["line 1, upstream: client_cert and client_key go together; only client_cert is given"]),
    ("tls: {key_file: a.pem}", ["line 1, tls: cert_file and key_file go together; only key_file is given"]),
    ("tokens: {max_days: 30}", ["line 1, tokens.default_days: is more than tokens.max_days"]),
    ("upstream: {secret_env: NOT_THERE}", ["line 1, upstream.secret_env: the environment variable NOT_THERE is not set"]),
    ("upstream: {secret_env: 'pa$$word'}", ["line 1, upstream.secret_env: must be the name of an environment variable, not the secret itself"]),
    ("identity: {type: oidc}", ["line 1, identity: must be a list; begin each provider with - type:"]),
    ("identity: [oidc]", ["line 1, identity[0]: must be a mapping (key: value)"]),
    ("identity: [{name: a}]", ["line 1, identity[0].type: missing; oidc or cognito"]),
    ("identity: [{type: odic}]", ["line 1, identity[0].type: must be one of oidc, cognito; did you mean oidc?"]),
    ("identity: [{type: oidc}]", [
        "line 1, identity[0].audience: missing; without it any token of the issuer would be accepted",
        "line 1, identity[0].issuer: missing", "line 1, identity[0].name: missing"]),
    ("identity: [{type: cognito}]", [
        "line 1, identity[0].client_id: missing; without it tokens of every app of the pool would be accepted",
        "line 1, identity[0].user_pool: missing; such as us-east-1_AbCdEf"]),
    ("identity: [{type: cognito, user_pool: x, client_id: c}]", ["line 1, identity[0].user_pool: must be a user pool id such as us-east-1_AbCdEf"]),
    (OIDC.replace("https:", "http:"), ["line 4, identity[0].issuer: must be https (http is for this machine only)"]),
    (OIDC + "    algorithms: [none]\n", ["line 6, identity[0].algorithms[0]: must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512"]),
    (OIDC + "    authorization_parameters: [consent, state=x, prompt=consent]\n", [
        "line 6, identity[0].authorization_parameters[0]: must be name=value, such as prompt=consent",
        "line 6, identity[0].authorization_parameters[1]: must not set state, which the sign-in sets itself"]),
    (OIDC + "    user_pool: a\n", ["line 6, identity[0].user_pool: is for type: cognito only"]),
    (OIDC + OIDC.removeprefix("identity:\n"), [
        "line 6, identity[1].issuer: https://login.example.com/realms/corp is another provider's as well",
        "line 6, identity[1].name: corp is another provider's as well"]),
    ("- a", ["line 1: must be a mapping (key: value)"]),
    ("a: [", ["line 1: not readable as YAML: while parsing a flow node; expected the node content, but found '<stream end>'"]),
]  # fmt: skip


@pytest.mark.parametrize("text, expected", GOLDEN)
def test_a_broken_file_lists_all_its_problems(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


@pytest.mark.parametrize(
    "environ, expected",
    [
        ({"MLGATE_WORKERS": "many"}, ["workers (MLGATE_WORKERS): must be a whole number"]),
        ({"MLGATE_WROKERS": "1"}, ["wrokers (MLGATE_WROKERS): unknown key; did you mean workers?"]),
        ({"MLGATE_WORKERS__X": "1"}, ["workers (MLGATE_WORKERS__X): must be a single value"]),
        (
            {"MLGATE_IDENTITY__1__NAME": "x"},
            ["MLGATE_IDENTITY__1__NAME: identity has 0 entries; number 0 comes next"],
        ),
        (
            {"MLGATE_IDENTITY__0__TYPE": "odic"},
            ["identity[0].type (MLGATE_IDENTITY__0__TYPE): must be one of oidc, cognito;"
             " did you mean oidc?"],
        ),
        (
            {"MLGATE_UPSTREAMS": "http://a,b"},
            ["upstreams[1] (MLGATE_UPSTREAMS): must be a URL such as https://mlflow.example.com"],
        ),
        (
            {"MLGATE_UPSTREAMS": "[http://a"},
            ["upstreams (MLGATE_UPSTREAMS): begins with [ and is not a JSON list"],
        ),
        ({"MLGATE_LISTEN": "a", "MLGATE_ROLES__0": "b"},
         ["listen (MLGATE_LISTEN): must be host:port, such as 127.0.0.1:8080 or [::1]:8080",
          "roles (MLGATE_ROLES__0): must be a single value"]),
    ],
)  # fmt: skip
def test_a_broken_variable_is_named(environ: dict[str, str], expected: list[str]) -> None:
    assert problems("", **environ) == expected


def test_a_variable_below_a_plain_value_of_the_file_is_a_problem() -> None:
    assert problems("workers: 2", MLGATE_WORKERS__X="1") == [
        "MLGATE_WORKERS__X: there is no setting workers.x"
    ]


def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*: No such file or directory"):
        load_settings(tmp_path / "absent.yaml", {})
    (tmp_path / "latin.yaml").write_bytes(b"roles: \xe9")
    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        load_settings(tmp_path / "latin.yaml", {})


def test_files_that_are_named_and_absent_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "roles.yaml").write_text("")
    read = parse_settings(OIDC + "    ca_file: ca.pem\nroles: roles.yaml\n", {})
    assert [str(p) for p in missing_files(read)] == [
        f"identity[0].ca_file: cannot read ca.pem: No such file or directory (relative to {tmp_path})"
    ]


def test_every_field_of_the_settings_has_a_key() -> None:
    filled = {key.field for key in TOP.keys} | {section.name for section in SECTIONS}
    assert filled | {"listen_port", "identity"} == {f.name for f in fields(Settings)}
    for section in (*SECTIONS, IDENTITY):
        filled = {key.field for key in section.keys}
        expected = {f.name for f in fields(section.makes)}
        assert filled | {"urls"} == expected | {"urls"}, section.name


def test_every_default_is_a_value_that_the_file_may_hold() -> None:
    for section in SECTIONS:
        for key in section.keys:
            value = section.default(key)
            if value in (None, (), frozenset(), ""):
                continue
            text = json.dumps({section.name: {key.name: value}})
            parse_settings(text, {})
