"""When a team's group changes, its keys change: whoever may read no more keeps none that works, and the
living team has a day.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta

import pytest

from shared import names
from shared.errors import Busy
from shared.marker import format_time
from shared.messaging.retry_state import IncomingMessage
from shared.messaging.routes import DELIVER_KEYS, PROVISION_GATEWAY
from shared.resources.key_slots import EXPOSED, PRIMARY, SECONDARY
from shared.secret import SecretValue
from shared.stages.settlement import settle
from tests.fakes.app import (
    OTHER_READERS,
    READERS,
    REPOSITORY,
    Asked,
    FakeApp,
    a_change,
    keys_message,
    path_of,
)
from tests.fakes.calls import Call, nothing
from tests.stages.road import (
    WORK,
    Kill,
    Killed,
    a_platform,
    a_team,
    arrive,
    ask,
    drain,
    later,
    matches_the_gateway,
    push,
    run,
    shown,
    sweep,
    withdraw,
)

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
KEY, SECOND, ENDPOINT = names.secrets("alpha")
THIRD = "7d1b2c3a-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
NEW = {path_of("alpha"): Asked(readers=OTHER_READERS).text()}


def _keys(app: FakeApp) -> list[str]:
    return list(app.gateway.state.keys["team-alpha"])


def _tags(app: FakeApp, secret: str) -> Mapping[str, str]:
    return app.vault.kept[secret].versions[0].tags


def _strict(app: FakeApp) -> FakeApp:
    app.timeouts = replace(app.timeouts, key_overlap=timedelta(0))
    return app


def _renewed(app: FakeApp) -> list[str]:
    return [call for call in app.calls.writes("gateway") if call.startswith("regenerate_key")]


def _require_whole(app: FakeApp, readers: str = OTHER_READERS) -> None:
    """All is as for a team that never had other readers."""
    assert all(matches_the_gateway(app, secret) for secret in names.secrets("alpha"))
    assert {secret: _tags(app, secret)["reader"] for secret in names.secrets("alpha")} == dict.fromkeys(
        names.secrets("alpha"), readers
    )
    assert not [secret for secret in names.secrets("alpha") if EXPOSED in _tags(app, secret)]
    assert app.roles.assigned == {(secret, readers) for secret in names.secrets("alpha")}


async def test_without_an_overlap_who_may_read_no_more_has_no_key_that_works() -> None:
    app = _strict(await a_team())
    before = _keys(app)
    await ask(app, Asked(readers=OTHER_READERS))
    assert not set(before) & set(_keys(app))
    assert shown(app)["keys"].startswith("success: keys in vault")
    _require_whole(app)


async def test_the_secondary_key_is_new_at_once_and_the_primary_after_a_day() -> None:
    app = await a_team()
    primary, secondary = _keys(app)
    until = format_time(app.clock.now() + DAY)
    await ask(app, Asked(readers=OTHER_READERS))
    assert (_keys(app)[PRIMARY], _keys(app)[SECONDARY] != secondary) == (primary, True)
    assert app.roles.assigned == {(secret, OTHER_READERS) for secret in names.secrets("alpha")}
    assert all(matches_the_gateway(app, secret) for secret in names.secrets("alpha"))
    assert shown(app)["keys"] == f"pending: waiting: HandOverDelay: primary key renewed after {until}"
    await later(app, DAY - timedelta(seconds=1))
    assert _keys(app)[PRIMARY] == primary
    new = _keys(app)[SECONDARY]
    await later(app, timedelta(seconds=1))
    assert (_keys(app)[PRIMARY] != primary, _keys(app)[SECONDARY]) == (True, new)
    assert shown(app)["keys"] == f"success: keys in vault: {KEY}, {SECOND}"
    assert app.bus.next_due() is None
    _require_whole(app)


async def test_what_is_written_in_which_order() -> None:
    app = _strict(await a_team())
    await ask(app, Asked(readers=OTHER_READERS))
    made = [
        str(call) for call in app.calls.made if call.system in ("gateway", "vault", "roles") and call.writes
    ]
    steps = [
        "regenerate_key team-alpha 1",
        f"set {SECOND}",
        "regenerate_key team-alpha 0",
        f"set {KEY}",
        f"update {ENDPOINT}",
    ]
    assert made[:3] == [f"revoke {secret} {READERS}" for secret in names.secrets("alpha")]
    assert made[3:8] == steps
    assert sorted(made[8:]) == sorted(f"grant {secret} {OTHER_READERS}" for secret in names.secrets("alpha"))


@pytest.mark.parametrize(
    ("after", "renewed"),
    [
        (f"revoke {ENDPOINT} {READERS}", ["1", "0"]),
        ("regenerate_key team-alpha 1", ["1", "1", "0"]),
        (f"set {SECOND}", ["1", "0"]),
        ("regenerate_key team-alpha 0", ["1", "0", "0"]),
        (f"set {KEY}", ["1", "0"]),
        (f"update {ENDPOINT}", ["1", "0"]),
        (f"grant {SECOND} {OTHER_READERS}", ["1", "0"]),
    ],
)
async def test_who_was_killed_goes_on_where_it_was(after: str, renewed: list[str]) -> None:
    app = _strict(await a_team())
    dead = False

    async def kill(call: Call) -> None:
        nonlocal dead
        dead = dead or str(call) == after
        if dead:
            raise Killed(after)

    app.calls.after = kill
    with pytest.raises(Killed):
        await push(app, {**NEW})
    app.calls.after = nothing
    await drain(app)
    assert _renewed(app) == [f"regenerate_key team-alpha {which}" for which in renewed]
    _require_whole(app)


async def test_while_a_key_waits_sweeps_find_nothing_and_messages_write_nothing() -> None:
    app = await a_team()
    await ask(app, Asked(readers=OTHER_READERS))
    await later(app, HOUR)
    app.calls.forget()
    await sweep(app, deep=True)
    await run(app, DELIVER_KEYS)
    assert app.calls.writes("gateway") + app.calls.writes("vault") + app.calls.writes("roles") == []


async def test_a_message_that_was_lost_is_not_missed_a_sweep_finds_the_key_when_it_is_time() -> None:
    app = await a_team()
    primary = _keys(app)[PRIMARY]
    await ask(app, Asked(readers=OTHER_READERS))
    app.bus.queues[DELIVER_KEYS.name].clear()
    await later(app, DAY - timedelta(minutes=1))
    await sweep(app)
    assert _keys(app)[PRIMARY] == primary
    await later(app, timedelta(minutes=1))
    await sweep(app)
    assert _keys(app)[PRIMARY] != primary
    _require_whole(app)


async def test_sweeps_that_come_by_while_a_key_waits_leave_no_message_behind() -> None:
    app = await a_team()
    await ask(app, Asked(readers=OTHER_READERS))
    waiting = len(app.bus.waiting(DELIVER_KEYS))
    app.roles.assigned.discard((ENDPOINT, OTHER_READERS))
    await sweep(app)
    assert (ENDPOINT, OTHER_READERS) in app.roles.assigned
    assert len(app.bus.waiting(DELIVER_KEYS)) == waiting == 1


async def _left_to_a_sweep(app: FakeApp) -> None:
    """A push of which GitHub no longer knows the commit before it: no message of a team's is the push's."""
    app.repository.commit({**NEW})
    await arrive(app, "0" * 40)


async def test_a_push_that_is_left_to_a_sweep_needs_no_other_sweep() -> None:
    app = await a_team()
    # A sweep that no push set off does nothing then.
    app.sweep_report_only = True
    primary, until = _keys(app)[PRIMARY], format_time(app.clock.now() + DAY)
    await _left_to_a_sweep(app)
    assert shown(app)["keys"] == f"pending: waiting: HandOverDelay: primary key renewed after {until}"
    await later(app, DAY - timedelta(seconds=1))
    assert _keys(app)[PRIMARY] == primary
    await later(app, timedelta(seconds=1))
    assert _keys(app)[PRIMARY] != primary
    assert shown(app)["keys"] == f"success: keys in vault: {KEY}, {SECOND}"
    assert app.bus.next_due() is None
    _require_whole(app)


@pytest.mark.parametrize("after", [f"set {KEY}", f"grant {KEY} {OTHER_READERS}"])
async def test_a_handler_sent_by_a_sweep_and_killed_after_a_mark_still_renews_the_key(
    after: str,
) -> None:
    app = await a_team()
    primary, dead = _keys(app)[PRIMARY], False

    async def kill(call: Call) -> None:
        nonlocal dead
        dead = dead or str(call) == after
        if dead:
            raise Killed(after)

    app.calls.after = kill
    with pytest.raises(Killed):
        await _left_to_a_sweep(app)
    app.calls.after = nothing
    await drain(app)
    await later(app, DAY)
    assert _keys(app)[PRIMARY] != primary
    _require_whole(app)


async def test_a_sweep_that_marks_a_key_comes_back_for_it() -> None:
    app = await a_team()
    primary = _keys(app)[PRIMARY]
    app.roles.assigned.add((KEY, OTHER_READERS))
    await sweep(app)
    assert EXPOSED in _tags(app, KEY)
    await later(app, DAY)
    assert _keys(app)[PRIMARY] != primary
    _require_whole(app, READERS)


@pytest.mark.parametrize("role_alone", [False, True])
async def test_a_late_write_of_old_tags_does_not_take_a_mark_off(role_alone: bool) -> None:
    """Its handler lost the lock after it had read the secret. Neither the tag `reader` nor a role tells any
    more that another group could read the key.
    """
    app = await a_team()
    primary, before = _keys(app)[PRIMARY], app.vault.kept[KEY].versions[0]
    if role_alone:
        app.roles.assigned.add((KEY, OTHER_READERS))
        await sweep(app)
    else:
        await ask(app, Asked(readers=OTHER_READERS))
        await ask(app, Asked())
    await app.vault.update(before, True, before.tags)
    await later(app, DAY)
    assert _keys(app)[PRIMARY] != primary
    _require_whole(app, READERS)


async def test_another_change_does_not_let_the_old_key_live_longer() -> None:
    app = await a_team()
    primary, began = _keys(app)[PRIMARY], format_time(app.clock.now())
    await ask(app, Asked(readers=OTHER_READERS))
    await later(app, 20 * HOUR)
    secondary = _keys(app)[SECONDARY]
    await ask(app, Asked(readers=THIRD))
    assert (_keys(app)[PRIMARY], _keys(app)[SECONDARY] != secondary) == (primary, True)
    assert (_tags(app, KEY)[EXPOSED], _tags(app, KEY)["reader"]) == (began, READERS)
    await later(app, 4 * HOUR)
    assert _keys(app)[PRIMARY] != primary
    _require_whole(app, THIRD)


async def test_a_group_that_comes_back_gets_new_keys_all_the_same() -> None:
    """Somebody else could read them in between."""
    app = await a_team()
    before = _keys(app)
    await ask(app, Asked(readers=OTHER_READERS))
    between = _keys(app)
    await ask(app, Asked())
    await later(app, DAY)
    assert not {*before, *between} & {*_keys(app)}
    _require_whole(app, READERS)


async def test_keys_that_nobody_could_read_stay_and_those_that_nobody_may_read_any_more_go() -> None:
    app = await a_team(Asked(readers=None))
    before = _keys(app)
    await ask(app, Asked())
    await later(app, DAY)
    assert _keys(app) == before
    await ask(app, Asked(readers=None))
    await later(app, DAY)
    assert not set(before) & set(_keys(app))
    assert app.roles.assigned == set()


async def test_a_key_that_a_late_handler_showed_meanwhile_is_made_new() -> None:
    app = await a_team(Asked(readers=None))
    before, kept = _keys(app), app.vault.kept[KEY].versions

    async def show(call: Call) -> None:
        """Another handler names its group, grants it the role, and has taken it back."""
        if call.system == "vault" and call.writes and call.target.startswith(KEY):
            app.calls.before = nothing
            kept[0] = replace(kept[0], tags={**kept[0].tags, "reader": READERS})

    app.calls.before = show
    await ask(app, Asked(readers=OTHER_READERS))
    await later(app, DAY + HOUR)
    assert _keys(app)[PRIMARY] != before[PRIMARY]
    _require_whole(app)


async def test_another_change_of_the_request_leaves_the_tags_of_a_waiting_key_alone() -> None:
    app = await a_team()
    await ask(app, Asked(readers=OTHER_READERS))
    before = dict(_tags(app, KEY))
    await ask(app, Asked(readers=OTHER_READERS, tokens=7_000))
    assert dict(_tags(app, KEY)) == before


async def test_a_waiting_key_that_somebody_disabled_is_enabled_and_keeps_its_mark() -> None:
    app = await a_team()
    await ask(app, Asked(readers=OTHER_READERS))
    before, versions = dict(_tags(app, KEY)), app.vault.kept[KEY].versions
    versions[0] = replace(versions[0], enabled=False)
    await sweep(app)
    assert app.vault.value(KEY) == _keys(app)[PRIMARY]
    assert dict(_tags(app, KEY)) == before


async def test_a_waiting_key_that_somebody_makes_new_is_not_waited_for() -> None:
    app = await a_team()
    await ask(app, Asked(readers=OTHER_READERS))
    await app.gateway.regenerate_key("team-alpha", PRIMARY)
    await sweep(app, deep=True)
    _require_whole(app)


@pytest.mark.parametrize("which", [PRIMARY, SECONDARY])
async def test_two_hosts_that_make_one_key_new_leave_no_wrong_key_in_the_vault(which: int) -> None:
    """The other one is right behind: its new key is the gateway's, and its write has not come yet."""
    app = _strict(await a_team())

    async def another_host(call: Call) -> None:
        if str(call) == f"set {names.secrets('alpha')[which]}":
            app.calls.after = nothing
            await app.gateway.regenerate_key("team-alpha", which)

    app.calls.after = another_host
    app.repository.commit({**NEW})
    with pytest.raises(Busy, match="another host"):
        await run(app, DELIVER_KEYS)
    assert not [each for each in app.roles.assigned if each[1] == OTHER_READERS]
    await sweep(app, deep=True)
    _require_whole(app)


