"""The gateway's own API: grants, tokens and explanations of others."""

from __future__ import annotations

from tests.attacks.attempt import (
    BAD,
    HIDDEN,
    NOBODY,
    UNKNOWN,
    Attempt,
    Request,
    get,
    post,
    send,
)

_ACL = "/access/api/v1/acl"
_TOKENS = "/access/api/v1/tokens"
_CAN = "/access/api/v1/can"
_NO_E = {"@E@": "@NO_E@"}
_MANAGER = {"role": "manager"}
ABSENT = HIDDEN


def _form(page: str, fields: str) -> Request:
    """What a page of the console sends, from a client with a token."""
    form = "application/x-www-form-urlencoded"
    return send("POST", f"/access/{page}", fields.encode("ascii"), content_type=form)


ROWS = (
    Attempt(
        "acl-show-foreign",
        "tells who works on what",
        get(f"{_ACL}/experiment/@E@"),
        twin=_NO_E,
    ),
    Attempt(
        "acl-show-foreign-model",
        "the same for models",
        get(f"{_ACL}/model/@M@"),
        twin={"@M@": "@NO_M@"},
    ),
    Attempt(
        "acl-grant-oneself",
        "nobody checks who grants",
        send("PUT", f"{_ACL}/experiment/@E@/user:carol", _MANAGER),
        twin=_NO_E,
    ),
    Attempt(
        "acl-grant-own-group",
        "through one's group",
        send("PUT", f"{_ACL}/model/@M@/group:research", {"role": "reader"}),
        twin={"@M@": "@NO_M@"},
    ),
    Attempt(
        "acl-grant-everyone",
        "through everyone",
        send("PUT", f"{_ACL}/experiment/@E@/everyone", {"role": "reader"}),
        twin=_NO_E,
    ),
    Attempt(
        "acl-claim-nobodys",
        "what nobody owns is taken by the first who asks",
        send("PUT", f"{_ACL}/experiment/@EU@/user:carol", _MANAGER),
        twin={"@EU@": "@NO_E@"},
    ),
    Attempt(
        "acl-claim-default",
        "experiment 0 likewise",
        send("PUT", f"{_ACL}/experiment/0/user:carol", _MANAGER),
    ),
    Attempt(
        "acl-claim-future",
        "a grant on an experiment that is still to come",
        send("PUT", f"{_ACL}/experiment/@NO_E@/user:carol", _MANAGER),
    ),
    Attempt(
        "acl-raise-as-reader",
        "a reader raises herself (mlflow-oidc-auth #128)",
        send("PUT", f"{_ACL}/experiment/@EX@/user:carol", {"role": "editor"}),
    ),
    Attempt(
        "acl-raise-as-editor",
        "an editor makes himself manager",
        send("PUT", f"{_ACL}/experiment/@E@/user:bob", _MANAGER, "bob"),
        sees=True,
    ),
    Attempt(
        "acl-raise-group-as-editor",
        "or his group",
        send("PUT", f"{_ACL}/experiment/@E@/group:data-science", _MANAGER, "bob"),
        sees=True,
    ),
    Attempt(
        "acl-revoke-manager",
        "takes the manager's grant away",
        send("DELETE", f"{_ACL}/experiment/@E@/user:alice"),
        twin=_NO_E,
    ),
    Attempt(
        "acl-revoke-manager-as-editor",
        "the same by an editor",
        send("DELETE", f"{_ACL}/experiment/@E@/user:alice", None, "bob"),
        sees=True,
    ),
    Attempt(
        "acl-encoded-id",
        "0N is N to int()",
        send("PUT", f"{_ACL}/experiment/0@E@/user:carol", _MANAGER),
    ),
    Attempt(
        "acl-id-blank",
        "a blank before the id",
        get(f"{_ACL}/experiment/%20@E@"),
    ),
    Attempt(
        "acl-id-climbs",
        "the id becomes part of a question to MLflow",
        get(f"{_ACL}/experiment/@EC@%26experiment_id=@E@"),
    ),
    Attempt(
        "acl-model-id-climbs",
        "the same with a path",
        get(f"{_ACL}/model/..%2f..%2fexperiments%2fget%3fexperiment_id=@E@"),
    ),
    Attempt(
        "acl-kind-unknown",
        "a kind that has no rules",
        get(f"{_ACL}/run/@R@"),
        BAD,
    ),
    Attempt(
        "acl-kind-upper",
        "a kind in capitals",
        get(f"{_ACL}/EXPERIMENT/@E@"),
        BAD,
    ),
    Attempt(
        "acl-principal-odd",
        "a principal that is spelled like no one",
        send("PUT", f"{_ACL}/experiment/@EC@/user:%20alice", {"role": "reader"}),
        BAD,
    ),
    Attempt(
        "acl-role-unknown",
        "a role that is none",
        send("PUT", f"{_ACL}/experiment/@EC@/user:bob", {"role": "admin"}),
        BAD,
    ),
    Attempt(
        "acl-duplicate-role",
        "the first role is harmless",
        send(
            "PUT",
            f"{_ACL}/experiment/@EX@/user:carol",
            '{"role":"reader","role":"manager"}',
        ),
        BAD,
    ),
    Attempt(
        "acl-last-manager",
        "leaves one's own experiment to nobody, for the next to claim",
        send("DELETE", f"{_ACL}/experiment/@EC@/user:carol"),
        BAD,
    ),
    Attempt("acl-anonymous", "no credential", get(f"{_ACL}/experiment/@E@", None, None), NOBODY),
    Attempt(
        "acl-double-slash",
        "the prefix is matched on the raw target",
        get("//access/api/v1/acl/experiment/@E@"),
        BAD,
    ),
    Attempt("tokens-of-alice", "lists another's tokens", get(f"{_TOKENS}?principal=user:alice")),
    Attempt("tokens-of-all", "lists everybody's", get(f"{_TOKENS}?principal=all")),
    Attempt(
        "tokens-of-foreign-service",
        "a service account of another group",
        get(f"{_TOKENS}?principal=service:nightly-@MARK@"),
    ),
    Attempt(
        "tokens-two-principals",
        "one is checked, the other used",
        get(f"{_TOKENS}?principal=user:carol&principal=user:alice"),
        BAD,
    ),
    Attempt(
        "token-for-alice",
        "a token that acts as another",
        post(_TOKENS, {"principal": "user:alice"}),
    ),
    Attempt(
        "token-for-dave",
        "a token that acts as an admin",
        post(_TOKENS, {"principal": "user:dave"}),
    ),
    Attempt(
        "token-for-foreign-service",
        "a token of another group's service account",
        post(_TOKENS, {"principal": "service:nightly-@MARK@"}),
    ),
    Attempt(
        "token-service-in-foreign-group",
        "a new service account that is in another group",
        post(_TOKENS, {"principal": "service:spy-@MARK@", "group": "data-science"}),
    ),
    Attempt(
        "token-service-in-admins",
        "or among the admins",
        post(_TOKENS, {"principal": "service:root-@MARK@", "group": "mlflow-admins"}),
    ),
    Attempt(
        "token-groups-field",
        "a field that the maker of tokens takes inside",
        post(_TOKENS, {"groups": ["mlflow-admins"]}),
        BAD,
    ),
    Attempt(
        "token-group-principal",
        "a token of a group",
        post(_TOKENS, {"principal": "group:data-science"}),
    ),
    Attempt("token-everyone", "a token of everyone", post(_TOKENS, {"principal": "everyone"})),
    Attempt(
        "token-service-odd-name",
        "a service account with a person's name in it",
        post(_TOKENS, {"principal": "service:x\nuser:alice"}),
        BAD,
    ),
    Attempt("token-forever", "an endless token", post(_TOKENS, '{"days": 1e999}'), BAD),
    Attempt("token-days-negative", "a token from the past", post(_TOKENS, {"days": -1}), BAD),
    Attempt("token-days-nan", "a number that is none", post(_TOKENS, '{"days": NaN}'), BAD),
    Attempt(
        "token-revoke-alices",
        "revokes another's token by its id",
        send("DELETE", f"{_TOKENS}/@TOKEN_ID@"),
        ABSENT,
        twin={"@TOKEN_ID@": "@NO_ID@"},
    ),
    Attempt(
        "token-revoke-services",
        "or that of another group's service account",
        send("DELETE", f"{_TOKENS}/@SERVICE_TOKEN_ID@"),
        ABSENT,
        twin={"@SERVICE_TOKEN_ID@": "@NO_ID@"},
    ),
    Attempt(
        "can-about-alice",
        "what may alice do?",
        get(f"{_CAN}?principal=user:alice&call=runs/get&kind=experiment&id=@E@"),
    ),
    Attempt(
        "whoami-as-alice",
        "asks to be another",
        Request("GET", "/access/api/v1/whoami", headers=(("X-Forwarded-User", "alice"),), who=None),
        NOBODY,
    ),
    Attempt(
        "access-unknown",
        "an endpoint of an admin that might be",
        get("/access/api/v1/admin"),
        UNKNOWN,
    ),
    Attempt(
        "access-audit",
        "what did the others do?",
        get("/access/api/v1/audit"),
    ),
    Attempt(
        "access-audit-page",
        "the same as a page, about alice",
        get("/access/audit?principal=alice"),
    ),
    Attempt(
        "access-audit-file",
        "the same as a file",
        get("/access/audit.csv?principal=alice"),
    ),
    Attempt(
        "access-people",
        "who is there, and how they sign in",
        get("/access/people"),
    ),
    Attempt(
        "access-everything",
        "every experiment and model that there is, as an admin sees them",
        get("/access/resources?who=all"),
    ),
    Attempt(
        "form-share-oneself",
        "a form knows no roles",
        _form("share/experiment/@E@", "do=give&principal=user:carol&role=manager"),
        twin=_NO_E,
    ),
    Attempt(
        "form-share-names",
        "who else is there? asked about another's model",
        get("/access/share/model/@M@/names?q=a"),
        twin={"@M@": "@NO_M@"},
    ),
    Attempt(
        "form-token-of-alice",
        "a token in another's name, from the page's form",
        _form("tokens", "do=create&of=user:alice&label=mine&days=1"),
    ),
    Attempt(
        "form-token-revoke",
        "another's token is ended by its id",
        _form("tokens", "do=revoke&of=user:alice&id=@TOKEN_ID@"),
        twin={"@TOKEN_ID@": "@NO_ID@"},
    ),
    Attempt(
        "form-token-replace",
        "another's token is replaced by one that I get to see",
        _form("tokens", "do=replace&of=user:alice&id=@TOKEN_ID@"),
    ),
    Attempt(
        "form-tokens-of-alice",
        "shows another's tokens",
        get("/access/tokens?of=user:alice"),
    ),
    Attempt(
        "form-sessions-of-alice",
        "where and when another signed in",
        get("/access/sessions?of=user:alice"),
    ),
    Attempt(
        "form-end-sessions-of-alice",
        "throws another out",
        _form("sessions", "do=all&of=user:alice"),
    ),
    Attempt(
        "form-end-others-of-alice",
        "the same, as if they were my other sessions",
        _form("sessions", "do=others&of=user:alice"),
    ),
    Attempt(
        "sessions-revoke-alice",
        "throws another out",
        send("DELETE", "/access/api/v1/sessions/user:alice"),
    ),
    Attempt(
        "access-case",
        "the prefix in capitals",
        get("/ACCESS/api/v1/acl/experiment/@E@"),
        UNKNOWN,
    ),
)
