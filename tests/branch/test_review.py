"""The verdict over a whole repository."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from shared.branch.platform_checks import PlatformProblem
from shared.branch.repository_state import is_read
from shared.branch.review import Baseline, File, Review, current_grants, review
from shared.catalog.catalog import Catalog
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.branch.golden import CASES, PATHS, REQUEST, catalog_file, review_of

EXAMPLES = Path(__file__).parents[2] / "examples" / "access-repo"
ONE, TWO = "developer-requests/alpha/access.yaml", "developer-requests/bravo/access.yaml"
VALID = File((CASES / "valid" / "access.yaml").read_bytes())


def _named(team: str) -> File:
    return File(VALID.content.replace(b"alpha", team.encode()))


def _dedicated(team: str) -> File:
    return File(
        (
            f"team: {{name: {team}, owner: a@b.com}}\nmodels: {{kaito: [{{name: phi-4, dedicated: true}}]}}\n"
        ).encode()
    )


def test_the_example_repository_has_no_problems_and_says_what_has_no_tools() -> None:
    files = {
        file.relative_to(EXAMPLES).as_posix(): File(file.read_bytes())
        for file in EXAMPLES.rglob("*")
        if file.is_file()
    }
    found = review(files, PATHS, DEFAULT_CATALOG_PATH)
    assert sorted((problem.reason, problem.level) for problem in found.problems) == [
        ("GpuCost", "notice"),
        ("NoToolCalls", "notice"),
    ]
    assert sorted(request.team for request in found.requests.values()) == ["alpha", "bravo", "charlie"]


def test_one_faulty_file_does_not_take_the_others_along() -> None:
    found = review_of({REQUEST: VALID, "developer-requests/bravo/access.yaml": File(b"")})
    assert list(found.requests) == [REQUEST]
    assert [problem.path for problem in found.problems] == ["developer-requests/bravo/access.yaml"]


def test_two_files_of_one_team_name_each_other_even_when_one_is_wrong_otherwise() -> None:
    second = "developer-requests/alpha/access.yaml"
    found = review_of({REQUEST: VALID, second: File(b"team: {name: alpha}\n")})
    duplicates = {
        problem.path: problem.message for problem in found.problems if problem.reason == "DuplicateTeam"
    }
    assert second in duplicates[REQUEST]
    assert REQUEST in duplicates[second]
    assert found.requests == {}


def test_a_thousand_files_of_one_team_do_not_name_each_other() -> None:
    found = review_of({f"developer-requests/{number:04}/access.yaml": VALID for number in range(1000)})
    duplicates = {
        problem.path: problem.message for problem in found.problems if problem.reason == "DuplicateTeam"
    }
    assert len(duplicates) == 1000
    assert "'developer-requests/0001/access.yaml'" in duplicates["developer-requests/0000/access.yaml"]
    assert " and 994 more" in duplicates["developer-requests/0999/access.yaml"]
    assert sum(map(len, duplicates.values())) < 1_000_000


def test_only_the_folder_may_begin_with_team() -> None:
    path = "tenant-access/config/team-bravo/access.yaml"
    assert review_of({REQUEST: VALID, path: _named("bravo")}).problems == ()
    assert [
        problem.reason for problem in review_of({REQUEST: VALID, path: _named("team-bravo")}).problems
    ] == ["BadTeamName"]


def test_the_total_of_dedicated_workspaces_is_held_over_all_teams() -> None:
    assert review_of({ONE: _dedicated("alpha")}).problems == ()
    found = review_of({ONE: _dedicated("alpha"), TWO: _dedicated("bravo")})
    assert [(problem.path, problem.reason) for problem in found.problems] == [(TWO, "AboveCeiling")], (
        "newcomers are admitted by name"
    )


def test_a_catalogue_that_asks_too_much_of_the_platform_is_not_in_force() -> None:
    def faults(_: Catalog) -> Iterator[PlatformProblem]:
        yield ("models",), "TierCannot", "no"

    found = review(
        {REQUEST: VALID, DEFAULT_CATALOG_PATH: catalog_file()}, PATHS, DEFAULT_CATALOG_PATH, check=faults
    )
    assert [(problem.path, problem.reason, problem.message) for problem in found.problems] == [
        (DEFAULT_CATALOG_PATH, "TierCannot", "no")
    ]
    assert (found.catalog, found.requests) == (None, {})


def test_a_request_for_a_model_that_was_removed_while_others_use_it_is_in_doubt() -> None:
    files = {REQUEST: File(VALID.content.replace(b"gpt-4.1", b"gone")), DEFAULT_CATALOG_PATH: catalog_file()}
    found = review(files, PATHS, DEFAULT_CATALOG_PATH, Baseline(in_force={"alpha": {"gone": 5}}))
    assert [problem.reason for problem in found.problems if problem.path == DEFAULT_CATALOG_PATH] == [
        "ModelStillUsed"
    ]
    assert found.in_doubt == {REQUEST}


def test_a_request_that_was_moved_still_uses_the_model_that_it_had() -> None:
    files = {ONE: File(VALID.content.replace(b"gpt-4.1", b"gone")), DEFAULT_CATALOG_PATH: catalog_file()}
    [problem] = review(files, PATHS, DEFAULT_CATALOG_PATH, Baseline(in_force={"alpha": {"gone": 5}})).problems
    assert (problem.path, problem.reason) == (DEFAULT_CATALOG_PATH, "ModelStillUsed")
    assert ONE in problem.message


def test_a_missing_catalogue_is_one_problem_and_not_one_per_model() -> None:
    found = review({REQUEST: VALID}, PATHS, DEFAULT_CATALOG_PATH)
    advice = "There is no catalogue here, so no model can be asked for. Add it, or name its path."
    assert [(problem.path, problem.reason, problem.message) for problem in found.problems] == [
        (DEFAULT_CATALOG_PATH, "NoCatalog", advice)
    ]
    assert (found.catalog, found.requests) == (None, {})


def test_only_requests_and_the_catalogue_are_read() -> None:
    paths = [REQUEST, DEFAULT_CATALOG_PATH, "README.md", "tenant-access/config/alpha/access.yml"]
    assert [is_read(path, PATHS, DEFAULT_CATALOG_PATH) for path in paths] == [True, True, False, False]


def test_the_path_of_the_catalogue_is_a_setting() -> None:
    found = review({REQUEST: VALID, "catalog.yaml": catalog_file()}, PATHS, "catalog.yaml")
    assert found.problems == ()
    assert list(found.requests) == [REQUEST]


def test_a_newcomer_is_at_fault_and_where_two_were_in_force_both_are() -> None:
    first, second, third = (
        f"{place}/access.yaml"
        for place in (
            "developer-requests/alpha",
            Path(REQUEST).parent,
            f"{Path(REQUEST).parents[1]}/team-alpha",
        )
    )
    files = {DEFAULT_CATALOG_PATH: catalog_file(), first: VALID, second: VALID, third: VALID}

    def at_fault(*held: str) -> list[str]:
        problems = review(files, PATHS, DEFAULT_CATALOG_PATH, Baseline(frozenset(held))).problems
        return [problem.path for problem in problems if problem.reason == "DuplicateTeam"]

    assert at_fault(first) == [second, third]
    assert at_fault(first, second) == at_fault() == [first, second, third]


def _two_with_one_workspace(past: Baseline, *more: str) -> Review:
    """`more`: lines of alpha's request."""
    alpha = File(_dedicated("alpha").content + "".join(more).encode())
    return review(
        {DEFAULT_CATALOG_PATH: catalog_file(), ONE: alpha, TWO: _dedicated("bravo")},
        PATHS,
        DEFAULT_CATALOG_PATH,
        past,
    )


