"""Registered models, versions, prompts: names, sources, renames."""

from __future__ import annotations

from typing import Any

from tests.attacks.attempt import (
    BAD,
    DENIED,
    HIDDEN,
    NOTHING,
    Attempt,
    Expect,
    Request,
    get,
    post,
    send,
)

A = "/api/2.0/mlflow"
_TAG = {"key": "k", "value": "@NOW@"}
TAKEN = Expect(400, "RESOURCE_ALREADY_EXISTS", by_mlflow=True)
_NO_M = {"@M@": "@NO_M@"}


def _source(name: str, why: str, source: str, expect: Expect = DENIED, **more: Any) -> Attempt:
    """A version of the caller's own model whose source is somebody else's."""
    direct = more.pop("direct", "")
    body = {"name": "@MC@", "source": source, **more}
    return Attempt(
        f"source-{name}", why, post(f"{A}/model-versions/create", body), expect, direct=direct
    )


def _read_version(name: str = "@MC@") -> Request:
    return get(f"/model-versions/get-artifact?name={name}&version=2&path=secret.txt")


ROWS = (
    Attempt(
        "model-get",
        "404 for what is missing, 403 for what is hidden: that tells names",
        get(f"{A}/registered-models/get?name=@M@"),
        HIDDEN,
        direct="leaks",
        twin=_NO_M,
    ),
    Attempt(
        "model-of-nobody",
        "a model without an owner",
        get(f"{A}/registered-models/get?name=@MU@"),
        HIDDEN,
        direct="leaks",
        twin={"@MU@": "@NO_M@"},
    ),
    Attempt(
        "model-search",
        "a list shows what a get would refuse",
        get(f"{A}/registered-models/search?max_results=500"),
        NOTHING,
        direct="leaks",
    ),
    Attempt(
        "model-search-by-name",
        "a filter on the name is an existence oracle",
        get(f"{A}/registered-models/search?filter=name%3D%27@MSECRET@%27"),
        NOTHING,
        direct="leaks",
        twin={"@MSECRET@": "@NO_M@"},
    ),
    Attempt(
        "version-search",
        "versions name models, runs and sources",
        get(f"{A}/model-versions/search?max_results=500"),
        NOTHING,
        direct="leaks",
    ),
    Attempt(
        "version-search-by-run",
        "a filter on a hidden run tells which model came from it",
        get(f"{A}/model-versions/search?filter=run_id%3D%27@R@%27"),
        NOTHING,
        direct="leaks",
        twin={"@R@": "@NO_R@"},
    ),
    Attempt(
        "version-get",
        "by name and number",
        get(f"{A}/model-versions/get?name=@M@&version=1"),
        HIDDEN,
        direct="leaks",
        twin=_NO_M,
    ),
    Attempt(
        "version-download-uri",
        "tells where the artifacts are",
        get(f"{A}/model-versions/get-download-uri?name=@M@&version=1"),
        HIDDEN,
        direct="leaks",
        twin=_NO_M,
    ),
    Attempt(
        "version-latest-get",
        "one of two methods is covered",
        get(f"{A}/registered-models/get-latest-versions?name=@M@"),
        HIDDEN,
        direct="leaks",
        twin=_NO_M,
    ),
    Attempt(
        "version-latest-post",
        "the other method",
        post(f"{A}/registered-models/get-latest-versions", {"name": "@M@"}),
        HIDDEN,
        direct="leaks",
        twin=_NO_M,
    ),
    Attempt(
        "version-by-alias",
        "an alias is one more way to the version",
        get(f"{A}/registered-models/alias?name=@M@&alias=champion"),
        HIDDEN,
        direct="leaks",
        twin=_NO_M,
    ),
    Attempt(
        "version-artifact",
        "a route outside /api",
        get("/model-versions/get-artifact?name=@M@&version=1&path=secret.txt"),
        HIDDEN,
        direct="leaks",
        twin=_NO_M,
    ),
    Attempt(
        "version-artifact-climbs",
        "one's own version, and .. to others",
        get(
            "/model-versions/get-artifact?name=@MC@&version=1"
            "&path=../../../@E@/@R@/artifacts/secret.txt"
        ),
        BAD,
    ),
    Attempt(
        "version-set-tag",
        "tags look harmless",
        post(f"{A}/model-versions/set-tag", {"name": "@M@", "version": "1", **_TAG}),
        direct="changes",
        twin=_NO_M,
    ),
    Attempt(
        "version-transition",
        "puts a version into production",
        post(
            f"{A}/model-versions/transition-stage",
            {"name": "@M@", "version": "1", "stage": "Production"},
        ),
        direct="changes",
        twin=_NO_M,
    ),
    Attempt(
        "version-update",
        "no check",
        send("PATCH", f"{A}/model-versions/update", {"name": "@M@", "version": "1"}),
        twin=_NO_M,
    ),
    Attempt(
        "version-create-in-foreign-model",
        "the next version of a model is what production loads",
        post(
            f"{A}/model-versions/create",
            {"name": "@M@", "source": "mlflow-artifacts:/@EC@/@RC@/artifacts", "run_id": "@RC@"},
        ),
        direct="changes",
        twin=_NO_M,
    ),
    Attempt(
        "version-create-as-reader",
        "bob reads alice's models and may not add versions",
        post(
            f"{A}/model-versions/create",
            {"name": "@M@", "source": "mlflow-artifacts:/@E@/@R@/artifacts", "run_id": "@R@"},
            who="bob",
        ),
        sees=True,
    ),
    Attempt(
        "version-delete",
        "deletes by body",
        send("DELETE", f"{A}/model-versions/delete", {"name": "@M@", "version": "1"}),
        twin=_NO_M,
    ),
    Attempt(
        "alias-set",
        "moves the alias that production follows",
        post(f"{A}/registered-models/alias", {"name": "@M@", "alias": "champion", "version": "1"}),
        twin=_NO_M,
    ),
    Attempt(
        "alias-set-as-reader",
        "bob reads alice's models and may not move aliases",
        post(
            f"{A}/registered-models/alias",
            {"name": "@M@", "alias": "prod", "version": "1"},
            who="bob",
        ),
        sees=True,
    ),
    Attempt(
        "alias-delete",
        "no check",
        send("DELETE", f"{A}/registered-models/alias", {"name": "@M@", "alias": "champion"}),
        twin=_NO_M,
    ),
    Attempt(
        "model-delete",
        "no check",
        send("DELETE", f"{A}/registered-models/delete", {"name": "@M@"}),
        twin=_NO_M,
    ),
    Attempt(
        "model-delete-as-reader",
        "bob reads it",
        send("DELETE", f"{A}/registered-models/delete", {"name": "@M@"}, who="bob"),
        sees=True,
    ),
    Attempt(
        "model-update",
        "the description is what people read",
        send("PATCH", f"{A}/registered-models/update", {"name": "@M@", "description": "x"}),
        direct="changes",
        twin=_NO_M,
    ),
    Attempt(
        "model-rename",
        "renames a foreign model to a free name",
        post(f"{A}/registered-models/rename", {"name": "@M@", "new_name": "stolen-@MARK@"}),
        twin=_NO_M,
    ),
    Attempt(
        "model-rename-onto-foreign",
        "one's own model under a foreign name would take its grants over",
        post(f"{A}/registered-models/rename", {"name": "@MC@", "new_name": "@M@"}),
        DENIED,
    ),
    Attempt(
        "model-create-over-foreign",
        "a create that fails must not make the caller its owner",
        post(f"{A}/registered-models/create", {"name": "@M@"}),
        DENIED,
        then=((get(f"{A}/registered-models/get?name=@M@"), HIDDEN),),
    ),
    Attempt(
        "model-prompt-tag",
        "a prompt tag turns a model into a prompt, with rules of its own",
        post(
            f"{A}/registered-models/set-tag",
            {"name": "@M@", "key": "mlflow.prompt.is_prompt", "value": "true"},
        ),
        direct="changes",
        twin=_NO_M,
    ),
    Attempt(
        "prompt-get",
        "prompts are models",
        get(f"{A}/model-versions/get?name=@P@&version=1"),
        HIDDEN,
        direct="leaks",
        twin={"@P@": "@NO_M@"},
    ),
    _source(
        "run-of-others",
        "CVE-2026-69148: a version made from another's run",
        "mlflow-artifacts:/@E@/@R@/artifacts",
        run_id="@R@",
        direct="changes",
    ),
    _source(
        "run-of-others-camel",
        "GHSA-442c: the same by runId",
        "mlflow-artifacts:/@EC@/@RC@/artifacts",
        BAD,
        runId="@R@",
    ),
    _source(
        "artifacts-of-others",
        "the run is left out",
        "mlflow-artifacts:/@E@/@R@/artifacts",
    ),
    _source(
        "artifacts-of-others-own-run",
        "the run is the caller's, the source is not",
        "mlflow-artifacts:/@E@/@R@/artifacts",
        run_id="@RC@",
    ),
    _source(
        "runs-uri",
        "a runs:/ URI names another's run",
        "runs:/@R@/artifacts",
    ),
    _source(
        "runs-uri-climbs",
        "one's own run, and .. to others",
        "runs:/@RC@/../../../@E@/@R@/artifacts",
        run_id="@RC@",
    ),
    _source(
        "runs-uri-climbs-encoded",
        "the same with %2e%2e",
        "runs:/@RC@/%2e%2e/%2e%2e/@E@/@R@/artifacts",
        run_id="@RC@",
    ),
    _source(
        "proxied-climbs",
        "one's own experiment, and .. to others",
        "mlflow-artifacts:/@EC@/../@E@/@R@/artifacts",
        run_id="@RC@",
    ),
    _source(
        "proxied-climbs-encoded",
        "the same with %2e%2e",
        "mlflow-artifacts:/@EC@/%2e%2e/@E@/@R@/artifacts",
        run_id="@RC@",
    ),
    _source(
        "proxied-with-host",
        "GHSA-mr9f: a host in the URI",
        "mlflow-artifacts://@MLFLOW@/@E@/@R@/artifacts",
        run_id="@RC@",
    ),
    _source(
        "logged-model",
        "a logged model of another's by its id",
        "models:/@L@",
        model_id="@L@",
    ),
    _source(
        "model-uri",
        "another model's version as the source",
        "models:/@M@/1",
    ),
    _source(
        "bucket",
        "any bucket that the server can read",
        "s3://somebody-elses-bucket/secret",
        direct="changes",
    ),
    _source(
        "server-file",
        "CVE-2023-1177: a path of the server",
        "file:///etc",
    ),
    _source(
        "server-path",
        "CVE-2024-3573: the same without a scheme",
        "/etc/",
    ),
    Attempt(
        "source-prompt-tag-server-file",
        "CVE-2026-2614: with a prompt tag the source was not checked",
        post(
            f"{A}/model-versions/create",
            {
                "name": "@MC@",
                "source": "/etc/",
                "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}],
            },
        ),
        then=((_read_version(), Expect(404, "RESOURCE_DOES_NOT_EXIST", by_mlflow=True)),),
    ),
    _source(
        "foreign-model_id",
        "the source is the caller's, the logged model is not",
        "mlflow-artifacts:/@EC@/@RC@/artifacts",
        run_id="@RC@",
        model_id="@L@",
    ),
)
