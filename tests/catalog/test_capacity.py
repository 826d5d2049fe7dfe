"""Who has how much of each model, and who is refused when there is not enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.branch.review import Baseline, File, Review, review
from shared.catalog.capacity import Capacity, Grants, Workspaces, allocate, over_allocated
from shared.catalog.catalog import Catalog, read_catalog
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.branch.golden import PATHS

GPT, PHI = "gpt-4.1", "phi-4"


def _catalog_text(capacity: int = 100, over: str = "1") -> str:
    return f"""
overCommitment: {over}
models:
  - {{name: {GPT}, provider: foundry, endpoint: https://a.example/v1, maxTokensPerMinute: 100, capacity: \
{capacity}}}
  - {{name: {PHI}, provider: foundry, endpoint: https://a.example/v1, maxTokensPerMinute: 50, capacity: 50}}
  - {{name: free, provider: foundry, endpoint: https://a.example/v1}}
"""


def _catalog(capacity: int = 100, over: str = "1") -> Catalog:
    catalog = read_catalog("c.yaml", _catalog_text(capacity, over).encode()).catalog
    assert catalog is not None
    return catalog


def test_what_fits_is_granted_and_counted() -> None:
    books = allocate(_catalog(), {"alpha": {GPT: 60, "free": 9999}, "bravo": {GPT: 30, PHI: 50}}, {})
    assert books.rejected == {}
    assert (books.capacities[GPT].granted, books.capacities[GPT].left) == ({"alpha": 60, "bravo": 30}, 10)


def test_a_model_without_a_capacity_has_a_ledger_without_a_limit() -> None:
    asked: Mapping[str, Grants] = {
        "alpha": {"free": None, GPT: 60},
        "bravo": {"free": 30},
        "charlie": {"free": 0},
        "delta": {"free": 9, GPT: 60},
    }
    books = allocate(_catalog(), asked, {"alpha": asked["alpha"], "delta": {"free": None}})
    free = books.capacities["free"]
    assert (free.limit, free.left, free.total, free.unlimited) == (None, None, 30, 2)
    assert free.granted == {"alpha": None, "bravo": 30, "delta": None}, (
        "charlie has a workspace of its own, delta keeps what it had"
    )
    assert books.rejected == {"delta": (GPT,)}


def test_a_team_without_a_limit_counts_with_the_ceiling_of_a_new_capacity() -> None:
    before: Mapping[str, Grants] = {"alpha": {GPT: None}, "bravo": {GPT: 90}}
    books = allocate(_catalog(), {"bravo": {GPT: 90}}, before)
    assert (books.rejected, books.capacities[GPT].granted) == ({}, {"alpha": 100, "bravo": 90})
    books = allocate(_catalog(), {"alpha": {GPT: 80}, "bravo": {GPT: 90}}, before)
    assert (books.rejected, books.capacities[GPT].granted) == ({}, {"alpha": 80, "bravo": 90})


def test_a_team_without_a_request_keeps_what_it_has_and_it_counts() -> None:
    books = allocate(_catalog(), {"alpha": {GPT: 50}}, {"zulu": {GPT: 60}})
    assert (books.rejected, books.capacities[GPT].granted) == ({"alpha": (GPT,)}, {"zulu": 60})


def test_a_workspace_that_is_there_counts_once_and_is_nobodys_growth() -> None:
    dedicated = "dedicated: {instanceTypes: [Standard_A1], total: 1}"
    text = f"models: [{{name: {PHI}, provider: kaito, preset: phi-4, {dedicated}}}]"
    catalog = read_catalog("c.yaml", text.encode()).catalog
    assert catalog is not None
    both: Mapping[str, Grants] = {"alpha": {PHI: 0}, "bravo": {PHI: 0}}
    assert allocate(catalog, both, {}, {PHI: {"bravo"}}).rejected_workspaces == {"alpha": (PHI,)}
    assert allocate(catalog, {"alpha": {PHI: 0}}, {"bravo": {}}, {PHI: {"bravo"}}).rejected_workspaces == {
        "alpha": (PHI,)
    }
    assert allocate(
        catalog, {"alpha": {PHI: 0}, "bravo": {}}, {"bravo": {PHI: 0}}, {PHI: {"bravo"}}
    ).rejected_workspaces == {"alpha": (PHI,)}
    assert allocate(catalog, both, both, {PHI: {"bravo"}}).workspaces[PHI] == Workspaces(
        PHI, 1, ("alpha", "bravo")
    )


def test_a_newcomer_beyond_what_is_left_is_refused_and_takes_nothing_of_other_models() -> None:
    books = allocate(
        _catalog(), {"alpha": {GPT: 80, PHI: 50}, "bravo": {GPT: 60}, "zulu": {PHI: 50}}, {"bravo": {GPT: 60}}
    )
    assert books.rejected == {"alpha": (GPT,)}
    assert books.capacities[PHI].granted == {"zulu": 50}


def test_what_is_in_force_comes_before_newcomers_whatever_their_names() -> None:
    assert allocate(_catalog(), {"zulu": {GPT: 80}, "alpha": {GPT: 80}}, {"zulu": {GPT: 80}}).rejected == {
        "alpha": (GPT,)
    }


def test_who_is_refused_keeps_what_it_had_and_it_counts() -> None:
    books = allocate(
        _catalog(),
        {"alpha": {GPT: 90}, "bravo": {GPT: 20}, "charlie": {GPT: 10}},
        {"alpha": {GPT: 70}, "bravo": {GPT: 20}},
    )
    assert books.rejected == {"alpha": (GPT,)}
    assert books.capacities[GPT].granted == {"alpha": 70, "bravo": 20, "charlie": 10}


def test_nobody_loses_anything_when_the_capacity_is_lowered() -> None:
    now = {"alpha": {GPT: 100}, "bravo": {GPT: 80}}
    books = allocate(_catalog(), now, now)
    assert books.rejected == {}
    assert [(ledger.model, ledger.left) for ledger in over_allocated(books)] == [(GPT, -80)]


def test_who_takes_less_is_never_refused_and_makes_room() -> None:
    before = {"alpha": {GPT: 100}, "bravo": {GPT: 80}}
    assert allocate(_catalog(), {"alpha": {GPT: 90}, "bravo": {GPT: 80}}, before).rejected == {}
    assert allocate(_catalog(), {"alpha": {GPT: 10}, "bravo": {GPT: 90}}, before).rejected == {}


def test_who_has_access_grows_before_a_newcomer_comes_in() -> None:
    assert allocate(_catalog(), {"zulu": {GPT: 70}, "alpha": {GPT: 50}}, {"zulu": {GPT: 40}}).rejected == {
        "alpha": (GPT,)
    }


def test_what_a_growing_request_gives_back_is_free_when_that_is_done() -> None:
    asked = {"charlie": {GPT: 10, PHI: 10}, "alpha": {GPT: 50}}
    assert allocate(_catalog(), asked, {"charlie": {GPT: 100}}).rejected == {"alpha": (GPT,)}
    assert allocate(_catalog(), asked, {"charlie": asked["charlie"]}).rejected == {}


def test_one_token_is_growth_and_one_token_too_many_is_too_many() -> None:
    asked, before = {"zulu": {GPT: 100}, "alpha": {GPT: 1}}, {"zulu": {GPT: 90}}
    assert allocate(_catalog(), asked, before).rejected == {"alpha": (GPT,)}


def test_who_keeps_one_model_and_takes_less_of_another_makes_room() -> None:
    before = {"alpha": {GPT: 50, PHI: 50}}
    assert allocate(_catalog(), {"alpha": {GPT: 50, PHI: 20}, "bravo": {PHI: 30}}, before).rejected == {}


def test_a_capacity_may_be_granted_several_times_when_the_catalogue_says_so() -> None:
    asked = {"alpha": {GPT: 100}, "bravo": {GPT: 50}}
    assert allocate(_catalog(over="1.5"), asked, {}).rejected == {}
    assert allocate(_catalog(over="1.49"), asked, {}).rejected == {"bravo": (GPT,)}


@pytest.mark.parametrize(
    ("teams", "holders"),
    [
        (0, "no team has one"),
        (20, ", ".join(f"t{n:02}" for n in range(20))),
        (23, ", ".join(f"t{n:02}" for n in range(20)) + ", 3 more teams"),
    ],
)
def test_who_has_a_dedicated_workspace_is_named_until_there_are_too_many(teams: int, holders: str) -> None:
    found = Workspaces(PHI, 30, tuple(f"t{n:02}" for n in range(teams)))
    assert (
        found.explain()
        == f"All teams together may have 30 dedicated 'phi-4': {holders}; {30 - teams} are left"
    )
    assert Workspaces(PHI, 1, ("alpha", "bravo")).explain().endswith("alpha, bravo; 0 are left")


Known = Mapping[str, Mapping[str, int]]
_grants = st.dictionaries(st.sampled_from([GPT, PHI, "free"]), st.integers(0, 100))
_teams = st.dictionaries(st.sampled_from(["alpha", "bravo", "charlie", "delta"]), _grants)


@given(_teams, _teams, st.data())
def test_who_was_admitted_stays_so_while_the_others_are_written(
    asked: Known, before: Known, data: Any
) -> None:
    first = allocate(_catalog(), asked, before)
    then = dict(before)
    for team in data.draw(st.permutations(sorted(asked.keys() - first.rejected.keys()))):
        then[team] = asked[team]
        assert allocate(_catalog(), asked, then).rejected.keys() <= first.rejected.keys()


@given(_teams, _teams)
def test_nothing_grows_beyond_the_limit_and_nothing_in_force_is_refused(asked: Known, before: Known) -> None:
    books = allocate(_catalog(), asked, before)
    for name, ledger in books.capacities.items():
        had = sum(grants.get(name, 0) for grants in before.values())
        assert ledger.limit is None or ledger.total <= max(ledger.limit, had)
    for team in books.rejected:
        assert any(tokens > before.get(team, {}).get(name, 0) for name, tokens in asked[team].items())


# ------------------------------------------------------------------------------------ over a whole repository


def _path(team: str) -> str:
    return f"developer-requests/{team}/access.yaml"


def _request(team: str, asked: str, more: str = "") -> File:
    return File(f"team: {{name: {team}, owner: a@b.com}}\nmodels: {{foundry: [{asked}]}}\n{more}".encode())


def _review(files: Mapping[str, File], catalog: str = "", past: Baseline | None = None) -> Review:
    return review(
        {DEFAULT_CATALOG_PATH: File((catalog or _catalog_text()).encode()), **files},
        PATHS,
        DEFAULT_CATALOG_PATH,
        past or Baseline(),
    )


def _told(found: Review) -> list[tuple[str, str, str]]:
    return [(problem.path, problem.reason, problem.level) for problem in found.problems]


def test_a_request_without_a_limit_counts_with_the_lower_of_ceiling_and_total() -> None:
    files = {
        _path("alpha"): _request("alpha", "{name: gpt-4.1}"),
        _path("bravo"): _request("bravo", "{name: phi-4}"),
    }
    assert _review(files).capacity[GPT].granted == {"alpha": 100}
    files = {_path("alpha"): _request("alpha", "{name: gpt-4.1}", "limits: {tokensPerMinute: 30}\n")}
    assert _review(files).capacity[GPT].granted == {"alpha": 30}


def test_access_that_is_over_takes_nothing() -> None:
    files = {
        _path("alpha"): _request("alpha", "{name: gpt-4.1}", "expires: 2026-03-31\n"),
        _path("bravo"): _request("bravo", "{name: gpt-4.1}"),
    }
    assert _told(_review(files, past=Baseline(today=date(2026, 4, 1)))) == []
    assert _told(_review(files, past=Baseline(today=date(2026, 3, 31)))) == [
        (_path("bravo"), "AboveCapacity", "failure")
    ]


@pytest.mark.parametrize(
    ("last_day", "refused"), [("2026-04-07", ["bravo"]), ("2026-04-08", []), ("2027-01-01", [])]
)
def test_what_the_guard_may_hold_is_given_to_nobody(last_day: str, refused: list[str]) -> None:
    """A last day that is brought forward may be held, and with it the whole file that says so."""
    files = {
        _path("alpha"): _request("alpha", "{name: gpt-4.1, tokensPerMinute: 10}", f"expires: {last_day}\n"),
        _path("bravo"): _request("bravo", "{name: gpt-4.1, tokensPerMinute: 90}"),
    }
    past = Baseline(frozenset({_path("alpha")}), {"alpha": {GPT: 100}}, today=date(2026, 4, 1))
    told = [(_path(team), "AboveCapacity", "failure") for team in refused]
    assert _told(_review(files, past=past)) == told


def test_a_request_that_is_refused_gives_nothing_back() -> None:
    """Two files of one team of which none was there before: it keeps what it has."""
    second = "tenant-access/config/alpha/access.yaml"
    less = _request("alpha", "{name: gpt-4.1, tokensPerMinute: 10}")
    files = {_path("bravo"): _request("bravo", "{name: gpt-4.1, tokensPerMinute: 90}")}
    past = Baseline(in_force={"alpha": {GPT: 100}})
    assert _told(_review({**files, _path("alpha"): less}, past=past)) == []
    doubled = {**files, _path("alpha"): less, second: less}
    assert (_path("bravo"), "AboveCapacity", "failure") in _told(_review(doubled, past=past))


def test_the_refusal_shows_the_ledger() -> None:
    files = {
        _path(team): _request(team, f"{{name: gpt-4.1, tokensPerMinute: {tokens}}}")
        for team, tokens in {"alpha": 70, "bravo": 40}.items()
    }
    [problem] = _review(files).problems
    assert (problem.line, problem.column, problem.reason) == (2, 20, "AboveCapacity")
    for part in (" 40 ", "'gpt-4.1'", " 100 ", "alpha 70; 30 "):
        assert part in problem.message


def test_of_two_files_of_a_team_the_one_that_was_there_counts_else_the_first() -> None:
    first, second = _path("alpha"), "tenant-access/config/alpha/access.yaml"
    files = {
        path: _request("alpha", f"{{name: gpt-4.1, tokensPerMinute: {n}}}")
        for path, n in ((first, 20), (second, 30))
    }
    assert _review(files).capacity[GPT].granted == {"alpha": 20}
    assert _review(files, past=Baseline(known_paths=frozenset({second}))).capacity[GPT].granted == {
        "alpha": 30
    }


def test_a_dedicated_workspace_takes_nothing_of_the_shared_backends() -> None:
    catalog = """models:
  - {name: phi-4, provider: kaito, preset: phi-4, endpoint: http://phi.internal/v1, maxTokensPerMinute: 50, \
capacity: 50,
     dedicated: {instanceTypes: [Standard_A1], total: 2}}
"""
    own = File(b"team: {name: alpha, owner: a@b.com}\nmodels: {kaito: [{name: phi-4, dedicated: true}]}\n")
    shared = File(b"team: {name: bravo, owner: a@b.com}\nmodels: {kaito: [{name: phi-4}]}\n")
    assert _review({_path("alpha"): own, _path("bravo"): shared}, catalog).capacity[PHI].granted == {
        "bravo": 50
    }


def test_a_model_that_teams_still_use_cannot_be_removed() -> None:
    files = {_path(team): _request(team, "{name: old}") for team in ("alpha", "bravo")} | {
        _path("zulu"): _request("zulu", "{name: free}")
    }
    found = _review(files, past=Baseline(in_force={"alpha": {"old": 5}, "bravo": {"old": 0}}))
    assert _told(found) == [(DEFAULT_CATALOG_PATH, "ModelStillUsed", "failure")]
    assert _path("alpha") in found.problems[0].message
    assert _path("bravo") in found.problems[0].message
    assert (found.catalog, found.requests) == (None, {})
    wrong = {**files, _path("zulu"): _request("zulu", "{name: none}")}
    told = _told(_review(wrong, past=Baseline(in_force={"alpha": {"old": 5}})))
    assert (_path("zulu"), "UnknownModel", "failure") in told, "what else is wrong is told, too"


@pytest.mark.parametrize("count", [20, 23])
def test_whoever_removes_a_model_is_told_who_uses_it_and_what_to_do(count: int) -> None:
    teams = [f"t{number:02}" for number in range(count)]
    files = {_path(team): _request(team, "{name: old}") for team in teams}
    [problem] = _review(files, past=Baseline(in_force={team: {"old": 5} for team in teams})).problems
    named = ", ".join(f"'{_path(team)}'" for team in teams[:20])
    more = " and 3 more" if count > 20 else ""
    assert problem.reason == "ModelStillUsed"
    for part in ("'old'", f"{named}{more}.", "'retiresOn'", "'successor'"):
        assert part in problem.message


def test_a_ledger_names_the_largest_first_and_sums_up_the_small_ones() -> None:
    large = {f"t{number:02}": 10 for number in range(20)}
    few, many = (
        Capacity(GPT, 900, 900, {"bravo": 5, "alpha": 5, "zulu": 7}),
        Capacity(GPT, 300, 300, {**large, "small": 1, "tiny": 2}),
    )
    assert (
        few.explain()
        == "'gpt-4.1' has 900 tokens per minute for all teams: zulu 7, alpha 5, bravo 5; 883 are left"
    )
    named = ", ".join(f"{team} 10" for team in large)
    assert (
        many.explain()
        == f"'gpt-4.1' has 300 tokens per minute for all teams: {named}, 2 more teams 3; 97 are left"
    )
    assert (
        replace(many, granted=large).explain()
        == f"'gpt-4.1' has 300 tokens per minute for all teams: {named}; 100 are left"
    )
    assert (
        Capacity(GPT, 5, 5, {}).explain()
        == "'gpt-4.1' has 5 tokens per minute for all teams: no team has any; 5 are left"
    )


def test_a_model_that_nobody_had_is_the_requests_mistake() -> None:
    files = {
        _path("alpha"): _request("alpha", "{name: old}"),
        _path("bravo"): _request("bravo", "{name: free}"),
    }
    found = _review(files, past=Baseline(in_force={"alpha": {"free": 0}, "bravo": {"old": 5}}))
    assert _told(found) == [(_path("alpha"), "UnknownModel", "failure")]
    assert found.in_doubt == {_path("alpha")}
    assert list(found.requests) == [_path("bravo")]


def test_a_retirement_warns_those_who_use_the_model_and_refuses_nobody() -> None:
    catalog = _catalog_text().replace("name: free,", "name: free, retiresOn: 2020-01-31, successor: phi-4,")
    found = _review(
        {
            _path("alpha"): _request("alpha", "{name: free}"),
            _path("bravo"): _request("bravo", "{name: phi-4}"),
        },
        catalog,
    )
    assert _told(found) == [(_path("alpha"), "ModelRetires", "warning")]
    assert len(found.requests) == 2


def test_a_capacity_below_what_is_in_force_is_a_warning_at_the_catalogue() -> None:
    files = {
        _path("alpha"): _request("alpha", "{name: gpt-4.1}"),
        _path("bravo"): _request("bravo", "{name: gpt-4.1}"),
    }
    found = _review(files, past=Baseline(in_force={"alpha": {GPT: 100}, "bravo": {GPT: 100}}))
    assert _told(found) == [(DEFAULT_CATALOG_PATH, "Overcommitted", "warning")]
    assert len(found.requests) == 2