def team_of(path: str) -> str:
    return PATHS.team_of(path) or ""


def _told(found: Review) -> list[tuple[str, str]]:
    return [(problem.path, problem.reason) for problem in found.problems]


@pytest.mark.parametrize(("holder", "other"), [(ONE, TWO), (TWO, ONE)])
def test_who_has_a_workspace_keeps_it_when_another_team_asks_for_one_too_many(
    holder: str, other: str
) -> None:
    found = _two_with_one_workspace(Baseline(in_force={team_of(holder): {"phi-4": 0}, team_of(other): {}}))
    [problem] = found.problems
    assert (problem.path, problem.reason) == (other, "AboveCeiling")
    assert f"'phi-4': {PATHS.team_of(holder)}; 0 " in problem.message
    assert found.in_doubt == {ONE, TWO}


def test_who_shared_the_model_before_does_not_have_its_workspace() -> None:
    assert _told(
        _two_with_one_workspace(Baseline(in_force={"alpha": {"phi-4": 50}, "bravo": {"phi-4": 0}}))
    ) == [(ONE, "AboveCeiling")]


def test_a_total_below_what_is_in_force_is_a_warning_and_takes_no_workspace() -> None:
    found = _two_with_one_workspace(Baseline(in_force={"alpha": {"phi-4": 0}, "bravo": {"phi-4": 0}}))
    assert [(problem.path, problem.reason, problem.level) for problem in found.problems] == [
        (DEFAULT_CATALOG_PATH, "Overcommitted", "warning")
    ]
    assert "'phi-4': alpha, bravo; 0 " in found.problems[0].message
    assert found.requests.keys() == {ONE, TWO}


