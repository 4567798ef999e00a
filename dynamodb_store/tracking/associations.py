"""Links between entities: one item at each end, written together, so both ends find the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlflow.store.entities.paged_list import PagedList
from mlflow.utils.time import get_current_time_millis

from dynamodb_store import keys
from dynamodb_store.search.page import make_token, read_token
from dynamodb_store.table import Action
from dynamodb_store.tracking.base import Base

End = tuple[str, str]
"""Type and id of an entity, types as in mlflow.entities.entity_type."""


class Associations(Base):
    """MLflow's server asks for these, although its abstract store does not declare them."""

    def search_entities_by_source(
        self,
        source_ids: str | list[str],
        source_type: str,
        destination_type: str,
        max_results: int | None = None,
        page_token: str | None = None,
    ) -> PagedList[str]:
        """Ids of what these sources are linked to, oldest link first."""
        return self._linked(
            source_ids, source_type, destination_type, max_results, page_token, forward=True
        )

    def search_entities_by_destination(
        self,
        destination_ids: str | list[str],
        destination_type: str,
        source_type: str,
        max_results: int | None = None,
        page_token: str | None = None,
    ) -> PagedList[str]:
        """Ids of what is linked to these destinations, oldest link first."""
        return self._linked(
            destination_ids, destination_type, source_type, max_results, page_token, forward=False
        )

    def _linked(
        self,
        ids: str | list[str],
        of: str,
        kind: str,
        max_results: int | None,
        page_token: str | None,
        *,
        forward: bool,
    ) -> PagedList[str]:
        offset, _ = read_token(page_token)
        wanted = list(dict.fromkeys([ids] if isinstance(ids, str) else ids))

        def links(entity_id: str) -> list[tuple[int, str]]:
            partition = keys.association(of, entity_id, forward=forward)
            items = self.table.query_all(partition, prefix=f"{kind}#")
            return [(item["created_time"], item["id"]) for item in items]

        found = sorted(one for some in self.table.parallel(links, wanted) for one in some)
        found = found[offset:]
        token = None
        if max_results is not None and len(found) > max_results:
            found = found[:max_results]
            token = make_token(offset + max_results)
        return PagedList(list(dict.fromkeys(one for _, one in found)), token)


def link(source: End, destinations: Iterable[End], created_time: int | None = None) -> list[Action]:
    """The writes of links that do not exist yet; two for each."""
    now = get_current_time_millis() if created_time is None else created_time
    return [
        ("Put", {"Item": {"pk": pk, "sk": sk, "id": other, "created_time": now}})
        for destination in destinations
        for (pk, sk), other in zip(
            _keys(source, destination), (destination[1], source[1]), strict=True
        )
    ]


def unlink(source: End, destinations: Iterable[End]) -> list[Action]:
    """The removals of links; two for each."""
    return [
        ("Delete", {"Key": key})
        for destination in destinations
        for key in _keys(source, destination)
    ]


def _keys(source: End, destination: End) -> Sequence[keys.Key]:
    return (
        (keys.association(*source, forward=True), keys.associated(*destination)),
        (keys.association(*destination, forward=False), keys.associated(*source)),
    )
