"""The ingress answers as real proxies did that were fed by real controllers (`reference/gateways`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from standins.tests.reference.gateway_records import FILES, cases, record
from standins.tests.reference.proxied import Proxied, proxied

#: A second of the records, in real time.
SCALE = 0.03
#: A route that was not among the cases.
_OTHER = "refused connection"
_SLOW = {
    "no timeout written": ("team-road1", "sleep=18"),
    "request 0s": ("team-road2", "sleep=18"),
    "both 0s": ("team-road3", "sleep=18"),
    "backendRequest 5s alone": ("team-road5", "sleep=18"),
    "a stream of 18 s, no timeout written": ("team-road1", "chunks=18&gap=1"),
    "a stream of 18 s, request 0s": ("team-road2", "chunks=18&gap=1"),
}


@pytest.fixture(params=sorted(FILES))
async def front(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Proxied]:
    async with proxied(tmp_path, request.param, SCALE) as found:
        found.options(gateway="gateways/main", loading="called")
        found.room.gateways()
        for name, case in cases()["cases"].items():
            if name in record(FILES[request.param])["cases"] and name != "no-rules":
                found.room.case(case)
        found.room.later()
        yield found


async def test_each_recorded_request_gets_its_status_and_reaches_its_path(front: Proxied) -> None:
    rows = [row for row in _requests(front.room.controller) if row[0] != _OTHER]
    differing = []
    for what, method, path, status, _, paths, *more in rows:
        front.pod.seen.clear()
        headers = more[0] if more and isinstance(more[0], dict) else {}
        answer = await front.ask(method, path, headers, _body(what))
        found = (answer and answer.status, [_as_recorded(path) for path, _ in front.pod.seen])
        if found != (status, paths):
            differing.append((what, path, found, (status, paths)))
    assert differing == []
    assert len(rows) >= 45


async def test_slow_answers_end_where_they_were_recorded_to_end(front: Proxied) -> None:
    recorded = record(FILES[front.room.controller]).get("slow (what, status, seconds, attempts, body)", ())
    for what, status, _, attempts, _ in recorded:
        front.pod.seen.clear()
        team, query = _SLOW[what]
        answer = await front.ask("GET", f"/{team}/phi-4/v1/models?{query}")
        assert answer is not None
        expected = (200, False) if status == "IncompleteRead" else (status, True)
        assert (answer.status, answer.is_whole) == expected, what
        assert len(front.pod.seen) == attempts, what


async def test_headers_and_bodies_pass_as_recorded(front: Proxied) -> None:
    recorded = record(FILES[front.room.controller]).get("headers")
    if recorded is None:
        return
    path = "/team-gw0/phi-4/v1/x"
    assert await front.status("GET", path, api_key="x") == recorded["header api_key"]
    for size, status in zip((2, 20), recorded["bodies of 2 and 20 MiB"], strict=True):
        answer = await front.ask("POST", path, body=b"x" * size * 2**20)
        assert answer is not None
        assert answer.status == status
    front.pod.seen.clear()
    sent = {"X-Gateway-Key": "s", "Authorization": "Bearer s", "X-Kept": "yes"}
    assert await front.status("GET", "/team-road8/phi-4/v1/models", **sent) == 200
    [(_, seen)] = front.pod.seen
    assert {"x-kept", "x-forwarded-for", "x-forwarded-proto", "x-request-id"} <= recorded["pod saw"].keys()
    assert {"x-kept", "x-forwarded-for", "x-forwarded-proto", "x-request-id"} <= seen.keys()
    assert not {"x-gateway-key", "authorization"} & (seen.keys() | recorded["pod saw"].keys())


def _requests(controller: str) -> list[Any]:
    recorded = record(FILES[controller])
    [name] = [key for key in recorded if key.startswith("requests (")]
    return list(recorded[name])


def _body(what: str) -> bytes:
    return b"x" * {"body of 900 KiB": 900 * 2**10, "body of 2 MiB": 2 * 2**20}.get(what, 0)


def _as_recorded(path: str) -> str:
    """The recorded pod took slashes at the beginning for one."""
    return "/" + path.lstrip("/")
