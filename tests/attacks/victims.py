"""The world that is attacked: alice's things, carol's own, and things that nobody owns.

alice and bob are of one group, carol is of another. Everything of alice's holds a secret word
that must never reach carol. ``build`` makes the same world through a gateway or in a bare MLflow.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tests.stack import Answer, Stack

Call = Callable[..., Answer]
"""``call(who, method, path, json_body, **more)``."""
_A = "/api/2.0/mlflow"
_V3 = "/api/3.0/mlflow"


class World(dict[str, str]):
    """Identifiers by the names that rows use; ``secret`` is the word that must not leak."""

    secret: str
    private: tuple[str, ...]
    """Identifiers that an answer must not hold unless the request did."""

    def now(self, attempt: str) -> World:
        """The world with ``@NOW@`` being this attempt, so that no two write the same."""
        copy = World({**self, "NOW": attempt})
        copy.secret, copy.private = self.secret, self.private
        return copy


def build(call: Call, direct: Call, *, shared: bool, host: str, mlflow: str) -> World:
    """Make a world. ``shared``: the gateway is in front, so carol is also given reader roles."""
    world = World()
    mark = uuid.uuid4().hex[:10]
    world.secret = f"topsecret{uuid.uuid4().hex[:12]}"
    world["SECRET"] = world.secret
    world["HOST"], world["MLFLOW"] = host, mlflow
    world["MARK"] = mark
    maker = _Maker(call, world, mark)
    maker.experiment_with_everything("alice", "", f"plans-{mark}", secret=True)
    maker.experiment_with_everything("carol", "C", f"mine-{mark}", secret=False)
    maker.experiment_with_everything("alice", "X", f"shown-{mark}", secret=False)
    maker.more_of_alice()
    if shared:
        for kind, one in (("experiment", world["EX"]), ("model", world["MX"])):
            path = f"/access/api/v1/acl/{kind}/{one}/user:carol"
            _ok(call("alice", "PUT", path, {"role": "reader"}))
    _nobodys(_Maker(direct, world, mark))
    _absent(world)
    _tokens(call, direct, world, shared)
    world["EHEX"] = f"{ord(world['E'][0]):02x}{world['E'][1:]}"
    world.private = tuple(
        world[name]
        for name in ("MHIDDEN", "R", "T", "L", "D", "I", "Q", "LS", "AS", "MSECRET", "RU")
    )
    return world


def world_of(stack: Stack, *, behind_gateway: bool) -> World:
    """A world made through the stack's gateway, or in its MLflow alone."""

    def direct(_who: str, method: str, path: str, fields: Any = None, **more: Any) -> Answer:
        return stack.direct(method, path, fields, **more)

    mlflow = stack.mlflow.url.partition("//")[2]
    if not behind_gateway:
        return build(direct, direct, shared=False, host=mlflow, mlflow=mlflow)
    rebuild_what_was_lost(stack)
    host = stack.url.partition("//")[2]
    return build(stack.call, direct, shared=True, host=host, mlflow=mlflow)


def rebuild_what_was_lost(stack: Stack) -> None:
    """Let everybody find what is theirs by its tags but has no ACL row here.

    Other tests leave such things in the shared MLflow (they make them through gateways with
    stores of their own). The gateway rebuilds a row when its owner's search meets it, and an
    attempt that happens to be the first such search would seem to have changed something.
    """
    for who in ("alice", "bob", "carol"):
        for kind in ("experiments", "registered-models"):
            token = ""
            while True:
                path = f"{_A}/{kind}/search?max_results=500{token}"
                if kind == "experiments":
                    path += "&view_type=ALL"
                page = _ok(stack.call(who, "GET", path))
                if not page.get("next_page_token"):
                    break
                token = f"&page_token={quote(page['next_page_token'], safe='')}"


