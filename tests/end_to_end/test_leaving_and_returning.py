"""Access ends at once and is forgotten later; who comes back in time finds everything again."""

from __future__ import annotations

import uuid

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.apimanagement.models import SubscriptionUpdateParameters

from standins.stack import APIM_ID
from tests.end_to_end.road import DAY, Road
from tests.end_to_end.written import GPU, Request, new_team, path_of

HOUR = 3600.0
_AT = APIM_ID.split("/")[4], APIM_ID.split("/")[-1]


def is_readable(road: Road, team: str, group: str) -> bool:
    """Whether a member of the group gets both keys, and they are the right ones."""
    try:
        member = road.reader(group)
        return (
            member.get_secret(f"{team}-primary-key").value,
            member.get_secret(f"{team}-secondary-key").value,
        ) == road.issued_keys(team)
    except HttpResponseError:
        return False


def test_another_group_gets_a_new_secondary_key_at_once_and_a_primary_key_later(
    road: Road, team: str
) -> None:
    group, other = str(uuid.uuid4()), str(uuid.uuid4())
    road.clone.write(Request(team, group))
    road.status(road.push("Access"), team, "keys", "success")
    before = road.issued_keys(team)
    road.clone.write(Request(team, other))
    push = road.push("In other hands")
    assert "HandOverDelay: primary key renewed after" in road.status(push, team, "keys", "pending")
    assert (is_readable(road, team, group), is_readable(road, team, other)) == (False, True)
    assert [old == new for old, new in zip(before, road.issued_keys(team), strict=True)] == [True, False]
    road.sweep()
    road.advance(DAY)
    road.status(push, team, "keys", "success")
    assert not set(before) & set(road.issued_keys(team))
    assert is_readable(road, team, other)


def test_a_withdrawn_team_loses_keys_at_once_its_gpu_later_and_the_rest_last(road: Road, team: str) -> None:
    group, other = str(uuid.uuid4()), str(uuid.uuid4())
    road.clone.write(Request(team, group, gpu=GPU))
    given = road.push("Access with a GPU")
    road.status(given, team, "keys", "success")
    road.advance(11)
    road.status(given, team, "workspaces", "pending", "NodeClaim")
    assert is_readable(road, team, group)

    road.clone.remove(team)
    push = road.push("Withdrawn")
    assert "keys suspended" in road.status(push, team, "gateway", "success")
    assert road.status(push, team, "keys", "success") == "keys disabled"
    assert road.subscriptions(team) == {f"team-{team}": "suspended"}
    assert not is_readable(road, team, group)
    with pytest.raises(HttpResponseError) as disabled:
        road.vault.get_secret(f"{team}-primary-key")
    assert disabled.value.status_code == 403
    assert len(road.workspaces(team)) == 1
    assert "WithdrawalDelay" in road.status(push, team, "workspaces", "pending")

    road.advance(HOUR)
    road.advance(61)
    road.advance(31)
    assert road.status(push, team, "workspaces", "success") == "workspaces deleted"
    assert f"team-{team}" not in road.namespaces()
    road.sweep()
    assert f"team-{team}" in road.products()

    road.stack.control.advance(7 * DAY)
    road.sweep()
    assert f"team-{team}" not in road.products() | road.subscription_names()
    assert road.backends(team) == set()
    assert road.readers(team) == set()
    for secret in (f"{team}-primary-key", f"{team}-secondary-key", f"{team}-endpoint"):
        with pytest.raises(ResourceNotFoundError):
            road.vault.get_secret(secret)
        assert road.vault.get_deleted_secret(secret).name == secret

    road.clone.write(Request(team, other))
    push = road.push("Back after all")
    for _ in range(3):
        road.advance(30)  # the vault takes its time to recover the names
    road.status(push, team, "keys", "success")
    assert road.has_its_keys(team)
    assert is_readable(road, team, other)
    assert not is_readable(road, team, group)


