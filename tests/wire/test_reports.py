"""What people see beside a commit when many teams are reported at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from shared.adapters.github import AppKey, GitHubClient
from shared.adapters.github_reports import CHECK, MAX_SHOWN, SUMMARY, SUMMARY_THRESHOLD, GitHubReports
from shared.documents.problem import Problem
from shared.ports import Status
from standins.demo.repository import Clone
from standins.stack import ask
from standins.tests.plugin import StandIns


class Place:
    """A repository of its own with one commit, and the reports on it."""

    def __init__(self, standins: StandIns, folder: Path) -> None:
        address, self.name = standins.addresses["github"], f"contoso/reports-{uuid4().hex[:8]}"
        repository = ask("PUT", f"{address}/_standin/repositories/{self.name}", {})
        clone = Clone(repository["git_url"], folder / "clone")
        clone.write("README.md", "requests\n")
        self.commit = clone.push("first")
        self.client = GitHubClient(address, None, ask("PUT", f"{address}/_standin/tokens", {})["token"])
        self.reports = GitHubReports(self.client, self.name, interval=0)

    async def shown(self) -> dict[str, tuple[str, str]]:
        await self.reports.flush()
        rows = await self.client.get(f"/repos/{self.name}/commits/{self.commit}/statuses?per_page=100")
        return {row["context"]: (row["state"], row["description"]) for row in reversed(rows)}

    def status(self, team: int, state: str = "success") -> Status:
        return Status(self.commit, f"mergekey/team{team}/keys", state, "keys in vault")


@pytest.fixture
async def place(standins: StandIns, tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(standins, tmp_path)
    yield place
    await place.client.close()


async def test_a_crowd_of_teams_is_summed_up_and_what_failed_is_shown_by_itself(place: Place) -> None:
    await place.reports.statuses(
        [*(place.status(team) for team in range(SUMMARY_THRESHOLD + 1)), place.status(999, "failure")]
    )
    shown = await place.shown()
    assert shown == {
        SUMMARY: ("success", f"{SUMMARY_THRESHOLD + 1} reports of stages, without those that failed"),
        "mergekey/team999/keys": ("failure", "keys in vault"),
    }


async def test_a_few_teams_are_shown_one_by_one(place: Place) -> None:
    await place.reports.statuses([place.status(team) for team in range(3)])
    assert set(await place.shown()) == {f"mergekey/team{team}/keys" for team in range(3)}


async def test_a_newer_status_takes_the_place_of_one_that_still_waits(place: Place) -> None:
    await place.reports.statuses([place.status(1, "pending"), place.status(1)])
    assert (await place.shown())["mergekey/team1/keys"][0] == "success"
    rows = await place.client.get(f"/repos/{place.name}/commits/{place.commit}/statuses")
    assert len(rows) == 1


async def test_what_cannot_be_shown_is_nobodys_trouble(place: Place, standins: StandIns) -> None:
    standins.control.fault("github", "POST .*", status=503, count=2)
    await place.reports.check_run(place.commit, [], "all is well")
    await place.reports.statuses([place.status(1)])
    assert await place.shown() == {}


async def test_a_verdict_that_stands_there_already_is_not_written_again(place: Place) -> None:
    problem = Problem("a.yaml", 1, 1, "WithdrawalsHeld", "two teams", "failure")
    for _ in range(2):
        await place.reports.check_run(place.commit, [problem], "0 teams queued, 1 problems")
    assert await shown_verdicts(place) == ["failure"]
    await place.reports.check_run(place.commit, [], "0 teams queued")
    await place.reports.check_run(place.commit, [problem], "0 teams queued, 1 problems")
    assert await shown_verdicts(place) == ["failure", "success", "failure"]


@pytest.mark.parametrize(("docs", "target"), [("https://docs.example/x/", True), ("", False)])
async def test_a_status_with_a_reason_leads_to_its_explanation(place: Place, docs: str, target: bool) -> None:
    reports = GitHubReports(place.client, place.name, interval=0, docs=docs)
    await reports.statuses([replace(place.status(1, "failure"), reason="NotManaged"), place.status(2)])
    await reports.flush()
    rows = await place.client.get(f"/repos/{place.name}/commits/{place.commit}/statuses")
    found = {row["context"].split("/")[1]: row["target_url"] for row in rows}
    wanted = "https://docs.example/x/errors.md#NotManaged" if target else None
    assert found == {"team1": wanted, "team2": None}


async def shown_verdicts(place: Place) -> list[str]:
    """Of all statuses of the check's name, the oldest first."""
    rows = await place.client.get(f"/repos/{place.name}/commits/{place.commit}/statuses?per_page=100")
    return [row["state"] for row in reversed(rows) if row["context"] == CHECK]