@pytest.mark.parametrize("secret", [KEY, SECOND])
async def test_a_group_that_a_late_hand_let_in_has_no_key_that_works(secret: str) -> None:
    app = await a_team()
    before = app.vault.value(secret)
    app.roles.assigned.add((secret, OTHER_READERS))
    await sweep(app)
    assert (secret, OTHER_READERS) not in app.roles.assigned
    await later(app, DAY)
    await sweep(app)
    assert before not in _keys(app)
    _require_whole(app, READERS)


@pytest.mark.parametrize("secret", [KEY, SECOND])
async def test_nothing_is_forgotten_of_a_late_hand_when_the_host_dies(secret: str) -> None:
    """The role was the only trace."""
    begin = await a_team()
    before = begin.vault.value(secret)
    begin.roles.assigned.add((secret, OTHER_READERS))
    for index in range(12):
        app = deepcopy(begin)
        kill = Kill(app, index, "after")
        with suppress(Killed):
            await sweep(app)
        kill.restart()
        await later(app, DAY)
        await sweep(app)
        assert before not in _keys(app), f"killed after write {index}"


async def test_a_team_that_comes_back_while_a_key_waits_has_two_new_ones_before_they_work() -> None:
    app = await a_team()
    await ask(app, Asked(readers=OTHER_READERS))
    await withdraw(app)
    before = _keys(app)
    app.calls.forget()
    await ask(app, Asked(readers=OTHER_READERS))
    assert not set(before) & set(_keys(app))
    made = app.calls.writes("gateway")
    assert max(made.index(f"regenerate_key team-alpha {which}") for which in (0, 1)) < made.index(
        "put_subscription team-alpha"
    )
    assert {
        secret
        for secret, reader in app.roles.assigned
        if reader == OTHER_READERS and secret in names.secrets("alpha")
    } == {*names.secrets("alpha")}


