"""Our adapter reads history at the GitHub stand-in: how often it asks, and what it makes of odd paths and of
repositories that are gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from shared.adapters.github import AppKey, GitHubClient, GitHubRepository
from shared.errors import AccessDenied
from standins.tests.github.remotes import Remote, a_remote
from standins.tests.plugin import StandIns

#: The day of imported commits.
DAY = date(2023, 11, 14)
NOTHING = "0" * 39 + "1"
ODD = (
    "a b",
    "a#b?c",
    "a&per_page=2&sha=main",
    "a+b%20c",
    "grüße 日本/ä.yaml",
    "{owner}",
    "*",
    ":(glob)**",
    "a=b;c",
)


@pytest.fixture
async def remote(standins: StandIns, tmp_path: Path) -> AsyncIterator[Remote]:
    async with a_remote(standins, tmp_path) as remote:
        yield remote


@pytest.fixture
async def repository(remote: Remote) -> AsyncIterator[GitHubRepository]:
    key = AppKey(
        str(remote.installed["app_id"]), remote.installed["private_key"], remote.installed["installation_id"]
    )
    client = GitHubClient(remote.address, key, None)
    yield GitHubRepository(client, remote.name, "main")
    await client.close()


def _asked(remote: Remote) -> list[str]:
    """The calls about the repository since the last time."""
    calls = [
        call.target for call in remote.control.calls("github") if call.target.startswith(remote.path("/"))
    ]
    remote.control.forget_calls()
    return calls


@pytest.mark.parametrize(("commits", "calls"), [(99, 1), (100, 2), (230, 3), (300, 3), (301, 3)])
async def test_a_history_is_read_until_a_page_is_short_and_three_pages_at_most(
    remote: Remote, repository: GitHubRepository, commits: int, calls: int
) -> None:
    head = _import(remote, commits)
    _asked(remote)
    found = await repository.newest_commits(head)
    assert [commit.message for commit in found] == [f"n{number:03}" for number in reversed(range(commits))][
        :300
    ]
    assert found[0].sha == head
    assert len(_asked(remote)) == calls
    found.clear()
    assert len(await repository.newest_commits(head)) == min(commits, 300)
    assert _asked(remote) == []


async def test_histories_of_two_heads_are_kept(remote: Remote, repository: GitHubRepository) -> None:
    heads = [remote.push(f"n{number}", a=f"{number}") for number in range(3)]
    for head in heads:
        await repository.newest_commits(head)
    _asked(remote)
    for head in heads[:0:-1]:
        await repository.newest_commits(head)
    assert _asked(remote) == []
    await repository.newest_commits(heads[0])
    assert len(_asked(remote)) == 1


async def test_who_comes_before_whom_is_asked_once(remote: Remote, repository: GitHubRepository) -> None:
    first = remote.push("one", a="1")
    second = remote.push("two", a="2")
    _asked(remote)
    for _ in range(2):
        assert await repository.is_ancestor(first, second)
        assert not await repository.is_ancestor(second, first)
        assert await repository.is_ancestor(second, second)
    assert _asked(remote) == [
        remote.path(f"/compare/{pair}?per_page=1") for pair in (f"{first}...{second}", f"{second}...{first}")
    ]


async def test_a_commit_that_comes_later_is_asked_for_again(
    remote: Remote, repository: GitHubRepository
) -> None:
    first = remote.push("one", a="1")
    second = remote.commit("two", a="2")
    assert not await repository.is_ancestor(first, second)
    assert await repository.newest_commits(second) == []
    assert await repository.changed_on("a", second) is None
    remote.git("push", "--quiet", "origin", "HEAD")
    assert await repository.is_ancestor(first, second)
    assert len(await repository.newest_commits(second)) == 2
    assert await repository.changed_on("a", second) is not None


async def test_histories_that_have_nothing_in_common_are_no_ancestors(
    remote: Remote, repository: GitHubRepository
) -> None:
    first = remote.push("one", a="1")
    remote.git("checkout", "--quiet", "--orphan", "other")
    apart = remote.push("apart", b="1")
    assert not await repository.is_ancestor(first, apart)
    assert not await repository.is_ancestor(apart, first)


@pytest.mark.parametrize("path", ODD)
async def test_an_odd_path_is_asked_for_as_it_is(
    remote: Remote, repository: GitHubRepository, path: str
) -> None:
    _import(remote, 1, f"M 100644 inline {path}\ndata 1\n1\n")
    remote.git("reset", "--quiet", "--hard")
    head = remote.push("two", a="1", z="1")
    _asked(remote)
    for _ in range(2):
        assert await repository.changed_on(path, head) == DAY
    assert await repository.changed_on(f"{path}.yaml", head) is None
    assert len(_asked(remote)) == 2


async def test_the_days_of_files_are_kept_by_head(remote: Remote, repository: GitHubRepository) -> None:
    older = _import(remote, 1, "M 100644 inline a\ndata 1\n1\n")
    newer = remote.push("two", a="2")
    days = [await repository.changed_on("a", head) for head in (older, newer, older)]
    assert (days[0], days[2]) == (DAY, DAY)
    assert days[1] is not None
    assert days[1] > DAY


async def test_an_empty_repository_has_no_history(repository: GitHubRepository) -> None:
    assert await repository.newest_commits(NOTHING) == []
    assert await repository.changed_on("a", NOTHING) is None


async def test_who_may_not_read_contents_is_told_so(remote: Remote, repository: GitHubRepository) -> None:
    head = remote.push("one", a="1")
    await remote.install(permissions={"metadata": "read"})
    for ask in (
        repository.newest_commits(head),
        repository.is_ancestor(NOTHING, head),
        repository.changed_on("a", head),
    ):
        with pytest.raises(AccessDenied):
            await ask


def _import(remote: Remote, commits: int, change: str = "") -> str:
    """So many commits on the branch, `n000` first, all on `DAY`; the newest one's id."""
    person = "committer Ada <ada@contoso.com> 1700000000 +0000\ndata 4\n"
    path = remote.clone / ".git" / "stream"
    path.write_text(
        "".join(f"commit refs/heads/main\n{person}n{number:03}\n{change}" for number in range(commits))
    )
    remote.git("config", "alias.load", f"!git fast-import --quiet < {path}")
    remote.git("load")
    remote.git("push", "--quiet", "origin", "main")
    return remote.git("rev-parse", "main")


async def test_the_tree_of_a_push_is_read_beside_the_head_and_the_one_before_is_known(
    remote: Remote, repository: GitHubRepository
) -> None:
    first = remote.push("one", a="1")
    head = await repository.head()
    assert head is not None
    before = await repository.tree(head.tree)
    second = remote.push("two", a="2")
    _asked(remote)
    head, after = await asyncio.gather(repository.head(), repository.tree(second))
    assert head is not None
    assert head.commit == second
    assert await repository.tree(head.tree) is after
    assert await repository.tree(first) is before
    trees = [call for call in _asked(remote) if "/git/trees/" in call]
    assert len(trees) == 1
