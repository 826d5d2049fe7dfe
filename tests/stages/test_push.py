"""From a push to messages: two trees are compared, never a list of commits."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import Rejected
from shared.marker import Marker
from shared.messaging.messages import AccessChange, Sweep
from shared.messaging.outcomes import Push
from shared.messaging.routes import SWEEP, TOPIC
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.actual import Product
from shared.stages.receive_push import LARGE_PUSH, queue_changes
from tests.fakes.app import GPU, Asked, FakeApp, catalog_text, path_of
from tests.fakes.calls import Call

ALPHA, BRAVO = path_of("alpha"), path_of("bravo")
Files = dict[str, str | bytes | None]
SECOND = "developer-requests/alpha/access.yaml"


def _app(*teams: str) -> FakeApp:
    app = FakeApp()
    app.repository.commit(
        {DEFAULT_CATALOG_PATH: catalog_text(), **{path_of(team): Asked(team=team).text() for team in teams}}
    )
    return app


async def _push(app: FakeApp, files: Files, links: dict[str, str] | None = None) -> str:
    before = app.repository.branch
    app.repository.commit(files, links)
    return await _arrive(app, before)


async def _arrive(app: FakeApp, before: str | None, delivery: str = "d1") -> str:
    return await queue_changes(app, Push(delivery, before), app.clock.now())


def _changes(app: FakeApp) -> list[AccessChange]:
    return [AccessChange.decode(envelope.body) for envelope in app.bus.sent if envelope.entity == TOPIC]


def _told(app: FakeApp) -> list[str]:
    """What is said about teams, as `alpha requested`."""
    return sorted(f"{change.team} {change.change}" for change in _changes(app))


def _sweeps(app: FakeApp) -> list[Sweep]:
    return [Sweep.decode(envelope.body) for envelope in app.bus.waiting(SWEEP)]


async def test_the_first_push_asks_for_everybody_and_the_catalogue() -> None:
    app = _app("alpha", "bravo")
    assert await _arrive(app, None) == "2 teams queued"
    assert _told(app) == ["alpha requested", "bravo requested", "catalogue requested"]
    assert _sweeps(app) == []


async def test_a_change_carries_the_file_as_it_stands_on_the_branch() -> None:
    app = _app()
    await _push(app, {ALPHA: Asked().text()})
    [change] = _changes(app)
    assert (change.path, change.commit, change.text, change.cause) == (
        ALPHA,
        app.repository.branch,
        Asked().text(),
        "push",
    )
    assert change.content() == Asked().text().encode()


async def test_a_message_is_named_after_delivery_and_team_in_the_teams_session() -> None:
    app = _app()
    await _push(app, {ALPHA: Asked().text()})
    assert [(sent.message_id, sent.session, sent.to) for sent in app.bus.sent] == [
        ("d1/alpha", "alpha", "all")
    ]


async def test_a_delivery_that_is_repeated_queues_nothing_twice() -> None:
    app = _app()
    before = app.repository.branch
    await _push(app, {ALPHA: Asked().text()})
    await _arrive(app, before)
    assert _told(app) == ["alpha requested"]


async def test_a_push_of_many_commits_counts_only_what_differs_at_the_end() -> None:
    app = _app("alpha")
    before = app.repository.branch
    for tokens in range(1_000, 1_200):
        app.repository.commit(
            {ALPHA: Asked(tokens=tokens).text(), BRAVO: Asked(team="bravo", tokens=tokens).text()}
        )
    app.repository.commit({BRAVO: None})
    await _arrive(app, before)
    assert _told(app) == ["alpha requested"]
    assert "1199" in _changes(app)[0].text


async def test_a_change_and_its_revert_in_one_push_concern_nobody() -> None:
    app = _app("alpha")
    before = app.repository.branch
    app.repository.commit({ALPHA: None})
    app.repository.commit({ALPHA: Asked().text()})
    assert await _arrive(app, before) == "nothing that concerns access"
    assert app.calls.writes("bus", "reports") == []


async def test_a_reverted_change_brings_the_earlier_request_back() -> None:
    app = _app("alpha")
    await _push(app, {ALPHA: Asked(tokens=1_000).text()})
    before = app.repository.branch
    app.repository.commit({ALPHA: Asked().text()})
    await _arrive(app, before, "d2")
    assert [change.text for change in _changes(app)] == [Asked(tokens=1_000).text(), Asked().text()]


async def test_a_force_push_is_compared_with_what_stood_before() -> None:
    app = _app("alpha")
    first = app.repository.branch or ""
    before = app.repository.commit({BRAVO: Asked(team="bravo").text(), ALPHA: Asked(tokens=1).text()})
    app.repository.reset(first)
    await _arrive(app, before)
    assert _told(app) == ["alpha requested", "bravo withdrawn"]


async def test_when_the_commit_before_a_force_push_is_gone_everything_is_looked_at() -> None:
    app = _app("alpha")
    gone = app.repository.branch or ""
    app.repository.orphan()
    app.repository.commit({DEFAULT_CATALOG_PATH: catalog_text(), BRAVO: Asked(team="bravo").text()})
    app.repository.forget(gone)
    await _arrive(app, gone)
    [sweep] = _sweeps(app)
    assert (sweep.why, sweep.verdict) == ("the commit before the push is gone", True)
    assert _told(app) == []


async def test_a_deleted_branch_changes_nothing() -> None:
    app = _app("alpha")
    before = app.repository.branch
    app.repository.delete_branch()
    assert await _arrive(app, before) == "there is no such branch any more: nothing changes"
    assert app.bus.sent == []


async def test_a_removed_file_withdraws_its_team() -> None:
    app = _app("alpha", "bravo")
    await _push(app, {ALPHA: None})
    [change] = _changes(app)
    assert (change.team, change.change, change.path, change.commit, change.text) == (
        "alpha",
        "withdrawn",
        ALPHA,
        app.repository.branch,
        "",
    )


async def test_an_emptied_branch_withdraws_nobody() -> None:
    app = _app("alpha", "bravo")
    await _push(app, {ALPHA: None, BRAVO: None})
    assert _told(app) == []


async def test_a_renamed_folder_is_no_withdrawal() -> None:
    app = _app("alpha")
    await _push(app, {ALPHA: None, path_of("team-alpha"): Asked().text()})
    assert _told(app) == ["alpha requested"]


async def test_a_request_that_moves_to_the_other_place_is_no_withdrawal() -> None:
    app = _app("alpha")
    await _push(app, {ALPHA: None, SECOND: Asked().text()})
    [change] = _changes(app)
    assert (change.change, change.path) == ("requested", SECOND)


async def test_a_second_file_for_a_team_is_the_newcomers_fault() -> None:
    app = _app("alpha")
    await _push(app, {SECOND: Asked(tokens=1).text()})
    assert _told(app) == []
    [verdict] = app.reports.verdicts
    assert [(problem.path, problem.reason) for problem in verdict.problems] == [(SECOND, "DuplicateTeam")]


@pytest.mark.parametrize("removed", [ALPHA, SECOND])
async def test_a_team_that_loses_one_of_two_files_is_touched_by_the_one_that_stays(removed: str) -> None:
    app = _app("alpha")
    await _push(app, {SECOND: Asked(tokens=1).text()})
    before = app.repository.branch
    app.repository.commit({removed: None})
    await _arrive(app, before, "d2")
    assert _told(app) == ["alpha requested"]


async def test_an_invalid_request_queues_nothing_and_is_shown_with_its_place() -> None:
    app = _app("alpha")
    summary = await _push(app, {ALPHA: Asked(models=("gpt-5",)).text(), BRAVO: Asked(team="bravo").text()})
    assert summary == "1 team queued, 1 problem"
    assert _told(app) == ["bravo requested"]
    [verdict] = app.reports.verdicts
    assert (verdict.commit, verdict.reasons, verdict.problems[0].line) == (
        app.repository.branch,
        ["UnknownModel"],
        4,
    )


async def test_a_link_in_the_place_of_a_request_is_refused() -> None:
    app = _app()
    await _push(app, {}, {ALPHA: "../bravo/access.yaml"})
    assert _told(app) == []
    assert app.reports.verdicts[0].reasons == ["SymbolicLink"]


async def test_a_request_that_is_too_large_is_refused_without_being_downloaded() -> None:
    app = _app()
    await _push(app, {ALPHA: Asked().text() + "#" * 70_000})
    assert app.reports.verdicts[0].reasons == ["TooLarge"]
    assert app.calls.names("repository").count("blob") == 1  # the catalogue


async def test_a_misspelt_path_is_told() -> None:
    app = _app()
    await _push(app, {"tenant-access/config/alpha/access.yml": Asked().text()})
    assert _told(app) == []
    assert app.reports.verdicts[0].reasons == ["MisplacedFile"]


async def test_files_of_others_concern_nobody() -> None:
    app = _app("alpha")
    assert await _push(app, {"README.md": "hello"}) == "nothing that concerns access"
    assert app.bus.sent == []


async def test_a_changed_catalogue_is_queued_with_a_look_at_everybody_who_uses_it() -> None:
    app = _app("alpha")
    await _push(app, {DEFAULT_CATALOG_PATH: catalog_text() + "# changed\n"})
    assert _told(app) == ["catalogue requested"]
    assert [sweep.why for sweep in _sweeps(app)] == ["the catalogue changed"]


async def test_an_invalid_catalogue_queues_nothing_not_even_for_valid_requests() -> None:
    app = _app("alpha")
    await _push(app, {DEFAULT_CATALOG_PATH: "models: []", BRAVO: Asked(team="bravo").text()})
    assert (_told(app), _sweeps(app)) == ([], [])
    assert app.reports.verdicts[0].problems[0].path == DEFAULT_CATALOG_PATH


async def test_a_catalogue_that_is_gone_is_told_and_queues_nothing() -> None:
    app = _app("alpha")
    await _push(app, {DEFAULT_CATALOG_PATH: None})
    assert (_told(app), _sweeps(app)) == ([], [])
    assert app.reports.verdicts[0].reasons == ["NoCatalog"]


async def test_a_push_that_github_does_not_show_yet_is_looked_at_a_moment_later() -> None:
    app = _app("alpha")
    await _arrive(app, app.repository.branch)
    [envelope] = app.bus.waiting(SWEEP)
    assert envelope.due == app.clock.now() + timedelta(seconds=10)
    assert _told(app) == []


async def test_of_two_files_that_are_both_there_the_one_in_force_is_the_products() -> None:
    app = _app("alpha")
    app.repository.commit({SECOND: Asked(tokens=1).text()})
    seal = Marker(app.platform.repository, "alpha", ALPHA, "c" * 40, "d" * 64)
    app.gateway.state.products["team-alpha"] = Product(
        "team-alpha", "1", "Alpha", published=True, marker=seal
    )
    await _push(app, {ALPHA: Asked(tokens=2).text(), SECOND: Asked(tokens=3).text()})
    assert [change.path for change in _changes(app)] == [ALPHA]


async def test_a_large_push_becomes_one_look_at_everything() -> None:
    app = _app("zulu")
    many: Files = {
        path_of(f"team{number:03}"): Asked(team=f"team{number:03}").text() for number in range(LARGE_PUSH + 1)
    }
    assert await _push(app, many) == "51 requests touched at once: everything is looked at"
    assert _told(app) == []
    assert [envelope.message_id for envelope in app.bus.waiting(SWEEP)] == ["d1/sweep"]
    assert app.calls.names("repository").count("blob") == 0


async def test_gpus_are_counted_over_all_teams_and_who_asks_for_one_too_many_is_refused() -> None:
    app = _app()
    phi = {"phi-4": GPU}
    files: Files = {
        path_of(f"team{number}"): Asked(team=f"team{number}", dedicated=phi).text() for number in range(3)
    }
    await _push(app, files)
    before = app.repository.branch
    app.repository.commit({path_of("zulu"): Asked(team="zulu", dedicated=phi).text()})
    await _arrive(app, before, "d2")
    assert _told(app) == [f"team{number} requested" for number in range(3)]
    [problem] = app.reports.verdicts[1].problems
    assert (problem.path, problem.reason) == (path_of("zulu"), "AboveCeiling")


async def test_contents_of_an_archive_count_only_when_they_are_the_branchs() -> None:
    """`export-subst` and `export-ignore` change what an archive holds."""
    app = _app()
    asked = Asked(dedicated={"phi-4": GPU})

    async def altered(commit: str) -> dict[str, bytes]:
        return {ALPHA: asked.text().replace("10000", "99999").encode()}

    app.repository.archive = altered  # type: ignore[method-assign]  # what GitHub gives, this once
    await _push(app, {ALPHA: asked.text()})
    assert _changes(app)[0].text == asked.text()


async def test_a_tree_too_large_for_github_is_an_error_that_says_so() -> None:
    app = _app("alpha")
    app.repository.truncates = True
    with pytest.raises(Rejected) as refused:
        await _arrive(app, None)
    assert refused.value.reason == "TreeTruncated"


async def test_the_check_run_says_what_the_push_means_for_each_team() -> None:
    app = _app("alpha", "bravo", "delta", "golf")
    await _push(
        app,
        {
            ALPHA: Asked(tokens=20_000).text(),
            path_of("golf"): "team: golf\n",
            path_of("delta"): None,
            path_of("echo"): Asked(team="echo").text(),
            path_of("fox"): Asked(team="fox", readers="99999999-1c3e-4f7a-9b5e-2a6c8e4d7b10").text(),
        },
    )
    assert [line.partition(",")[0] for line in app.reports.verdicts[-1].lines] == [
        "alpha: gpt-4.1 10",
        "delta: renamed to echo",
        "echo: renamed from delta",
        "fox: new",
    ]


async def test_what_cannot_be_read_of_the_time_before_keeps_no_push_waiting() -> None:
    app = _app("alpha")
    first = True

    async def refuse_once(call: Call) -> None:
        nonlocal first
        if call.name == "blob" and first:
            first = False
            raise Rejected("no such blob")

    app.calls.before = refuse_once
    await _push(app, {ALPHA: Asked(tokens=20_000).text()})
    assert _told(app) == ["alpha requested"]
    assert app.reports.verdicts[-1].lines == ("alpha: now gpt-4.1 20,000/min",)
