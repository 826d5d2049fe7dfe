"""A GPU of the team's own takes its time; the keys do not wait for it."""

from __future__ import annotations

import ssl
from typing import Any

import httpx
import pytest
from openai import APIStatusError, OpenAI

from tests.end_to_end.road import Road
from tests.end_to_end.written import GPU, LARGER_GPU, Request


def test_the_keys_do_not_wait_for_the_gpu_and_its_stage_says_what_it_waits_for(road: Road, team: str) -> None:
    road.clone.write(Request(team, gpu=GPU))
    push = road.push("Access with a GPU")
    road.status(push, team, "keys", "success")
    assert road.has_its_keys(team)
    road.advance(11)
    assert road.status(push, team, "workspaces", "pending", "NodeClaim").startswith("waiting: ")
    (workspace,) = road.workspaces(team)
    assert (workspace["metadata"]["name"], workspace["resource"]["instanceType"]) == ("phi-4", GPU)
    road.advance(361)
    road.status(push, team, "workspaces", "pending", "Inference")
    road.advance(361)
    assert road.status(push, team, "workspaces", "success") == "workspaces ready: phi-4"
    assert road.dead_letters(team) == []


def test_another_instance_type_replaces_the_workspace(road: Road, team: str) -> None:
    road.clone.write(Request(team, gpu=GPU))
    road.push("Access with a GPU")
    road.advance(721)
    (before,) = road.workspaces(team)
    keys = road.issued_keys(team)
    road.clone.write(Request(team, gpu=LARGER_GPU))
    push = road.push("A larger GPU")
    assert "WorkspaceDeleting" in road.status(push, team, "workspaces", "pending")
    road.advance(61)
    (after,) = road.workspaces(team)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["resource"]["instanceType"] == LARGER_GPU
    road.advance(721)
    road.status(push, team, "workspaces", "success")
    assert (road.issued_keys(team), road.backends(team)) == (keys, {f"team-{team}--phi-4"})


def test_a_gpu_that_is_given_back_takes_its_namespace_along(road: Road, team: str) -> None:
    road.clone.write(Request(team, gpu=GPU))
    first = road.push("Access with a GPU")
    road.status(first, team, "workspaces", "pending")
    road.advance(11)
    road.status(first, team, "workspaces", "pending", "NodeClaim")
    road.clone.write(Request(team))
    second = road.push("Without the GPU")
    road.status(second, team, "workspaces", "pending")
    road.advance(61)
    road.advance(31)
    road.status(first, team, "workspaces", "success")
    road.status(second, team, "workspaces", "success")
    assert f"team-{team}" not in road.namespaces()
    assert road.backends(team) == set()
    assert road.has_its_keys(team)


def test_a_change_during_the_wait_is_told_when_the_gpu_is_ready_too(road: Road, team: str) -> None:
    road.clone.write(Request(team, gpu=GPU))
    first = road.push("Access with a GPU")
    road.clone.write(Request(team, gpu=GPU, tokens=6000))
    second = road.push("A higher limit")
    road.status(second, team, "workspaces", "pending")
    for _ in range(20):
        road.advance(60)
    told = {road.status(commit, team, "workspaces", "success") for commit in (first, second)}
    # Both wait; the one that comes second may find nothing to do.
    assert told in ({"workspaces ready: phi-4"}, {"workspaces ready: phi-4", "nothing is left to wait for"})


def test_a_call_reaches_the_teams_own_model_when_its_workspace_serves(road: Road, team: str) -> None:
    road.clone.write(Request(team, gpu=GPU))
    push = road.push("Access with a GPU")
    road.advance(11)
    with httpx.Client(verify=ssl.create_default_context(cafile=road.stack.ca)) as http:
        own = OpenAI(
            base_url=f"{road.stack.addresses['gateway']}/openai/v1",
            api_key="not-used",
            default_headers={"api-key": next(iter(road.issued_keys(team)))},
            http_client=http,
            max_retries=0,
        )
        asked: Any = {"model": "phi-4", "messages": [{"role": "user", "content": "Hello there"}]}
        with pytest.raises(APIStatusError):
            own.chat.completions.create(**asked)
        for _ in range(3):
            road.advance(361)
        assert road.status(push, team, "workspaces", "success") == "workspaces ready: phi-4"
        assert own.chat.completions.create(**asked).choices[0].message.content
    host = f"phi-4.team-{team}.svc"
    assert {
        call.target for call in road.stack.control.calls() if call.server == "models" and host in call.kind
    } == {"/v1/models", "/v1/chat/completions"}, "the workers ask it for its name before it is called ready"