def test_files_that_ask_for_more_than_there_may_be_were_in_force_all_the_same() -> None:
    """The total was lowered since: what the files of a base say is judged by what they themselves had."""
    files = {
        DEFAULT_CATALOG_PATH: catalog_file(),
        ONE: _dedicated("alpha"),
        TWO: _dedicated("bravo"),
        "tenant-access/config/charlie/access.yaml": File(b"nonsense: ["),
    }
    past = current_grants(files, PATHS, DEFAULT_CATALOG_PATH, date(2026, 3, 2))
    assert past.known_paths == {ONE, TWO}
    assert past.in_force.keys() == {"alpha", "bravo"}
    assert _told(_two_with_one_workspace(past)) == [(DEFAULT_CATALOG_PATH, "Overcommitted")]


@pytest.mark.parametrize(
    ("today", "refused"), [(date(2026, 3, 31), [(TWO, "AboveCeiling")]), (date(2026, 4, 1), [])]
)
def test_a_workspace_of_access_that_is_over_is_asked_for_no_more(
    today: date, refused: list[tuple[str, str]]
) -> None:
    assert _told(_two_with_one_workspace(Baseline(today=today), "expires: 2026-03-31\n")) == refused


def test_access_that_is_over_counts_until_it_was_taken_away() -> None:
    past = Baseline(in_force={"alpha": {"phi-4": 0}}, today=date(2026, 4, 1))
    assert _told(_two_with_one_workspace(past, "expires: 2026-03-31\n")) == [(TWO, "AboveCeiling")]


def test_a_workspace_counts_until_it_is_gone_whatever_its_team_asks_for() -> None:
    past = Baseline(workspaces={"phi-4": {"zulu"}})
    assert _told(_two_with_one_workspace(past)) == [(ONE, "AboveCeiling"), (TWO, "AboveCeiling")]
    assert "'phi-4': zulu; 0 " in _two_with_one_workspace(past).problems[0].message
    assert _told(_two_with_one_workspace(Baseline(workspaces={"phi-4": {"bravo"}}))) == [
        (ONE, "AboveCeiling")
    ], "its own is no second one"


def test_what_a_team_without_a_request_has_counts() -> None:
    past = Baseline(in_force={"zulu": {"phi-4": 0}})
    assert _told(_two_with_one_workspace(past)) == [(ONE, "AboveCeiling"), (TWO, "AboveCeiling")]


