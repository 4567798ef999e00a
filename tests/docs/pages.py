"""The pages of documentation and what they show, for the tests that hold them to the code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # links are resolved, too
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bench/*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def blocks(text: str, language: str | None = None) -> list[str]:
    """The fenced blocks of a page (of one language; "" for those without), without indentation."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [
        re.sub(f"^{indent}", "", body, flags=re.MULTILINE)
        for indent, name, body in found
        if language is None or name == language
    ]


def prose(text: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)


def table(text: str, name: str) -> list[list[str]]:
    """The rows between ``<!-- name -->`` and ``<!-- /name -->``, cells without backquotes."""
    between = text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]
    rows = [line.strip("|").split("|") for line in between.strip().splitlines()]
    return [[cell.strip().strip("`") for cell in row] for row in rows[2:]]
