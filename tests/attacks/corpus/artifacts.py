"""Artifacts: every encoding of a foreign path, every family of endpoints that reaches files."""

from __future__ import annotations

from tests.attacks.attempt import BAD, Attempt, Expect, get, post, send

F = "/api/2.0/mlflow-artifacts"
X = "/ajax-api/2.0/mlflow-artifacts"
A = "/api/2.0/mlflow"
_FILE = "@R@/artifacts/secret.txt"
_NO_E = {"@E@": "@NO_E@"}


def _spelled(name: str, why: str, path: str, *, direct: bool = True) -> Attempt:
    return Attempt(
        f"artifact-{name}",
        why,
        get(f"{F}/artifacts/{path}"),
        BAD,
        direct="leaks" if direct else "",
    )


ROWS = (
    Attempt(
        "artifact-get",
        "the proxied file is found by its path alone",
        get(f"{F}/artifacts/@E@/{_FILE}"),
        direct="leaks",
        twin=_NO_E,
    ),
    Attempt(
        "artifact-get-ajax",
        "checks that cover /api only (mlflow-oidc-auth #283)",
        get(f"{X}/artifacts/@E@/{_FILE}"),
        direct="leaks",
        twin=_NO_E,
    ),
    Attempt(
        "artifact-head",
        "HEAD tells size and existence",
        send("HEAD", f"{F}/artifacts/@E@/{_FILE}"),
        Expect(404),
    ),
    Attempt(
        "artifact-of-nobody",
        "an experiment without an owner",
        get(f"{F}/artifacts/@EU@/@RU@/artifacts/secret.txt"),
        direct="leaks",
        twin={"@EU@": "@NO_E@"},
    ),
    _spelled("dot-first", "./N is N", f"./@E@/{_FILE}"),
    _spelled("dot-encoded", "%2e is a dot", f"%2e/@E@/{_FILE}"),
    _spelled("double-slash", "an empty segment vanishes", f"@E@//{_FILE}"),
    _spelled("slash-encoded", "%2f is a slash", f"@E@%2f{_FILE}"),
    _spelled("blank-first", "leading blanks are stripped", f"%20@E@/{_FILE}"),
    _spelled("tab-inside", "tabs are removed by urlparse", f"@E@%09/{_FILE}"),
    _spelled("control-first", "control characters are stripped", f"%01@E@/{_FILE}"),
    _spelled("question-mark", "%3f begins a query when decoded again", f"@E@/{_FILE}%3f"),
    _spelled("fragment", "%23 begins a fragment when decoded again", f"@E@/{_FILE}%23"),
    _spelled(
        "triple-encoded",
        "%252e%252e decodes to .. in the end",
        f"@EC@/%25252e%25252e/@E@/{_FILE}",
        direct=False,
    ),
    _spelled("climb", "own experiment first, then ..", f"@EC@/../@E@/{_FILE}", direct=False),
    _spelled("climb-encoded", "the same with %2e%2e", f"@EC@/%2e%2e/@E@/{_FILE}", direct=False),
    _spelled(
        "climb-backslash", "the same for Windows", f"@EC@/..%5c..%5c@E@/{_FILE}", direct=False
    ),
    _spelled(
        "leading-zero",
        "0N is not N in a path, but may be in a check",
        f"0@E@/{_FILE}",
        direct=False,
    ),
    _spelled("no-experiment", "a path without an experiment id", "rootfile.txt", direct=False),
    _spelled("absolute", "a path that begins with / again", f"%2f@E@/{_FILE}", direct=False),
    _spelled("file-url", "a URL in a path", "file:%2f%2f%2fetc%2fpasswd", direct=False),
    Attempt(
        "artifact-double-encoded-digit",
        "%25 hides the experiment id from one who decodes once",
        get(f"{F}/artifacts/%25@EHEX@/{_FILE}"),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "artifact-put",
        "overwrites what a model is loaded from",
        send("PUT", f"{F}/artifacts/@E@/@R@/artifacts/MLmodel", b"poison"),
        direct="changes",
        twin=_NO_E,
    ),
    Attempt(
        "artifact-put-ajax",
        "the twin of the path",
        send("PUT", f"{X}/artifacts/@E@/@R@/artifacts/new.txt", b"poison"),
        direct="changes",
        twin=_NO_E,
    ),
    Attempt(
        "artifact-put-future-experiment",
        "plants files under the id of an experiment to come",
        send("PUT", f"{F}/artifacts/999999/x", b"@MARK@"),
        direct="changes",
    ),
    Attempt(
        "artifact-put-root",
        "a file in no experiment",
        send("PUT", f"{F}/artifacts/rootfile.txt", b"@MARK@"),
        BAD,
        direct="changes",
    ),
    Attempt(
        "artifact-put-chunked",
        "the body is streamed, so the check may come too late",
        send(
            "PUT",
            f"{F}/artifacts/@E@/@R@/artifacts/chunked.txt",
            b"6\r\npoison\r\n0\r\n\r\n",
            Transfer_Encoding="chunked",
        ),
        direct="changes",
    ),
    Attempt(
        "artifact-put-as-reader",
        "a reader replaces the model's weights",
        send("PUT", f"{F}/artifacts/@EX@/@RX@/artifacts/secret.txt", b"poison"),
    ),
    Attempt(
        "artifact-delete",
        "CVE-2023-6831 class: deletes by path",
        send("DELETE", f"{F}/artifacts/@E@/{_FILE}"),
        twin=_NO_E,
    ),
    Attempt(
        "artifact-delete-whole-experiment",
        "the folder of an experiment is a path as well",
        send("DELETE", f"{F}/artifacts/@E@"),
        twin=_NO_E,
    ),
    Attempt(
        "artifact-delete-double-encoded",
        "CVE-2024-1560: decoded twice",
        send("DELETE", f"{F}/artifacts/@EC@/%252e%252e/@E@/{_FILE}"),
        BAD,
    ),
    Attempt(
        "artifact-delete-as-editor",
        "an editor deletes what cannot be restored",
        send("DELETE", f"{F}/artifacts/@E@/{_FILE}", who="bob"),
        sees=True,
    ),
    Attempt(
        "artifact-list-root",
        "the root lists every experiment",
        get(f"{F}/artifacts"),
        BAD,
    ),
    Attempt(
        "artifact-list-root-dot",
        "'.' is the root as well",
        get(f"{F}/artifacts?path=."),
        BAD,
    ),
    Attempt(
        "artifact-list-body",
        "the path in the body of a GET",
        get(f"{F}/artifacts", {"path": "@E@/@R@"}),
        BAD,
    ),
    Attempt(
        "artifact-list-foreign",
        "a folder is listed by its path",
        get(f"{F}/artifacts?path=@E@"),
        direct="leaks",
        twin=_NO_E,
    ),
    Attempt(
        "artifact-list-foreign-double-encoded",
        "the query is decoded once more by MLflow",
        get(f"{F}/artifacts?path=%25@EHEX@"),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "artifact-list-trailing-slash",
        "N/ is N",
        get(f"{F}/artifacts?path=@E@/"),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "artifact-list-of-run",
        "by run",
        get(f"{A}/artifacts/list?run_id=@R@"),
        twin={"@R@": "@NO_R@"},
    ),
    Attempt(
        "get-artifact",
        "a route outside /api",
        get("/get-artifact?run_id=@R@&path=secret.txt"),
        direct="leaks",
        twin={"@R@": "@NO_R@"},
    ),
    Attempt(
        "get-artifact-empty-run_id",
        "an empty run_id falls back to run_uuid",
        get("/get-artifact?run_id=&run_uuid=@R@&path=secret.txt"),
        direct="leaks",
    ),
    Attempt(
        "get-artifact-both",
        "two names of one field",
        get("/get-artifact?run_id=@R@&run_uuid=@RC@&path=secret.txt"),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "get-artifact-twice",
        "one field twice",
        get("/get-artifact?run_id=@R@&run_id=@RC@&path=secret.txt"),
        BAD,
        direct="leaks",
    ),
    Attempt(
        "get-artifact-climbs",
        "one's own run, and .. to others",
        get("/get-artifact?run_id=@RC@&path=../../../@E@/@R@/artifacts/secret.txt"),
        BAD,
    ),
    Attempt(
        "get-artifact-climbs-encoded",
        "the same, encoded twice",
        get("/get-artifact?run_id=@RC@&path=%252e%252e/%252e%252e/@E@/@R@/artifacts/secret.txt"),
        BAD,
    ),
    Attempt(
        "get-artifact-absolute",
        "a path of the server",
        get("/get-artifact?run_id=@RC@&path=/etc/passwd"),
        BAD,
    ),
    Attempt(
        "upload-artifact",
        "the ids of a POST are in its query",
        post("/ajax-api/2.0/mlflow/upload-artifact?run_uuid=@R@&path=up.txt", b"poison"),
        direct="changes",
        twin={"@R@": "@NO_R@"},
    ),
    Attempt(
        "upload-artifact-climbs",
        "one's own run, and .. to others",
        post(
            "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=@RC@&path=../../../@E@/up.txt",
            b"poison",
        ),
        BAD,
    ),
    Attempt(
        "mpu-create",
        "CVE-2026-2651: multipart uploads had no check",
        post(f"{F}/mpu/create/@E@/@R@/artifacts/big.bin", {"path": "big.bin", "num_parts": 1}),
        twin=_NO_E,
    ),
    Attempt(
        "mpu-create-body-path",
        "the path is the caller's, the file name in the body climbs",
        post(
            f"{F}/mpu/create/@EC@/@RC@/artifacts",
            {"path": "../../../@E@/@R@/artifacts/secret.txt", "num_parts": 1},
        ),
        BAD,
    ),
    Attempt(
        "mpu-complete",
        "the last step of an upload",
        post(
            f"{X}/mpu/complete/@E@/@R@/artifacts/big.bin",
            {"path": "big.bin", "upload_id": "u", "parts": []},
        ),
        twin=_NO_E,
    ),
    Attempt(
        "mpu-abort",
        "cuts somebody else's upload",
        post(f"{F}/mpu/abort/@E@/@R@/artifacts/big.bin", {"path": "big.bin", "upload_id": "u"}),
        twin=_NO_E,
    ),
    Attempt(
        "presigned-get",
        "a URL that outlives every grant",
        get(f"{F}/presigned/@E@/{_FILE}"),
        twin=_NO_E,
    ),
    Attempt(
        "presigned-double-encoded",
        "the same, encoded twice",
        get(f"{F}/presigned/%25@EHEX@/{_FILE}"),
        BAD,
    ),
    Attempt(
        "presigned-download-url",
        "by run",
        post(f"{A}/artifacts/presigned-download-url", {"run_id": "@R@", "path": "secret.txt"}),
        twin={"@R@": "@NO_R@"},
    ),
    Attempt(
        "presigned-download-url-camel",
        "run_uuid satisfies MLflow's schema, runId is what it uses",
        post(
            f"{A}/artifacts/presigned-download-url",
            {"run_uuid": "@RC@", "runId": "@R@", "path": "secret.txt"},
        ),
        BAD,
    ),
    Attempt(
        "presigned-download-url-climbs",
        "one's own run, and .. to others",
        post(
            f"{A}/artifacts/presigned-download-url",
            {"run_id": "@RC@", "path": "../../../@E@/@R@/artifacts/secret.txt"},
        ),
        BAD,
    ),
    Attempt(
        "presigned-upload-url-model",
        "the model is an alternative to the run",
        post(
            f"{A}/artifacts/presigned-upload-url",
            {"run_id": "@RC@", "model_id": "@L@", "path": "weights.bin"},
        ),
        twin={"@L@": "@NO_L@"},
    ),
    Attempt(
        "logged-model-files",
        "CVE-2026-33866: the download of a logged model had no check",
        get(
            "/ajax-api/2.0/mlflow/logged-models/@L@/artifacts/files?artifact_file_path=weights.bin"
        ),
        direct="leaks",
        twin={"@L@": "@NO_L@"},
    ),
    Attempt(
        "logged-model-files-climbs",
        "one's own model, and .. to others",
        get(
            "/ajax-api/2.0/mlflow/logged-models/@LC@/artifacts/files"
            "?artifact_file_path=../../../../@E@/@R@/artifacts/secret.txt"
        ),
        BAD,
    ),
    Attempt(
        "logged-model-directories",
        "lists the files of a logged model",
        get(f"{A}/logged-models/@L@/artifacts/directories"),
        twin={"@L@": "@NO_L@"},
    ),
    Attempt(
        "trace-artifact",
        "the spans of a trace are a file",
        get("/ajax-api/3.0/mlflow/get-trace-artifact?request_id=@T@"),
        direct="leaks",
        twin={"@T@": "@NO_T@"},
    ),
    Attempt(
        "trace-artifact-climbs",
        "one's own trace, and a path to others",
        get(
            "/ajax-api/3.0/mlflow/get-trace-artifact?request_id=@TC@"
            "&path=../../../../@E@/@R@/artifacts/secret.txt"
        ),
        BAD,
    ),
)
