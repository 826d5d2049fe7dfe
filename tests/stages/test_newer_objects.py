"""What a newer version wrote is left to it, by sweeps and by stages: it may mean what this version does not
know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared import names
from shared.errors import NewerVersion
from shared.marker import parse_marker
from shared.messaging.routes import (
    PROVISION_CATALOG,
    PROVISION_GATEWAY,
    PROVISION_PROJECTS,
    PROVISION_WORKSPACES,
    Stage,
)
from shared.names import CATALOG_TEAM
from shared.resources.key_slots import EXPOSED
from shared.stages.settlement import start_sweep
from tests.fakes.app import GPU, LARGER_GPU, OTHER_READERS, READERS, Asked, FakeApp, path_of
from tests.stages.edits import QUOTA, objects_of
from tests.stages.road import a_platform, ask, drain, later, push, run, shown, withdraw

MORE = "; rotated 2026-03-02T09:00:00Z"
FULL = Asked(dedicated={"phi-4": GPU}, playground=True, tracing=True)
OTHERWISE = Asked(
    dedicated={"phi-4": LARGER_GPU}, playground=True, tokens=1, readers=OTHER_READERS, display_name="Other"
)
WITHOUT = Asked()
Change = Callable[[FakeApp], None]
OWNED = frozenset({"gateway", "cluster", "projects"})


def _newer_product(app: FakeApp) -> None:
    """Which somebody has opened, too."""
    found = app.gateway.state.products["team-alpha"]
    newer = replace(found, marker=parse_marker(f"{found.marker}{MORE}"), subscription_required=False)
    app.gateway.state.products["team-alpha"] = newer


def _newer_backend(app: FakeApp) -> None:
    found = app.gateway.state.backends["team-alpha--phi-4"]
    app.gateway.state.backends["team-alpha--phi-4"] = replace(
        found, marker=parse_marker(f"{found.marker}{MORE}"), url="https://x.example"
    )


def _newer_namespace(app: FakeApp) -> None:
    """With a limit that this version would have written otherwise."""
    assert app.cluster is not None
    app.cluster.state.namespaces["team-alpha"].manifest["metadata"]["annotations"]["mergekey.dev/rotated"] = (
        "x"
    )
    objects_of(app)[QUOTA].manifest["spec"]["hard"] = {"count/workspaces.kaito.sh": "9"}


def _newer_project(app: FakeApp) -> None:
    """Whose traces go nowhere."""
    assert app.projects is not None
    kept = app.projects.kept["team-alpha"]
    kept.marker, kept.connection = parse_marker(f"{kept.marker}{MORE}"), None


def _newer_api(app: FakeApp) -> None:
    """Which does not ask for keys."""
    found = app.gateway.state.apis["ai"]
    app.gateway.state.apis["ai"] = replace(
        found, marker=parse_marker(f"{found.marker}{MORE}"), subscription_required=False
    )
    app.gateway.state.fragments.clear()


#: The object, the stage that looks after it, and the words by which writes of it are known.
NEWER: dict[str, tuple[Change, Stage, tuple[str, ...]]] = {
    "product": (_newer_product, PROVISION_GATEWAY, ("_product", "_product_policy", "_backend")),
    "backend": (_newer_backend, PROVISION_GATEWAY, ("_backend",)),
    "namespace": (
        _newer_namespace,
        PROVISION_WORKSPACES,
        ("apply", "create ", "delete_workspace", "delete_route", "delete_namespace"),
    ),
    "project": (_newer_project, PROVISION_PROJECTS, ("_project", "_connection")),
    "API": (_newer_api, PROVISION_CATALOG, ("_api", "put_fragment", "shared--", "put_api_policy")),
}
kinds = pytest.mark.parametrize("kind", NEWER)


async def _a_team(kind: str) -> FakeApp:
    app = await a_platform()
    await ask(app, FULL)
    await later(app, timedelta(minutes=30))
    NEWER[kind][0](app)
    app.calls.forget()
    return app


def _touched(app: FakeApp, kind: str) -> list[str]:
    """Writes to the object and to what belongs to it."""
    return [call for call in app.calls.writes(*OWNED) if any(word in call for word in NEWER[kind][2])]


def _team(kind: str) -> str:
    return CATALOG_TEAM if kind == "API" else "alpha"


@kinds
@pytest.mark.parametrize("deep", [False, True])
async def test_a_sweep_finds_nothing_to_do_about_it(kind: str, deep: bool) -> None:
    app = await _a_team(kind)
    await start_sweep(app, "a test", deep)
    await drain(app)
    assert app.calls.writes() == []
    assert [sent.session for sent in app.bus.waiting(NEWER[kind][1])] == []


@kinds
async def test_its_stage_says_so_and_writes_nothing(kind: str) -> None:
    app = await _a_team(kind)
    app.repository.commit({path_of("alpha"): OTHERWISE.text()})
    with pytest.raises(NewerVersion):
        await run(app, NEWER[kind][1], _team(kind))
    assert app.calls.writes(*OWNED) == []


@kinds
async def test_a_push_that_changes_the_request_comes_back_until_a_newer_version_takes_it(kind: str) -> None:
    app = await _a_team(kind)
    if kind == "API":
        await push(app, {"platform/config/model_catalog.yaml": _another_catalogue(app)})
    else:
        await push(app, {path_of("alpha"): OTHERWISE.text()})
    assert _touched(app, kind) == []
    [back] = [sent for sent in app.bus.waiting(NEWER[kind][1]) if sent.session == _team(kind)]
    assert back.due is not None
    assert back.due > app.clock.now()
    assert app.bus.dead_letters() == []


@pytest.mark.parametrize(
    ("name", "stage"), [("team-alpha--phi-4", PROVISION_GATEWAY), ("shared--gpt-4-1", PROVISION_CATALOG)]
)
async def test_sweeps_queue_nothing_for_a_change_that_needs_a_newer_backend(name: str, stage: Stage) -> None:
    app = await a_platform()
    await ask(app, FULL)
    await later(app, timedelta(minutes=30))
    found = app.gateway.state.backends[name]
    app.gateway.state.backends[name] = replace(found, marker=parse_marker(f"{found.marker}{MORE}"))
    if stage == PROVISION_CATALOG:
        app.repository.commit({"platform/config/model_catalog.yaml": _another_catalogue(app)})
    else:
        app.repository.commit({path_of("alpha"): replace(FULL, tokens=1).text()})
    await start_sweep(app, "a test")
    await drain(app)
    assert list(app.bus.waiting(stage)) == []


def _another_catalogue(app: FakeApp) -> str:
    text = app.repository.files()["platform/config/model_catalog.yaml"][0].decode()
    return text.replace("embeddings-eu", "embeddings-us")


@kinds
async def test_a_request_that_asks_for_less_takes_nothing_of_it_away(kind: str) -> None:
    app = await _a_team(kind)
    await push(app, {path_of("alpha"): WITHOUT.text()})
    await later(app, timedelta(days=9))
    assert _touched(app, kind) == []


async def _withdrawn(app: FakeApp) -> None:
    await withdraw(app)
    await later(app, timedelta(minutes=10))
    assert app.gateway.state.subscriptions["team-alpha"].state == "suspended"
    assert [app.vault.value(secret) for secret in names.secrets("alpha")] == [None, None, None]


@pytest.mark.parametrize("kind", ["product", "namespace", "project"])
async def test_of_a_deleted_request_the_keys_die_and_it_stays(kind: str) -> None:
    app = await _a_team(kind)
    await _withdrawn(app)
    await later(app, timedelta(days=9))
    await start_sweep(app, "a test")
    await drain(app)
    mine = [call for call in _touched(app, kind) if "zulu" not in call]
    assert mine == []


async def test_keys_that_somebody_woke_on_a_withdrawn_product_die_again() -> None:
    app = await _a_team("product")
    product = app.gateway.state.products["team-alpha"]
    assert product.marker is not None
    withdrawn = replace(product.marker, withdrawn=app.clock.now() - timedelta(days=30))
    app.gateway.state.products["team-alpha"] = replace(product, marker=withdrawn)
    await _withdrawn(app)
    assert [call for call in _touched(app, "product") if "zulu" not in call] == []


async def test_what_is_newer_about_a_withdrawn_team_is_not_queued_again_and_again() -> None:
    """Nor is a backend that is left over: nothing of it could be written."""
    app = await _a_team("project")
    for change in (_newer_product, _newer_backend, _newer_namespace):
        change(app)
    await _withdrawn(app)
    await later(app, timedelta(days=2))
    app.bus.sent.clear()
    await start_sweep(app, "a test")
    await drain(app)
    assert [sent.session for sent in app.bus.sent if sent.session == "alpha"] == []


# Secrets


def _tag(app: FakeApp, **tags: str) -> None:
    for secret in names.secrets("alpha"):
        versions = app.vault.kept[secret].versions
        versions[0] = replace(versions[0], tags={**versions[0].tags, **tags})


def _tags(app: FakeApp, name: str) -> list[str | None]:
    return [app.vault.kept[secret].versions[0].tags.get(name) for secret in names.secrets("alpha")]


async def _a_team_with_tags() -> FakeApp:
    app = await a_platform()
    await ask(app, Asked())
    await ask(app, Asked(team="zulu"))
    _tag(app, rotated="by a newer version", classified="yes")
    app.calls.forget()
    return app


def _require_kept(app: FakeApp) -> None:
    assert (_tags(app, "rotated"), _tags(app, "classified")) == (["by a newer version"] * 3, ["yes"] * 3)


@pytest.mark.parametrize("deep", [False, True])
async def test_an_unknown_tag_is_no_difference(deep: bool) -> None:
    app = await _a_team_with_tags()
    await start_sweep(app, "a test", deep)
    await drain(app)
    await push(app, {path_of("alpha"): Asked(tokens=20_000).text()})
    assert app.calls.writes("vault") == []
    _require_kept(app)


def _disable(app: FakeApp) -> None:
    for secret in names.secrets("alpha"):
        versions = app.vault.kept[secret].versions
        versions[0] = replace(versions[0], enabled=False)


def _untag(app: FakeApp) -> None:
    _tag(app, reader="")


def _renew_keys(app: FakeApp) -> None:
    app.gateway.state.keys["team-alpha"] = ["1" * 32, "2" * 32]


@pytest.mark.parametrize("change", [_disable, _untag, _renew_keys])
async def test_unknown_tags_outlive_every_repair(change: Change) -> None:
    app = await _a_team_with_tags()
    change(app)
    await start_sweep(app, "a test", deep=True)
    await drain(app)
    assert app.calls.writes("vault")
    assert _tags(app, "reader") == [READERS] * 3
    _require_kept(app)


async def test_unknown_tags_outlive_keys_that_are_made_new_when_the_group_changes() -> None:
    app = await _a_team_with_tags()
    await ask(app, Asked(readers=OTHER_READERS))
    assert _tags(app, EXPOSED)[0] is not None
    _require_kept(app)
    await later(app, timedelta(hours=25))
    assert _tags(app, "reader") == [OTHER_READERS] * 3
    assert _tags(app, EXPOSED) == [None] * 3
    _require_kept(app)


async def test_unknown_tags_outlive_a_reader_that_came_too_late() -> None:
    """Its role is the only trace of it, and the key's secret is marked first."""
    app = await _a_team_with_tags()
    app.roles.assigned.add(("alpha-primary-key", OTHER_READERS))
    await start_sweep(app, "a test")
    await drain(app)
    assert _tags(app, EXPOSED)[0] is not None
    _require_kept(app)


async def test_unknown_tags_outlive_a_withdrawal_and_a_return() -> None:
    app = await _a_team_with_tags()
    await withdraw(app)
    assert None not in _tags(app, "withdrawn")
    _require_kept(app)
    await push(app, {path_of("alpha"): Asked().text()})
    assert _tags(app, "withdrawn") == [None] * 3
    assert shown(app)["keys"].startswith("success")
    _require_kept(app)


async def test_a_secret_that_is_full_of_tags_of_others_is_disabled_all_the_same() -> None:
    """A vault takes fifteen: ours come first."""
    app = await _a_team_with_tags()
    for number in range(15 - len(app.vault.kept["alpha-endpoint"].versions[0].tags)):
        _tag(app, **{f"z{number}": "x"})
    assert len(app.vault.kept["alpha-endpoint"].versions[0].tags) == 15
    await withdraw(app)
    assert [app.vault.value(secret) for secret in names.secrets("alpha")] == [None, None, None]
    assert app.bus.dead_letters() == []
    _require_kept(app)
