"""Whatever is killed in the middle: started again, everything comes to its end, once."""

from __future__ import annotations

from standins.stack import wait_until
from tests.end_to_end.road import Push, Road
from tests.end_to_end.written import GPU, Request, new_team


def die_in_the_middle(road: Road) -> list[str]:
    """Twelve teams, for whom the host is killed while it works. On a busy machine that may be seen too late,
    and is tried again.
    """
    for _ in range(5):
        road.stack.control.forget_calls()
        teams = [new_team() for _ in range(12)]
        road.clone.write(*(Request(team) for team in teams))
        road.clone.commit("Twelve teams")
        road.clone.git("push", "--quiet", "origin", "main")
        wait_until("the first secrets are written", lambda: road.vault_writes()["PUT secret"])
        road.stack.host.kill()
        road.stack.host.wait()
        if not road.is_quiet():
            return teams
        road.stack.start_host()
    raise AssertionError("the host was always killed too late for this test to mean anything")


def test_a_host_that_is_killed_in_the_middle_finishes_when_it_is_back(road: Road) -> None:
    teams = die_in_the_middle(road)
    road.stack.start_host()
    road.settle()
    unfinished = [
        team
        for team in teams
        if not (road.linked_apis(team) == ["ai", "ai-bearer"] and road.has_its_keys(team))
    ]
    assert unfinished == []
    assert [str(road.product(team).state) for team in teams] == ["published"] * len(teams)
    assert road.dead_letters(*teams) == []


def test_a_push_that_nobody_heard_is_found_by_the_sweep(road: Road, team: str) -> None:
    road.stack.stop_host()
    road.clone.write(Request(team))
    known = len(road.deliveries())
    commit = road.clone.commit("Into the void")
    road.clone.git("push", "--quiet", "origin", "main")
    push = Push(commit, *road.answered(known))
    assert push.answer == 0
    road.stack.start_host()
    assert f"team-{team}" not in road.products()
    road.sweep()
    assert road.has_its_keys(team)
    assert road.status(push, team, "keys", "success")


def test_a_push_that_nobody_heard_is_delivered_again_and_its_people_see_the_verdict(
    road: Road, team: str
) -> None:
    road.stack.stop_host()
    road.clone.write(Request(team))
    known = len(road.deliveries())
    commit = road.clone.commit("Into the void")
    road.clone.git("push", "--quiet", "origin", "main")
    push = Push(commit, *road.answered(known))
    road.stack.start_host()
    road.sweep()
    wait_until("GitHub has delivered it once more", lambda: answers_to(road, push) == [0, 202])
    assert wait_until("the verdict is there", lambda: road.check_runs(push))[0]["conclusion"] == "success"
    road.settle()
    road.sweep()
    assert answers_to(road, push) == [0, 202]
    assert len(road.check_runs(push)) == 1


def answers_to(road: Road, push: Push) -> list[int | None]:
    """What every attempt to deliver the push was answered."""
    return [row["status_code"] for row in road.deliveries() if row["guid"] == push.delivery]


def test_stand_ins_that_are_started_again_have_lost_nothing(road: Road, team: str) -> None:
    late = new_team()
    road.clone.write(Request(team, gpu=GPU))
    push = road.push("Access with a GPU")
    road.status(push, team, "workspaces", "pending")
    road.advance(11)
    road.status(push, team, "workspaces", "pending", "NodeClaim")
    before = (
        road.product(team),
        road.policy(team),
        road.issued_keys(team),
        road.backends(team),
        road.deliveries(),
    )
    workspaces, now = road.workspaces(team), road.stack.control.now()
    road.stack.restart_standins()
    assert road.stack.control.now() >= now
    assert (
        road.product(team),
        road.policy(team),
        road.issued_keys(team),
        road.backends(team),
        road.deliveries(),
    ) == before
    assert [item["metadata"]["uid"] for item in road.workspaces(team)] == [
        item["metadata"]["uid"] for item in workspaces
    ]
    assert road.has_its_keys(team)
    road.advance(721)
    assert "workspaces ready" in road.status(push, team, "workspaces", "success")
    road.clone.write(Request(late))
    road.status(road.push("Access"), late, "keys", "success")
