"""What the catalogue decides over all teams: capacities that are granted once only, and models that leave."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.messaging.routes import PROVISION_CATALOG, PROVISION_GATEWAY
from shared.names import CATALOG_TEAM, FRAGMENT
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.stages.pipeline import provision_gateway, provision_workspaces
from tests.fakes.app import GPU, Asked, FakeApp, a_change, an_event, catalog_text, path_of
from tests.stages.road import a_platform, a_team, ask, later, push, run, shown, sweep, withdraw, world

CAPACITY = "    maxTokensPerMinute: 100000\n    capacity: {}\n"
OLD = (
    catalog_text()
    + "  - {name: old, provider: foundry, endpoint: https://contoso-ai.openai.azure.com/openai/v1}\n"
)
ONE_GPU = catalog_text().replace("perTeam: 2, total: 3", "perTeam: 1, total: 1")
PHI = {"phi-4": GPU}


def _catalog(capacity: int) -> str:
    return catalog_text().replace("    maxTokensPerMinute: 100000\n", CAPACITY.format(capacity))


async def _a_platform_with(capacity: int) -> FakeApp:
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: _catalog(capacity)})
    return app


def _verdict(app: FakeApp) -> list[tuple[str, str]]:
    """What the newest commit was told."""
    verdict = app.reports.verdicts[-1]
    assert verdict.commit == app.repository.branch
    return [(problem.path, problem.reason) for problem in verdict.problems]


def _granted(app: FakeApp, team: str) -> str:
    return app.gateway.state.policies[f"team-{team}"].text


async def test_a_team_that_asks_for_more_than_is_left_is_refused_by_all_stages() -> None:
    app = await _a_platform_with(100_000)
    await ask(app, Asked(team="zulu", tokens=60_000))
    await ask(app, Asked(team="alpha", tokens=60_000))
    assert _verdict(app) == [(path_of("alpha"), "AboveCapacity")]
    assert "zulu 60,000; 40,000 are left" in app.reports.verdicts[-1].problems[0].message
    before = world(app)
    await run(app, PROVISION_GATEWAY, "alpha")
    await sweep(app)
    await push(app, {"README.md": "a push that has nothing to do with it"})
    assert world(app) == before
    assert "team-alpha" not in app.gateway.state.products


async def test_who_is_in_force_is_not_displaced_by_anybody_whatever_the_names() -> None:
    app = await _a_platform_with(100_000)
    await ask(app, Asked(team="zulu", tokens=90_000))
    await ask(app, Asked(team="alpha", tokens=60_000))
    app.calls.forget()
    await ask(app, Asked(team="zulu", tokens=90_000, display_name="The Zulus"))
    assert _verdict(app) == []
    assert app.gateway.state.products["team-zulu"].display_name == "The Zulus (zulu)"
    assert not [write for write in app.calls.writes() if "alpha" in write]


async def test_who_was_refused_comes_in_when_there_is_room() -> None:
    app = await _a_platform_with(100_000)
    await ask(app, Asked(team="zulu", tokens=90_000))
    await ask(app, Asked(team="alpha", tokens=60_000))
    await ask(app, Asked(team="zulu", tokens=40_000))
    await sweep(app)
    assert "60000" in _granted(app, "alpha")
    assert "40000" in _granted(app, "zulu")


async def test_two_newcomers_in_one_push_are_admitted_by_name() -> None:
    app = await _a_platform_with(100_000)
    await push(app, {path_of(team): Asked(team=team, tokens=60_000).text() for team in ("zulu", "alpha")})
    assert _verdict(app) == [(path_of("zulu"), "AboveCapacity")]
    assert app.gateway.state.products.keys() == {"team-alpha"}


async def test_when_a_capacity_is_lowered_nobody_loses_anything_and_nobody_grows() -> None:
    app = await _a_platform_with(200_000)
    for team in ("alpha", "bravo"):
        await ask(app, Asked(team=team, tokens=90_000))
    await push(app, {DEFAULT_CATALOG_PATH: _catalog(100_000)})
    assert _verdict(app) == [(DEFAULT_CATALOG_PATH, "Overcommitted")]
    assert [problem.level for problem in app.reports.verdicts[-1].problems] == ["warning"]
    await ask(app, Asked(team="bravo", tokens=91_000))
    assert (path_of("bravo"), "AboveCapacity") in _verdict(app)
    assert "90000" in _granted(app, "bravo")
    await ask(app, Asked(team="alpha", tokens=80_000))
    assert (path_of("alpha"), "AboveCapacity") not in _verdict(app)
    assert "80000" in _granted(app, "alpha")


async def test_what_was_in_force_before_a_history_was_rewritten_is_known_by_its_digest() -> None:
    app = await _a_platform_with(100_000)
    await ask(app, Asked(team="zulu", tokens=90_000))
    gone = app.repository.branch or ""
    app.repository.commit({path_of("alpha"): Asked(team="alpha", tokens=60_000).text()})
    app.repository.forget(gone)
    await sweep(app)
    assert app.gateway.state.products.keys() == {"team-zulu"}


async def test_what_git_has_lost_the_products_policy_says() -> None:
    app = await _a_platform_with(100_000)
    await ask(app, Asked(team="zulu", tokens=90_000))
    gone = app.repository.branch or ""
    app.repository.commit(
        {path_of(team): Asked(team=team, tokens=80_000).text() for team in ("alpha", "zulu")}
    )
    app.repository.forget(gone)
    await sweep(app)
    assert "80000" in _granted(app, "zulu")
    assert app.gateway.state.products.keys() == {"team-zulu"}


async def test_who_comes_back_within_grace_is_a_newcomer() -> None:
    app = await _a_platform_with(100_000)
    await ask(app, Asked(team="alpha", tokens=60_000))
    await withdraw(app, "alpha")
    await ask(app, Asked(team="bravo", tokens=60_000))
    await ask(app, Asked(team="alpha", tokens=60_000))
    assert _verdict(app) == [(path_of("alpha"), "AboveCapacity")]
    assert app.gateway.state.subscriptions["team-alpha"].state == "suspended"


async def test_a_product_that_was_never_finished_counts() -> None:
    app = await _a_platform_with(100_000)
    await ask(app, Asked(team="zulu", tokens=60_000))
    product = app.gateway.state.products["team-zulu"]
    assert product.marker is not None
    app.gateway.state.products["team-zulu"] = replace(
        product, published=False, marker=product.marker.unfinished()
    )
    await ask(app, Asked(team="alpha", tokens=60_000))
    assert _verdict(app) == [(path_of("alpha"), "AboveCapacity")]
    await sweep(app)
    assert app.gateway.state.products.keys() == {"team-zulu"}
    assert app.gateway.state.products["team-zulu"].is_finished


async def test_access_that_ended_by_its_date_makes_room_when_it_was_taken_away() -> None:
    app = await _a_platform_with(100_000)
    await ask(app, Asked(team="alpha", tokens=60_000, expires=app.clock.now().date()))
    await ask(app, Asked(team="bravo", tokens=60_000))
    assert "team-bravo" not in app.gateway.state.products
    app.clock.advance(timedelta(days=1))
    await sweep(app)
    assert app.gateway.state.subscriptions["team-alpha"].state == "suspended"
    await sweep(app)
    assert "60000" in _granted(app, "bravo")


async def test_a_large_push_is_judged_by_the_sweep_alike() -> None:
    app = await _a_platform_with(100_000)
    await push(
        app, {path_of(f"team{number:02}"): Asked(team=f"team{number:02}").text() for number in range(60)}
    )
    assert len(app.gateway.state.products) == 10
    assert {reason for _, reason in _verdict(app)} == {"AboveCapacity"}
    assert len(_verdict(app)) == 50


async def test_the_others_requests_are_read_only_where_a_capacity_is_known() -> None:
    app = await a_team()
    app.repository.commit({path_of("alpha"): Asked(tokens=11_000).text()})
    await provision_gateway(app, an_event(app, a_change(app)))
    assert "archive" not in app.calls.names("repository")


def _workspaces(app: FakeApp) -> set[str]:
    """The teams with a GPU."""
    assert app.cluster is not None
    return {
        namespace.removeprefix("team-")
        for namespace, kind, _ in app.cluster.state.objects
        if kind == "Workspace"
    }


async def _a_team_with_the_only_gpu(team: str = "zulu") -> FakeApp:
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: ONE_GPU})
    await ask(app, Asked(team=team, dedicated=PHI))
    app.calls.forget()
    return app


async def test_an_older_message_of_a_team_does_not_get_it_the_gpu_that_it_was_refused() -> None:
    app = await _a_team_with_the_only_gpu()
    await ask(app, Asked(team="alpha"))
    older = an_event(app, a_change(app, "alpha"), "d1/alpha")
    await ask(app, Asked(team="alpha", tokens=9_000, dedicated=PHI))
    assert _verdict(app) == [(path_of("alpha"), "AboveCeiling")]
    await provision_gateway(app, older)
    await later(app, timedelta(minutes=1))
    assert _workspaces(app) == {"zulu"}
    assert "9000" not in _granted(app, "alpha")


async def test_an_older_message_counts_nothing_beside_another_file_of_the_team() -> None:
    app = await _a_team_with_the_only_gpu()
    await ask(app, Asked(team="alpha"))
    older = an_event(app, a_change(app, "alpha"), "d1/alpha")
    second = "developer-requests/alpha/access.yaml"
    await push(
        app, {path_of("alpha"): Asked(team="alpha", dedicated=PHI).text(), second: Asked(team="alpha").text()}
    )
    assert sorted(_verdict(app)) == [(second, "DuplicateTeam"), (path_of("alpha"), "AboveCeiling")]
    await provision_workspaces(app, older)
    await later(app, timedelta(minutes=1))
    assert _workspaces(app) == {"zulu"}


async def test_an_older_message_gets_nothing_counted_while_the_catalogue_is_refused() -> None:
    app = await _a_team_with_the_only_gpu()
    await push(app, {DEFAULT_CATALOG_PATH: ONE_GPU + OLD.removeprefix(catalog_text())})
    await ask(app, Asked(team="user", models=("old",)))
    await ask(app, Asked(team="alpha"))
    older = an_event(app, a_change(app, "alpha"), "d1/alpha")
    await push(
        app, {DEFAULT_CATALOG_PATH: ONE_GPU, path_of("alpha"): Asked(team="alpha", dedicated=PHI).text()}
    )
    assert (DEFAULT_CATALOG_PATH, "ModelStillUsed") in _verdict(app)
    await provision_workspaces(app, older)
    await later(app, timedelta(minutes=1))
    assert _workspaces(app) == {"zulu"}


async def test_a_team_whose_product_somebody_unpublished_keeps_its_gpu() -> None:
    app = await _a_team_with_the_only_gpu()
    await ask(app, Asked(team="alpha"))
    await ask(app, Asked(team="alpha", dedicated=PHI))
    products = app.gateway.state.products
    products["team-zulu"] = replace(products["team-zulu"], published=False)
    await sweep(app)
    assert products["team-zulu"].published
    assert _workspaces(app) == {"zulu"}


async def test_a_team_with_a_gpu_is_kept_up_whatever_others_ask_for() -> None:
    app = await _a_team_with_the_only_gpu()
    await ask(app, Asked(team="alpha"))
    await ask(app, Asked(team="alpha", dedicated=PHI))
    await ask(app, Asked(team="zulu", dedicated=PHI, display_name="The Zulus"))
    assert _verdict(app) == []
    assert app.gateway.state.products["team-zulu"].display_name == "The Zulus (zulu)"
    await app.gateway.suspend_subscription("team-zulu", app.gateway.state.subscriptions["team-zulu"].etag)
    await sweep(app)
    assert app.gateway.state.subscriptions["team-zulu"].state == "active"
    assert _workspaces(app) == {"zulu"}


async def test_when_a_total_is_lowered_nobody_loses_a_gpu_and_nobody_gets_one() -> None:
    app = await a_platform()
    for team in ("alpha", "bravo"):
        await ask(app, Asked(team=team, dedicated=PHI))
    await push(app, {DEFAULT_CATALOG_PATH: ONE_GPU})
    assert _verdict(app) == [(DEFAULT_CATALOG_PATH, "Overcommitted")]
    await ask(app, Asked(team="bravo", dedicated=PHI, tokens=9_000))
    assert "9000" in _granted(app, "bravo")
    await ask(app, Asked(team="aaron", dedicated=PHI))
    assert (path_of("aaron"), "AboveCeiling") in _verdict(app)
    assert _workspaces(app) == {"alpha", "bravo"}


async def test_a_gpu_of_access_that_ended_is_free_when_its_workspace_is_gone() -> None:
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: ONE_GPU})
    await ask(app, Asked(team="alpha", dedicated=PHI, expires=app.clock.now().date()))
    app.clock.advance(timedelta(days=1))
    await sweep(app)
    await ask(app, Asked(team="bravo", dedicated=PHI))
    assert _verdict(app) == [(path_of("bravo"), "AboveCeiling")]
    assert "'phi-4': alpha; 0 " in app.reports.verdicts[-1].problems[0].message
    await later(app, timedelta(hours=2))
    await sweep(app)
    await later(app, timedelta(hours=1))
    assert _workspaces(app) == {"bravo"}


@pytest.mark.parametrize("folder", ["developer-requests/zulu", "tenant-access/config/team-zulu"])
@pytest.mark.parametrize("tokens", [60_000, 50_000])
async def test_who_moves_its_file_has_what_it_had(folder: str, tokens: int) -> None:
    app = await _a_platform_with(100_000)
    await ask(app, Asked(team="zulu", tokens=60_000))
    await ask(app, Asked(team="alpha", tokens=60_000))
    moved = Asked(team="zulu", tokens=tokens, display_name="The Zulus")
    await push(app, {path_of("zulu"): None, f"{folder}/access.yaml": moved.text()})
    assert _verdict(app) == []
    await sweep(app)
    assert app.gateway.state.products.keys() == {"team-zulu"}
    assert app.gateway.state.products["team-zulu"].display_name == "The Zulus (zulu)"


async def test_who_moves_its_file_keeps_its_gpu() -> None:
    app = await _a_team_with_the_only_gpu()
    await ask(app, Asked(team="alpha", dedicated=PHI))
    moved = Asked(team="zulu", dedicated=PHI, display_name="The Zulus").text()
    await push(app, {path_of("zulu"): None, "developer-requests/zulu/access.yaml": moved})
    await sweep(app)
    assert app.gateway.state.products["team-zulu"].display_name == "The Zulus (zulu)"
    assert _workspaces(app) == {"zulu"}


async def test_who_moves_its_file_still_uses_a_model_that_is_removed() -> None:
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: OLD})
    await ask(app, Asked(models=("old",)))
    moved = "developer-requests/alpha/access.yaml"
    await push(
        app,
        {DEFAULT_CATALOG_PATH: catalog_text(), path_of("alpha"): None, moved: Asked(models=("old",)).text()},
    )
    assert _verdict(app) == [(DEFAULT_CATALOG_PATH, "ModelStillUsed")]
    assert moved in app.reports.verdicts[-1].problems[0].message


@pytest.mark.parametrize("files", [1, 60])
async def test_a_model_that_is_still_used_cannot_be_removed_and_the_last_catalogue_stays(files: int) -> None:
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: OLD})
    await push(
        app,
        {
            path_of(f"team{number:02}"): Asked(team=f"team{number:02}", models=("old",)).text()
            for number in range(files)
        },
    )
    before = world(app)
    await push(app, {DEFAULT_CATALOG_PATH: catalog_text()})
    await later(app, timedelta(minutes=1))
    assert _verdict(app) == [(DEFAULT_CATALOG_PATH, "ModelStillUsed")]
    assert path_of("team00") in app.reports.verdicts[-1].problems[0].message
    await run(app, PROVISION_CATALOG, CATALOG_TEAM)
    await sweep(app)
    assert world(app) == before


async def test_a_push_that_leaves_the_catalogue_alone_is_told_that_it_is_wrong() -> None:
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: OLD})
    await ask(app, Asked(models=("old",)))
    await push(app, {DEFAULT_CATALOG_PATH: catalog_text()})
    await ask(app, Asked(models=("old",), display_name="Alphas"))
    assert _verdict(app) == [(DEFAULT_CATALOG_PATH, "ModelStillUsed")]
    assert app.gateway.state.products["team-alpha"].display_name == "Team Alpha (alpha)"


async def test_a_removed_model_goes_when_nobody_names_it_any_more() -> None:
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: OLD})
    await ask(app, Asked(models=("old", "gpt-4.1")))
    await push(app, {DEFAULT_CATALOG_PATH: catalog_text()})
    assert "shared--old" in app.gateway.state.backends
    await ask(app, Asked(models=("gpt-4.1",)))
    await sweep(app)
    assert "shared--old" not in app.gateway.state.backends
    assert "old" not in _granted(app, "alpha")
    await ask(app, Asked(team="bravo", models=("old",)))
    assert _verdict(app) == [(path_of("bravo"), "UnknownModel")]


async def test_a_request_that_never_had_the_model_cannot_hold_a_catalogue_up() -> None:
    app = await a_team()
    await push(app, {path_of("bravo"): Asked(team="bravo", models=("new",)).text()})
    changed = catalog_text().replace("maxTokensPerMinute: 100000", "maxTokensPerMinute: 90000")
    await push(app, {DEFAULT_CATALOG_PATH: changed})
    await run(app, PROVISION_CATALOG, CATALOG_TEAM)
    assert "team-bravo" not in app.gateway.state.products
    assert (path_of("bravo"), "UnknownModel") in _verdict(app)


async def test_a_model_that_retires_is_told_and_served() -> None:
    app = await a_platform()
    await push(
        app,
        {
            DEFAULT_CATALOG_PATH: OLD.replace(
                "name: old,", "name: old, retiresOn: 2020-01-31, successor: gpt-4.1,"
            )
        },
    )
    assert await ask(app, Asked(models=("old",))) == "1 team queued, 1 warning"
    assert _verdict(app) == [(path_of("alpha"), "ModelRetires")]
    assert shown(app)["keys"].startswith("success: keys in vault")


@pytest.mark.parametrize("left", [None, "<fragment/>"], ids=["deleted", "edited"])
async def test_a_push_of_the_catalogue_puts_its_fragment_right_and_writes_nothing_else(
    left: str | None,
) -> None:
    app = await a_platform()
    before = dict(app.gateway.state.fragments)
    app.gateway.state.fragments.clear()
    if left is not None:
        app.gateway.state.fragments[FRAGMENT] = left
    await run(app, PROVISION_CATALOG, CATALOG_TEAM)
    assert app.gateway.state.fragments == before
    assert app.calls.writes() == [f"put_fragment {FRAGMENT}"]


async def test_whoever_has_taken_a_name_of_the_catalogue_keeps_no_team_from_its_policy() -> None:
    app = await a_team()
    backends, fragments = app.gateway.state.backends, app.gateway.state.fragments
    name = next(name for name in backends if name.startswith("shared--"))
    backends[name], written = replace(backends[name], marker=None), fragments.pop(FRAGMENT)
    await sweep(app)
    assert [letter.properties["reason"] for letter in app.bus.dead_letters()] == ["NotManaged"]
    assert fragments == {FRAGMENT: written}
