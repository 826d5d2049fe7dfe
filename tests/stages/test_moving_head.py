"""No service fences these writes: when the branch moves right after one, the stage follows it before its
message is completed.

Nobody tells of the second commit here, so that only the stage's own second look can find it. (What is
recovered or has lost its route is waited for: there the stage comes back anyway, and looks then.)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from shared.messaging.routes import PROVISION_GATEWAY, PROVISION_PROJECTS, SWEEP
from shared.names import API
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.subscription import ADMINISTRATOR
from shared.resources.workspaces import PREFIX
from tests.fakes.app import (
    GPU,
    LARGER_GPU,
    OTHER_READERS,
    Asked,
    FakeApp,
    a_change,
    an_event,
    catalog_text,
    path_of,
)
from tests.fakes.calls import Call, nothing
from tests.stages.road import WORK, a_platform, a_team, drain, later, push, run, withdraw, world

Files = Mapping[str, str]
#: Long enough for every wait: nodes come in minutes, withdrawn workspaces go after an hour, keys of another
#: group after a day.
QUIET = timedelta(hours=27)


def _asks(asked: Asked) -> Files:
    return {path_of(asked.team): asked.text()}


USUAL, FEWER = _asks(Asked(tokens=90_000)), _asks(Asked(tokens=7_000))
OTHERS, THIRD = (
    _asks(Asked(readers=OTHER_READERS)),
    _asks(Asked(readers="7d1b2c3a-4e5f-4a6b-8c7d-9e0f1a2b3c4d")),
)
TRIED, TRACED = Asked(playground=True), Asked(playground=True, tracing=True)
RENAMED = Asked(playground=True, display_name="Alpha and friends")
OWN_GPU = Asked(dedicated={"phi-4": GPU})
OFFER = {DEFAULT_CATALOG_PATH: catalog_text()}
WITH_BEARER = catalog_text().replace("bearerKeys: false", "bearerKeys: mirrored")
OTHER_OFFER = {
    DEFAULT_CATALOG_PATH: catalog_text()
    .replace("embeddings-eu", "embeddings-us")
    .replace("phi-4.shared", "phi-4.elsewhere")
}
WITH_A_SECRET = {
    DEFAULT_CATALOG_PATH: catalog_text()
    + "  - {name: claude, provider: openai, endpoint: https://api.anthropic.com/v1, credential: anthropic}\n"
}


async def _nothing() -> FakeApp:
    return FakeApp()


async def _a_team_with_a_gpu() -> FakeApp:
    return await a_team(OWN_GPU)


async def _a_team_that_tries() -> FakeApp:
    app = await a_team(TRIED)
    await later(app, QUIET)
    return app


async def _a_team_with_traces() -> FakeApp:
    app = await a_team(TRACED)
    await later(app, QUIET)
    return app


async def _a_playground_at_the_end_of_grace() -> FakeApp:
    app = await _a_team_that_tries()
    await withdraw(app)
    await later(app, QUIET)
    app.clock.advance(app.timeouts.grace)
    return app


async def _a_platform_with_a_secret() -> FakeApp:
    app = await a_platform()
    await push(app, {**WITH_A_SECRET})
    return app


async def _withdrawn_with_a_ready_gpu() -> FakeApp:
    app = await _a_team_with_a_gpu()
    await later(app, QUIET)
    await withdraw(app)
    return app


async def _mirrored() -> FakeApp:
    """A team whose keys stand in a mirror, too."""
    app = FakeApp()
    await push(app, {DEFAULT_CATALOG_PATH: WITH_BEARER, **_asks(Asked())})
    await later(app, QUIET)
    return app


async def _withdrawn() -> FakeApp:
    app = await a_team()
    await withdraw(app)
    return app


async def _withdrawn_and_woken_by_others() -> FakeApp:
    app = await _withdrawn()
    subscriptions = app.gateway.state.subscriptions
    subscriptions["team-alpha"] = replace(subscriptions["team-alpha"], display_name="Mine", state="active")
    return app


async def _at_the_end_of_grace() -> FakeApp:
    app = await _withdrawn()
    app.clock.advance(app.timeouts.grace)
    return app


async def _deleted() -> FakeApp:
    app = await _at_the_end_of_grace()
    await _begin(app, {})
    return app


@dataclass(frozen=True)
class Race:
    """The branch says `first` (nothing new: the grace period of alpha ends); right after the write it says
    `then`.
    """

    given: Callable[[], Awaitable[FakeApp]]
    first: Files
    then: Files


#: The write, by its name at the port -> what is going on around it.
RACES: dict[str, Race] = {
    "Gateway.create_product": Race(a_platform, USUAL, FEWER),
    "Gateway.put_product_policy": Race(a_platform, USUAL, FEWER),
    "Gateway.link_product": Race(a_platform, USUAL, FEWER),
    "Gateway.unlink_product": Race(_withdrawn_and_woken_by_others, {}, _asks(Asked())),
    "Gateway.put_subscription": Race(a_platform, _asks(Asked()), OTHERS),
    "Gateway.regenerate_key": Race(_withdrawn, OTHERS, THIRD),
    "Gateway.put_keys": Race(_mirrored, OTHERS, THIRD),
    "Gateway.mark_bearer_api": Race(a_platform, {DEFAULT_CATALOG_PATH: WITH_BEARER}, OFFER),
    "Gateway.delete_subscription": Race(_at_the_end_of_grace, {}, _asks(Asked())),
    "Gateway.put_backend": Race(a_platform, _asks(OWN_GPU), _asks(Asked())),
    "Gateway.delete_backend": Race(_a_team_with_a_gpu, _asks(Asked()), _asks(OWN_GPU)),
    "Gateway.put_named_value": Race(a_platform, WITH_A_SECRET, OFFER),
    "Gateway.delete_named_value": Race(_a_platform_with_a_secret, OFFER, WITH_A_SECRET),
    "Gateway.put_api": Race(_nothing, OFFER, OTHER_OFFER),
    "Gateway.put_api_policy": Race(_nothing, OFFER, OTHER_OFFER),
    "Gateway.put_fragment": Race(a_platform, OTHER_OFFER, OFFER),
    "Gateway.mark_api": Race(a_platform, OTHER_OFFER, OFFER),
    "Vault.set": Race(a_platform, _asks(Asked()), OTHERS),
    "Vault.recover": Race(_deleted, _asks(Asked()), OTHERS),
    "Vault.update": Race(a_team, OTHERS, THIRD),
    "Vault.delete": Race(_at_the_end_of_grace, {}, _asks(Asked())),
    "Roles.grant": Race(a_platform, _asks(Asked()), OTHERS),
    "Roles.revoke": Race(a_team, OTHERS, _asks(Asked())),
    "Projects.create_project": Race(a_platform, _asks(TRIED), _asks(RENAMED)),
    "Projects.update_project": Race(a_platform, _asks(TRACED), _asks(TRIED)),
    "Projects.put_connection": Race(_a_team_that_tries, _asks(TRACED), _asks(TRIED)),
    "Projects.delete_connection": Race(_a_team_with_traces, _asks(TRIED), _asks(TRACED)),
    "Projects.delete_project": Race(_a_playground_at_the_end_of_grace, {}, _asks(TRIED)),
    "Cluster.apply": Race(_withdrawn_with_a_ready_gpu, _asks(OWN_GPU), _asks(Asked())),
    "Cluster.delete_route": Race(_a_team_with_a_gpu, _asks(Asked()), _asks(OWN_GPU)),
}


@pytest.mark.parametrize("write", RACES)
async def test_a_head_that_moves_right_after_an_unfenced_write_is_followed(write: str) -> None:
    race = RACES[write]
    app, told = await race.given(), await race.given()
    moved = await _begin(app, race.first, move_after=write, to=race.then)
    for files in (race.first, race.then):
        await _begin(told, files)
    assert moved, f"{write} was not called"
    seen = {"Cluster": _cluster, "Projects": _playground}.get(write.partition(".")[0], _all)
    assert seen(app) == seen(told)


async def test_who_was_overtaken_looks_again_at_what_the_marker_vouches_for() -> None:
    """A slow host deletes a backend that a faster one has just built on; then its own mark of success is
    refused, and it comes back.
    """
    app = await _a_team_with_a_gpu()

    async def overtake(call: Call) -> None:
        if call.name == "delete_backend":
            app.calls.before = nothing
            app.repository.commit({path_of("alpha"): Asked(tokens=7_000, dedicated={"phi-4": GPU}).text()})
            await run(app, PROVISION_GATEWAY)

    app.calls.before = overtake
    await _begin(app, _asks(Asked()))
    assert "7000" in app.gateway.state.policies["team-alpha"].text
    assert "team-alpha--phi-4" in app.gateway.state.backends


async def test_each_stage_that_writes_for_a_branch_that_became_wrong_has_its_sweep() -> None:
    """Two stages begin with the same message in the same second; the slower one writes when the sweep that
    the faster one asked for is over.
    """
    app = await a_platform()
    app.repository.commit({**_asks(TRIED)})
    event = an_event(app, a_change(app))

    async def garble(call: Call) -> None:
        if call.name == "put_product_policy":
            app.repository.commit({path_of("alpha"): "models: ["})

    async def overtake(call: Call) -> None:
        if call.name == "create_project":
            app.calls.before, app.calls.after = nothing, garble
            await WORK[PROVISION_GATEWAY](app, event)
            await later(app, timedelta(milliseconds=20))

    app.calls.before = overtake
    await WORK[PROVISION_PROJECTS](app, event)
    assert [sent.entity for sent in app.bus.sent].count(SWEEP.entity) == 2


def _gateway(table: str) -> Callable[[FakeApp, str], str | None]:
    def version(app: FakeApp, name: str) -> str | None:
        found = getattr(app.gateway.state, table).get(name)
        return None if found is None or getattr(found, "owner", "") == ADMINISTRATOR else str(found.etag)

    return version


def _workspace(app: FakeApp, target: str) -> str | None:
    assert app.cluster is not None
    home, _, name = target.partition("/")
    return app.cluster.state.objects[home, "Workspace", name].version


def _namespace(app: FakeApp, name: str) -> str | None:
    assert app.cluster is not None
    return app.cluster.state.namespaces[name].version


#: The write -> the version of what it is about to write over; None when there is nothing yet, or a list was
#: all that was read.
VERSIONS: dict[str, Callable[[FakeApp, str], str | None]] = {
    "Gateway.publish_product": _gateway("products"),
    "Gateway.mark_product": _gateway("products"),
    "Gateway.require_subscription": _gateway("products"),
    "Gateway.delete_product": _gateway("products"),
    "Gateway.put_product_policy": _gateway("policies"),
    "Gateway.put_subscription": _gateway("subscriptions"),
    "Gateway.suspend_subscription": _gateway("subscriptions"),
    "Gateway.delete_subscription": _gateway("subscriptions"),
    "Gateway.put_api": _gateway("apis"),
    "Gateway.put_api_policy": _gateway("api_policies"),
    "Gateway.delete_api": _gateway("apis"),
    "Cluster.delete_workspace": _workspace,
    "Cluster.change_workspace": _workspace,
    "Cluster.delete_namespace": _namespace,
}


async def test_every_write_that_can_be_fenced_carries_the_version_that_was_read() -> None:
    app = await a_platform()
    carried: dict[str, set[bool]] = {}

    async def compare(call: Call) -> None:
        write = f"{call.system.capitalize()}.{call.name}"
        stands = VERSIONS[write](app, call.target) if write in VERSIONS else None
        if stands is not None:
            carried.setdefault(write, set()).add(call.fence == stands)

    app.calls.before = compare
    await _go_through_a_life(app)
    assert carried == {write: {True} for write in VERSIONS}


def _with_parser(name: str) -> Files:
    keys = f"preset: phi-4\n    toolParser: {name}\n"
    return {DEFAULT_CATALOG_PATH: catalog_text().replace("preset: phi-4\n", keys)}


async def _go_through_a_life(app: FakeApp) -> None:
    """A team comes, its model gets another configuration; it wants another GPU, none, one again, none; leaves
    and returns; leaves for good. In between the API is imported anew, and somebody lets everybody use the
    product.
    """
    await push(app, {DEFAULT_CATALOG_PATH: WITH_BEARER})
    await push(app, {**OFFER})
    await push(app, {**_with_parser("hermes")})
    await push(app, {**_asks(OWN_GPU)})
    await later(app, timedelta(hours=1))
    await push(app, {**_with_parser("pythonic")})
    await later(app, timedelta(hours=1))
    await push(app, {**OFFER})
    await later(app, timedelta(hours=1))
    for asked in (
        OWN_GPU,
        Asked(dedicated={"phi-4": LARGER_GPU}),
        Asked(tokens=7_000),
        OWN_GPU,
        Asked(tokens=7_000),
    ):
        await _begin(app, _asks(asked))
    app.gateway.state.apis[API] = replace(app.gateway.state.apis[API], operations="of an older version")
    await _begin(app, OTHER_OFFER)
    await withdraw(app)
    app.gateway.open_product("team-alpha")
    await _begin(app, USUAL)
    await withdraw(app)
    app.clock.advance(app.timeouts.grace)
    await _begin(app, {})


async def _begin(app: FakeApp, first: Files, move_after: str = "", to: Files | None = None) -> list[str]:
    """Let everything come to its end; the branch moves once, right after the first such write. Returns the
    commit it moved to.
    """
    moved: list[str] = []

    async def move(call: Call) -> None:
        if (call.system, call.name) == write_of(move_after) and not moved:
            moved.append(app.repository.commit({**(to or {})}))

    app.calls.after = move
    if first:
        await push(app, {**first})
    else:
        for stage in (PROVISION_GATEWAY, PROVISION_PROJECTS):
            await run(app, stage)
    await drain(app)
    if moved and write_of(move_after) == ("cluster", "delete_route"):
        # Nobody has told the gateway's stage of the second commit, and without its product no GPU is a team's
        # own.
        await run(app, PROVISION_GATEWAY)
    await later(app, QUIET)
    return moved


def write_of(name: str) -> tuple[str, str]:
    system, _, call = name.lower().partition(".")
    return system, call


def _all(app: FakeApp) -> dict[str, object]:
    return {**world(app), **_cluster(app), "fragments": dict(app.gateway.state.fragments)}


def _playground(app: FakeApp) -> dict[str, object]:
    """Nobody tells the gateway's room of the second commit here either."""
    return {kind: found for kind, found in world(app).items() if "project" in kind}


def _cluster(app: FakeApp) -> dict[str, object]:
    """What the cluster's objects say, without the commit. The gateway's room is not this stage's: nobody
    tells it of the second commit.
    """
    assert app.cluster is not None
    objects = {key: deepcopy(kept.manifest) for key, kept in app.cluster.state.objects.items()}
    notes = {
        name: kept.manifest["metadata"]["annotations"] for name, kept in app.cluster.state.namespaces.items()
    }
    return {
        "said": objects,
        "noted": {name: {**found, f"{PREFIX}/commit": ""} for name, found in notes.items()},
    }