async def test_a_late_hand_that_left_a_tag_on_the_address_only_is_looked_for_at_the_keys() -> None:
    """It let its group in when both keys had their new readers; a push finds the tag, and takes the role
    away.
    """
    app = await a_team()
    before = _keys(app)
    versions = app.vault.kept[ENDPOINT].versions
    versions[0] = replace(versions[0], tags={**versions[0].tags, "reader": OTHER_READERS})
    app.roles.assigned |= {(secret, OTHER_READERS) for secret in names.secrets("alpha")}
    await ask(app, Asked(tokens=7_000))
    assert app.roles.assigned == {(secret, READERS) for secret in names.secrets("alpha")}
    await later(app, DAY)
    assert not set(before) & set(_keys(app))
    _require_whole(app, READERS)


async def test_a_key_is_not_made_new_while_the_old_group_still_has_the_role() -> None:
    """Another host has marked the key, and is about to take the role away."""
    app = await a_team()
    secret = app.vault.kept[SECOND]
    [newest, *older] = secret.versions
    secret.versions = [replace(newest, tags={**newest.tags, EXPOSED: format_time(app.clock.now())}), *older]
    app.roles.assigned |= {(SECOND, OTHER_READERS)}
    await run(app, DELIVER_KEYS)
    assert _renewed(app) == [f"regenerate_key team-alpha {SECONDARY}"]
    revoked, renewed = (
        app.calls.writes().index(call)
        for call in (f"revoke {SECOND} {OTHER_READERS}", f"regenerate_key team-alpha {SECONDARY}")
    )
    assert revoked < renewed


