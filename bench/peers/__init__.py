"""What the benchmark compares; ``PEERS`` is in the order of the table."""

from __future__ import annotations

from peers.aiohttp_peer import AiohttpPeer
from peers.basic_auth import BasicAuthPeer
from peers.direct import DirectPeer
from peers.envoy_peer import EnvoyPeer
from peers.mlgate_peer import MlgatePeer
from peers.nginx import NginxPeer
from peers.peer import Peer

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        DirectPeer(),
        NginxPeer(),
        EnvoyPeer("envoy"),
        EnvoyPeer("envoy-cached", jwt_cache=True),
        AiohttpPeer(),
        MlgatePeer(),
        BasicAuthPeer(),
    )
}
