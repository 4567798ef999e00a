"""Records a person's groups when a provider tells newer ones; API tokens follow the record.

Of a provider's own service only the name is recorded, as an account of no team: otherwise whoever
makes a service account of that name here would hold what the provider's service comes to own.
"""

from __future__ import annotations

import logging

from gateway.acl.store import PersonRecord, StoreUnavailable
from gateway.credentials.ports import Directory, Recorder
from gateway.errors import Unavailable
from gateway.idp.claims import Claimed
from gateway.tokens import is_account_name

log = logging.getLogger(__name__)


async def remember(
    claimed: Claimed, issued: float, directory: Directory, recorder: Recorder
) -> None:
    """Record whom a provider vouched for at ``issued``.

    Ordered by that time, so that an old token still in use does not undo what a newer one told.
    A store that is down does not stop a valid sign-in.
    """
    principal = claimed.principal
    person = principal.name.startswith("user:") and claimed.groups_known
    if not person and not is_account_name(principal.name):
        return
    groups = tuple(sorted(principal.groups)) if person else ()
    home = principal.home_group if person else None
    try:
        known = await directory.person(principal.name)
        if known is not None:
            same = (tuple(sorted(known.groups)), known.home_group) == (groups, home)
            if same or not person or known.seen >= issued:
                return
        record = PersonRecord(name=principal.name, groups=groups, home_group=home, seen=issued)
        await (recorder.put_person(record) if person else recorder.create_person(record))
    except (StoreUnavailable, Unavailable) as problem:
        log.warning("the groups of a person could not be recorded: %s", problem)
