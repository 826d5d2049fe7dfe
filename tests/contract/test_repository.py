"""What both the fake and GitHub say about a branch, and show beside a commit."""

from __future__ import annotations

import pytest

from shared.domain.problem import Problem
from shared.errors import Unavailable
from shared.messages import blob_id
from shared.ports import Head, Status
from tests.contract.sources import Source

FILES = {"README.md": "hello\n", "tenant-access/config/alpha/access.yaml": "team: {}\n", "tenant-access/config/alpha.txt": "grüß\n"}
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
    await source.reports.statuses([Status(commit, "mergekey/alpha/keys", "success", "keys in vault"), Status(commit, "b", "failure", "x")])
    assert await source.statuses(commit) == {"mergekey/alpha/keys": ("success", "keys in vault"), "b": ("failure", "x")}


@pytest.mark.parametrize("count", [0, 1, 60])
async def test_the_verdict_has_an_annotation_per_problem(source: Source, count: int) -> None:
    commit = source.commit(FILES)
    problems = [Problem(ALPHA, number + 1, 1, "UnknownKey", f"the key `{number}`") for number in range(count)]
    await source.reports.verdict(commit, problems, f"{count} problems")
    conclusion, annotations = await source.verdict(commit)
    assert conclusion == ("failure" if count else "success")
    assert sorted(annotations) == [(ALPHA, number + 1, "UnknownKey") for number in range(count)]


async def test_reports_decide_nothing_so_they_do_not_fail(source: Source) -> None:
    source.commit(FILES)
    await source.reports.verdict("0" * 40, [], "nobody's commit")
    await source.reports.statuses([Status("0" * 40, "x", "success", "nobody's commit")])
