"""What a marker, a tag or a name of somebody's says about another team than its own counts for nothing."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.marker import Marker, parse_marker
from shared.messaging.routes import PROVISION_GATEWAY
from shared.resources.actual import ActualBackend
from shared.resources.workspaces import marker_annotations
from shared.stages.comparison import unsettled_teams
from shared.stages.settlement import start_sweep
from tests.fakes.app import GPU, OTHER_READERS, READERS, REPOSITORY, Asked, FakeApp, path_of
from tests.fakes.cluster import Kept
from tests.stages.road import a_team, ask, drain, later, push, withdraw

SECOND = "developer-requests/bravo/access.yaml"


async def _two_teams() -> FakeApp:
    app = await a_team()
    await ask(app, Asked(team="bravo"))
    app.calls.forget()
    return app


async def _sweep(app: FakeApp) -> None:
    app.clock.advance(timedelta(minutes=15))
    await start_sweep(app, "a test")
    await drain(app)


def _points_at(app: FakeApp, path: str) -> None:
    found = app.gateway.state.products["team-alpha"]
    assert found.marker is not None
    app.gateway.state.products["team-alpha"] = replace(found, marker=replace(found.marker, path=path))


async def test_a_marker_that_names_another_teams_file_makes_neither_file_wrong() -> None:
    """Of two files of bravo the one that was there before stands; alpha's marker says nothing about that."""
    app = await _two_teams()
    await push(app, {SECOND: Asked(team="bravo").text()})
    _points_at(app, SECOND)
    app.gateway.state.links.discard(("team-bravo", "ai"))
    await _sweep(app)
    assert ("team-bravo", "ai") in app.gateway.state.links
    found = app.gateway.state.products["team-alpha"].marker
    assert found is not None
    assert found.path == path_of("alpha"), "it is written anew"


async def test_a_push_by_a_team_of_two_files_is_judged_by_its_own_product_alone() -> None:
    """A product of bravo's name that another repository made says which of bravo's files counts there, not
    here.
    """
    app = await _two_teams()
    await push(app, {SECOND: Asked(team="bravo").text()})
    found = app.gateway.state.products["team-bravo"]
    assert found.marker is not None
    app.gateway.state.products["team-bravo"] = replace(
        found, marker=replace(found.marker, repository=1, path=SECOND)
    )
    app.bus.sent.clear()
    await push(app, {SECOND: Asked(team="bravo", tokens=5).text()})
    assert {problem.reason for problem in app.reports.verdicts[-1].problems} == {"DuplicateTeam"}
    assert not [sent for sent in app.bus.sent if sent.session == "bravo"], "nothing is queued"


async def test_a_namespace_under_another_name_leaves_no_other_team_unsettled() -> None:
    """Its workspace does not serve yet; so it is with one of another repository."""
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    await later(app, timedelta(minutes=30))
    await ask(app, Asked(team="bravo"))
    assert app.cluster is not None
    for name, marker in (
        ("copy", Marker(REPOSITORY, "bravo", "", "")),
        ("team-bravo", Marker(1, "bravo", "", "")),
    ):
        manifest = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "annotations": marker_annotations(marker)},
        }
        app.cluster.state.namespaces[name] = Kept(manifest, "1", app.clock.now())
        copy = deepcopy(app.cluster.state.objects["team-alpha", "Workspace", "phi-4"])
        app.cluster.state.objects[name, "Workspace", "phi-4"] = replace(copy, created=app.clock.now())
    assert await unsettled_teams(app, app.clock.now()) == frozenset()


@pytest.mark.parametrize("reader", ["\ud800", "\x00", "everybody", "5f8d0d55"])
async def test_a_reader_that_is_no_group_keeps_no_key_alive_and_no_team_from_its_own(reader: str) -> None:
    """JSON can carry half a character, and the name of a role assignment cannot."""
    app = await a_team()
    for kept in app.vault.kept.values():
        kept.versions[0] = replace(kept.versions[0], tags={**kept.versions[0].tags, "reader": reader})
    await _sweep(app)
    await ask(app, Asked(readers=OTHER_READERS))
    await later(app, timedelta(hours=25))
    assert {group for _, group in app.roles.assigned} == {OTHER_READERS}
    for kept in app.vault.kept.values():
        kept.versions[0] = replace(kept.versions[0], tags={**kept.versions[0].tags, "reader": reader})
    await withdraw(app)
    await later(app, timedelta(days=8))
    await _sweep(app)
    assert not [name for name in app.vault.names() if name.startswith("alpha-")]
    assert {name for name, group in app.roles.assigned} == {
        f"zulu-{which}" for which in ("primary-key", "secondary-key", "endpoint")
    }
    assert {group for _, group in app.roles.assigned} == {READERS}


async def test_an_api_whose_digest_somebody_made_unreadable_delays_no_team() -> None:
    """It was finished once; the next sweep writes it anew."""
    app = await a_team()
    found = app.gateway.state.apis["ai"]
    app.gateway.state.apis["ai"] = replace(
        found, marker=parse_marker(str(found.marker).replace("sha256:", "sha256:~"))
    )
    await push(app, {path_of("alpha"): Asked(tokens=20_000).text()})
    assert app.bus.waiting(PROVISION_GATEWAY) == []
    assert "20000" in app.gateway.state.policies["team-alpha"].text
    await _sweep(app)
    assert (mended := app.gateway.state.apis["ai"].marker) is not None
    assert found.marker is not None
    assert mended.digest == found.marker.digest


async def test_a_backend_of_another_team_is_no_rest_of_one_that_has_nothing() -> None:
    """It would not be deleted, so nothing is queued for it, sweep after sweep."""
    app = await _two_teams()
    await push(app, {path_of("charlie"): b"oops"})
    name = "team-charlie--phi-4"
    app.gateway.state.backends[name] = ActualBackend(
        name, '"x"', "https://x.example", Marker(REPOSITORY, "bravo", "", "", "9f")
    )
    app.bus.sent.clear()
    await _sweep(app)
    assert [sent.session for sent in app.bus.sent if sent.session == "charlie"] == []
    assert name in app.gateway.state.backends
