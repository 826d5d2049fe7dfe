"""The stand-in for a server of KAITO against what a real vLLM answered; a real vLLM too, with
`MERGEKEY_VLLM=1`. Each test counts what agrees.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from standins.control import Control
from standins.tests.reference import vllm_exchanges as vllm

pytestmark = pytest.mark.skipif(not vllm.PRESENT, reason=vllm.ABSENT)
#: How many exchanges were recorded at least, by release and server.
RECORDED = {
    "0.25.1": {
        "plain": 146,
        "slash": 19,
        "embeddings": 12,
        "busy": 1,
        "loading": 3,
        "api-key": 3,
        "dying": 2,
    },
    "0.22.1": {"plain": 30},
}
REAL = os.environ.get("MERGEKEY_VLLM") == "1"
#: Kind of server -> the setting with the address of a real one.
ADDRESSES = {
    "plain": "MERGEKEY_VLLM_URL",
    "slash": "MERGEKEY_VLLM_SLASH_URL",
    "embeddings": "MERGEKEY_VLLM_EMBEDDINGS_URL",
}
UNASKED = (
    "no real vLLM was asked for: MERGEKEY_VLLM=1 with MERGEKEY_VLLM_URL (http://host:port of vLLM 0.25.1 as "
    "KAITO starts it, name chat-small, context 2048, no tool parser; a tiny random model will do) compares "
    "one with the records; MERGEKEY_VLLM_SLASH_URL (name team/chat-small, parser hermes) and "
    "MERGEKEY_VLLM_EMBEDDINGS_URL (name embed-small, context 512) do the same for the other two"
)


@pytest.fixture(params=list(RECORDED))
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def address(request: pytest.FixtureRequest, release: str) -> Iterator[str]:
    """Where the recorded servers are played."""
    shared = request.getfixturevalue("standins")
    control: Control = shared.control
    wishes = {_host(kind): {**special, "release": release} for kind, special in vllm.SERVERS.items()}
    control.set_options("models", servers=wishes)
    yield shared.addresses["models"]
    control.set_options("models", servers={})
    control.forget_report("models")


def test_each_exchange_is_answered_as_a_real_vllm_did(address: str, release: str) -> None:
    clients = {kind: vllm.Client(urlsplit(address).netloc, _host(kind)) for kind in vllm.SERVERS}
    differing, agreeing = _compare(clients, release)
    assert differing == {}
    assert all(agreeing[kind] >= count for kind, count in RECORDED[release].items())


@pytest.mark.skipif(not REAL, reason=UNASKED)
@pytest.mark.parametrize("kind", ADDRESSES)
def test_a_real_vllm_still_answers_as_recorded(kind: str) -> None:
    if (address := os.environ.get(ADDRESSES[kind])) is None:
        pytest.skip(f"{ADDRESSES[kind]} names no server")
    differing, agreeing = _compare({kind: vllm.Client(urlsplit(address).netloc)}, "0.25.1")
    assert differing == {}
    assert agreeing[kind] >= RECORDED["0.25.1"][kind]


def test_a_comparison_notices_what_is_other_than_recorded(address: str, release: str) -> None:
    """The exchanges of one server, answered by another, differ."""
    clients = {"plain": vllm.Client(urlsplit(address).netloc, _host("loading"))}
    differing, agreeing = _compare(clients, release)
    assert agreeing.total() == 0
    assert len(differing) >= RECORDED[release]["plain"]


def _compare(clients: dict[str, vllm.Client], release: str) -> tuple[dict[str, list[str]], Counter[str]]:
    """What is other than recorded, by exchange, and how many agree, by server."""
    differing, agreeing = {}, Counter[str]()
    for exchange in vllm.exchanges(release):
        if (client := clients.get(kind := vllm.kind_of(exchange))) is None:
            continue
        if lines := vllm.differences(exchange, client.send(exchange["request"])):
            differing[f"{kind}: {exchange['name']}"] = lines
        else:
            agreeing[kind] += 1
    return differing, agreeing


def _host(kind: str) -> str:
    return f"{kind}.recorded.svc"
