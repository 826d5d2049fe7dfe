"""The played Gateway controllers: whom they answer, when, and which words stay although they are no longer
true.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from standins.kubernetes.errors import Refused
from standins.kubernetes.kinds import GATEWAY, GATEWAY_CLASS, HTTP_ROUTE, NAMESPACE, SERVICE
from standins.kubernetes.objects import Key
from standins.tests.reference.gateway_records import Room

MANAGED = {"app.kubernetes.io/managed-by": "mergekey"}
TEAM = "team-alpha"
GOOD = {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs")}
CONTROLLERS = ["istio", "envoy-gateway", "nginx"]


@pytest.fixture(params=CONTROLLERS)
def room(tmp_path: Path, request: pytest.FixtureRequest) -> Room:
    return _room(tmp_path, request.param)


def _room(folder: Path, controller: str) -> Room:
    room = Room(folder, controller)
    room.namespace(TEAM, MANAGED)
    room.service(TEAM)
    room.pod(TEAM)
    return room


def _route(room: Room, name: str = "phi-4", gateway: str = "internal", **spec: Any) -> None:
    parents = [{"name": gateway, "namespace": "gateway-system"}]
    match = {"path": {"type": "Exact", "value": f"/{TEAM}/phi-4/v1/models"}}
    rule = {"matches": [match], "backendRefs": [{"name": "phi-4", "port": 80}]}
    content = {"spec": {"parentRefs": parents, "rules": [rule], **spec}}
    room.apply(HTTP_ROUTE, TEAM, name, content)


def _said(room: Room, name: str = "phi-4") -> dict[str, tuple[str, str]]:
    return {row[0]: (row[1], row[2]) for row in room.conditions(TEAM, name)}


def _gateway(room: Room) -> dict[str, tuple[str, str]]:
    found = room.cluster.get(Key(GATEWAY, "gateway-system", "internal"))["status"]["conditions"]
    return {row["type"]: (row["status"], row["reason"]) for row in found}


def _allow(room: Room, allowed: Any, **listener: Any) -> None:
    key = Key(GATEWAY, "gateway-system", "internal")
    spec = room.cluster.get(key)["spec"]
    listeners = [{**spec["listeners"][0], "allowedRoutes": allowed, **listener}]
    room.apply(GATEWAY, "gateway-system", "internal", {"spec": {**spec, "listeners": listeners}})


def test_a_cluster_has_a_gateway_that_takes_the_routes_of_managed_namespaces(room: Room) -> None:
    _route(room)
    room.later()
    assert _said(room) == GOOD
    room.namespace("team-other")
    parents = [{"name": "internal", "namespace": "gateway-system"}]
    room.apply(HTTP_ROUTE, "team-other", "theirs", {"spec": {"parentRefs": parents}})
    room.later()
    assert [row[1] for row in room.conditions("team-other", "theirs") if row[0] == "Accepted"] == ["False"]
    [listener] = room.cluster.get(Key(GATEWAY, "gateway-system", "internal"))["status"]["listeners"]
    assert listener["attachedRoutes"] == 1


def test_a_word_comes_some_moments_after_the_change(room: Room) -> None:
    _route(room)
    assert _said(room) == {}
    room.now += 0.04
    assert _said(room) == {}
    room.now += 0.02
    assert _said(room) == GOOD
    _route(room, hostnames=["models.contoso.com"])
    value = room.cluster.get(Key(HTTP_ROUTE, TEAM, "phi-4"))
    assert value["metadata"]["generation"] == 2
    assert {row[4] for row in room.conditions(TEAM, "phi-4")} == {1}
    room.later()
    assert {row[4] for row in room.conditions(TEAM, "phi-4")} == {2}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"parentRefs": [{"sectionName": "https"}]}, "NoMatchingParent"),
        ({"parentRefs": [{"port": 81}]}, "NoMatchingParent"),
        ({"parentRefs": [{"sectionName": "http", "port": 80}]}, "Accepted"),
        ({"hostnames": ["other.contoso.com"]}, "NoMatchingListenerHostname"),
        ({"hostnames": ["models.contoso.com"]}, "Accepted"),
        ({"hostnames": ["other.contoso.com", "*.contoso.com"]}, "Accepted"),
        ({}, "Accepted"),
    ],
)
def test_a_listener_takes_what_names_it_and_its_host(room: Room, spec: Any, reason: str) -> None:
    _allow(room, {"namespaces": {"from": "All"}}, hostname="models.contoso.com")
    if parents := spec.get("parentRefs"):
        spec = {"parentRefs": [{"name": "internal", "namespace": "gateway-system", **parents[0]}]}
    _route(room, **spec)
    room.later()
    assert _said(room)["Accepted"] == (str(reason == "Accepted"), reason)


@pytest.mark.parametrize("allowed", [{"namespaces": {"from": "Same"}}, {"namespaces": {"from": "None"}}, {}])
def test_a_listener_may_keep_other_namespaces_out(room: Room, allowed: Any) -> None:
    _route(room)
    room.later()
    _allow(room, allowed)
    room.later()
    assert _said(room)["Accepted"] == ("False", "NotAllowedByListeners")
    assert _said(room)["ResolvedRefs"] == ("True", "ResolvedRefs")


def test_a_listener_for_connections_takes_no_route(room: Room) -> None:
    _allow(room, {"namespaces": {"from": "All"}}, protocol="TCP")
    _route(room)
    room.later()
    assert _said(room)["Accepted"] == ("False", "NotAllowedByListeners")


def test_nobody_answers_for_a_gateway_that_is_not_there(room: Room) -> None:
    _route(room, gateway="missing")
    room.later()
    assert "status" not in room.cluster.get(Key(HTTP_ROUTE, TEAM, "phi-4"))


def test_nobody_answers_for_the_class_of_nobody(room: Room) -> None:
    room.apply(GATEWAY_CLASS, "", "foreign", {"spec": {"controllerName": "example.com/nobody"}})
    for class_name in ("foreign", "none-of-that-name"):
        spec = room.cluster.get(Key(GATEWAY, "gateway-system", "internal"))["spec"]
        changed = {"spec": {**spec, "gatewayClassName": class_name}}
        room.apply(GATEWAY, "gateway-system", class_name, changed)
        _route(room, name=class_name, gateway=class_name)
        room.later()
        assert _said(room, class_name) == {}
        status = room.cluster.get(Key(GATEWAY, "gateway-system", class_name))["status"]
        assert {row["reason"] for row in status["conditions"]} == {"Pending"}
    [waiting] = room.cluster.get(Key(GATEWAY_CLASS, "", "foreign"))["status"]["conditions"]
    assert (waiting["status"], waiting["message"]) == ("Unknown", "Waiting for controller")


def test_nobody_answers_while_the_controller_is_away(room: Room) -> None:
    _route(room)
    room.later()
    room.options(gateway_controller_away=True)
    _route(room, hostnames=["models.contoso.com"])
    _route(room, name="new")
    room.later(60)
    assert {row[4] for row in room.conditions(TEAM, "phi-4")} == {1}
    assert _said(room, "new") == {}
    assert _gateway(room)["Accepted"] == ("True", "Accepted")
    room.options(gateway_controller_away=False)
    assert _said(room, "new") == {}
    room.later()
    assert _said(room, "new")["Accepted"] == GOOD["Accepted"]
    assert {row[4] for row in room.conditions(TEAM, "phi-4")} == {2}


def test_a_cluster_may_be_without_a_controller(tmp_path: Path) -> None:
    room = _room(tmp_path, "none")
    _route(room)
    room.later()
    assert _said(room) == {}
    assert room.cluster.list(GATEWAY_CLASS, None) == []


@pytest.mark.parametrize(
    ("controller", "stays"), [("istio", False), ("envoy-gateway", True), ("nginx", True)]
)
def test_the_word_may_stay_when_the_gateway_is_deleted(tmp_path: Path, controller: str, stays: bool) -> None:
    room = _room(tmp_path, controller)
    _route(room)
    room.later()
    room.delete(GATEWAY, "gateway-system", "internal")
    room.later()
    assert _said(room) == (GOOD if stays else {})
    _route(room, hostnames=["models.contoso.com"])
    room.later()
    assert {row[4] for row in room.conditions(TEAM, "phi-4")} == ({1} if stays else set())


@pytest.mark.parametrize(("controller", "sees"), [("istio", True), ("envoy-gateway", False), ("nginx", True)])
def test_a_lost_label_may_be_seen_with_the_next_change_only(
    tmp_path: Path, controller: str, sees: bool
) -> None:
    room = _room(tmp_path, controller)
    _route(room)
    room.later()
    room.apply(NAMESPACE, "", TEAM, {"metadata": {"labels": {}}})
    room.later(60)
    assert (_said(room)["Accepted"] == GOOD["Accepted"]) is not sees
    _route(room, name="another")
    room.later()
    assert _said(room)["Accepted"] == ("False", "NotAllowedByListeners")


def test_a_service_is_missed_and_found(room: Room) -> None:
    room.cluster.objects.remove(Key(SERVICE, TEAM, "phi-4"))
    _route(room)
    room.later()
    assert _said(room)["ResolvedRefs"] == ("False", "BackendNotFound")
    room.service(TEAM)
    room.later()
    assert _said(room) == GOOD


@pytest.mark.parametrize(
    ("controller", "accepted", "resolved"),
    [
        ("istio", ("True", "Accepted"), ("False", "InvalidFilter")),
        ("envoy-gateway", ("False", "UnsupportedValue"), ("True", "ResolvedRefs")),
        ("nginx", ("False", "UnsupportedValue"), ("True", "ResolvedRefs")),
    ],
)
def test_an_unknown_filter_is_refused_in_two_ways(
    tmp_path: Path, controller: str, accepted: Any, resolved: Any
) -> None:
    room = _room(tmp_path, controller)
    reference = {"group": "example.com", "kind": "Limit", "name": "much"}
    rule = {
        "backendRefs": [{"name": "phi-4", "port": 80}],
        "filters": [{"type": "ExtensionRef", "extensionRef": reference}],
    }
    _route(room, rules=[rule])
    room.later()
    assert _said(room) == {"Accepted": accepted, "ResolvedRefs": resolved}


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ({"name": "phi-4", "kind": "Workspace", "group": "kaito.sh"}, "InvalidKind"),
        ({"name": "phi-4", "port": 80, "namespace": "default"}, "RefNotPermitted"),
    ],
)
def test_a_rule_may_refer_to_services_of_its_namespace_only(room: Room, reference: Any, reason: str) -> None:
    _route(room, rules=[{"backendRefs": [reference]}])
    room.later()
    assert _said(room)["ResolvedRefs"] == ("False", reason)


def test_timeouts_are_ignored_by_one_of_them(room: Room) -> None:
    rule = {"backendRefs": [{"name": "phi-4", "port": 80}], "timeouts": {"request": "0s"}}
    _route(room, rules=[rule])
    room.later()
    ignored = room.controller == "nginx"
    assert _said(room)["Accepted"] == ("True", "UnsupportedField" if ignored else "Accepted")


def test_a_public_address_is_what_the_load_balancer_gave(room: Room) -> None:
    room.options(gateway_address="20.1.2.3")
    room.later()
    status = room.cluster.get(Key(GATEWAY, "gateway-system", "internal"))["status"]
    assert status["addresses"] == [{"type": "IPAddress", "value": "20.1.2.3"}]
    room.options(gateway_address="")
    room.later()
    programmed = ("True", "Programmed") if room.controller == "nginx" else ("False", "AddressNotAssigned")
    assert _gateway(room)["Programmed"] == programmed


def test_the_gateway_of_the_set_up_follows_to_another_controller(tmp_path: Path) -> None:
    room = _room(tmp_path, "istio")
    room.later()
    classes = []
    for name in ("envoy-gateway", "nginx", "none", "istio"):
        room.options(gateway_controller=name)
        room.later()
        gateway = room.cluster.get(Key(GATEWAY, "gateway-system", "internal"))
        classes.append(gateway["spec"]["gatewayClassName"])
    assert classes == ["eg", "nginx", "nginx", "approuting-istio"]
    assert _gateway(room)["Programmed"] == ("True", "Programmed")
    room.delete(GATEWAY, "gateway-system", "internal")
    room.options(gateway_controller="nginx")
    room.later()
    with pytest.raises(Refused):
        room.cluster.get(Key(GATEWAY, "gateway-system", "internal"))


def test_words_of_another_controller_stay(tmp_path: Path) -> None:
    room = _room(tmp_path, "istio")
    _route(room)
    room.later()
    room.options(gateway_controller="nginx")
    room.later()
    assert [each["by"].split("/")[0] for each in room.parents(TEAM, "phi-4")] == [
        "istio.io",
        "gateway.nginx.org",
    ]