async def _written_over(marked: bool = False) -> FakeApp:
    """Another group could read both keys; then a delivery that had seen no secrets yet wrote the same keys
    once more, for the group that may read them now.
    """
    app = await a_team()
    for secret in (KEY, SECOND):
        kept = app.vault.kept[secret]
        [newest] = kept.versions
        mark = {EXPOSED: format_time(app.clock.now())} if marked else {}
        kept.versions = [replace(newest, tags={**newest.tags, "reader": OTHER_READERS, **mark})]
        await app.vault.set(secret, SecretValue(kept.values[newest.version]), "API key", newest.tags)
    app.calls.forget()
    return app


@pytest.mark.parametrize("marked", [False, True])
async def test_a_late_delivery_that_writes_over_who_could_read_does_not_hide_them(marked: bool) -> None:
    app = await _written_over(marked)
    primary, secondary = _keys(app)
    await later(app, HOUR)
    await ask(app, Asked(tokens=7_000))
    assert (_keys(app)[PRIMARY], _keys(app)[SECONDARY] != secondary) == (primary, True)
    await later(app, DAY - HOUR if marked else DAY)
    assert _keys(app)[PRIMARY] != primary
    _require_whole(app, READERS)


async def test_whom_a_late_delivery_wrote_over_a_deep_sweep_finds() -> None:
    """Whoever wrote it died, and nobody else had the message: no list shows the version below."""
    app = await _written_over()
    before = _keys(app)
    await sweep(app, deep=True)
    assert _keys(app)[SECONDARY] != before[SECONDARY]
    app.calls.forget()
    await sweep(app, deep=True)
    assert app.calls.writes() == []
    await later(app, DAY)
    await sweep(app)
    assert not set(before) & set(_keys(app))
    _require_whole(app, READERS)


