"""What a change costs does not depend on how many teams there are: counts, at two sizes, which are
larger with `MERGEKEY_THOROUGH=1`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest

from shared.branch import evaluation, repository_state, review
from shared.marker import Marker
from shared.messaging.outcomes import Push
from shared.messaging.routes import PROVISION_CATALOG, PROVISION_GATEWAY
from shared.names import CATALOG_TEAM
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.actual import Product
from shared.resources.desired import compile_gateway
from shared.stages.receive_push import LARGE_PUSH, queue_changes
from standins.tests.plugin import THOROUGH
from tests.fakes.app import Asked, FakeApp, a_catalog, catalog_text, path_of
from tests.stages.road import a_platform, drain, push, run, sweep

CEILING = "    maxTokensPerMinute: 100000\n"
COUNTED = catalog_text().replace(CEILING, f"{CEILING}    capacity: 2000000000\n")
SIZES = (10, 1_000) if THOROUGH else (10, 100)
#: Whose files are parsed: it takes minutes to make so many.
MANY = 10_000 if THOROUGH else SIZES[-1]
#: Teams of pushes that are left to a sweep.
CROWDS = LARGE_PUSH + 10, LARGE_PUSH + 30
#: What Azure Resource Manager answers.
RESOURCE_MANAGER = frozenset({"gateway", "roles", "projects"})


def _asked(team: str, tokens: int = 10_000) -> Asked:
    return Asked(team=team, tokens=tokens, readers=None)


async def _platform(size: int, catalog: str) -> FakeApp:
    """So many teams whose products are as their requests say, in a process that has read nothing yet."""
    app, teams = FakeApp(), [f"team{number:05}" for number in range(size)]
    files = {path_of(team): _asked(team).text() for team in teams}
    commit = app.repository.commit({DEFAULT_CATALOG_PATH: catalog, **files})
    await run(app, PROVISION_CATALOG, CATALOG_TEAM)
    for team in teams:
        desired = compile_gateway(_asked(team).read(a_catalog(catalog)), a_catalog(catalog), app.platform)
        marker = Marker(app.platform.repository, team, path_of(team), commit, desired.digest)
        name = f"team-{team}"
        app.gateway.state.products[name] = Product(name, "1", desired.shown_as, published=True, marker=marker)
    await run(app, PROVISION_GATEWAY, teams[0])
    await drain(app)
    app.calls.forget()
    review.read.cache_clear()
    return app


_settled_ones: dict[tuple[int, str], FakeApp] = {}


async def _settled(size: int, catalog: str) -> FakeApp:
    """The same after a sweep, in a process that has read the branch: a copy for each test."""
    if (size, catalog) not in _settled_ones:
        app = await _platform(size, catalog)
        await sweep(app)
        _settled_ones[size, catalog] = app
    copied = deepcopy(_settled_ones[size, catalog])
    await sweep(copied)
    copied.calls.forget()
    return copied


@dataclass(frozen=True)
class _Cost:
    """Files that were parsed, trees that were looked through, reviews of all files, calls by name."""

    parsed: int
    scanned: int
    reviewed: int
    calls: Counter[str]


def _counted(counts: Counter[str], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def count(*given: Any) -> Any:
        counts[name] += 1
        return function(*given)

    return count


async def _cost_of_a_change(app: FakeApp, tokens: int, monkeypatch: pytest.MonkeyPatch) -> _Cost:
    counts = Counter[str]()
    with monkeypatch.context() as patch:
        patch.setattr(repository_state, "_state", _counted(counts, "scanned", repository_state._state))
        patch.setattr(evaluation, "review", _counted(counts, "reviewed", review.review))
        app.calls.forget()
        before = review.read.cache_info().misses
        await push(app, {path_of("team00000"): _asked("team00000", tokens).text()})
    calls = Counter(f"{call.system} {call.name}" for call in app.calls.made)
    return _Cost(review.read.cache_info().misses - before, counts["scanned"], counts["reviewed"], calls)


@pytest.mark.parametrize("catalog", [catalog_text(), COUNTED], ids=["shared", "with a capacity"])
async def test_a_changed_limit_costs_the_same_with_ten_teams_and_with_many(
    catalog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = []
    for size in SIZES:
        app = await _settled(size, catalog)
        await _cost_of_a_change(app, 20_000, monkeypatch)
        costs.append(await _cost_of_a_change(app, 30_000, monkeypatch))
    assert costs == costs[:1] * len(SIZES)
    assert costs[0].parsed == 1
    assert costs[0].scanned == 1


async def test_every_file_is_parsed_once_and_of_the_next_tree_only_what_changed() -> None:
    app = await _platform(MANY, COUNTED)
    await sweep(app)
    assert review.read.cache_info().misses == MANY
    await push(app, {path_of("team00000"): _asked("team00000", 20_000).text()})
    assert review.read.cache_info().misses == MANY + 1


async def test_a_webhook_that_has_read_nothing_leaves_what_others_decide_to_a_sweep() -> None:
    """GitHub waits ten seconds for its answer."""
    app = deepcopy(await _platform(LARGE_PUSH + 1, COUNTED))
    before = app.repository.branch
    app.repository.commit({path_of("team00000"): _asked("team00000", 20_000).text()})
    app.calls.forget()
    told = await queue_changes(app, Push("d-cold", before, False), app.clock.now())
    assert told == "other requests decide too: everything is looked at"
    assert "archive" not in {call.name for call in app.calls.made}
    await drain(app)
    product = app.gateway.state.products["team-team00000"]
    assert product.marker is not None
    assert product.marker.commit == app.repository.branch


async def test_a_team_whose_product_has_all_that_it_asks_for_needs_no_account() -> None:
    app = await _platform(SIZES[0], COUNTED)
    await sweep(app)
    app.calls.forget()
    await run(app, PROVISION_GATEWAY, "team00001")
    assert not {"products", "all_workspaces"} & {call.name for call in app.calls.made}


NEW, GONE = path_of("newcomer"), path_of("team00001")
CHANGES: dict[str, dict[str, str | bytes | None]] = {
    "a new team": {NEW: _asked("newcomer").text()},
    "a changed limit": {path_of("team00000"): _asked("team00000", 30_000).text()},
    "a withdrawal": {GONE: None},
}


@pytest.mark.parametrize("catalog", [catalog_text(), COUNTED], ids=["shared", "with a capacity"])
@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_makes_the_same_calls_with_ten_teams_and_with_many(change: str, catalog: str) -> None:
    made = []
    for size in SIZES:
        app = await _settled(size, catalog)
        await push(app, CHANGES[change])
        made.append(_by_system(app))
    assert made == made[:1] * len(SIZES)


def _by_system(app: FakeApp) -> Counter[str]:
    return Counter(f"{call.system} {call.name}" for call in app.calls.made)


async def test_a_withdrawal_lists_all_products_in_the_webhook_and_in_the_first_stage() -> None:
    app = await _platform(SIZES[0], catalog_text())
    await sweep(app)
    app.calls.forget()
    await push(app, {GONE: None})
    assert _by_system(app)["gateway products"] == 2
    product = app.gateway.state.products["team-team00001"]
    assert product.marker is not None
    assert product.marker.withdrawn is not None


async def _push_new_teams(app: FakeApp, teams: int) -> None:
    names = [f"team{number:05}" for number in range(teams)]
    app.calls.forget()
    await push(app, {path_of(name): Asked(team=name).text() for name in names})


async def _reads_of_a_push(teams: int) -> Counter[str]:
    """What a push of so many new teams reads of Resource Manager."""
    app = await a_platform()
    await _push_new_teams(app, teams)
    assert len(app.gateway.state.links) == teams
    return Counter(
        call.name for call in app.calls.made if call.system in RESOURCE_MANAGER and not call.writes
    )


async def test_each_new_team_of_a_large_push_costs_four_reads_of_resource_manager() -> None:
    fewer, more = [await _reads_of_a_push(teams) for teams in CROWDS]
    each = Counter(["product", "product_subscriptions", "subscription", "readers"])
    assert more - fewer == Counter(dict.fromkeys(each, CROWDS[1] - CROWDS[0]))


async def test_each_new_team_of_a_small_push_costs_six_reads_of_resource_manager() -> None:
    """A push does not know what the team had before: so it is seen whether there is a project."""
    fewer, more = [await _reads_of_a_push(teams) for teams in (2, 5)]
    each = Counter(["product", "product_subscriptions", "subscription", "granted", "project", "readers_of"])
    assert more - fewer == Counter(dict.fromkeys(each, 3))


async def test_a_large_push_downloads_one_archive() -> None:
    app = await a_platform()
    await _push_new_teams(app, CROWDS[0])
    assert app.calls.names("repository").count("archive") == 1
