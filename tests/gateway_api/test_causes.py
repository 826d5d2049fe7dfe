"""What is read from the conditions of routes and Gateways, beside what real controllers wrote."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.gateway_api.causes import CAUSES, RouteVerdict, judge_route, needs_gateway
from shared.gateway_api.controllers import HABITS, Controller
from shared.gateway_api.observed import Condition, Parent
from tests.fakes.gateways import GATEWAY, conditions
from tests.gateway_api.records import ALL, Case, a_route, cases, everything, extract, life

LATE, EARLY = timedelta(minutes=1), timedelta(seconds=29)
CONTROLLERS: tuple[Controller, ...] = ("istio", "envoy-gateway", "nginx")
#: Case -> the cause by controller; all others are ready.
EXPECTED: dict[str, dict[Controller, str]] = {
    "product-on-same": dict.fromkeys(CONTROLLERS, "NotAllowedByListeners"),
    "product-on-other-label": dict.fromkeys(CONTROLLERS, "NotAllowedByListeners"),
    "product-on-grpc-only": dict.fromkeys(CONTROLLERS, "NotAllowedByListeners"),
    "product-on-secure-missing": dict.fromkeys(CONTROLLERS, "InvalidListener"),
    "product-on-no-class": dict.fromkeys(CONTROLLERS, "GatewayClassNotServed"),
    "product-on-foreign": dict.fromkeys(CONTROLLERS, "GatewayClassNotServed"),
    "product-on-absent": dict.fromkeys(CONTROLLERS, "GatewayMissing"),
    "exact-timeout-0s": {"nginx": "UnsupportedField"},
    "timeout-both-0s": {"nginx": "UnsupportedField"},
    "timeout-600s": {"nginx": "UnsupportedField"},
    "timeout-backend-only": {"nginx": "UnsupportedField"},
    "service-missing": dict.fromkeys(CONTROLLERS, "BackendNotFound"),
    "long-names": dict.fromkeys(CONTROLLERS, "BackendNotFound"),
    "prefix-of-prefix/phi-4-mini": dict.fromkeys(CONTROLLERS, "BackendNotFound"),
    "port-missing": {"envoy-gateway": "BackendNotFound", "nginx": "BackendNotFound"},
    "no-pod": {"envoy-gateway": "EndpointsNotFound"},
    "backend-other-namespace": dict.fromkeys(CONTROLLERS, "RefNotPermitted"),
    "same-path-same-namespace": {"envoy-gateway": "RouteRulesOverlap"},
    "same-path-other-namespace": {"envoy-gateway": "RouteRulesOverlap"},
}
#: What the API server refuses, by controller's definitions.
REFUSED = {
    "retry": CONTROLLERS,
    "seventeen-rules": CONTROLLERS,
    "prefix-on-exact": CONTROLLERS,
    "no-rules": ("envoy-gateway", "nginx"),
}
#: Calls arrive all the same.
SERVING = {"Ready", "UnsupportedField", "RouteRulesOverlap"}
#: Nobody answers the route: the Gateway says why.
SILENT = ("product-on-no-class", "product-on-foreign", "product-on-absent")


def _verdict(case: Case, age: timedelta = LATE, *, read: bool = True) -> RouteVerdict:
    assert case.route is not None
    parents, generation = case.route.parents, case.route.generation
    if not read:
        return judge_route(parents, generation, case.gateway, age)
    return judge_route(parents, generation, case.gateway, age, case.seen or "missing")


def _expected(case: Case) -> str:
    assert case.route is not None
    rows = EXPECTED.get(f"{case.name}/{case.route.name}") or EXPECTED.get(case.name, {})
    return rows.get(case.controller, "Ready")


def _check(case: Case) -> None:
    if case.route is None:
        assert case.refused in (422, 500)
        assert case.controller in REFUSED[case.name]
        return
    verdict = _verdict(case)
    assert verdict.cause.reason == _expected(case)
    assert verdict.is_ready == (verdict.cause.reason in SERVING)


@pytest.mark.parametrize("case", list(cases(extract())), ids=str)
def test_a_case_of_the_extract_has_its_cause(case: Case) -> None:
    _check(case)


@pytest.mark.skipif(
    not ALL.is_dir(), reason=f"what real controllers wrote is not on this machine (looked in {ALL})"
)
def test_every_recorded_case_has_its_cause() -> None:
    found = list(cases(everything()))
    assert len({(case.controller, case.name) for case in found}) == 3 * len(everything()["cases"])
    for case in found:
        _check(case)


@pytest.mark.parametrize("case", [each for each in cases(extract()) if each.name in SILENT], ids=str)
def test_a_route_alone_says_less_than_its_gateway(case: Case) -> None:
    """A wait is young where nobody has answered, and then the Gateway is asked."""
    early, late = _verdict(case, EARLY, read=False), _verdict(case, read=False)
    assert (early.cause.reason, early.cause.actor) == ("RouteNotAnswered", "nobody: it is tried again")
    assert (late.cause.reason, late.cause.actor) == ("RouteNotAnswered", "the platform")
    assert (needs_gateway(early), needs_gateway(late)) == (False, True)


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_a_route_that_is_not_let_in_any_more_is_told_with_the_words(controller: Controller) -> None:
    [parent] = life(controller, "listener closes (All to Same)")["then"]
    verdict = _alone(a_route("team-li101/phi-4", [parent]).parents, "gateways/later")
    assert verdict.cause.reason == "NotAllowedByListeners"
    assert parent["conditions"][0][3] in verdict.text or parent["conditions"][1][3] in verdict.text


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_a_deleted_gateway_is_told_though_the_route_says_true(controller: Controller) -> None:
    parents = life(controller, "gateway deleted")["4 s later"]
    route = a_route("team-li101/phi-4", parents)
    alone = judge_route(route.parents, 1, "gateways/later", LATE)
    assert alone.is_ready == (not HABITS[controller].forgets)
    assert judge_route(route.parents, 1, "gateways/later", LATE, "missing").cause.reason == "GatewayMissing"


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_an_old_word_beside_a_new_generation_is_no_answer(controller: Controller) -> None:
    edited = life(controller, "controller away")["edited"]
    route = a_route("team-li103/phi-4", edited["says"], edited["generation"])
    for age, seen, reason in (
        (EARLY, None, "RouteNotAnswered"),
        (LATE, None, "RouteNotAnswered"),
        (LATE, replace(GATEWAY, name="gateways/main"), "GatewayControllerAway"),
    ):
        verdict = judge_route(route.parents, route.generation, "gateways/main", age, seen)
        assert (verdict.cause.reason, verdict.is_ready) == (reason, False)


def test_one_good_entry_of_our_gateway_suffices_and_others_do_not_count() -> None:
    good = conditions("Accepted", "ResolvedRefs", generation=3)
    bad = (Condition("Accepted", "False", "NoMatchingParent", "no", 3), good[1])
    ours, of_another = "gateways/main", "elsewhere/main"
    for parents, reason in (
        ([Parent(ours, "x", bad), Parent(ours, "x", good)], "Ready"),
        ([Parent(ours, "x", bad), Parent(of_another, "x", good)], "NoMatchingParent"),
        ([Parent(of_another, "x", good)], "RouteNotAnswered"),
        ([Parent(ours, "x", good[:1])], "RouteNotAnswered"),
    ):
        assert _alone(parents, ours, generation=3).cause.reason == reason


@pytest.mark.parametrize(
    ("kind", "status", "reason", "expected"),
    [
        ("Accepted", "False", "Pending", "RouteNotAccepted"),
        ("Accepted", "False", "UnsupportedValue", "RouteNotSupported"),
        ("Accepted", "False", "NoMatchingListenerHostname", "NoMatchingListenerHostname"),
        ("Accepted", "Unknown", "Pending", "RouteNotAnswered"),
        ("ResolvedRefs", "False", "InvalidKind", "RouteNotSupported"),
        ("ResolvedRefs", "False", "Whatever", "RouteNotAccepted"),
    ],
)
def test_what_a_condition_means(kind: str, status: str, reason: str, expected: str) -> None:
    good = {each.type: each for each in conditions("Accepted", "ResolvedRefs")}
    words = {**good, kind: Condition(kind, status, reason, "why\nso", 1)}
    verdict = _alone([Parent("a/b", "x", tuple(words.values()))], "a/b", generation=1)
    assert (verdict.cause.reason, verdict.is_ready) == (expected, False)
    assert f"{reason}: why so" in verdict.text


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"conditions": (Condition("Accepted", "False", "Invalid", "no", 1),)}, "GatewayNotAccepted"),
        (
            {
                "conditions": (
                    *conditions("Accepted"),
                    Condition("Programmed", "False", "AddressNotAssigned", "no address", 1),
                )
            },
            "GatewayNotProgrammed",
        ),
        ({"listeners": (*GATEWAY.listeners, replace(GATEWAY.listeners[0], conditions=()))}, "Ready"),
    ],
)
def test_a_good_route_of_a_gateway_that_does_not_work(changed: dict[str, Any], expected: str) -> None:
    good = [Parent(GATEWAY.name, "x", conditions("Accepted", "ResolvedRefs"))]
    seen = replace(GATEWAY, **changed)
    assert judge_route(good, 1, GATEWAY.name, LATE, seen).cause.reason == expected


def test_what_a_controller_says_is_cut_and_printable() -> None:
    words = Condition("Accepted", "False", "Pending", "\x1b[31m" + "x" * 9000, 1)
    verdict = _alone([Parent("a/b", "x", (words,))], "a/b", generation=1)
    assert len(verdict.text) < 500
    assert verdict.text.isprintable()


def test_every_cause_says_what_it_is() -> None:
    assert all(each.text for each in CAUSES)


def _alone(parents: Any, gateway: str, *, generation: int = 1) -> RouteVerdict:
    return judge_route(tuple(parents), generation, gateway, LATE)
