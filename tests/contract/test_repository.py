"""What both the fake and GitHub say about a branch, and show beside a commit."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from shared.documents.problem import Problem
from shared.errors import Unavailable
from shared.git import blob_id
from shared.ports import Head, Status
from tests.contract.sources import Source

FILES = {
    "README.md": "hello\n",
    "tenant-access/config/alpha/access.yaml": "team: {}\n",
    "tenant-access/config/alpha.txt": "grüß\n",
}
ALPHA = "tenant-access/config/alpha/access.yaml"


async def _head(source: Source) -> Head:
    head = await source.repository.head()
    assert head is not None
    return head


async def test_a_repository_without_a_commit_has_no_head(source: Source) -> None:
    assert await source.repository.head() is None


async def test_the_head_follows_the_branch(source: Source) -> None:
    for text in ("one", "two"):
        commit = source.commit({"a": text})
        head = await _head(source)
        assert (head.commit, head.protected) == (commit, source.protected)
    assert head == await _head(source)


async def test_a_commit_has_its_message(source: Source) -> None:
    commit = source.commit({"a": "one"})
    assert (await _head(source)).message == await source.repository.commit_message(commit) != ""
    assert await source.repository.commit_message("0" * 40) == ""


async def test_the_newest_commits_lead_to_a_head(source: Source) -> None:
    commits = [source.commit({"a": text}) for text in ("one", "two", "three")]
    newest = await source.repository.newest_commits(commits[-1])
    assert [commit.sha for commit in newest] == commits[::-1]
    assert [commit.parent for commit in newest] == [*commits[1::-1], newest[-1].parent]
    assert [commit.message for commit in newest] == [
        await source.repository.commit_message(sha) for sha in commits
    ]
    assert [commit.sha for commit in await source.repository.newest_commits(commits[1])] == commits[1::-1]


async def test_no_more_than_300_commits_are_listed(source: Source) -> None:
    source.commit({"a": "one"})
    newest = source.commit_often(300)
    listed = [commit.sha for commit in await source.repository.newest_commits(newest)]
    assert (listed[0], len(listed), len(set(listed))) == (newest, 300, 300)


async def test_a_merge_brings_both_histories(source: Source) -> None:
    base = source.commit({"a": "one"})
    ours = source.commit({"b": "one"})
    source.reset(base)
    theirs = source.commit({"c": "one"})
    assert not await source.repository.is_ancestor(ours, theirs)
    merge = source.merge(ours)
    listed = await source.repository.newest_commits(merge)
    newest = [commit.sha for commit in listed]
    assert listed[0].parent == theirs
    assert (newest[0], sorted(newest[1:3]), newest[3:]) == (merge, sorted((ours, theirs)), [base])
    for commit in (base, ours, theirs, merge):
        assert await source.repository.is_ancestor(commit, merge)
        assert await source.repository.is_ancestor(merge, commit) == (commit == merge)


async def test_what_a_force_push_took_away_is_no_ancestor(source: Source) -> None:
    first = source.commit({"a": "one"})
    taken = source.commit({"a": "two"})
    assert await source.repository.is_ancestor(first, taken)
    source.reset(first)
    assert not await source.repository.is_ancestor(taken, source.commit({"a": "three"}))


async def test_a_commit_that_is_not_there_has_no_history(source: Source) -> None:
    commit, nothing = source.commit(FILES), "0" * 39 + "1"
    assert await source.repository.newest_commits(nothing) == []
    assert not await source.repository.is_ancestor(nothing, commit)
    assert not await source.repository.is_ancestor(commit, nothing)
    assert await source.repository.changed_on(ALPHA, nothing) is None


async def test_a_file_was_changed_on_the_day_of_the_newest_commit_that_touched_it(source: Source) -> None:
    commits = []
    for day, text in ((3, "one"), (4, "two"), (5, None), (6, "one")):
        source.commit_at(datetime(2026, 3, day, 12, tzinfo=UTC))
        commits.append(source.commit({ALPHA: text, "b": "always the same"}))
    changed = [await source.repository.changed_on(ALPHA, commit) for commit in commits]
    assert changed == [date(2026, 3, day) for day in (3, 4, 5, 6)]
    assert [await source.repository.changed_on("b", commit) for commit in commits] == [date(2026, 3, 3)] * 4
    assert await source.repository.changed_on("tenant-access/config/alpha/other.yaml", commits[-1]) is None


async def test_the_day_is_that_of_utc(source: Source) -> None:
    for hour, offset, day in ((1, 5, 9), (22, -3, 11)):
        source.commit_at(datetime(2026, 3, 10, hour, tzinfo=timezone(timedelta(hours=offset))))
        commit = source.commit({"a": f"{offset}"})
        assert await source.repository.changed_on("a", commit) == date(2026, 3, day)


async def test_a_merge_changes_a_file_only_when_it_differs_on_both_sides(source: Source) -> None:
    def commit_on(day: int, path: str) -> str:
        source.commit_at(datetime(2026, 3, day, 12, tzinfo=UTC))
        return source.commit({path: f"{day}"})

    base = commit_on(3, "a")
    ours = commit_on(4, "b")
    source.reset(base)
    commit_on(5, "c")
    source.commit_at(datetime(2026, 3, 6, 12, tzinfo=UTC))
    merge = source.merge(ours)
    assert [await source.repository.changed_on(path, merge) for path in "abc"] == [
        date(2026, 3, day) for day in (3, 4, 5)
    ]


async def test_a_deleted_branch_has_no_head(source: Source) -> None:
    source.commit(FILES)
    await _head(source)
    source.delete_branch()
    assert await source.repository.head() is None


async def test_a_tree_lists_all_files_with_gits_own_ids(source: Source) -> None:
    commit = source.commit(FILES, {"link": "README.md"})
    tree = await source.repository.tree(commit)
    assert tree is not None
    assert {path: (entry.blob, entry.mode, entry.size) for path, entry in tree.items()} == {
        **{path: (blob_id(text.encode()), "100644", len(text.encode())) for path, text in FILES.items()},
        "link": (blob_id(b"README.md"), "120000", 9),
    }
    assert await source.repository.tree((await _head(source)).tree) == tree


async def test_the_same_files_have_the_same_tree(source: Source) -> None:
    source.commit(FILES)
    assert (await _head(source)).tree == "94049ee8404e5cd0be786d61fbd0488ed65322f0"


async def test_a_removed_file_is_in_the_older_tree_only(source: Source) -> None:
    before = source.commit(FILES)
    after = source.commit({ALPHA: None})
    trees = [await source.repository.tree(commit) for commit in (before, after)]
    assert [ALPHA in (tree or ()) for tree in trees] == [True, False]


async def test_a_tree_that_is_not_there_is_none(source: Source) -> None:
    source.commit(FILES)
    assert await source.repository.tree("0" * 39 + "1") is None


async def test_one_file_of_a_commit_is_read_in_one_call_as_long_as_the_commit_is_known(
    source: Source,
) -> None:
    first, second = (
        source.commit(FILES),
        source.commit({ALPHA: "team: {name: alpha}\n", "odd {name}/a file+%20#?.txt": "odd"}),
    )
    repository = source.repository
    assert await repository.file(first, ALPHA) == b"team: {}\n"
    assert await repository.file(second, ALPHA) == b"team: {name: alpha}\n"
    assert await repository.file(second, "odd {name}/a file+%20#?.txt") == b"odd"
    assert await repository.file(first, "odd {name}/a file+%20#?.txt") is None
    assert await repository.file("0" * 40, ALPHA) is None


async def test_a_file_that_is_too_large_to_be_ours_is_not_read(source: Source) -> None:
    commit = source.commit({"large": "x" * (64 * 1024 + 1), "just": "x" * (64 * 1024)})
    assert await source.repository.file(commit, "large") is None
    assert await source.repository.file(commit, "just") == b"x" * (64 * 1024)


async def test_a_blob_is_the_files_content(source: Source) -> None:
    source.commit(FILES)
    for text in FILES.values():
        assert await source.repository.blob(blob_id(text.encode())) == text.encode()


async def test_a_blob_or_an_archive_that_is_not_there_is_an_error(source: Source) -> None:
    source.commit(FILES)
    for ask in (source.repository.blob("0" * 39 + "1"), source.repository.archive("0" * 39 + "1")):
        with pytest.raises(Unavailable) as refused:
            await ask
        assert refused.value.reason == "NotFound"


async def test_an_archive_has_all_regular_files_of_a_commit(source: Source) -> None:
    commit = source.commit(FILES, {"link": "README.md"})
    source.commit({ALPHA: None})
    assert await source.repository.archive(commit) == {path: text.encode() for path, text in FILES.items()}


async def test_a_large_file_is_cut_in_an_archive_and_cannot_be_taken_for_a_small_one(source: Source) -> None:
    commit = source.commit({"large": "x" * 100_000})
    assert len((await source.repository.archive(commit))["large"]) == 64 * 1024 + 1


async def test_a_newer_status_replaces_the_older_one_of_its_context(source: Source) -> None:
    commit = source.commit(FILES)
    await source.reports.statuses([Status(commit, "mergekey/alpha/keys", "pending", "waiting: BranchMoving")])
    assert await source.statuses(commit) == {"mergekey/alpha/keys": ("pending", "waiting: BranchMoving")}
    await source.reports.statuses(
        [
            Status(commit, "mergekey/alpha/keys", "success", "keys in vault"),
            Status(commit, "b", "failure", "x"),
        ]
    )
    assert await source.statuses(commit) == {
        "mergekey/alpha/keys": ("success", "keys in vault"),
        "b": ("failure", "x"),
    }


@pytest.mark.parametrize("count", [0, 1, 60])
async def test_the_verdict_has_an_annotation_per_problem(source: Source, count: int) -> None:
    commit = source.commit(FILES)
    problems = [Problem(ALPHA, number + 1, 1, "UnknownKey", f"the key `{number}`") for number in range(count)]
    await source.reports.check_run(commit, problems, f"{count} problems")
    conclusion, annotations = await source.verdict(commit)
    assert conclusion == ("failure" if count else "success")
    assert sorted(annotations) == [(ALPHA, number + 1, "UnknownKey") for number in range(count)]


async def test_reports_decide_nothing_so_they_do_not_fail(source: Source) -> None:
    source.commit(FILES)
    await source.reports.check_run("0" * 40, [], "nobody's commit")
    await source.reports.statuses([Status("0" * 40, "x", "success", "nobody's commit")])
