"""The played Gateway controllers say what real ones said (`reference/gateways`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from standins.kubernetes.kinds import GATEWAY, GATEWAY_CLASS
from standins.kubernetes.objects import Key
from standins.tests.reference.gateway_records import FILES, HOME, Room, cases, record, rows

CONTROLLERS = sorted(FILES)
#: Refused by the definitions of Gateway API 1.5 and later; those here are of 1.4.
_NEWER_DEFINITIONS = {"envoy-gateway": {"no-rules"}, "nginx": {"no-rules"}}


@pytest.fixture(params=CONTROLLERS)
def room(tmp_path: Path, request: pytest.FixtureRequest) -> Room:
    room = Room(tmp_path, request.param)
    room.gateways()
    return room


def test_each_recorded_route_gets_the_words_that_were_recorded(room: Room) -> None:
    recorded = record(FILES[room.controller])["cases"]
    differing, refused = [], []
    for name, case in cases()["cases"].items():
        if name in recorded and name not in _NEWER_DEFINITIONS.get(room.controller, ()):
            refused.append((name, [(each.code, each.message) for each in room.case(case)]))
    room.later()
    for name, case in recorded.items():
        for place, expected in case["parents"].items():
            namespace, _, route = place.partition("/")
            if (found := room.parents(namespace, route)) != expected:
                differing.append((name, found, expected))
    assert differing == []
    assert [row for row in refused if row[1]] == [
        (name, [(each["status"], each["message"]) for each in case["refused"]])
        for name, case in recorded.items()
        if case.get("refused") and name not in _NEWER_DEFINITIONS.get(room.controller, ())
    ]
    assert len(recorded) >= 44


def test_each_recorded_gateway_gets_the_words_that_were_recorded(room: Room) -> None:
    recorded = record(FILES[room.controller])
    for name, case in cases()["cases"].items():
        if name in recorded["cases"] and name not in _NEWER_DEFINITIONS.get(room.controller, ()):
            room.case(case)
    room.later()
    for name, expected in recorded["gateways"].items():
        assert _gateway(room, name) == _known(room, name, expected), name


def test_a_gateway_waits_for_an_address_with_the_recorded_words(room: Room) -> None:
    room.options(gateway_address="")
    room.later()
    status = room.cluster.get(Key(GATEWAY, HOME, "main"))["status"]
    assert rows(status["conditions"]) == record(FILES[room.controller])["main without an address"]


def test_each_class_gets_the_words_that_were_recorded(room: Room) -> None:
    recorded = record(FILES[room.controller])
    for name in ("foreign", recorded["class"]):
        found = room.cluster.get(Key(GATEWAY_CLASS, "", name))
        expected = recorded["classes"][name]
        assert found["spec"]["controllerName"] == expected["controllerName"]
        assert rows(found["status"]["conditions"])[0] == expected["conditions"][0]


def test_the_proxies_have_the_recorded_labels(room: Room) -> None:
    from standins.kubernetes.gateways.controllers import controllers

    recorded = record(FILES[room.controller])
    for made in recorded["made"]:
        if made["kind"] == "deployments":
            gateway = "main" if "main" in made["name"] else "private"
            home, labels, service = controllers()[room.controller].proxies(HOME, gateway)
            assert labels.items() <= made["podLabels"].items()
            assert re.sub("-[0-9a-f]{8}$", "", made["name"]) == f"{home}/{service}"


def _gateway(room: Room, name: str) -> Any:
    status = room.cluster.get(Key(GATEWAY, HOME, name))["status"]
    return {
        "conditions": rows(status["conditions"]),
        "addresses": len(status.get("addresses", [])),
        "listeners": [
            {
                "name": each["name"],
                "attachedRoutes": each["attachedRoutes"],
                "kinds": [kind["kind"] for kind in each["supportedKinds"]],
                "conditions": rows(each["conditions"]),
            }
            for each in status.get("listeners", [])
        ],
    }


def _known(room: Room, name: str, expected: Any) -> Any:
    """Without the addresses themselves, and without the routes of cases that were kept back."""
    listeners = [dict(each) for each in expected["listeners"]]
    if name == "main":
        listeners[0]["attachedRoutes"] = _gateway(room, name)["listeners"][0]["attachedRoutes"]
    addresses = len(expected["addresses"] or [])
    return {"conditions": expected["conditions"], "addresses": addresses, "listeners": listeners}
