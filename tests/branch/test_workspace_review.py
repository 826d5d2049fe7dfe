"""The review of workspaces beside what is in force: faults, GPU nodes of all teams, agent pools, money."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from shared.branch.review import NO_BASELINE, Baseline, File, Review, current_grants, review
from shared.catalog.catalog import read_catalog
from shared.documents.problem import failures
from shared.requests.paths import DEFAULT_CATALOG_PATH, RequestPaths

PATHS = RequestPaths()
A100, TWO_A100 = "Standard_NC24ads_A100_v4", "Standard_NC48ads_A100_v4"
UNKNOWN = "Standard_ND96asr_v4"
#: Three nodes of A100 each, two of the larger one.
LLAMA = "llama-3.3-70b-instruct"


def _catalog(preset: str, *sizes: str, keys: str = "", more: str = "", total: str = "total: 99") -> str:
    return (
        f"{more}\nmodels:\n"
        "  - {name: gpt, provider: foundry, endpoint: https://a.openai.azure.com/openai/v1}\n"
        f"  - {{name: m, provider: kaito, preset: {preset}, {keys}"
        f"dedicated: {{instanceTypes: [{', '.join(sizes)}], {total}}}}}\n"
    )


def _path(team: str) -> str:
    return f"developer-requests/{team}/access.yaml"


def _asked(*teams: str, size: str | None = None) -> dict[str, File]:
    own = "kaito: [{name: m, dedicated: true" + (f", instanceType: {size}" if size else "") + "}]"
    text = "team: {{name: {}, owner: a@b.com}}\nmodels: {{{}}}\n"
    return {_path(team): File(text.format(team, own).encode()) for team in teams}


def _review(catalog: str, files: dict[str, File], before: Baseline = NO_BASELINE) -> Review:
    return review(
        {DEFAULT_CATALOG_PATH: File(catalog.encode()), **files}, PATHS, DEFAULT_CATALOG_PATH, before
    )


def _told(found: Review) -> list[tuple[str, str, str]]:
    return [(problem.path, problem.reason, problem.level) for problem in found.problems]


def _before(catalog: str, **changes: object) -> Baseline:
    known = read_catalog(DEFAULT_CATALOG_PATH, catalog.encode())
    return replace(Baseline(catalog=known), **changes)  # type: ignore[arg-type]


# Faults


def test_a_new_fault_fails_and_the_rest_of_the_catalogue_is_in_force() -> None:
    other = b"team: {name: zulu, owner: a@b.com}\nmodels: {foundry: [{name: gpt}]}\n"
    found = _review(_catalog("phi4", A100), {**_asked("alpha"), _path("zulu"): File(other)})
    assert _told(found) == [
        (_path("alpha"), "WorkspaceImpossible", "failure"),
        (DEFAULT_CATALOG_PATH, "UnknownPreset", "failure"),
    ]
    assert found.requests.keys() == {_path("zulu")}
    assert found.catalog is not None


def test_a_fault_that_stood_there_before_is_a_warning() -> None:
    catalog = _catalog("phi4", A100)
    found = _review(catalog, {}, _before(catalog))
    assert _told(found) == [(DEFAULT_CATALOG_PATH, "UnknownPreset", "warning")]
    assert failures(_review(_catalog("phi5", A100), {}, _before(catalog)).problems)


def test_a_fault_that_comes_with_another_release_is_a_failure() -> None:
    before = _catalog("deepseek-r1-0528", A100)
    found = _review(_catalog("deepseek-r1-0528", A100, more='kaito: "0.11"'), {}, _before(before))
    assert _told(found) == [(DEFAULT_CATALOG_PATH, "TooManyNodes", "failure")]


@pytest.mark.parametrize(
    "before",
    [
        Baseline(in_force={"alpha": {"m": A100}}),
        Baseline(in_force={"alpha": {"m": 0}}),
        Baseline(workspaces={"m": {"alpha"}}),
    ],
)
def test_a_team_keeps_a_workspace_that_would_not_be_made_now(before: Baseline) -> None:
    found = _review(_catalog("phi4", A100), _asked("alpha"), before)
    assert _told(found) == [(DEFAULT_CATALOG_PATH, "UnknownPreset", "warning")]
    assert found.requests.keys() == {_path("alpha")}
    beside = _review(_catalog("phi4", A100), _asked("alpha", "bravo"), before)
    assert (_path("bravo"), "WorkspaceImpossible", "failure") in _told(beside)
    assert beside.requests.keys() == {_path("alpha")}


def test_a_team_does_not_move_to_an_instance_type_with_a_fault() -> None:
    catalog = _catalog("phi-4", A100, UNKNOWN)
    before = Baseline(in_force={"alpha": {"m": A100}})
    moved = _review(catalog, _asked("alpha", size=UNKNOWN), before)
    assert (_path("alpha"), "WorkspaceImpossible", "failure") in _told(moved)
    assert _review(catalog, _asked("alpha"), before).requests.keys() == {_path("alpha")}


def test_what_a_checkout_before_asked_for_is_in_force_despite_a_fault() -> None:
    files = {DEFAULT_CATALOG_PATH: File(_catalog("phi4", A100).encode()), **_asked("alpha")}
    before = current_grants(files, PATHS, DEFAULT_CATALOG_PATH, date(2026, 3, 2))
    assert before.in_force == {"alpha": {"m": A100}}
    found = review(files, PATHS, DEFAULT_CATALOG_PATH, before)
    assert failures(found.problems) == ()


# GPU nodes over all teams


def test_the_nodes_of_all_teams_stay_within_their_total() -> None:
    catalog = _catalog(LLAMA, A100, TWO_A100, total="total: 9, totalNodes: 5")
    found = _review(catalog, _asked("alpha", "bravo"))
    assert _told(found) == [(_path("bravo"), "AboveCeiling", "failure")]
    assert "alpha 3; 2 are left" in found.problems[0].message
    assert "3 GPU nodes" in found.problems[0].message
    smaller = {**_asked("alpha"), **_asked("bravo", size=TWO_A100)}
    assert _told(_review(catalog, smaller)) == []


def test_a_workspace_that_exists_counts_with_what_kaito_takes_if_that_is_more() -> None:
    catalog = _catalog(LLAMA, A100, total="total: 9, totalNodes: 7")
    existing = Baseline(in_force={"alpha": {"m": A100}}, workspaces={"m": {"alpha"}})
    assert _told(_review(catalog, _asked("alpha", "bravo"), existing)) == []
    more = replace(existing, nodes={("m", "alpha"): 6})
    assert _told(_review(catalog, _asked("alpha", "bravo"), more)) == [
        (_path("bravo"), "AboveCeiling", "failure")
    ]


def test_an_unknown_number_of_nodes_counts_as_the_most() -> None:
    catalog = _catalog("org/some-model", A100, keys="maxNodes: 4, ", total="total: 9, totalNodes: 7")
    assert _told(_review(catalog, _asked("alpha", "bravo"))) == [(_path("bravo"), "AboveCeiling", "failure")]


def test_a_grant_of_which_the_instance_type_is_unknown_takes_the_most_of_them() -> None:
    catalog = _catalog(LLAMA, TWO_A100, A100, total="total: 9, totalNodes: 4")
    before = Baseline(in_force={"alpha": {"m": 0}})
    assert _told(_review(catalog, _asked("bravo"), before)) == [(_path("bravo"), "AboveCeiling", "failure")]


def test_a_total_below_the_nodes_in_force_takes_nothing_away() -> None:
    catalog = _catalog(LLAMA, A100, total="total: 9, totalNodes: 2")
    found = _review(catalog, _asked("alpha"), Baseline(in_force={"alpha": {"m": A100}}))
    assert _told(found) == [(DEFAULT_CATALOG_PATH, "Overcommitted", "warning")]
    assert found.overcommitted == {"m"}
    assert found.requests.keys() == {_path("alpha")}


# Agent pools


def test_a_cluster_has_a_hundred_agent_pools_for_all_teams() -> None:
    catalog = _catalog("phi-4", A100, more="poolsTaken: 98")
    found = _review(catalog, _asked("alpha", "bravo", "charlie"))
    assert _told(found) == [(_path("charlie"), "PlatformFull", "failure")]
    assert "100 are taken" in found.problems[0].message


def test_pools_in_force_come_first_and_are_not_refused() -> None:
    catalog = _catalog("phi-4", A100, more="poolsTaken: 100")
    found = _review(catalog, _asked("alpha", "zulu"), Baseline(in_force={"zulu": {"m": A100}}))
    assert _told(found) == [(_path("alpha"), "PlatformFull", "failure")]
    assert found.requests.keys() == {_path("zulu")}


def test_shared_workspaces_take_pools_too() -> None:
    shared = f"shared: {{instanceType: {A100}}}, "
    catalog = _catalog(LLAMA, A100, keys=shared, more="poolsTaken: 95")
    assert _told(_review(catalog, _asked("alpha"))) == [(_path("alpha"), "PlatformFull", "failure")]
    full = _review(_catalog(LLAMA, A100, keys=shared, more="poolsTaken: 98"), {})
    assert _told(full) == [(DEFAULT_CATALOG_PATH, "PlatformFull", "warning")]


# Money

PRICED = f"currency: EUR\nnodePrice: {{{A100}: 3.67}}"


def test_a_new_workspace_is_told_with_nodes_and_price() -> None:
    found = _review(_catalog(LLAMA, A100, TWO_A100, more=PRICED), _asked("alpha"))
    assert _told(found) == [(_path("alpha"), "GpuCost", "notice")]
    assert "3 nodes" in found.problems[0].message
    assert "11.01 EUR an hour, 8,037 a month" in found.problems[0].message
    assert found.requests.keys() == {_path("alpha")}


def test_what_the_tables_do_not_know_costs_up_to_the_bound() -> None:
    catalog = _catalog(
        "own/model", A100, keys="maxNodes: 4, ", more=f"currency: EUR\nnodePrice: {{{A100}: 3.50}}"
    )
    [problem] = _review(catalog, _asked("alpha")).problems
    assert problem.reason == "GpuCost"
    assert [text in problem.message for text in ("up to 4 nodes", "up to 14.00 EUR")] == [True, True]


def test_without_a_price_or_a_change_nothing_is_told() -> None:
    catalog = _catalog(LLAMA, A100, TWO_A100, more=PRICED)
    assert _told(_review(catalog, _asked("alpha", size=TWO_A100))) == []
    before = Baseline(in_force={"alpha": {"m": A100}})
    assert _told(_review(catalog, _asked("alpha"), before)) == []
    moved = Baseline(in_force={"alpha": {"m": TWO_A100}})
    assert [reason for _, reason, _ in _told(_review(catalog, _asked("alpha"), moved))] == ["GpuCost"]


def test_a_new_or_changed_shared_workspace_is_told_too() -> None:
    shared = f"shared: {{instanceType: {A100}}}, "
    catalog = _catalog(LLAMA, A100, keys=shared, more=PRICED)
    assert _told(_review(catalog, {}, _before(_catalog(LLAMA, A100)))) == [
        (DEFAULT_CATALOG_PATH, "GpuCost", "notice")
    ]
    assert _told(_review(catalog, {}, _before(catalog))) == []
