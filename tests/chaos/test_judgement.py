"""The judgement must be able to say no: the world is broken by hand in every way that it is there to
notice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from azure.mgmt.apimanagement.models import (
    ProductContract,
    ProductUpdateParameters,
    SubscriptionUpdateParameters,
)
from azure.mgmt.cognitiveservices.models import Project, ProjectProperties
from azure.servicebus import ServiceBusMessage
from kubernetes import client as kubernetes

from standins.world import Call
from tests.chaos.deliveries import Delivery
from tests.chaos.judgement import judge, nothing_judged, vanished
from tests.chaos.platform import Platform, platform
from tests.chaos.roads import Told, unproven
from tests.chaos.strangers import NAME, owner
from tests.chaos.world import AT

REPAIRED = "{}: the sweep had to repair it"


def _close_the_door(place: Platform, team: str) -> None:
    owner(place.road).product_api.delete(*AT, f"team-{team}", "ai")


def _suspend(place: Platform, team: str) -> None:
    owner(place.road).subscription.update(
        *AT, f"team-{team}", "*", SubscriptionUpdateParameters(state="suspended")
    )


def _store_another_key(place: Platform, team: str) -> None:
    """Under the tags of the right one, so that nothing but the value tells."""
    before = place.road.vault.get_secret(f"{team}-primary-key").properties
    place.road.vault.set_secret(
        str(before.name), "0" * 32, tags=before.tags, content_type=before.content_type
    )


def _regenerate(place: Platform, team: str) -> None:
    owner(place.road).subscription.regenerate_primary_key(*AT, f"team-{team}")


def _keep_old_keys(place: Platform, team: str) -> None:
    """As if another group had come, and nobody had made the keys new."""
    place.people.handed_over.add(team)


def _rename(place: Platform, team: str) -> None:
    _name_the_product(place, team, f"{team} by another name")


def _name_the_product(place: Platform, team: str, name: str) -> None:
    """API Management refuses a second product with the same name."""
    owner(place.road).product.update(*AT, f"team-{team}", "*", ProductUpdateParameters(display_name=name))


def _raise_the_quota(place: Platform, team: str) -> None:
    _write_into_the_quota(place, team, {"count/workspaces.kaito.sh": "9"})


def _add_to_the_quota(place: Platform, team: str) -> None:
    """What others put beside our limits, sweeps leave alone."""
    _write_into_the_quota(place, team, {"pods": "9"})


def _write_into_the_quota(place: Platform, team: str, hard: Mapping[str, str]) -> None:
    body = {"spec": {"hard": dict(hard)}}
    kubernetes.CoreV1Api(place.road.cluster).patch_namespaced_resource_quota(
        "workspaces", f"team-{team}", body
    )


#: What is broken of a team's, each of another team -> how the finding begins. The first two teams with GPUs
#: come first.
OF_TEAMS: Mapping[Callable[[Platform, str], None], str] = {
    _add_to_the_quota: "{0}: quota workspaces in team-{0} is ",
    _raise_the_quota: REPAIRED,
    _close_the_door: REPAIRED,
    _suspend: REPAIRED,
    _store_another_key: "{}: the vault has not the gateway's keys",
    _regenerate: "{} never left, and its first keys work no more",
    _keep_old_keys: "{} has another group, and its first keys work",
    _rename: REPAIRED,
}


def _touch_the_strangers(place: Platform) -> None:
    _name_the_product(place, NAME, "A stranger by another name")


def _make_what_nobody_asked_for(place: Platform) -> None:
    owner(place.road).product.create_or_update(*AT, "team-ghost", ProductContract(display_name="Ghost"))


def _bury_without_a_word(place: Platform) -> None:
    place.road.sender("dead-letters").send_messages(ServiceBusMessage(b"?"))


def _spell_a_key(place: Platform) -> None:
    (place.stack.folder / "leak.txt").write_text(
        f"the key is {place.road.issued_keys(min(place.people.present))[0]}"
    )


def _fail_unforeseen(place: Platform) -> None:
    with place.stack.invocations_file.open("a") as file:
        file.write(json.dumps({"function": "sweep", "at": 0, "seconds": 0, "outcome": "error"}) + "\n")


def _break_a_standin(place: Platform) -> None:
    with (place.stack.folder / "standins.log").open("a") as file:
        file.write("ValueError: broken by hand\n")


def _ask_for_the_unknown(place: Platform) -> None:
    place.calls.append(Call("key-vault", "?", "GET /unknown", 501, 0, 0))


#: What else is broken -> how the finding begins.
OF_NOBODY: Mapping[Callable[[Platform], None], str] = {
    _touch_the_strangers: f"somebody else's product team-{NAME} was touched",
    _make_what_nobody_asked_for: "ghost is on no branch, and has product team-ghost",
    _bury_without_a_word: "a dead letter does not say what is the matter",
    _spell_a_key: "a key is spelt in ",
    _fail_unforeseen: "sweep failed 1 times with an exception that is not ours",
    _break_a_standin: "the stand-ins failed: ValueError: broken by hand",
    _ask_for_the_unknown: "key-vault does not know GET /unknown",
}


def _rename_the_project(place: Platform) -> str:
    """Of the team that has one. How the finding begins."""
    team = next(team for team, asked in place.people.present.items() if asked.playground)
    foundry, name = place.road.foundry, f"team-{team}"
    renamed = Project(properties=ProjectProperties(display_name="By another name"))
    foundry.projects.begin_update(*place.road.foundry_at, name, renamed).result()
    return f"{team}: project {name} is ('By another name'"


def _alive_again(place: Platform, team: str) -> None:
    """A team that has withdrawn, and one of whose keys can be read again."""
    for version in place.road.vault.list_properties_of_secret_versions(f"{team}-primary-key"):
        place.road.vault.update_secret_properties(str(version.name), version.version, enabled=True)


def _break_everything(place: Platform) -> dict[str, str]:
    """What is broken -> how the finding about it begins."""
    with_gpus = sorted(team for team, asked in place.people.present.items() if asked.gpu)
    teams = iter([*with_gpus, *sorted(place.people.present.keys() - with_gpus)])
    broken: dict[str, str] = {}
    for strike, finding in OF_TEAMS.items():
        team = next(teams)
        strike(place, team)
        broken[strike.__name__] = finding.format(team)
    for hit, finding in OF_NOBODY.items():
        hit(place)
        broken[hit.__name__] = finding
    return broken


def _lose_deliveries(place: Platform) -> list[str]:
    """What is found when GitHub says that it got 202, and nothing came of it."""
    teams, all_of_them = (
        Delivery("d1", "c1", 202, "3 teams queued"),
        Delivery("d2", "c2", 202, "later: everything is looked at"),
    )
    return list(vanished(place, [teams, all_of_them, Delivery("d3", "c3", 503, "")], []))


def test_an_empty_judgement_fails_and_each_fault_made_by_hand_is_found(
    tmp_path: Path,
) -> None:
    with platform(tmp_path, seed=1, teams=9) as place:
        assert len(list(nothing_judged(place, []))) == 4, "no fault, no push, no webhook, no message"
        assert _lose_deliveries(place) == [
            "delivery d1: 3 teams were queued, 0 arrived",
            "delivery d2 was left to a sweep that never ran",
        ]
        leaves = max(team for team, asked in place.people.present.items() if not asked.gpu)
        place.people.leave(leaves)
        place.people.open_playground()
        place.people.push()
        place.settle()
        place.converge()
        broken = _break_everything(place)
        broken["_rename_the_project"] = _rename_the_project(place)
        _alive_again(place, leaves)
        broken["_alive_again"] = REPAIRED.format(leaves)
        verdict = judge(place)
    missed = [
        what
        for what, finding in broken.items()
        if not any(found.startswith(finding) for found in verdict.findings)
    ]
    assert missed == [], verdict.findings


def _asked(at: float, status: int, server: str = "ingress", kind: str = "call GET") -> Call:
    return Call(server, kind, "/team-alpha/phi-4/v1/models", status, at, 0.1)


@pytest.mark.parametrize(
    ("calls", "is_found"),
    [
        ([_asked(95, 404), _asked(99.5, 200)], False),
        ([_asked(50, 200), _asked(150, 503)], False),
        ([_asked(99, 200), _asked(99.9, 503)], False),
        ([], True),
        ([_asked(101.5, 200)], True),
        ([_asked(50, 200), _asked(90, 503)], True),
        ([_asked(99, 200, kind="call POST")], True),
        ([_asked(99, 200, server="models")], True),
    ],
)
def test_a_workspace_is_called_ready_when_the_last_call_was_answered(
    calls: list[Call], is_found: bool
) -> None:
    told = [Told("team-alpha/phi-4", 100)]
    assert len(list(unproven(told, calls))) == is_found
