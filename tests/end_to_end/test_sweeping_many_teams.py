"""A push of many requests at once is one sweep, and everybody gets access."""

from __future__ import annotations

from collections import Counter

from tests.end_to_end.road import A_NEW_TEAM, Road
from tests.end_to_end.written import Request, new_team

MANY = 51


def test_a_push_of_many_teams_is_one_sweep_that_provisions_them_all(road: Road) -> None:
    teams = [new_team() for _ in range(MANY)]
    road.clone.write(*(Request(team) for team in teams))
    push = road.push("Many teams")
    assert road.count("service-bus", "send")["send sweeps"] == 1
    assert (
        len([call for call in road.stack.invocations() if call.message_id == f"{push.delivery}/sweep"]) == 1
    )
    unfinished = set(teams)
    for _ in range(MANY):
        # Some may have been told to come back: the gateway's links are made one at a time.
        road.advance(120)
        unfinished -= {each for each in unfinished if road.linked_apis(each) and road.has_its_keys(each)}
        if not unfinished:
            break
    assert unfinished == set()
    assert {tuple(road.linked_apis(team)) for team in teams} == {("ai", "ai-bearer")}
    # The administrator's subscriptions have names that API Management made.
    by_name = A_NEW_TEAM - Counter({"DELETE subscription": 1})
    assert road.gateway_writes(*teams) == Counter({kind: MANY * times for kind, times in by_name.items()})
    deleted = [
        call.target
        for call in road.stack.control.calls("resource-manager")
        if call.kind == "DELETE subscription" and "/subscriptions/team-" not in call.target
    ]
    # None is deleted twice. A sweep may meanwhile give access to a team of another test, which has one, too.
    assert len(deleted) == len(set(deleted)) >= MANY
    assert len(road.check_runs(push)) == 1
    assert road.dead_letters(*teams) == []
