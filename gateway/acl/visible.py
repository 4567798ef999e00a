"""What a caller may see, as a mapping over the grants of each of the caller's keys.

The layers are shared with the cache and never change in place (the cache replaces a layer), so
a ``Visible`` in hand stays what it was, and a group's grants are held once for all its members.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class Visible(Mapping[str, tuple[str, ...]]):
    """Resource id -> the roles held on it, in the order of the grant keys."""

    __slots__ = ("_layers",)

    def __init__(self, layers: tuple[Mapping[str, str], ...]) -> None:
        self._layers = tuple(layer for layer in layers if layer)

    def __getitem__(self, resource_id: str) -> tuple[str, ...]:
        roles = tuple(layer[resource_id] for layer in self._layers if resource_id in layer)
        if not roles:
            raise KeyError(resource_id)
        return roles

    def __contains__(self, resource_id: object) -> bool:
        return any(resource_id in layer for layer in self._layers)

    def __iter__(self) -> Iterator[str]:
        if len(self._layers) == 1:
            return iter(self._layers[0])
        return iter(dict.fromkeys(key for layer in self._layers for key in layer))

    def __len__(self) -> int:
        if len(self._layers) == 1:
            return len(self._layers[0])
        return len(set().union(*self._layers))