class _Maker:
    def __init__(self, call: Call, world: World, mark: str) -> None:
        self.call = call
        self.world = world
        self.mark = mark

    def make(self, who: str, method: str, path: str, fields: Any = None, **more: Any) -> Any:
        return _ok(self.call(who, method, path, fields, **more))

    def experiment_with_everything(self, who: str, end: str, name: str, *, secret: bool) -> None:
        """An experiment with one of each thing in it, and a registered model."""
        w, word = self.world, self.world.secret if secret else f"open{self.mark}"
        tags = [{"key": "note", "value": word}]
        made = self.make(who, "POST", f"{_A}/experiments/create", {"name": name, "tags": tags})
        e = w[f"E{end}"] = made["experiment_id"]
        w[f"ENAME{end}"] = name
        r = w[f"R{end}"] = self.run(who, e, word)
        self.artifact(who, f"{e}/{r}/artifacts/secret.txt", word)
        self.trace(who, end, e, word)
        self.logged_model(who, end, e, r, word)
        self.review_things(who, end, e, r, word)
        model = w[f"M{end}"] = f"model{end.lower()}-{self.mark}"
        self.model(who, model, word, f"mlflow-artifacts:/{e}/{r}/artifacts", r)

    def run(self, who: str, experiment: str, word: str) -> str:
        body = {"experiment_id": experiment, "run_name": word, "start_time": 1}
        run = self.make(who, "POST", f"{_A}/runs/create", body)["run"]["info"]["run_id"]
        batch = {
            "run_id": run,
            "metrics": [{"key": f"loss-{word}", "value": 0.25, "timestamp": 1, "step": 0}],
            "params": [{"key": "password", "value": word}],
            "tags": [{"key": "note", "value": word}],
        }
        self.make(who, "POST", f"{_A}/runs/log-batch", batch)
        return str(run)

    def artifact(self, who: str, path: str, word: str) -> None:
        self.make(
            who,
            "PUT",
            f"/api/2.0/mlflow-artifacts/artifacts/{path}",
            body=f"content {word}\n".encode(),
        )

    def trace(self, who: str, end: str, experiment: str, word: str) -> None:
        trace = self.world[f"T{end}"] = f"tr-{uuid.uuid4().hex}"
        info = {
            "trace_id": trace,
            "trace_location": {
                "type": "MLFLOW_EXPERIMENT",
                "mlflow_experiment": {"experiment_id": experiment},
            },
            "request_preview": word,
            "response_preview": word,
            "request_time": "2026-01-01T00:00:00Z",
            "execution_duration": "1s",
            "state": "OK",
            "trace_metadata": {"meta": word},
            "tags": {"note": word},
        }
        made = self.make(who, "POST", f"{_V3}/traces", {"trace": {"trace_info": info}})
        place = made["trace"]["trace_info"]["tags"]["mlflow.artifactLocation"]
        spans = json.dumps({"spans": [], "note": word})
        self.artifact(who, place.removeprefix("mlflow-artifacts:/") + "/traces.json", spans)
        assessment = {
            "assessment_name": "verdict",
            "source": {"source_type": "HUMAN", "source_id": who},
            "feedback": {"value": word},
        }
        made = self.make(
            who, "POST", f"{_V3}/traces/{trace}/assessments", {"assessment": assessment}
        )
        self.world[f"AS{end}"] = made["assessment"]["assessment_id"]

    def logged_model(self, who: str, end: str, experiment: str, run: str, word: str) -> None:
        body = {
            "experiment_id": experiment,
            "name": f"net-{word}",
            "source_run_id": run,
            "params": [{"key": "p", "value": word}],
            "tags": [{"key": "note", "value": word}],
        }
        made = self.make(who, "POST", f"{_A}/logged-models", body)["model"]["info"]
        self.world[f"L{end}"] = made["model_id"]
        place = made["artifact_uri"].removeprefix("mlflow-artifacts:/")
        self.artifact(who, f"{place}/weights.bin", word)

    def review_things(self, who: str, end: str, experiment: str, run: str, word: str) -> None:
        """A dataset, an issue, a scorer, a label schema and a review queue."""
        w = self.world
        body: dict[str, Any] = {"name": f"data-{word}-{end}", "experiment_ids": [experiment]}
        w[f"D{end}"] = self.make(who, "POST", f"{_V3}/datasets/create", body)["dataset"][
            "dataset_id"
        ]
        records = json.dumps([{"inputs": {"q": word}, "expectations": {"a": word}}])
        self.make(who, "POST", f"{_V3}/datasets/{w[f'D{end}']}/records", {"records": records})
        body = {
            "experiment_id": experiment,
            "name": word,
            "description": word,
            "status": "pending",
            "source_run_id": run,
        }
        w[f"I{end}"] = self.make(who, "POST", f"{_V3}/issues", body)["issue"]["issue_id"]
        scorer = json.dumps(
            {
                "name": "judge",
                "mlflow_version": "3.17.2",
                "serialization_version": 1,
                "builtin_scorer_class": "Safety",
                "builtin_scorer_pydantic_data": {"name": "judge", "note": word},
            }
        )
        body = {"experiment_id": experiment, "name": "judge", "serialized_scorer": scorer}
        self.make(who, "POST", f"{_V3}/scorers/register", body)
        body = {
            "experiment_id": experiment,
            "name": f"label-{word}",
            "type": "FEEDBACK",
            "input": {"text": {}},
            "instruction": word,
        }
        made = self.make(who, "POST", f"{_V3}/label-schemas/create", body)
        w[f"LS{end}"] = made["label_schema"]["schema_id"]
        body = {"experiment_id": experiment, "name": f"queue-{word}", "queue_type": "CUSTOM"}
        made = self.make(who, "POST", f"{_V3}/review-queues/create", body)
        w[f"Q{end}"] = made["review_queue"]["queue_id"]

    def model(self, who: str, name: str, word: str, source: str, run: str | None) -> None:
        tags = [{"key": "note", "value": word}]
        body: dict[str, Any] = {"name": name, "description": word, "tags": tags}
        self.make(who, "POST", f"{_A}/registered-models/create", body)
        body = {"name": name, "source": source, "description": word, "tags": tags}
        if run is not None:
            body["run_id"] = run
        self.make(who, "POST", f"{_A}/model-versions/create", body)
        body = {"name": name, "alias": "champion", "version": "1"}
        self.make(who, "POST", f"{_A}/registered-models/alias", body)

    def more_of_alice(self) -> None:
        """Things whose very names are secret, a prompt, a deleted run and experiment."""
        w = self.world
        name = w["ESECRET"] = f"merger-{w.secret}"
        self.make("alice", "POST", f"{_A}/experiments/create", {"name": name})
        w["MSECRET"] = f"bid-{w.secret}"
        source = f"mlflow-artifacts:/{w['E']}/{w['R']}/artifacts"
        self.model("alice", w["MSECRET"], w.secret, source, w["R"])
        # Made from a run that carol may read, but not shared with her itself.
        w["MHIDDEN"] = f"hidden-{self.mark}"
        source = f"mlflow-artifacts:/{w['EX']}/{w['RX']}/artifacts"
        self.model("alice", w["MHIDDEN"], w.secret, source, w["RX"])
        w["P"] = f"prompt-{self.mark}"
        tags = [
            {"key": "mlflow.prompt.is_prompt", "value": "true"},
            {"key": "mlflow.prompt.text", "value": w.secret},
        ]
        body: dict[str, Any] = {"name": w["P"], "tags": tags[:1]}
        self.make("alice", "POST", f"{_A}/registered-models/create", body)
        body = {"name": w["P"], "source": "dummy-source", "tags": tags}
        self.make("alice", "POST", f"{_A}/model-versions/create", body)
        w["RD"] = self.run("alice", w["E"], w.secret)
        self.make("alice", "POST", f"{_A}/runs/delete", {"run_id": w["RD"]})
        body = {"name": f"gone-{self.mark}"}
        w["ED"] = self.make("alice", "POST", f"{_A}/experiments/create", body)["experiment_id"]
        self.make("alice", "POST", f"{_A}/experiments/delete", {"experiment_id": w["ED"]})


