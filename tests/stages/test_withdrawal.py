"""Taking access away: keys die at once, objects go after grace, and who comes back in time finds
everything.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import Unavailable
from shared.messaging.routes import DELIVER_KEYS, PROVISION_GATEWAY
from shared.resources.actual import Subscription
from shared.resources.subscription import ADMINISTRATOR
from tests.fakes.app import GPU, OTHER_READERS, READERS, REPOSITORY, Asked, FakeApp, path_of
from tests.fakes.calls import Call, nothing
from tests.fakes.clock import START
from tests.stages.road import (
    a_team,
    ask,
    drain,
    later,
    matches_the_gateway,
    push,
    run,
    shown,
    sweep,
    withdraw,
    world,
)

KEYS = ("alpha-primary-key", "alpha-secondary-key")
SECRETS = ("alpha-endpoint", *KEYS)
DAY = timedelta(days=1)


def _state(app: FakeApp) -> str:
    return app.gateway.state.subscriptions["team-alpha"].state


def _is_gone(app: FakeApp) -> bool:
    left = world(app)
    named = [left[kind] for kind in ("products", "policies", "subscriptions", "backends", "secrets")]
    return not any("alpha" in str(names) for names in named) and not [
        1 for secret, _ in app.roles.assigned if "alpha" in secret
    ]


async def test_a_withdrawn_team_has_dead_keys_at_once_and_all_its_objects() -> None:
    app = await a_team()
    await withdraw(app)
    assert _state(app) == "suspended"
    assert [app.vault.value(secret) for secret in SECRETS] == [None, None, None]
    marker = app.gateway.state.products["team-alpha"].marker
    assert marker is not None
    assert marker.withdrawn == app.clock.now()
    assert shown(app)["gateway"].startswith("success: withdrawn, keys suspended")


async def test_a_product_open_to_strangers_is_closed_while_its_team_is_in_grace() -> None:
    app = await a_team()
    await withdraw(app)
    await later(app, timedelta(hours=2))
    before = world(app)
    assert app.gateway.open_product("team-alpha")
    app.calls.forget()
    await sweep(app)
    assert app.calls.writes() == ["require_subscription team-alpha"]
    assert world(app) == before
    app.calls.forget()
    await sweep(app)
    assert app.calls.writes() == []


async def test_a_product_open_to_strangers_is_closed_by_withdrawal_and_gone_after_grace() -> None:
    app = await a_team()
    assert app.gateway.open_product("team-alpha")
    await withdraw(app)
    assert app.gateway.state.products["team-alpha"].subscription_required
    assert app.gateway.open_product("team-alpha")
    app.clock.advance(app.timeouts.grace)
    await sweep(app)
    assert _is_gone(app)


async def test_a_product_that_has_to_stay_after_grace_is_closed_all_the_same() -> None:
    app = await a_team()
    await withdraw(app)
    app.gateway.state.subscriptions["friend"] = Subscription(
        "friend", '"x"', "A friend", "team-alpha", "7", "active"
    )
    assert app.gateway.open_product("team-alpha")
    app.clock.advance(app.timeouts.grace)
    await sweep(app)
    assert app.gateway.state.products["team-alpha"].subscription_required


@pytest.mark.parametrize(
    ("name", "shown", "owner"),
    [("copy", f"mergekey/{REPOSITORY}/alpha", ""), ("team-alpha", "Mine", ADMINISTRATOR)],
)
async def test_a_product_with_a_subscription_that_no_stage_made_stays_and_says_why(
    name: str, shown: str, owner: str
) -> None:
    app = await a_team()
    await withdraw(app)
    app.gateway.state.subscriptions[name] = Subscription(name, '"x"', shown, "team-alpha", owner, "suspended")
    app.clock.advance(app.timeouts.grace)
    await sweep(app)
    [letter] = app.bus.dead_letters()
    assert (letter.properties["stage"], letter.properties["reason"]) == ("provision-gateway", "NotManaged")
    assert "team-alpha" in app.gateway.state.products
    assert name in app.gateway.state.subscriptions


async def test_keys_are_suspended_whatever_else_fails() -> None:
    app = await a_team()

    async def broken(call: Call) -> None:
        if call.system in ("bus", "vault") or call.name == "publish_product":
            raise Unavailable("out of order")

    app.repository.commit({path_of("zulu"): Asked(team="zulu").text(), path_of("alpha"): None})
    app.calls.before = broken
    with pytest.raises(Unavailable):
        await run(app, PROVISION_GATEWAY)
    assert _state(app) == "suspended"


async def test_every_version_of_a_secret_is_disabled() -> None:
    app = await a_team()
    await app.gateway.regenerate_key("team-alpha", 0)
    await app.vault.update(
        app.vault.kept[KEYS[0]].versions[0], False, app.vault.kept[KEYS[0]].versions[0].tags
    )
    await run(app, DELIVER_KEYS)
    assert [version.enabled for version in app.vault.kept[KEYS[0]].versions] == [True, False]
    await withdraw(app)
    assert [version.enabled for version in app.vault.kept[KEYS[0]].versions] == [False, False]


async def test_the_time_of_the_withdrawal_is_written_once() -> None:
    app = await a_team()
    await withdraw(app)
    app.calls.forget()
    await later(app, DAY)
    await sweep(app)
    for stage in (PROVISION_GATEWAY, DELIVER_KEYS):
        await run(app, stage)
    assert app.calls.writes() == []


async def test_a_team_that_comes_back_within_grace_finds_its_old_keys() -> None:
    app = await a_team()
    keys = [app.vault.value(secret) for secret in KEYS]
    await withdraw(app)
    await later(app, 6 * DAY)
    await ask(app, Asked())
    assert [app.vault.value(secret) for secret in KEYS] == keys
    assert all(matches_the_gateway(app, secret) for secret in SECRETS)
    assert _state(app) == "active"
    marker = app.gateway.state.products["team-alpha"].marker
    assert marker is not None
    assert marker.withdrawn is None


async def test_a_team_that_came_back_gets_a_new_grace_when_it_is_withdrawn_again() -> None:
    app = await a_team()
    await withdraw(app)
    await later(app, 6 * DAY)
    await ask(app, Asked())
    await withdraw(app)
    await later(app, 6 * DAY)
    await sweep(app)
    assert "team-alpha" in app.gateway.state.products
    assert "alpha-primary-key" in app.vault.names()


@pytest.mark.parametrize("readers", [OTHER_READERS, None])
async def test_who_comes_back_with_other_readers_gets_new_keys_before_they_work(readers: str | None) -> None:
    app = await a_team()
    old = {app.vault.value(secret) for secret in KEYS}
    await withdraw(app)
    app.calls.forget()
    await ask(app, Asked(readers=readers))
    new = {app.vault.value(secret) for secret in KEYS}
    assert not old & new
    assert None not in new
    assert all(matches_the_gateway(app, secret) for secret in SECRETS)
    made = [str(call) for call in app.calls.made if call.writes]
    activated = made.index("put_subscription team-alpha")
    assert made.index("regenerate_key team-alpha 0") < activated
    assert made.index("regenerate_key team-alpha 1") < activated
    assert max(made.index(f"revoke {secret} {READERS}") for secret in SECRETS) < activated
    assert {reader for secret, reader in app.roles.assigned if secret in SECRETS} == (
        {readers} if readers else set()
    )


async def test_a_role_that_cannot_be_taken_away_keeps_the_keys_suspended() -> None:
    app = await a_team()
    await withdraw(app)

    async def broken(call: Call) -> None:
        if call.name == "revoke":
            raise Unavailable("out of order")

    app.repository.commit({path_of("alpha"): Asked(readers=OTHER_READERS).text()})
    app.calls.before = broken
    with pytest.raises(Unavailable):
        await run(app, DELIVER_KEYS)
    assert _state(app) == "suspended"


async def test_when_grace_has_ended_everything_goes() -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    await withdraw(app)
    await later(app, app.timeouts.grace)
    await sweep(app)
    assert _is_gone(app)
    assert app.cluster is not None
    assert app.cluster.state.namespaces == {}
    assert "team-zulu" in app.gateway.state.products


async def test_a_moment_before_the_end_of_grace_everything_is_there() -> None:
    app = await a_team()
    await withdraw(app)
    await later(app, app.timeouts.grace - timedelta(seconds=1))
    await sweep(app)
    assert not _is_gone(app)


@pytest.mark.parametrize("lag", [timedelta(seconds=30), timedelta(hours=3)])
async def test_keys_go_with_the_product_even_when_they_were_disabled_later(lag: timedelta) -> None:
    app = await a_team()
    app.repository.commit({path_of("zulu"): Asked(team="zulu").text(), path_of("alpha"): None})
    await run(app, PROVISION_GATEWAY)
    app.clock.advance(lag)
    await drain(app)
    await later(app, app.timeouts.grace - lag)
    await sweep(app)
    await later(app, timedelta(days=2))
    assert _is_gone(app)


async def test_a_team_without_a_withdrawal_whose_file_is_gone_is_found_by_the_sweep() -> None:
    app = await a_team()
    app.repository.commit({path_of("zulu"): Asked(team="zulu").text(), path_of("alpha"): None})
    await sweep(app)
    assert _state(app) == "suspended"


async def test_a_team_that_comes_back_after_grace_gets_new_keys_under_its_old_names() -> None:
    app = await a_team()
    old = {app.vault.value(secret) for secret in KEYS}
    await withdraw(app)
    await later(app, app.timeouts.grace)
    await sweep(app)
    app.vault.recovery = timedelta(seconds=20)
    await ask(app, Asked())
    await later(app, timedelta(minutes=2))
    assert not old & {app.vault.value(secret) for secret in KEYS}
    assert all(matches_the_gateway(app, secret) for secret in SECRETS)
    assert shown(app)["keys"].startswith("success: keys in vault")


async def test_access_that_ended_by_its_date_goes_after_grace_like_any_other() -> None:
    app = await a_team(Asked(expires=START.date()))
    await later(app, DAY)
    await sweep(app)
    assert _state(app) == "suspended"
    await later(app, app.timeouts.grace)
    await sweep(app)
    assert _is_gone(app)
    app.calls.forget()
    await sweep(app)
    assert app.calls.writes() == []


async def test_a_withdrawn_team_that_had_nothing_costs_nothing() -> None:
    app = await a_team()
    app.repository.commit({path_of("bravo"): Asked(team="bravo").text()})
    await push(app, {path_of("bravo"): None})
    assert app.calls.writes() == []


async def test_a_product_that_was_never_finished_is_withdrawn_too() -> None:
    app = await a_team()
    app.repository.commit({path_of("bravo"): Asked(team="bravo").text()})

    async def broken(call: Call) -> None:
        if call.name == "put_product_policy":
            raise Unavailable("out of order")

    app.calls.before = broken
    with pytest.raises(Unavailable):
        await run(app, PROVISION_GATEWAY, "bravo")
    await push(app, {path_of("bravo"): None})
    await later(app, app.timeouts.grace)
    await sweep(app)
    assert "team-bravo" not in app.gateway.state.products
    assert [found.name for found in app.gateway.state.subscriptions.values()] == ["team-alpha"]


async def test_a_withdrawal_of_an_unfinished_product_leaves_no_administrators_key() -> None:
    app = await a_team()
    app.repository.commit({path_of("bravo"): Asked(team="bravo").text()})

    async def broken(call: Call) -> None:
        if call.name in ("put_product_policy", "delete_subscription"):
            raise Unavailable("out of order")

    app.calls.before = broken
    with pytest.raises(Unavailable):
        await run(app, PROVISION_GATEWAY, "bravo")
    app.calls.before = nothing
    await push(app, {path_of("bravo"): None})
    assert "team-bravo" in app.gateway.state.products
    assert [found.name for found in app.gateway.state.subscriptions.values()] == ["team-alpha"]