async def test_warnings_alone_leave_the_verdict_green(place: Place) -> None:
    warning = Problem("access.yaml", 1, 1, "ModelRetires", "gpt-4o retires", "warning")
    await place.reports.check_run(place.commit, [warning], "1 teams queued, 1 warnings")
    assert (await place.shown())[CHECK][0] == "success"
    await place.reports.check_run(
        place.commit, [warning, replace(warning, level="failure")], "1 problems, 1 warnings"
    )
    assert (await place.shown())[CHECK][0] == "failure"


# ------------------------------------------------------------------------------------------------- check runs


@pytest.fixture
async def as_app(place: Place, standins: StandIns) -> AsyncIterator[Place]:
    """The same as the App, which may make check runs."""
    address = standins.addresses["github"]
    app = ask("PUT", f"{address}/_standin/app", {})
    token = place.client
    place.client = GitHubClient(
        address, AppKey(str(app["app_id"]), app["private_key"], app["installation_id"]), None
    )
    place.reports = GitHubReports(place.client, place.name, interval=0)
    yield place
    await place.client.close()
    place.client = token
    standins.control.forget_faults()


async def test_of_many_problems_the_most_important_are_shown_and_the_rest_is_counted(
    as_app: Place, standins: StandIns
) -> None:
    warnings = [Problem(f"a/{number:05}", 1, 1, "ModelRetires", "x", "warning") for number in range(300)]
    failures = [Problem(f"b/{number:05}", 1, 1, "MisplacedFile", "x") for number in range(20_000)]
    standins.control.forget_calls()
    await as_app.reports.check_run(
        as_app.commit, [*warnings, *failures], "0 teams queued, 20000 problems, 300 warnings"
    )
    calls = [call.kind for call in standins.control.calls("github")]
    assert (calls.count("POST check run"), calls.count("PATCH check run")) == (1, 3)
    [run] = (await as_app.client.get(f"/repos/{as_app.name}/commits/{as_app.commit}/check-runs"))[
        "check_runs"
    ]
    shown: list[dict[str, object]] = []
    for page in (1, 2):
        shown += await as_app.client.get(
            f"/repos/{as_app.name}/check-runs/{run['id']}/annotations?per_page=100&page={page}"
        )
    assert len(shown) == MAX_SHOWN
    assert [row["title"] for row in shown] == ["MisplacedFile"] * (MAX_SHOWN - 1) + ["MoreProblems"]
    assert str(shown[-1]["message"]).startswith("20,101 more problems")
    assert "(199 of 20,300 problems are shown)" in run["output"]["summary"]


async def test_a_check_run_without_a_number_is_nobodys_trouble(as_app: Place, standins: StandIns) -> None:
    problems = [Problem("a", number + 1, 1, "MisplacedFile", "x") for number in range(60)]
    for body in ("null", "[]", "{}", '{"id": null}', "7"):
        standins.control.fault("github", "POST check run", status=201, body=body)
        await as_app.reports.check_run(as_app.commit, problems, "60 problems")
    await as_app.reports.check_run(as_app.commit, problems, "60 problems")
    [run] = (await as_app.client.get(f"/repos/{as_app.name}/commits/{as_app.commit}/check-runs"))[
        "check_runs"
    ]
    assert run["output"]["annotations_count"] == 60


async def test_a_check_run_says_what_teams_get_and_leads_to_the_first_reason(as_app: Place) -> None:
    reports = GitHubReports(as_app.client, as_app.name, interval=0, docs="https://docs.example")
    problems = [Problem("a", 1, 1, "ModelRetires", "x", "warning"), Problem("b", 1, 1, "MisplacedFile", "x")]
    await reports.check_run(as_app.commit, problems, "1 team queued", ["alpha: new, gpt-4.1 5,000/min"])
    [run] = (await as_app.client.get(f"/repos/{as_app.name}/commits/{as_app.commit}/check-runs"))[
        "check_runs"
    ]
    assert run["details_url"] == "https://docs.example/errors.md#MisplacedFile"
    assert run["output"]["summary"].splitlines()[-1] == "- `alpha: new, gpt-4.1 5,000/min`"


async def test_what_requests_say_is_shown_as_code_in_a_check_run(as_app: Place) -> None:
    path, text = "a`\n# b/access.yaml", "x``` ![y](https://evil.example/z.png) \x1b[2J"
    problems = [Problem(path, 1, 1, "UnknownKey", f"There is no key '{text}'.")]
    await as_app.reports.check_run(as_app.commit, problems, "1 problem")
    [run] = (await as_app.client.get(f"/repos/{as_app.name}/commits/{as_app.commit}/check-runs"))[
        "check_runs"
    ]
    [_, line] = run["output"]["summary"].splitlines()
    assert line.startswith("- `` a`\\n# b/access.yaml:1:1 `` **UnknownKey**: ```` There is no key 'x``` ![y]")
    assert line.endswith("\\x1b[2J'. ````")
