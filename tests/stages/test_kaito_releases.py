"""The release of KAITO that the catalogue names, and the one in the cluster: new workspaces wait while they
differ, what exists stays, and sweeps tell.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.errors import Rejected, Unavailable
from shared.messaging.messages import Sweep
from shared.messaging.outcomes import Done, Event, Waiting
from shared.messaging.routes import PROVISION_GATEWAY, PROVISION_WORKSPACES
from shared.names import CATALOG_TEAM
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.desired import compile_workspaces
from shared.resources.workspaces import EARLIER_API_VERSION, namespace_manifest
from shared.stages.sweep import run_sweep
from tests.fakes.app import GPU, LARGER_GPU, Asked, FakeApp, a_catalog, catalog_text, path_of
from tests.fakes.calls import Call
from tests.fakes.cluster import FakeCluster
from tests.stages.road import a_platform, a_team, ask, later, push, run, shown

MINUTE = timedelta(minutes=1)
PHI = {"phi-4": GPU}
NAMES_0_11 = f'kaito: "0.11"\n{catalog_text()}'
BOUNDED = catalog_text().replace("preset: phi-4\n", "preset: phi-4\n    maxNodes: 2\n")


def _cluster(app: FakeApp) -> FakeCluster:
    assert app.cluster is not None
    return app.cluster


async def _asked(catalog: str, asked: Asked | None = None) -> FakeApp:
    """A request for a GPU beside this catalogue, with its product."""
    app = await a_platform()
    text = (asked or Asked(dedicated=PHI)).text()
    app.repository.commit({DEFAULT_CATALOG_PATH: catalog, path_of("alpha"): text})
    await run(app, PROVISION_GATEWAY)
    app.calls.forget()
    return app


def _waits(app: FakeApp, outcome: object) -> str:
    """The reason of a wait; nothing was written."""
    assert isinstance(outcome, Waiting)
    assert app.calls.writes("cluster") == []
    return outcome.reason


async def test_a_workspace_starts_where_the_cluster_has_what_the_catalogue_names() -> None:
    app = await _asked(NAMES_0_11)
    _cluster(app).kaito = "0.11"
    await run(app, PROVISION_WORKSPACES)
    assert _cluster(app).names("team-alpha", "Workspace") == ["phi-4"]


async def test_no_workspace_starts_while_the_cluster_has_another_release() -> None:
    app = await _asked(NAMES_0_11)
    outcome = await run(app, PROVISION_WORKSPACES)
    assert _waits(app, outcome) == "KaitoReleaseDiffers"
    assert isinstance(outcome, Waiting)
    assert ("0.11" in outcome.note, "0.12" in outcome.note) == (True, True)
    _cluster(app).kaito = "0.11"
    await run(app, PROVISION_WORKSPACES)
    assert _cluster(app).names("team-alpha", "Workspace") == ["phi-4"]


async def test_a_catalogue_that_names_no_release_starts_workspaces_in_any_known_one() -> None:
    app = await _asked(catalog_text())
    _cluster(app).kaito = "0.6"
    await run(app, PROVISION_WORKSPACES)
    assert _cluster(app).names("team-alpha", "Workspace") == ["phi-4"]


@pytest.mark.parametrize("line", ["", 'kaito: "0.12"\n'])
async def test_in_a_release_that_nobody_knows_a_model_needs_a_bound(line: str) -> None:
    app = await _asked(line + catalog_text())
    _cluster(app).kaito = None
    assert _waits(app, await run(app, PROVISION_WORKSPACES)) == "KaitoReleaseUnknown"
    app.repository.commit({DEFAULT_CATALOG_PATH: line + BOUNDED})
    await run(app, PROVISION_WORKSPACES)
    assert _cluster(app).names("team-alpha", "Workspace") == ["phi-4"]


async def test_only_the_model_without_a_bound_is_held_back() -> None:
    app = await _asked(BOUNDED, Asked(dedicated={"phi-4": GPU, "mistral-7b": GPU}))
    _cluster(app).kaito = None
    outcome = await run(app, PROVISION_WORKSPACES)
    assert isinstance(outcome, Waiting)
    assert outcome.reason == "KaitoReleaseUnknown"
    assert _cluster(app).names("team-alpha", "Workspace") == ["phi-4"]
    marker = (await _cluster(app).namespace("team-alpha")).marker  # type: ignore[union-attr]
    assert marker is not None
    assert marker.digest == "", "the marker does not vouch for what was left out"


async def test_the_platforms_own_workspaces_wait_as_well() -> None:
    own = f"  - {{name: own, provider: kaito, preset: phi-4, shared: {{instanceType: {GPU}}}}}\n"
    app = await a_platform()
    app.repository.commit({DEFAULT_CATALOG_PATH: NAMES_0_11 + own})
    app.calls.forget()
    assert _waits(app, await run(app, PROVISION_WORKSPACES, CATALOG_TEAM)) == "KaitoReleaseDiffers"


@pytest.mark.parametrize("release", ["0.6", None])
async def test_what_stands_is_refused_by_no_release(release: Any) -> None:
    app = await a_team(Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    _cluster(app).kaito = release
    app.repository.commit({DEFAULT_CATALOG_PATH: NAMES_0_11})
    app.calls.forget()
    outcome = await run(app, PROVISION_WORKSPACES)
    assert isinstance(outcome, Done)
    assert app.calls.writes("cluster") == []
    assert "release" not in app.calls.names("cluster")


async def test_a_workspace_is_not_replaced_while_the_releases_differ() -> None:
    app = await a_team(Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    _cluster(app).kaito = "0.11"
    await push(app, {DEFAULT_CATALOG_PATH: f'kaito: "0.12"\n{catalog_text()}'})
    app.calls.forget()
    await ask(app, Asked(dedicated={"phi-4": LARGER_GPU}))
    assert shown(app)["workspaces"].startswith("pending: waiting: KaitoReleaseDiffers")
    kept = _cluster(app).state.objects["team-alpha", "Workspace", "phi-4"]
    assert kept.deleted is None
    assert _cluster(app).names("team-alpha", "HTTPRoute") == ["phi-4"]
    marker = (await _cluster(app).namespace("team-alpha")).marker  # type: ignore[union-attr]
    assert marker is not None
    assert marker.digest == ""
    _cluster(app).kaito = "0.12"
    await later(app, 30 * MINUTE)
    kept = _cluster(app).state.objects["team-alpha", "Workspace", "phi-4"]
    assert kept.manifest["resource"]["instanceType"] == LARGER_GPU
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"


async def test_a_standing_workspace_stays_beside_a_new_one_that_waits() -> None:
    app = await a_team(Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    _cluster(app).kaito = None
    await ask(app, Asked(dedicated={"phi-4": GPU, "mistral-7b": GPU}))
    assert shown(app)["workspaces"].startswith("pending: waiting: KaitoReleaseUnknown")
    assert _cluster(app).names("team-alpha", "Workspace") == ["phi-4"]
    assert _cluster(app).names("team-alpha", "HTTPRoute") == ["phi-4"]


async def test_a_withdrawal_asks_for_no_release() -> None:
    app = await a_team(Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    _cluster(app).kaito = None
    app.repository.commit({path_of("zulu"): Asked(team="zulu").text(), path_of("alpha"): None})
    app.calls.forget()
    await run(app, PROVISION_WORKSPACES)
    assert app.calls.writes("cluster") == ["apply Namespace team-alpha"]


async def test_kaito_that_takes_more_nodes_than_allowed_is_told_at_once() -> None:
    app = await _asked(BOUNDED)
    _cluster(app).counted_nodes["phi-4"] = 3
    with pytest.raises(Rejected) as told:
        await run(app, PROVISION_WORKSPACES)
    assert told.value.reason == "TooManyNodes"
    assert "delete_workspace team-alpha/phi-4" in app.calls.writes("cluster")


async def test_a_bound_that_is_lowered_refuses_no_workspace_that_serves() -> None:
    app = await a_team(Asked(dedicated=PHI))
    _cluster(app).counted_nodes["phi-4"] = 3
    await later(app, 15 * MINUTE)
    app.repository.commit({DEFAULT_CATALOG_PATH: BOUNDED})
    assert isinstance(await run(app, PROVISION_WORKSPACES), Done)


async def _sweep(app: FakeApp) -> list[tuple[str, int, str]]:
    """Reason, line and level of the notes in the check run."""
    await run_sweep(app, Event(Sweep(why="test", verdict=True), app.clock.now(), "d"))
    return [(each.reason, each.line, each.level) for each in app.reports.verdicts[-1].problems]


@pytest.mark.parametrize(
    ("catalog", "release", "notes"),
    [
        (NAMES_0_11, "0.11", []),
        (NAMES_0_11, "0.12", [("KaitoReleaseDiffers", 1, "warning")]),
        (NAMES_0_11, None, [("KaitoReleaseUnknown", 1, "warning")]),
        (catalog_text(), "0.12", []),
        (catalog_text(), "0.11", [("KaitoReleaseDiffers", 1, "warning")]),
        (
            f'{catalog_text()}kaito: "0.11"\n',
            "0.12",
            [("KaitoReleaseDiffers", len(catalog_text().splitlines()) + 1, "warning")],
        ),
    ],
)
async def test_a_sweep_notes_the_difference_beside_the_line(
    caplog: pytest.LogCaptureFixture, catalog: str, release: Any, notes: list[tuple[str, int, str]]
) -> None:
    app = await a_platform()
    app.repository.commit({DEFAULT_CATALOG_PATH: catalog, path_of("alpha"): Asked().text()})
    _cluster(app).kaito = release
    assert await _sweep(app) == notes
    assert [each for each in caplog.messages if "KAITO" in each] != [] or not notes


async def test_a_sweep_that_cannot_read_the_release_compares_everything_else() -> None:
    app = await a_team()
    app.repository.commit({path_of("bravo"): Asked(team="bravo").text()})

    async def fail(call: Call) -> None:
        if call.name == "release":
            raise Unavailable("the cluster does not answer")

    app.calls.before = fail
    assert await _sweep(app) == []
    assert app.bus.sent != [], "the new team was found"


async def test_no_note_about_a_catalogue_whose_models_run_elsewhere() -> None:
    app = await a_platform()
    elsewhere = "models: [{name: m, provider: foundry, endpoint: 'https://a.openai.azure.com/openai/v1'}]\n"
    app.repository.commit({DEFAULT_CATALOG_PATH: elsewhere})
    _cluster(app).kaito = None
    assert await _sweep(app) == []


async def test_what_an_earlier_version_wrote_for_the_add_on_is_not_written_again() -> None:
    """Its markers carry the digest of another API version of the same workspaces."""
    app = await a_team(Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    namespace = await _cluster(app).namespace("team-alpha")
    assert namespace is not None
    assert namespace.marker is not None
    desired = compile_workspaces(Asked(dedicated=PHI).read(), a_catalog(), app.platform)
    earlier = {name: {**each, "apiVersion": EARLIER_API_VERSION} for name, each in desired.workspaces.items()}
    digest = replace(desired, workspaces=earlier).digest
    assert digest != namespace.marker.digest
    await _cluster(app).apply(namespace_manifest(replace(namespace.marker, digest=digest)))
    app.calls.forget()
    assert isinstance(await run(app, PROVISION_WORKSPACES), Done)
    await run_sweep(app, Event(Sweep(why="test", deep=True), app.clock.now(), "d"))
    assert app.calls.writes() == []


async def test_a_change_of_what_an_earlier_version_wrote_is_written() -> None:
    app = await a_team(Asked(dedicated=PHI))
    namespace = await _cluster(app).namespace("team-alpha")
    assert namespace is not None
    assert namespace.marker is not None
    await _cluster(app).apply(namespace_manifest(replace(namespace.marker, digest="d" * 64)))
    app.calls.forget()
    await run(app, PROVISION_WORKSPACES)
    assert app.calls.writes("cluster") != []
