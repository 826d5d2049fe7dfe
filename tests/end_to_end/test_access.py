"""A merged request becomes access, with exactly the writes that are needed."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest
from azure.core.exceptions import HttpResponseError

from tests.end_to_end.road import A_CHANGED_LIMIT, A_NEW_TEAM, Push, Road
from tests.end_to_end.written import GPU, Request, path_of

NOTHING: Counter[str] = Counter()


@pytest.fixture
def group() -> str:
    return str(uuid.uuid4())


def onboard(road: Road, request: Request) -> Push:
    """Push a request and wait for the keys; afterwards the counters are at zero."""
    road.clone.write(request)
    push = road.push(f"Access for {request.team}")
    road.status(push, request.team, "keys", "success")
    road.stack.control.forget_calls()
    return push


def test_a_merged_request_becomes_a_published_product_whose_keys_are_in_the_vault(
    road: Road, team: str, group: str
) -> None:
    road.clone.write(Request(team, group, tokens=4321))
    push = road.push("Access")
    assert push.answer == 202
    assert "product and policy in place" in road.status(push, team, "gateway", "success")
    assert f"{team}-primary-key" in road.status(push, team, "keys", "success")
    product = road.product(team)
    assert (product.state, product.subscription_required, product.approval_required) == (
        "published",
        True,
        False,
    )
    assert f"team {team}; path {path_of(team)}; commit {push.commit}; sha256:" in product.description
    assert 'tokens-per-minute="4321"' in road.policy(team)
    assert road.linked_apis(team) == ["ai", "ai-bearer"]
    assert road.subscriptions(team) == {f"team-{team}": "active"}
    assert road.stored_keys(team) == road.issued_keys(team)
    endpoint = road.vault.get_secret(f"{team}-endpoint")
    assert endpoint.value == road.stack.addresses["gateway"]
    assert (endpoint.properties.tags or {})["team"] == team
    assert [run["conclusion"] for run in road.check_runs(push)] == ["success"]


def test_only_the_groups_members_can_read_the_keys(road: Road, team: str, group: str) -> None:
    onboard(road, Request(team, group))
    member = road.reader(group)
    assert [member.get_secret(f"{team}-{which}-key").value for which in ("primary", "secondary")] == list(
        road.issued_keys(team)
    )
    with pytest.raises(HttpResponseError) as refused:
        road.reader(str(uuid.uuid4())).get_secret(f"{team}-primary-key")
    assert refused.value.status_code == 403


def test_without_a_group_the_keys_are_there_and_nobody_may_read_them(road: Road, team: str) -> None:
    road.clone.write(Request(team))
    push = road.push("Access without a group")
    assert "add entraGroup" in road.status(push, team, "keys", "success")
    assert road.has_its_keys(team)


def test_a_new_team_costs_six_gateway_writes_and_one_deletion(road: Road, team: str, group: str) -> None:
    road.clone.write(Request(team, group))
    push = road.push("Access")
    road.status(push, team, "keys", "success")
    assert road.gateway_writes() == A_NEW_TEAM
    assert road.vault_writes() == Counter({"PUT secret": 3})
    assert road.count("resource-manager", "PUT")["PUT role assignment"] == 3


def test_a_dedicated_model_costs_one_backend_more(road: Road, team: str) -> None:
    road.clone.write(Request(team, gpu=GPU))
    push = road.push("Access with a GPU")
    road.status(push, team, "keys", "success")
    assert road.gateway_writes() == A_NEW_TEAM + Counter({"PUT backend": 1})
    assert road.backends(team) == {f"team-{team}--phi-4"}


def test_a_changed_limit_costs_two_gateway_writes(road: Road, team: str) -> None:
    onboard(road, Request(team, tokens=5000))
    road.clone.write(Request(team, tokens=6000))
    push = road.push("A higher limit")
    road.status(push, team, "gateway", "success")
    assert road.gateway_writes() == A_CHANGED_LIMIT
    assert road.vault_writes() == NOTHING
    assert 'tokens-per-minute="6000"' in road.policy(team)


def test_a_push_that_does_not_concern_access_queues_nothing(road: Road, team: str) -> None:
    onboard(road, Request(team))
    road.clone.write_text("README.md", f"# About {team}\n")
    assert road.push("Words").answer == 202
    assert road.count("service-bus", "send") == NOTHING
    assert road.gateway_writes() == NOTHING


def test_a_changed_comment_costs_no_write(road: Road, team: str, group: str) -> None:
    onboard(road, Request(team, group))
    road.clone.write_text(path_of(team), f"# The same as before.\n\n{Request(team, group)}")
    push = road.push("A comment")
    road.status(push, team, "keys", "success")
    assert road.gateway_writes() == NOTHING
    assert road.vault_writes() == NOTHING
    assert road.count("resource-manager", "PUT", "DELETE") == NOTHING


def test_a_second_delivery_of_a_push_changes_nothing_and_no_message_is_handled_twice(
    road: Road, team: str
) -> None:
    push = onboard(road, Request(team))
    handled = len(road.stack.invocations())
    assert road.redeliver(push) == 202
    assert road.deliveries()[-1]["guid"] == push.delivery
    # Those that wait for a GPU are looked at in the meantime.
    assert [
        call.function for call in road.stack.invocations()[handled:] if call.session_id in (None, team)
    ] == ["receive_push"]
    assert road.gateway_writes() == NOTHING
    messages = Counter(
        (call.function, call.message_id) for call in road.stack.invocations() if call.message_id
    )
    assert [message for message, times in messages.items() if times > 1] == []