def _nobodys(maker: _Maker) -> None:
    """Older than the gateway, made in MLflow itself: nobody owns it.

    And a dataset in two places, and a secret of the AI gateway.
    """
    w = maker.world
    body: dict[str, Any] = {"name": f"legacy-{maker.mark}"}
    w["EU"] = maker.make("x", "POST", f"{_A}/experiments/create", body)["experiment_id"]
    w["RU"] = maker.run("x", w["EU"], w.secret)
    maker.artifact("x", f"{w['EU']}/{w['RU']}/artifacts/secret.txt", w.secret)
    w["MU"] = f"legacy-model-{maker.mark}"
    source = f"mlflow-artifacts:/{w['EU']}/{w['RU']}/artifacts"
    maker.model("x", w["MU"], w.secret, source, w["RU"])
    body = {"name": f"both-{w.secret}", "experiment_ids": [w["E"], w["EC"]]}
    made = maker.make("x", "POST", f"{_V3}/datasets/create", body)
    w["DBOTH"] = made["dataset"]["dataset_id"]
    records = json.dumps([{"inputs": {"q": w.secret}}])
    maker.make("x", "POST", f"{_V3}/datasets/{w['DBOTH']}/records", {"records": records})
    body = {
        "secret_name": f"key-{w.secret}",
        "secret_value": {"api_key": w.secret},
        "provider": "openai",
    }
    made = maker.make("x", "POST", f"{_V3}/gateway/secrets/create", body)
    w["KEY"] = made["secret"]["secret_id"]


def _absent(world: World) -> None:
    """Identifiers in the right shape that name nothing."""
    world["NO_E"] = "987654321"
    world["NO_R"] = uuid.uuid4().hex
    world["NO_T"] = f"tr-{uuid.uuid4().hex}"
    world["NO_L"] = f"m-{uuid.uuid4().hex}"
    world["NO_D"] = f"d-{uuid.uuid4().hex}"
    world["NO_M"] = f"nothing-{world['MARK']}"
    world["NO_ID"] = uuid.uuid4().hex


def _tokens(call: Call, direct: Call, world: World, shared: bool) -> None:
    """Page tokens and the like that belong to somebody else, and other spellings of ids."""
    asked = {"max_results": 1}
    found = _ok(call("alice", "POST", f"{_A}/experiments/search", asked))
    world["PAGE"] = found["next_page_token"]
    found = _ok(direct("x", "POST", f"{_A}/experiments/search", asked))
    world["RAW_PAGE"] = found["next_page_token"]
    world["TOKEN_ID"] = "none"
    if shared:
        found = _ok(call("alice", "GET", "/access/api/v1/tokens"))
        world["TOKEN_ID"] = found["tokens"][0]["id"]
        body = {"principal": f"service:nightly-{world['MARK']}", "label": world.secret}
        found = _ok(call("alice", "POST", "/access/api/v1/tokens", body))
        world["SERVICE_TOKEN_ID"] = found["id"]
    world["THEX"] = world["T"].removeprefix("tr-")
    world["THEX_UPPER"] = world["THEX"].upper()
    world["TBASE64"] = base64.b64encode(bytes.fromhex(world["THEX"])).decode()
    world["NEW_HEX"] = uuid.uuid4().hex


def _ok(answer: Answer) -> Any:
    assert answer.status == 200, (answer.status, answer.body)
    return json.loads(answer.body) if answer.body[:1] in (b"{", b"[") else None