async def test_a_change_taken_back_while_keys_are_delivered_leaves_nobody_a_key() -> None:
    """Two hosts make the first delivery; the later one to write was the first to look."""
    app = _strict(await a_platform())
    app.repository.commit({path_of("alpha"): Asked().text()})
    await run(app, PROVISION_GATEWAY)
    app.bus.queues[DELIVER_KEYS.name].clear()
    read: set[str] = set()

    async def another_host(call: Call) -> None:
        if call.name == "put_subscription":
            app.calls.before = nothing
            app.repository.commit({**NEW})
            await run(app, DELIVER_KEYS)
            read.update(_keys(app))
            app.repository.commit({path_of("alpha"): Asked().text()})

    app.calls.before = another_host
    await run(app, DELIVER_KEYS)
    assert read
    assert app.roles.assigned >= {(KEY, OTHER_READERS), (SECOND, OTHER_READERS)}
    await run(app, DELIVER_KEYS)
    assert not read & set(_keys(app))
    _require_whole(app, READERS)


async def test_no_host_makes_a_key_new_for_a_group_that_only_the_version_below_names() -> None:
    app = await _written_over()
    app.roles.assigned |= {(SECOND, OTHER_READERS)}
    await run(app, DELIVER_KEYS)
    made = app.calls.writes()
    assert made.index(f"revoke {SECOND} {OTHER_READERS}") < made.index("regenerate_key team-alpha 1")


