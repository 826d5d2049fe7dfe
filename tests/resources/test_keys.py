"""What is to be done for a team's keys, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared import names
from shared.errors import NotManaged
from shared.marker import Marker, format_time
from shared.resources.actual import RoleGrant, SecretVersion, Subscription
from shared.resources.key_slots import EXPOSED, PRIMARY, SECONDARY
from shared.resources.keys import (
    ActualKeys,
    Content,
    Exposed,
    Renewed,
    Tagged,
    plan_keys,
    plan_withdrawn_keys,
    renewal_of,
    role_name,
    role_of,
)
from shared.resources.plan import Create, Plan, Update
from shared.secret import SecretValue
from tests.fakes.app import GATEWAY_URL, OTHER_READERS, READERS, REPOSITORY, Asked, path_of
from tests.fakes.clock import START
from tests.resources.plans import steps_of

DAY, GRACE = timedelta(days=1), timedelta(days=7)
MARKER = Marker(REPOSITORY, "alpha", path_of("alpha"), "c" * 40)
KEY, SECOND, ENDPOINT = names.secrets("alpha")
PRIMARY_PRINT, SECONDARY_PRINT = "1" * 16, "2" * 16
PRINTS = {
    KEY: PRIMARY_PRINT,
    SECOND: SECONDARY_PRINT,
    ENDPOINT: SecretValue(GATEWAY_URL).fingerprint(ENDPOINT),
}
ACTIVE = Subscription("team-alpha", '"1"', f"mergekey/{REPOSITORY}/alpha", "team-alpha", "", "active")
US, THEM = RoleGrant(READERS, ours=True), RoleGrant(OTHER_READERS, ours=True)
REVOKED = [f"delete secret role {name} {OTHER_READERS}" for name in sorted(names.secrets("alpha"))]


def _version(
    name: str, more: Mapping[str, str] | None = None, *, enabled: bool = True, **tags: str
) -> SecretVersion:
    ours = {
        "managed-by": "mergekey",
        "repository": str(REPOSITORY),
        "team": "alpha",
        "commit": "d" * 40,
        "reader": READERS,
        "fingerprint": PRINTS[name],
    }
    named = {_tag(tag): text for tag, text in tags.items()}
    return SecretVersion(name, "1", enabled, START, {**ours, **(more or {}), **named})


def _tag(name: str) -> str:
    return EXPOSED if name == "exposed" else name


WHOLE = ActualKeys(
    ACTIVE,
    {name: (_version(name),) for name in names.secrets("alpha")},
    dict.fromkeys(names.secrets("alpha"), frozenset({US})),
)


def _with(actual: ActualKeys, *versions: SecretVersion) -> ActualKeys:
    """With these as the only versions of their secrets."""
    return replace(actual, secrets={**actual.secrets, **{each.name: (each,) for each in versions}})


def _plan(actual: ActualKeys, now: datetime = START, readers: str | None = READERS) -> Plan:
    return plan_keys(Asked(readers=readers).read(), MARKER, GATEWAY_URL, actual, now, DAY)


def _told(actual: ActualKeys, now: datetime = START, readers: str | None = READERS) -> list[list[str]]:
    return steps_of(_plan(actual, now, readers))


def _bodies(plan: Plan) -> dict[str, object]:
    return {change.name: change.body for change in plan if isinstance(change, Create | Update)}


def test_where_nothing_differs_nothing_is_planned_and_no_key_is_read() -> None:
    plan = _plan(WHOLE)
    assert (plan.steps, plan.unread, plan.refused) == ((), frozenset(), ())
    assert not _plan(replace(WHOLE, fingerprints=(PRIMARY_PRINT, SECONDARY_PRINT)))


def test_a_new_team_gets_its_subscription_then_its_secrets_then_its_roles() -> None:
    plan = _plan(ActualKeys(None, {}, {}))
    assert steps_of(plan) == [
        ["create subscription team-alpha"],
        sorted(f"create secret {name}" for name in names.secrets("alpha")),
        sorted(f"create secret role {name} {READERS}" for name in names.secrets("alpha")),
    ]
    assert plan.unread == frozenset(), "the new subscription tells its keys"
    content = _bodies(plan)[KEY]
    assert isinstance(content, Content)
    assert (content.slot, content.newest, content.tags["commit"]) == (PRIMARY, None, "c" * 40)


def test_a_former_group_loses_its_roles_and_the_secondary_key_is_renewed() -> None:
    moved = replace(WHOLE, fingerprints=(PRIMARY_PRINT, SECONDARY_PRINT))
    steps = _told(moved, readers=OTHER_READERS)
    assert steps == [
        [each.replace(OTHER_READERS, READERS) for each in REVOKED],
        [f"update key {SECOND}"],
        sorted([f"update secret {KEY}", f"update secret {ENDPOINT}"]),
        sorted(f"create secret role {name} {OTHER_READERS}" for name in names.secrets("alpha")),
    ]
    bodies = _bodies(_plan(moved, readers=OTHER_READERS))
    assert bodies[KEY] == Exposed(PRIMARY, WHOLE.secrets[KEY], START)
    renewed = bodies[SECOND]
    assert isinstance(renewed, Renewed)
    assert (renewed.slot, renewed.tags["reader"]) == (SECONDARY, OTHER_READERS)
    assert "key" in _plan(WHOLE, readers=OTHER_READERS).unread


def test_a_group_whose_only_trace_is_a_role_is_marked_before_it_loses_it() -> None:
    let_in = replace(WHOLE, readers={**WHOLE.readers, KEY: frozenset({US, THEM})})
    both = sorted([f"update secret {KEY}", f"update secret {SECOND}"])
    assert _told(let_in)[:3] == [both, REVOKED, [f"update key {SECOND}"]]
    late = replace(WHOLE, granted_groups=frozenset({OTHER_READERS}))
    assert _told(late)[:2] == [both, REVOKED]
    by_hand = replace(WHOLE, readers={**WHOLE.readers, KEY: frozenset({US, replace(THEM, ours=False)})})
    assert not _plan(by_hand)


def test_an_exposed_key_waits_for_its_overlap_and_is_renewed_then() -> None:
    marked = _with(WHOLE, _version(KEY, exposed=format_time(START), reader=OTHER_READERS))
    assert _told(marked, START + timedelta(hours=1)) == []
    assert renewal_of("alpha", READERS, marked, START, DAY).until == START + DAY
    assert _told(marked, START + DAY) == [[f"update key {KEY}"]]
    disabled = _with(marked, replace(marked.secrets[KEY][0], enabled=False))
    [change] = _plan(disabled)
    assert isinstance(change, Update)
    assert change.body == Tagged(disabled.secrets[KEY][0], True, disabled.secrets[KEY][0].tags)


@pytest.mark.parametrize(
    "subscription",
    [None, replace(ACTIVE, state="suspended"), replace(ACTIVE, product="team-bravo")],
    ids=["gone", "suspended", "of another product"],
)
def test_keys_that_do_not_work_are_woken_and_exposed_ones_are_renewed_before(
    subscription: Subscription | None,
) -> None:
    asleep = replace(WHOLE, subscription=subscription)
    verb = "create" if subscription is None else "update"
    both = sorted([f"update secret {KEY}", f"update secret {SECOND}"])
    assert _told(asleep) == [[f"{verb} subscription team-alpha"], both]
    exposed = _with(asleep, _version(KEY, exposed=format_time(START)))
    assert _told(exposed) == [
        [f"{verb} subscription team-alpha"],
        [f"update key {SECOND}"],
        [f"update key {KEY}"],
    ]
    wake = next(change for change in _plan(exposed) if change.kind == "subscription")
    assert not isinstance(wake, Update) or (wake.tag, wake.body) == ('"1"', (SECONDARY, PRIMARY))


@pytest.mark.parametrize(
    ("version", "reads"),
    [
        (_version(KEY, enabled=False), True),
        (_version(KEY, fingerprint=""), True),
        (_version(KEY, withdrawn=format_time(START)), False),
        (_version(KEY, {"managed-by": ""}), False),
    ],
    ids=["disabled", "of nobody knows what", "withdrawn", "less one tag"],
)
def test_a_secret_that_is_not_whole_is_written_with_the_gateways_key(
    version: SecretVersion, reads: bool
) -> None:
    plan = _plan(_with(WHOLE, version))
    assert (steps_of(plan), "key" in plan.unread) == ([[f"update secret {KEY}"]], reads)
    known = replace(_with(WHOLE, version), fingerprints=(PRIMARY_PRINT, SECONDARY_PRINT))
    assert not _plan(known).unread


def test_another_key_at_the_gateway_or_another_address_is_written() -> None:
    renewed_by_hand = replace(WHOLE, fingerprints=("9" * 16, SECONDARY_PRINT))
    assert _told(renewed_by_hand) == [[f"update secret {KEY}"]]
    assert _told(_with(WHOLE, _version(ENDPOINT, fingerprint="9" * 16))) == [[f"update secret {ENDPOINT}"]]
    assert not _plan(_with(WHOLE, _version(KEY, note="by the company")))


def test_without_a_group_nobody_may_read() -> None:
    nobody = {
        name: (replace(found[0], tags={**found[0].tags, "reader": ""}),)
        for name, found in WHOLE.secrets.items()
    }
    assert not _plan(replace(WHOLE, secrets=nobody, readers={}), readers=None)
    assert _told(WHOLE, readers=None)[0] == [each.replace(OTHER_READERS, READERS) for each in REVOKED]


@pytest.mark.parametrize("tags", [{"repository": "9"}, {"team": "bravo"}, {"repository": "x"}])
def test_a_secret_of_others_is_left_alone(tags: Mapping[str, str]) -> None:
    plan = _plan(_with(WHOLE, _version(SECOND, tags)))
    assert not plan
    with pytest.raises(NotManaged, match=SECOND):
        plan.writable()


def test_a_subscription_of_others_is_left_alone() -> None:
    plan = _plan(replace(WHOLE, subscription=replace(ACTIVE, display_name="mine")))
    with pytest.raises(NotManaged, match="subscription team-alpha"):
        plan.writable()


def test_the_name_of_a_role_is_the_secret_and_the_group() -> None:
    assert role_of(role_name(KEY, READERS)) == (KEY, READERS)


# --------------------------------------------------------------------------------------------- taking away


def _withdrawn(
    actual: ActualKeys, now: datetime = START, *, has_product: bool = True, in_doubt: bool = False
) -> Plan:
    owner = Marker(REPOSITORY, "alpha", "", "")
    return plan_withdrawn_keys(owner, actual, now, GRACE, has_product=has_product, in_doubt=in_doubt)


def _asleep(since: datetime = START) -> ActualKeys:
    versions = (
        _version(name, enabled=False, withdrawn=format_time(since)) for name in names.secrets("alpha")
    )
    return _with(replace(WHOLE, subscription=replace(ACTIVE, state="suspended")), *versions)


def test_withdrawn_keys_are_suspended_and_every_version_of_a_secret_is_disabled() -> None:
    older = replace(_version(KEY), version="0")
    two = replace(WHOLE, secrets={**WHOLE.secrets, KEY: (*WHOLE.secrets[KEY], older)})
    plan = _withdrawn(two)
    assert steps_of(plan) == [
        ["update subscription team-alpha"],
        sorted([f"update secret {KEY}", *(f"update secret {name}" for name in names.secrets("alpha"))]),
    ]
    bodies = [change.body for change in plan if isinstance(change, Update) and change.kind == "secret"]
    assert {(each.version.version, each.enabled) for each in bodies if each.version.name == KEY} == {
        ("1", False),
        ("0", False),
    }
    assert {each.tags["withdrawn"] for each in bodies} == {format_time(START)}
    assert not _withdrawn(_asleep())


def test_secrets_go_with_their_roles_after_the_grace_period_or_the_product() -> None:
    roles = sorted(f"delete secret role {name} {READERS}" for name in names.secrets("alpha"))
    all_of_it = [roles, sorted(f"delete secret {name}" for name in names.secrets("alpha"))]
    assert steps_of(_withdrawn(_asleep(), START + GRACE - timedelta(seconds=1))) == []
    assert steps_of(_withdrawn(_asleep(), START + GRACE)) == all_of_it
    assert steps_of(_withdrawn(_asleep(), has_product=False)) == all_of_it
    assert not _withdrawn(_asleep(), START + GRACE, in_doubt=True)
    assert _withdrawn(replace(_asleep(), lists_readers=False), START + GRACE).unread == {"secret role"}


def test_a_foreign_subscription_that_works_is_told_when_the_secrets_are_disabled() -> None:
    theirs = replace(WHOLE, subscription=replace(ACTIVE, display_name="mine"))
    plan = _withdrawn(theirs)
    assert [each.kind for each in plan.refused] == ["subscription"]
    assert len(list(plan)) == len(names.secrets("alpha"))
    assert not _withdrawn(replace(theirs, subscription=replace(ACTIVE, display_name="m", state="x"))).refused


def test_secrets_of_others_are_not_disabled_and_the_teams_own_are() -> None:
    plan = _withdrawn(_with(WHOLE, _version(SECOND, team="bravo")))
    assert steps_of(plan) == [
        ["update subscription team-alpha"],
        sorted([f"update secret {KEY}", f"update secret {ENDPOINT}"]),
    ]
    assert [each.name for each in plan.refused] == [SECOND]
    over = _withdrawn(_with(_asleep(), _version(SECOND, team="bravo")), START + GRACE)
    assert f"delete secret {SECOND}" not in steps_of(over)[-1]
    assert f"delete secret {KEY}" in steps_of(over)[-1]