def test_who_returns_within_grace_gets_the_same_keys_unless_they_changed_hands(road: Road, team: str) -> None:
    moved, first, second = new_team(), str(uuid.uuid4()), str(uuid.uuid4())
    road.clone.write(Request(team, first), Request(moved, first))
    road.status(road.push("Access for two"), moved, "keys", "success")
    keys, moved_keys = road.issued_keys(team), road.issued_keys(moved)
    road.clone.remove(team, moved)
    road.push("Withdrawn")
    assert (road.subscriptions(team), road.subscriptions(moved)) == (
        {f"team-{team}": "suspended"},
        {f"team-{moved}": "suspended"},
    )
    road.advance(3 * DAY)

    road.clone.write(Request(team, first), Request(moved, second))
    push = road.push("Back again")
    road.status(push, team, "keys", "success")
    road.status(push, moved, "keys", "success")
    assert road.issued_keys(team) == keys
    assert set(road.issued_keys(moved)).isdisjoint(moved_keys)
    assert is_readable(road, team, first)
    assert is_readable(road, moved, second)
    assert not is_readable(road, moved, first)
    assert "withdrawn" not in road.product(team).description
    road.stack.control.advance(8 * DAY)
    road.sweep()
    assert road.has_its_keys(team)


def test_access_ends_with_its_last_day_and_is_given_again_when_that_is_moved(road: Road, team: str) -> None:
    road.at_daybreak()
    road.clone.write_text(path_of(team), f"{Request(team)}expires: {road.today()}\n")
    road.status(road.push("Access for today"), team, "keys", "success")
    keys = road.issued_keys(team)
    road.stack.control.advance(DAY)
    road.sweep()
    assert road.subscriptions(team) == {f"team-{team}": "suspended"}
    road.clone.write_text(path_of(team), f"{Request(team)}expires: 2099-12-31\n")
    road.status(road.push("Access for longer"), team, "keys", "success")
    assert road.has_its_keys(team)
    assert road.issued_keys(team) == keys


def test_access_ends_with_its_last_day_although_somebody_has_misspelt_its_request(
    road: Road, team: str
) -> None:
    road.at_daybreak()
    written = f"{Request(team)}expires: {road.today()}\n"
    road.clone.write_text(path_of(team), written)
    road.status(road.push("Access for today"), team, "keys", "success")
    road.clone.write_text(path_of(team), written.replace("gpt-4.1-mini", "gpt-4.1-minni"))
    road.push("A slip of the pen")
    road.sweep()
    assert road.has_its_keys(team)
    road.stack.control.advance(DAY)
    road.sweep()
    assert road.subscriptions(team) == {f"team-{team}": "suspended"}
    assert "; expires " in road.product(team).description
    with pytest.raises(HttpResponseError):
        road.vault.get_secret(f"{team}-primary-key")
    road.clone.write(Request(team))
    road.status(road.push("Put right, and for longer"), team, "keys", "success")
    assert road.has_its_keys(team)


def test_a_subscription_that_somebody_renamed_opens_nothing_when_its_team_leaves(
    road: Road, team: str
) -> None:
    road.clone.write(Request(team))
    road.status(road.push("Access"), team, "keys", "success")
    renamed = SubscriptionUpdateParameters(display_name="Mine")
    road.apim.subscription.update(*_AT, f"team-{team}", "*", renamed)
    road.clone.remove(team)
    road.status(road.push("Withdrawn"), team, "gateway", "success")
    assert (road.subscriptions(team), road.linked_apis(team)) == ({f"team-{team}": "active"}, [])
    with pytest.raises(HttpResponseError):
        road.vault.get_secret(f"{team}-primary-key")
    [letter] = road.dead_letters(team)
    assert (letter.about["stage"], letter.about["reason"]) == ("deliver-keys", "NotManaged")
    renamed = SubscriptionUpdateParameters(display_name=f"mergekey/{road.stack.repository_id}/{team}")
    road.apim.subscription.update(*_AT, f"team-{team}", "*", renamed)
    road.clone.write(Request(team))
    road.status(road.push("Back again"), team, "keys", "success")
    assert road.linked_apis(team) == ["ai", "ai-bearer"]
    assert road.has_its_keys(team)