@pytest.mark.parametrize("secret", [KEY, SECOND])
async def test_an_old_key_that_somebody_puts_back_is_not_kept(secret: str) -> None:
    """Who could read it then may read no more."""
    app, which = _strict(await a_team()), names.key_secrets("alpha").index(secret)
    old = _keys(app)[which]
    await ask(app, Asked(readers=OTHER_READERS))
    app.gateway.state.keys["team-alpha"][which] = old
    await sweep(app, deep=True)
    assert old not in _keys(app)
    _require_whole(app)


@pytest.mark.parametrize(("found", "other"), [(KEY, SECONDARY), (SECOND, PRIMARY)])
async def test_a_role_that_a_late_delivery_left_on_one_key_exposes_the_other_too(
    found: str, other: int
) -> None:
    """Roles are revoked on all secrets, but each list is older than its revocation: on the other key the role
    came in between, and nothing else would tell.
    """
    app = await a_team()
    keys = _keys(app)
    app.roles.assigned.add((found, THIRD))
    await sweep(app)
    await later(app, DAY)
    await sweep(app)
    assert _keys(app)[other] != keys[other]
    assert not [each for each in app.roles.assigned if each[1] == THIRD]
    _require_whole(app, READERS)


async def test_a_key_that_two_late_handlers_write_over_is_published_again_after_each() -> None:
    """Three have the same message, each makes the key new, and the last is done first. The other two write
    into the vault what works no more, one long after the other.
    """
    app = _strict(await a_team())
    app.repository.commit({**NEW})
    root, now = "d9/alpha/deliver-keys", app.clock.now()
    body = keys_message(a_change(app)).encode(root, f"/repositories/{REPOSITORY}", now)
    message, next_hands = IncomingMessage(body, root, "alpha", now), iter((2, 3))

    async def handle(delivery: int) -> None:
        await settle(app, DELIVER_KEYS, replace(message, delivery_count=delivery), WORK[DELIVER_KEYS])
        await later(app, timedelta(minutes=1))

    async def overtake(call: Call) -> None:
        if str(call) == f"set {KEY}" and (delivery := next(next_hands, None)):
            await handle(delivery)

    app.calls.before = overtake
    await handle(1)
    assert _renewed(app).count("regenerate_key team-alpha 0") == 3
    _require_whole(app)
