"""Answers that hold nothing hidden must not tell of it either."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import urlencode

import pytest

from tests.e2e.world import API, name_of, new_experiment, ok
from tests.stack import Stack

pytestmark = pytest.mark.e2e

IS_PROMPT = "mlflow.prompt.is_prompt"
TEXT = "mlflow.prompt.text"
TOKEN = base64.b64encode(b'{"offset": 1}').decode()
PAGE = "mlflowSearchModelVersions(input: {%s}) { modelVersions { name } nextPageToken }"


def _prompt(stack: Stack, who: str, text: str) -> str:
    """A prompt with one version; its name."""
    name, marked = name_of("prompt"), {"key": IS_PROMPT, "value": "true"}
    create = {"name": name, "tags": [marked]}
    ok(stack.call(who, "POST", f"{API}/registered-models/create", create))
    version = {
        "name": name,
        "source": "dummy-source",
        "tags": [marked, {"key": TEXT, "value": text}],
    }
    ok(stack.call(who, "POST", f"{API}/model-versions/create", version))
    return name


def _said(stack: Stack, guess: str) -> list[tuple[int, bytes]]:
    """What carol is told when she searches for a guess that a version of her own matches."""
    own = _prompt(stack, "carol", guess)
    like = f"tags.`{IS_PROMPT}` = 'true' AND tags.`{TEXT}` LIKE '{guess}%'"
    search = {"filter": like, "max_results": 1}
    answers = [
        stack.call("carol", "GET", f"{API}/model-versions/search?{urlencode(search)}"),
        stack.call("carol", "GET", f"{API}/model-versions/search?{urlencode({'filter': like})}"),
    ]
    for more in ("", ", maxResults: 1", f", pageToken: {json.dumps(TOKEN)}"):
        query = "{ " + PAGE % f"filter: {json.dumps(like)}{more}" + " }"
        answers.append(stack.call("carol", "POST", "/graphql", {"query": query}))
    return [(answer.status, _neutral(answer.body, own, guess)) for answer in answers]


def _neutral(body: bytes, own: str, guess: str) -> bytes:
    """An answer without what differs from call to call."""
    text = body.replace(own.encode(), b"own").replace(guess.encode(), b"guess")
    text = re.sub(rb"\(request [^)]*\)", b"", text)
    return re.sub(rb'("[a-z_]*timestamp"): ?[0-9]+', rb"\1", text)


def test_the_text_of_a_hidden_prompt_cannot_be_guessed_letter_by_letter(stack: Stack) -> None:
    """One's own version matches the guess; is there a next page behind it?"""
    secret = name_of("the-code-is")
    hidden = _prompt(stack, "alice", f"{secret}-4711")
    right, wrong = (_said(stack, f"{secret}-{digit}") for digit in "45")
    assert right == wrong
    assert all(status == 200 and b"own" in body for status, body in right[:3])
    assert hidden.encode() not in b"".join(body for _, body in right)


def test_the_name_of_a_hidden_experiment_cannot_be_guessed_letter_by_letter(stack: Stack) -> None:
    secret = name_of("secret")
    new_experiment(stack, "alice", f"{secret}-4711")
    tokens = []
    for guess in (f"{secret}-4", f"{secret}-5"):
        new_experiment(stack, "carol", f"{guess}-own")
        search = {
            "filter": f"name LIKE '{guess}%'",
            "max_results": 1,
            "order_by": ["creation_time DESC"],
        }
        found = ok(stack.call("carol", "POST", f"{API}/experiments/search", search))
        assert [one["name"] for one in found["experiments"]] == [f"{guess}-own"]
        tokens.append(found.get("next_page_token"))
    assert tokens == [None, None]
