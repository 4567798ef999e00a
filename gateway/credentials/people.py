"""Records a person's groups when a provider tells newer ones; API tokens follow the record."""

from __future__ import annotations

import logging

from gateway.acl.store import PersonRecord, StoreUnavailable
from gateway.credentials.ports import Directory, Recorder
from gateway.errors import Unavailable
from gateway.idp.claims import Claimed

log = logging.getLogger(__name__)


async def remember(
    claimed: Claimed, issued: float, directory: Directory, recorder: Recorder
) -> None:
    """Record whom a provider vouched for at ``issued``.

    Ordered by that time, so that an old token still in use does not undo what a newer one told.
    A store that is down does not stop a valid sign-in.
    """
    principal = claimed.principal
    if not claimed.groups_known or not principal.name.startswith("user:"):
        return
    groups = tuple(sorted(principal.groups))
    try:
        known = await directory.person(principal.name)
        if known is not None:
            same = (tuple(sorted(known.groups)), known.home_group)
            if same == (groups, principal.home_group) or known.seen >= issued:
                return
        await recorder.put_person(
            PersonRecord(
                name=principal.name, groups=groups, home_group=principal.home_group, seen=issued
            )
        )
    except (StoreUnavailable, Unavailable) as problem:
        log.warning("the groups of a person could not be recorded: %s", problem)
