"""The corpus: a hundred and more ways around, by the place where they attack."""

from __future__ import annotations

from tests.attacks.attempt import Attempt
from tests.attacks.corpus import (
    ai,
    artifacts,
    experiments_and_runs,
    graphql,
    identity,
    links,
    parsing,
    paths,
    registry,
    server_wide,
    sharing,
    smuggling,
    tags,
    telling_errors,
)

CORPUS: tuple[Attempt, ...] = (
    *parsing.ROWS,
    *paths.ROWS,
    *experiments_and_runs.ROWS,
    *artifacts.ROWS,
    *registry.ROWS,
    *links.ROWS,
    *graphql.ROWS,
    *identity.ROWS,
    *smuggling.ROWS,
    *tags.ROWS,
    *sharing.ROWS,
    *server_wide.ROWS,
    *telling_errors.ROWS,
    *ai.ROWS,
)
