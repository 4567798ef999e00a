"""Every relative link of every page leads somewhere, and every path that is named is there."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import NAMES, ROOT, prose, text_of

PATH = re.compile(r"`((?:gateway|config|deploy|bench|tests|docs|\.ci)/[\w./-]*)`")
MADE_BY_A_COMMAND = {"docs/overhead.md"}
# Its calls, such as `gateway/secrets/create`, look like paths.
OF_CALLS = {"docs/routes.md"}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", prose(text_of(name)))
    for link in links:
        if "://" in link:
            continue
        target = ((ROOT / name).parent / link.partition("#")[0]).resolve()
        assert target.exists(), f"{name}: {link}"
        assert ROOT in target.parents, f"{name}: {link} leads out of the repository"


@pytest.mark.parametrize("name", sorted({*NAMES} - OF_CALLS))
def test_files_that_are_named_exist(name: str) -> None:
    for path in PATH.findall(prose(text_of(name))):
        assert path in MADE_BY_A_COMMAND or (ROOT / path).exists(), f"{name}: {path}"


def test_every_page_is_reached_from_the_readme() -> None:
    readme = text_of("README.md")
    for name in NAMES:
        if name.startswith("docs/"):
            assert f"({name})" in readme, name
