"""docs/identity.md: every example is settings that load, and a provider that can be made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway import tokens
from gateway.idp.oidc import OidcProvider
from gateway.settings import Admins
from gateway.settings_load import parse_settings
from tests.fakes.fake_issuer_clock import FakeClock

TEXT = (Path(__file__).parents[3] / "docs" / "identity.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"## ([^\n]+)\n\n```yaml\n(.*?)```", TEXT, re.DOTALL)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 7


@pytest.mark.parametrize("text", [e[1] for e in EXAMPLES], ids=[e[0] for e in EXAMPLES])
def test_an_example_loads(text: str) -> None:
    (provider,) = parse_settings(text, {}).identity
    OidcProvider(provider, Admins(), FakeClock())


def test_the_pattern_for_secret_scanners() -> None:
    (pattern,) = re.findall(r"`(mlg_\[[^`]+)`", TEXT)
    assert re.fullmatch(pattern, tokens.new_secret())