def test_a_team_whose_name_somebody_elses_product_has_keeps_what_that_may_take() -> None:
    found = _two_with_one_workspace(
        Baseline(in_force={"alpha": {"phi-4": 0}}, unmanaged=frozenset({"alpha"}))
    )
    assert _told(found) == [(TWO, "AboveCeiling")]


def test_a_refused_workspace_takes_no_capacity_and_leaves_its_sharers_in_doubt() -> None:
    """By name alone bravo is refused, and charlie fits. Whether what is in force says otherwise has to be
    looked at.
    """
    catalog = File(
        b"models:\n"
        b"  - {name: m, provider: foundry, endpoint: https://a.example/v1, maxTokensPerMinute: 50, capacity: "
        b"50}\n  - {name: phi-4, provider: kaito, preset: phi-4, endpoint: http://phi.internal/v1,"
        b" dedicated: {instanceTypes: [Standard_NC24ads_A100_v4], total: 1}}\n"
    )
    asked = "team: {{name: {}, owner: a@b.com}}\nmodels: {{{}}}\n"
    shared, own = "foundry: [{name: m, tokensPerMinute: 50}]", "kaito: [{name: phi-4, dedicated: true}]"
    texts = {"aaron": own, "bravo": f"{shared}, {own}", "charlie": shared}
    files = {
        f"developer-requests/{team}/access.yaml": File(asked.format(team, text).encode())
        for team, text in texts.items()
    }
    found = review({**files, DEFAULT_CATALOG_PATH: catalog}, PATHS, DEFAULT_CATALOG_PATH)
    assert _told(found) == [("developer-requests/bravo/access.yaml", "AboveCeiling")]
    assert found.capacity["m"].granted == {"charlie": 50}
    assert found.in_doubt == files.keys()


def test_a_request_that_was_moved_has_what_it_had() -> None:
    assert _told(_two_with_one_workspace(Baseline(in_force={"bravo": {"phi-4": 0}}))) == [
        (ONE, "AboveCeiling")
    ]


@pytest.mark.parametrize("spoilt", [b"team: [", b"team: {name: bravo}"])
def test_a_file_that_was_in_force_keeps_its_place_when_it_becomes_unreadable(spoilt: bytes) -> None:
    second = "developer-requests/alpha/access.yaml"
    files = {DEFAULT_CATALOG_PATH: catalog_file(), REQUEST: File(spoilt), second: VALID}
    told = {
        problem.path: problem
        for problem in review(files, PATHS, DEFAULT_CATALOG_PATH, Baseline(frozenset({REQUEST}))).problems
    }
    assert told[second].reason == "DuplicateTeam"
    assert f"'{REQUEST}'" in told[second].message
    assert {problem.path for problem in review(files, PATHS, DEFAULT_CATALOG_PATH).problems} == {REQUEST}


def test_what_was_valid_before_is_taken_for_in_force_with_its_tokens_and_the_day() -> None:
    catalog = File(
        b"models: [{name: m, provider: foundry, endpoint: https://e.openai.azure.com/openai/v1}]\n"
    )
    asked = "team: {{name: {}, owner: a@b.com}}\nmodels: {{foundry: [{{name: m, tokensPerMinute: 7}}]}}\n"
    wrong = "developer-requests/bravo/access.yaml"
    files = {
        DEFAULT_CATALOG_PATH: catalog,
        REQUEST: File(asked.format("alpha").encode()),
        wrong: File(b"team: {name: bravo}\n"),
    }
    today = date(2026, 3, 2)
    found = current_grants(files, PATHS, DEFAULT_CATALOG_PATH, today)
    assert replace(found, catalog=None) == Baseline(frozenset({REQUEST}), {"alpha": {"m": 7}}, today=today)
    ended = {**files, REQUEST: File(files[REQUEST].content + b"expires: 2026-03-01\n")}
    assert current_grants(ended, PATHS, DEFAULT_CATALOG_PATH, today).in_force == {}
