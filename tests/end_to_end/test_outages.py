"""What passes by itself is waited for; what does not is put before the person who can act."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.end_to_end.road import A_NEW_TEAM, Road
from tests.end_to_end.written import Request


def test_while_the_vault_is_down_keys_wait_as_long_as_it_asks_for(road: Road, team: str) -> None:
    road.stack.control.fault("key-vault", "PUT secret", status=503, count=6, retry_after=120)
    road.clone.write(Request(team))
    push = road.push("Access")
    road.advance(60)
    assert road.vault_writes() == Counter({"PUT secret": 3}), (
        "nothing is tried before the time that the vault asked for"
    )
    road.advance(70)
    assert road.vault_writes() == Counter({"PUT secret": 6})
    road.advance(130)
    road.status(push, team, "keys", "success")
    assert road.has_its_keys(team)
    assert road.gateway_writes() == A_NEW_TEAM
    assert road.dead_letters(team) == []


def test_while_the_vault_is_down_a_withdrawn_teams_keys_stop_working_all_the_same(
    road: Road, team: str
) -> None:
    road.clone.write(Request(team))
    road.status(road.push("Access"), team, "keys", "success")
    road.stack.control.fault("key-vault", ".*", status=503, count=1000)
    road.clone.remove(team)
    push = road.push("Withdrawn")
    assert road.subscriptions(team) == {f"team-{team}": "suspended"}
    road.stack.control.forget_faults()
    road.advance(60)
    assert road.status(push, team, "keys", "success") == "keys disabled"


@pytest.mark.parametrize(("status", "times"), [(502, 1), (0, 2)], ids=["with an error", "without an answer"])
def test_when_github_fails_while_a_push_is_taken_in_a_sweep_makes_up_for_it(
    road: Road, team: str, status: int, times: int
) -> None:
    road.stack.control.fault("github", "GET branch", status=status, count=times)
    road.clone.write(Request(team))
    push = road.push("Access")
    assert push.answer == 202
    assert road.count("service-bus", "send")["send sweeps"] == 1
    road.status(push, team, "keys", "success")
    assert road.has_its_keys(team)
    assert len(road.check_runs(push)) == 1


def test_when_nothing_can_be_queued_github_is_told_and_a_redelivery_works(road: Road, team: str) -> None:
    road.stack.control.fault("service-bus", "send (access-changes|sweeps)", status=503, count=1000)
    road.clone.write(Request(team))
    push = road.push("Access")
    assert push.answer == 503
    road.stack.control.forget_faults()
    assert road.redeliver(push) == 202
    road.status(push, team, "keys", "success")
    assert road.has_its_keys(team)


def test_a_role_that_is_still_missing_is_waited_for(road: Road, team: str) -> None:
    road.stack.control.fault("resource-manager", "PUT product policy", status=403)
    road.clone.write(Request(team))
    push = road.push("Access")
    road.advance(60)
    road.status(push, team, "gateway", "success")
    assert road.linked_apis(team) == ["ai", "ai-bearer"]
    assert road.dead_letters(team) == []


def test_what_the_gateway_refuses_becomes_a_dead_letter_that_says_who_must_act(road: Road, team: str) -> None:
    road.stack.control.fault("resource-manager", "PUT product policy", status=400)
    road.clone.write(Request(team))
    push = road.push("Access")
    assert road.status(push, team, "gateway", "failure").startswith("Rejected: API Management answered 400")
    (letter,) = road.dead_letters(team)
    named = ("stage", "reason", "actor", "attempts", "message-id")
    assert [letter.about[name] for name in named] == [
        "provision-gateway", "Rejected", "the platform", 1, f"{push.delivery}/{team}",
    ]  # fmt: skip
    assert road.linked_apis(team) == [], "without limits no key opens the door"
