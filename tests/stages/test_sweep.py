"""A look at everything: missed pushes, what somebody changed by hand, teams that are gone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.marker import Marker
from shared.messaging.messages import AccessChange, Sweep
from shared.messaging.outcomes import Done
from shared.messaging.routes import TOPIC
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.actual import Product
from shared.stages.settlement import start_sweep
from shared.stages.sweep import run_sweep
from tests.fakes.app import GPU, READERS, REPOSITORY, Asked, FakeApp, an_event, catalog_text, path_of
from tests.stages.road import a_team, ask, drain, later, push, world

SECOND = "developer-requests/alpha/access.yaml"


async def _sweep(app: FakeApp, verdict: bool = False) -> list[AccessChange]:
    """What a sweep queues."""
    seen = len(app.bus.sent)
    outcome = await run_sweep(app, an_event(app, Sweep(why="a test", verdict=verdict), f"sweep-{seen}"))
    assert isinstance(outcome, Done)
    return [
        AccessChange.decode(envelope.body) for envelope in app.bus.sent[seen:] if envelope.entity == TOPIC
    ]


def _told(changes: list[AccessChange]) -> list[str]:
    return sorted(f"{change.team} {change.change}" for change in changes)


async def test_a_sweep_asks_for_whoever_differs_and_for_nobody_else() -> None:
    app = await a_team()
    app.repository.commit({path_of("bravo"): Asked(team="bravo").text(), path_of("charlie"): "nonsense: ["})
    changes = await _sweep(app)
    assert _told(changes) == ["bravo requested"]
    assert {change.cause for change in changes} == {"sweep"}
    assert app.reports.verdicts == [] or app.reports.verdicts[-1].commit != app.repository.branch


async def test_a_sweep_of_a_settled_platform_reads_lists_and_no_team() -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    await later(app, timedelta(minutes=30))
    app.calls.forget()
    await _sweep(app)
    assert sorted(call.name for call in app.calls.made) == [
        "all_network_policies", "all_pods", "all_quotas", "all_routes", "all_workspaces", "api", "api",
        "api_policy", "api_policy",
        "backends", "fragment", "gateway", "gateway_controller", "gpu_nodes",
        "head", "linked_products", "linked_products", "named_values", "namespaces",
        "network_policy_engine", "newest",
        "products", "projects", "readers", "readers", "release", "subscriptions", "tree",
    ]  # fmt: skip


async def test_a_sweep_reads_all_files_in_one_call() -> None:
    app = await a_team()
    app.repository.commit(
        {path_of(f"team{number}"): Asked(team=f"team{number}").text() for number in range(60)}
    )
    app.calls.forget()
    await _sweep(app)
    assert sorted(app.calls.names("repository")) == ["archive", "head", "tree"]


async def test_a_sweep_heals_a_missed_push_and_touches_nobody_else() -> None:
    app = await a_team()
    app.repository.commit({path_of("bravo"): Asked(team="bravo").text()})
    await start_sweep(app, "the timer")
    await drain(app)
    assert "bravo-primary-key" in app.vault.names()
    assert not [write for write in app.calls.writes() if "alpha" in write]


async def test_a_sweep_of_a_settled_platform_writes_nothing_and_tells_nobody() -> None:
    app = await a_team()
    before, told = world(app), len(app.reports.shown)
    await start_sweep(app, "the timer")
    await drain(app)
    assert app.calls.writes() == []
    assert world(app) == before
    assert len(app.reports.shown) == told


async def test_a_product_that_somebody_deleted_comes_back() -> None:
    app = await a_team()
    before = world(app)
    del (
        app.gateway.state.products["team-alpha"],
        app.gateway.state.policies["team-alpha"],
        app.gateway.state.subscriptions["team-alpha"],
    )
    del app.gateway.state.keys["team-alpha"]
    app.gateway.state.links.clear()
    await start_sweep(app, "the timer")
    await drain(app)
    assert world(app) == before


async def test_a_secret_that_somebody_disabled_works_again() -> None:
    app = await a_team()
    newest = app.vault.kept["alpha-primary-key"].versions[0]
    await app.vault.update(newest, False, newest.tags)
    await start_sweep(app, "the timer")
    await drain(app)
    assert app.vault.value("alpha-primary-key") is not None


async def test_a_sweep_withdraws_teams_whose_file_is_gone() -> None:
    app = await a_team()
    app.repository.commit({path_of("bravo"): Asked(team="bravo").text(), path_of("alpha"): None})
    assert "alpha withdrawn" in _told(await _sweep(app))


async def test_a_sweep_of_a_branch_without_requests_withdraws_nobody() -> None:
    app = await a_team()
    app.repository.commit({path_of("alpha"): None})
    assert _told(await _sweep(app)) == ["alpha held"]
    await drain(app)
    assert _told(await _sweep(app)) == []
    assert app.vault.value("alpha-primary-key") is not None


async def test_products_that_are_not_ours_are_not_withdrawn() -> None:
    app = await a_team()
    for name, marker in (
        ("theirs", None),
        ("team-other", Marker(REPOSITORY + 1, "other", path_of("other"), "0" * 40, "f" * 64)),
        ("copied", Marker(REPOSITORY, "alpha", path_of("alpha"), "0" * 40, "f" * 64)),
    ):
        app.gateway.state.products[name] = Product(name, '"x"', name, published=True, marker=marker)
    assert not [change for change in await _sweep(app) if change.change == "withdrawn"]


async def test_a_sweep_knows_the_holder_of_a_team_by_its_product() -> None:
    app = await a_team()
    app.repository.commit({SECOND: Asked(tokens=1).text(), path_of("alpha"): Asked(tokens=2).text()})
    changes = await _sweep(app, verdict=True)
    assert [change.path for change in changes if change.team == "alpha"] == [path_of("alpha")]
    assert [problem.path for problem in app.reports.verdicts[-1].problems] == [SECOND]


async def test_what_a_push_leaves_to_a_sweep_is_done_by_one_that_else_only_reports() -> None:
    app = await a_team()
    app.sweep_report_only = True
    await push(
        app, {path_of(f"team{number:02}"): Asked(team=f"team{number:02}").text() for number in range(51)}
    )
    assert len(app.gateway.state.products) == 52
    app.repository.commit({path_of("bravo"): Asked(team="bravo").text()})
    assert _told(await _sweep(app)) == []


async def test_a_branch_and_a_catalogue_that_nothing_can_be_granted_by_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await a_team()
    await push(app, {DEFAULT_CATALOG_PATH: "models: []\n"})
    await _sweep(app)
    assert "the catalogue is not valid: no request can be judged, and what was granted stays" in caplog.text
    app.repository.delete_branch()
    await _sweep(app)
    assert "the branch is not there: nothing is provisioned, and what was granted stays" in caplog.text


async def test_a_sweep_without_a_valid_catalogue_asks_for_nobody() -> None:
    app = await a_team()
    app.repository.commit({DEFAULT_CATALOG_PATH: "models: []"})
    assert await _sweep(app) == []


async def test_a_sweep_of_a_deleted_branch_does_nothing() -> None:
    app = await a_team()
    app.repository.delete_branch()
    assert await _sweep(app) == []


async def test_the_sweep_after_a_large_push_shows_the_verdict() -> None:
    app = await a_team()
    many = {path_of(f"team{number:03}"): Asked(team=f"team{number:03}").text() for number in range(60)}
    await push(app, {**many, path_of("team000"): "nonsense: ["})
    verdict = app.reports.verdicts[-1]
    assert verdict.commit == app.repository.branch
    assert {problem.path for problem in verdict.problems} == {path_of("team000")}
    assert len(app.gateway.state.products) == 60


async def test_a_changed_ceiling_reaches_every_team_of_the_model() -> None:
    app = await a_team()
    await ask(app, Asked(team="bravo", models=("text-embedding-3-large",)))
    await push(
        app,
        {
            DEFAULT_CATALOG_PATH: catalog_text().replace(
                "maxTokensPerMinute: 100000", "maxTokensPerMinute: 100"
            )
        },
    )
    assert app.reports.verdicts[-1].reasons == ["AboveCeiling"]
    assert _told(await _sweep(app)) == []
    assert "bravo-primary-key" in app.vault.names()


async def _addressed(app: FakeApp) -> list[str]:
    """To which stages a sweep sends alpha."""
    seen = len(app.bus.sent)
    await _sweep(app)
    return [str(envelope.to) for envelope in app.bus.sent[seen:] if envelope.session == "alpha"]


async def test_a_sweep_sends_a_team_to_the_stages_that_have_something_of_it() -> None:
    app = await a_team()
    app.gateway.state.links.clear()
    assert await _addressed(app) == ["provision-gateway"]
    await drain(app)
    assert app.gateway.state.links


@pytest.mark.parametrize(
    ("asked", "stages"),
    [
        (Asked(playground=True), ["provision-gateway", "provision-projects"]),
        (Asked(dedicated={"phi-4": GPU}), ["provision-gateway", "provision-workspaces"]),
        (Asked(dedicated={"phi-4": GPU}, playground=True), ["all"]),
    ],
)
async def test_a_stage_that_still_has_something_of_a_team_is_sent_to(asked: Asked, stages: list[str]) -> None:
    """Nobody has told the stages that the request does not ask for it any more."""
    app = await a_team(asked)
    await later(app, timedelta(minutes=30))
    app.repository.commit({path_of("alpha"): Asked().text()})
    assert await _addressed(app) == stages


async def test_a_role_on_a_project_that_is_gone_brings_the_team_to_that_stage() -> None:
    app = await a_team()
    assert app.project_roles is not None
    await app.project_roles.grant("team-alpha", READERS)
    assert await _addressed(app) == ["provision-gateway", "provision-projects"]
    await drain(app)
    assert not app.project_roles.assigned
