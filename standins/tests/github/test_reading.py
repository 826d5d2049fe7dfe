"""gidgethub reads branches, trees, blobs, commits and comparisons at the GitHub stand-in."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from standins.tests.differences import known_difference
from standins.tests.github.remotes import Remote, a_remote, options, refusal
from standins.tests.plugin import StandIns


@pytest.fixture
async def remote(standins: StandIns, tmp_path: Path) -> AsyncIterator[Remote]:
    async with a_remote(standins, tmp_path) as remote:
        yield remote


async def test_branch_tree_and_blob_are_those_of_git(remote: Remote) -> None:
    sha = remote.push("one", a_x="hello\n", b="1")
    branch = await remote.app.getitem(remote.path("/branches/main"))
    assert (branch["commit"]["sha"], branch["protected"]) == (sha, True)
    tree_sha = branch["commit"]["commit"]["tree"]["sha"]
    assert tree_sha == remote.git("rev-parse", "HEAD^{tree}")
    tree = await remote.app.getitem(remote.path(f"/git/trees/{tree_sha}?recursive=1"))
    assert [(entry["path"], entry["type"], entry["mode"]) for entry in tree["tree"]] == [
        ("a", "tree", "040000"),
        ("a/x", "blob", "100644"),
        ("b", "blob", "100644"),
    ]
    assert (tree["sha"], tree["truncated"], tree["tree"][1]["size"]) == (tree_sha, False, 6)
    assert await remote.app.getitem(remote.path("/git/trees/main?recursive=1")) == tree
    blob = await remote.app.getitem(remote.path(f"/git/blobs/{tree['tree'][1]['sha']}"))
    assert (base64.b64decode(blob["content"]), blob["encoding"]) == (b"hello\n", "base64")
    raw = await remote.app.getitem(
        remote.path(f"/git/blobs/{tree['tree'][1]['sha']}"), accept="application/vnd.github.raw+json"
    )
    assert raw == "hello\n"


async def test_a_branch_is_followed_through_pushes_and_an_unchanged_one_costs_nothing(remote: Remote) -> None:
    path = remote.path("/git/ref/heads/main")
    first = remote.push("one", a="1")
    answer = await remote.ask(path)
    etag, used = answer.headers["ETag"], answer.headers["x-ratelimit-used"]
    assert etag.startswith('W/"')
    same = await remote.ask(path, **{"If-None-Match": etag})
    assert (same.status, same.headers["ETag"], same.headers["x-ratelimit-used"]) == (304, etag, used)
    second = remote.push("two", a="2")
    changed = await remote.ask(path, **{"If-None-Match": etag})
    assert (changed.status, (await changed.json())["object"]["sha"]) == (200, second)
    assert first != second


async def test_what_one_token_knows_is_news_to_another(remote: Remote) -> None:
    remote.push("one", a="1")
    answer = await remote.ask(remote.path("/branches/main"))
    remote.app.oauth_token = await remote.token()
    again = await remote.ask(remote.path("/branches/main"), **{"If-None-Match": answer.headers["ETag"]})
    assert (again.status, await again.json()) == (200, await answer.json())


async def test_a_tree_that_is_too_large_says_that_it_was_truncated(remote: Remote) -> None:
    remote.push("one", a="1", b="2", c="3")
    for limit in ({"tree_entries": 2}, {"tree_bytes": 60}):
        with options(remote.control, **limit):
            tree = await remote.app.getitem(remote.path("/git/trees/main?recursive=1"))
            assert ([entry["path"] for entry in tree["tree"]], tree["truncated"]) == (["a", "b"], True)
            assert not (await remote.app.getitem(remote.path("/git/trees/main")))["truncated"]


async def test_what_is_not_there_is_refused_as_github_does(remote: Remote) -> None:
    nothing = "0" * 40
    for path, status, message in (
        ("/branches/main", 404, "Branch not found"),
        ("/git/ref/heads/main", 409, "Git Repository is empty."),
        ("/git/trees/main", 409, "Git Repository is empty."),
        (f"/git/blobs/{nothing}", 409, "Git Repository is empty."),
        ("/tarball/main", 404, "Not Found"),
    ):
        with refusal(status, message):
            await remote.app.getitem(remote.path(path))
    remote.push("one", a="1")
    for path, status, message in (
        ("/git/ref/heads/other", 404, "Not Found"),
        (f"/git/trees/{nothing}", 404, "Not Found"),
        (f"/git/blobs/{nothing}", 404, "Not Found"),
        (f"/git/commits/{nothing}", 404, "Not Found"),
        (f"/commits/{nothing}", 422, f"No commit found for SHA: {nothing}"),
        ("/compare/main...other", 404, "Not Found"),
    ):
        with refusal(status, message):
            await remote.app.getitem(remote.path(path))
    with refusal(404, "Not Found"):
        await remote.app.getitem(f"/repos/{remote.account}/nothing")


async def test_what_the_stand_in_does_not_know_is_refused_loudly(remote: Remote) -> None:
    for path in ("/graphql", remote.path("/issues")):
        assert (await remote.ask(path)).status == 501


async def test_a_repository_is_found_in_any_spelling_and_keeps_its_id(remote: Remote) -> None:
    before = await remote.app.getitem(f"/repos/{remote.name.upper()}")
    again = await remote.set_up(protected=False)
    assert again["id"] == before["id"]
    assert (before["full_name"], before["default_branch"]) == (remote.name, "main")


async def test_a_tarball_holds_the_files_below_one_folder(remote: Remote) -> None:
    sha = remote.push("one", a_x="hello\n")
    answer = await remote.ask(remote.path("/tarball/main"))
    assert answer.status == 302
    async with remote.session.get(answer.headers["Location"]) as response:
        packed = await response.read()
    folder = f"{remote.name.replace('/', '-')}-{sha[:7]}"
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        names = archive.getnames()
        member = archive.extractfile(f"{folder}/a/x")
        assert member is not None
        assert member.read() == b"hello\n"
    assert {name.split("/")[0] for name in names} == {folder}


async def test_the_link_to_a_tarball_works_for_five_minutes(remote: Remote) -> None:
    remote.push("one", a="1")
    location = (await remote.ask(remote.path("/tarball/main"))).headers["Location"]
    remote.control.advance(301)
    async with remote.session.get(location) as response:
        assert response.status == 404


async def test_only_the_default_branch_is_protected_and_only_an_administrator_reads_how(
    remote: Remote,
) -> None:
    remote.push("one", a="1")
    remote.git("push", "--quiet", "origin", "main:side/way")
    assert (await remote.app.getitem(remote.path("/branches/main")))["protected"]
    assert not (await remote.app.getitem(remote.path("/branches/side/way")))["protected"]
    with refusal(403, "Resource not accessible by integration"):
        await remote.app.getitem(remote.path("/branches/main/protection"))
    with refusal(404, "Branch not protected"):
        await remote.plain.getitem(remote.path("/branches/side/way/protection"))
    assert (await remote.plain.getitem(remote.path("/branches/main/protection")))["enforce_admins"]["enabled"]
    await remote.set_up(protected=False)
    assert not (await remote.app.getitem(remote.path("/branches/main")))["protected"]


async def test_a_commit_names_the_files_that_it_changed(remote: Remote) -> None:
    first = remote.push("one", a="1\n", b="1\n2\n3\n4\n")
    second = remote.commit("two", b=None, c_d="1\n2\n3\n4\n", a="2\n")
    remote.git("push", "--quiet", "origin", "main")
    commit = await remote.app.getitem(remote.path("/commits/main"))
    assert (commit["sha"], [parent["sha"] for parent in commit["parents"]]) == (second, [first])
    files = {
        file["filename"]: (file["status"], file["changes"], file.get("previous_filename"))
        for file in commit["files"]
    }
    assert files == {"a": ("modified", 2, None), "c/d": ("renamed", 0, "b")}
    assert commit["stats"] == {"total": 2, "additions": 1, "deletions": 1}
    assert [
        file["status"] for file in (await remote.app.getitem(remote.path(f"/commits/{first}")))["files"]
    ] == ["added", "added"]
    assert (await remote.app.getitem(remote.path(f"/git/commits/{second}")))["message"] == "two"


async def test_a_tag_is_found_as_the_object_it_is(remote: Remote) -> None:
    sha = remote.push("one", a="1")
    remote.git("tag", "--annotate", "--message", "v1", "v1")
    remote.git("push", "--quiet", "origin", "v1")
    tag = (await remote.app.getitem(remote.path("/git/ref/tags/v1")))["object"]
    assert (tag["type"], tag["sha"]) == ("tag", remote.git("rev-parse", "v1"))
    assert (await remote.app.getitem(remote.path("/commits/v1")))["sha"] == sha


async def test_a_comparison_starts_where_both_sides_were_one(remote: Remote) -> None:
    base = remote.push("base", a="1")
    remote.push("theirs", b="1")
    remote.git("checkout", "--quiet", "-b", "side", base)
    ours = remote.push("ours", c="1")
    compared = await remote.app.getitem(remote.path("/compare/main...side"))
    assert (compared["status"], compared["ahead_by"], compared["behind_by"]) == ("diverged", 1, 1)
    assert compared["merge_base_commit"]["sha"] == base
    assert (
        [commit["sha"] for commit in compared["commits"]],
        [file["filename"] for file in compared["files"]],
    ) == ([ours], ["c"])
    same = await remote.app.getitem(remote.path("/compare/main...main"))
    assert (same["status"], same["commits"], same["files"]) == ("identical", [], [])


async def test_a_comparison_shows_250_commits_and_300_files_at_most(remote: Remote) -> None:
    remote.push("base", a="0")
    _import(remote, commits=260, files=310)
    remote.git("push", "--quiet", "origin", "many")
    compared = await remote.app.getitem(remote.path("/compare/main...many"))
    assert (compared["total_commits"], len(compared["commits"]), len(compared["files"])) == (260, 250, 300)
    assert compared["commits"][-1]["sha"] == remote.git("rev-parse", "many")
    last = await remote.ask(remote.path("/compare/main...many?per_page=100&page=3"))
    page = await last.json()
    assert (len(page["commits"]), page["files"]) == (60, [])
    assert 'rel="next"' not in last.headers["Link"]


async def test_what_a_force_push_took_away_cannot_be_compared(remote: Remote) -> None:
    remote.push("one", a="1")
    with refusal(404, "Not Found"):
        await remote.app.getitem(remote.path(f"/compare/{'1' * 40}...main"))
    remote.git("checkout", "--quiet", "--orphan", "other")
    remote.push("apart", b="1")
    with refusal(404, "No common ancestor between main and other."):
        await remote.app.getitem(remote.path("/compare/main...other"))


async def test_commits_are_listed_by_pages_from_a_branch_or_a_commit_back(remote: Remote) -> None:
    first = remote.push("one", a="1")
    second = remote.push("two", b="1")
    third = remote.push("three", a="2")
    answer = await remote.ask(remote.path("/commits?per_page=2"))
    assert [row["sha"] for row in await answer.json()] == [third, second]
    assert 'per_page=2&page=2>; rel="next"' in answer.headers["Link"]
    last = await remote.ask(remote.path("/commits?per_page=2&page=2"))
    assert ([row["sha"] for row in await last.json()], 'rel="next"' in last.headers["Link"]) == (
        [first],
        False,
    )
    for query, found in (
        (f"sha={second}", [second, first]),
        ("sha=main&path=a", [third, first]),
        (f"sha={second}&path=c", []),
        ("page=9", []),
    ):
        assert [row["sha"] for row in await remote.app.getitem(remote.path(f"/commits?{query}"))] == found
    assert (await remote.app.getitem(remote.path("/commits")))[0]["commit"]["message"] == "three"


async def test_commits_of_what_is_not_there_are_refused_as_github_does(remote: Remote) -> None:
    with refusal(409, "Git Repository is empty."):
        await remote.app.getitem(remote.path("/commits"))
    remote.push("one", a="1")
    for start in ("0" * 40, "other"):
        with refusal(404, "Not Found"):
            await remote.app.getitem(remote.path(f"/commits?sha={start}"))
    await remote.install(permissions={"metadata": "read"})
    with refusal(403, "Resource not accessible by integration"):
        await remote.app.getitem(remote.path("/commits"))


async def test_commits_are_not_listed_by_what_the_stand_in_does_not_know(remote: Remote) -> None:
    remote.push("one", a="1")
    assert (await remote.ask(remote.path("/commits?author=ada"))).status == 501


@known_difference(
    "github", "A file of a commit or a comparison carries its patch, unless it is binary or large."
)
async def test_a_changed_file_carries_its_patch(remote: Remote) -> None:
    remote.push("one", a="1\n")
    (file,) = (await remote.app.getitem(remote.path("/commits/main")))["files"]
    assert file["patch"] == "@@ -0,0 +1 @@\n+1"


@known_difference(
    "github", "A renamed repository answers under its old name with 301 to `/repositories/{id}`."
)
async def test_a_repository_is_found_by_its_number(remote: Remote) -> None:
    number = (await remote.app.getitem(remote.path()))["id"]
    assert (await remote.ask(f"/repositories/{number}")).status == 200


def _import(remote: Remote, commits: int, files: int) -> None:
    """A branch `many` from main, made in one go."""
    person = "committer Ada <ada@contoso.com> 1700000000 +0000\ndata 1\n."
    stream = [f"commit refs/heads/many\n{person}\nfrom refs/heads/main\n"]
    stream += [f"M 100644 inline f{number}\ndata 1\n{number % 10}\n" for number in range(files)]
    stream += [
        f"commit refs/heads/many\n{person}\nM 100644 inline a\ndata 3\n{number:03}\n"
        for number in range(commits - 1)
    ]
    path = remote.clone / ".git" / "stream"
    path.write_text("".join(stream))
    remote.git("config", "alias.load", f"!git fast-import --quiet < {path}")
    remote.git("load")
