"""Commits and comparisons: https://docs.github.com/rest/commits/commits"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from aiohttp import web

from standins.github.answers import Json, Refused, answer, linked, not_found, page
from standins.github.git import EMPTY_TREE, Change
from standins.github.hub import Call, missing
from standins.github.repositories import commit_in_full, git_commit

#: Commits in a comparison without pages; files in a comparison; files on one page of a commit, and in all.
_COMMITS, _FILES, _FILES_OF_COMMIT = 250, 300, 3000
#: Parameters of a list of commits that are not known here.
_FILTERS = {"author", "committer", "since", "until"}


async def list_commits(call: Call) -> web.Response:
    """From a commit back, newest first: a branch, a tag or an id, the default branch unless told; with `path`
    those that changed it.
    """
    query = call.request.query
    if not _FILTERS.isdisjoint(query):
        raise Refused(501, "the stand-in lists commits by sha and path only")
    sha = await call.repository.commit(query.get("sha") or call.repository.options["default_branch"])
    if sha is None:
        raise await missing(call)
    git = call.repository.git
    shown, link = page(call.request, await git.history(sha, query.get("path", "")))
    commits = {commit.sha: commit for commit in (await git.commits("--no-walk", *shown) if shown else ())}
    return linked(
        answer(
            call.request, [commit_in_full(call.hub.address, call.repository, commits[each]) for each in shown]
        ),
        link,
    )


async def get_commit(call: Call) -> web.Response:
    """With the files that differ from its first parent, 300 to a page and 3000 in all."""
    sha = await call.repository.commit(call.part("ref"))
    if sha is None:
        raise await missing(call, Refused(422, f"No commit found for SHA: {call.part('ref')}"))
    commit = await call.repository.git.commit(sha)
    changes = await call.repository.git.changes(commit.parents[0] if commit.parents else EMPTY_TREE, sha)
    shown, link = page(call.request, changes[:_FILES_OF_COMMIT], size=_FILES, most=_FILES)
    body = commit_in_full(call.hub.address, call.repository, commit)
    files = {"stats": _stats(changes), "files": [_file(call, sha, change) for change in shown]}
    return linked(answer(call.request, body | files), link)


async def get_git_commit(call: Call) -> web.Response:
    found = await call.repository.git.find(call.part("sha"))
    if found is None or found.kind != "commit" or found.sha != call.part("sha"):
        raise await missing(call)
    commit = await call.repository.git.commit(found.sha)
    return answer(call.request, git_commit(call.hub.address, call.repository, commit))


async def compare(call: Call) -> web.Response:
    """From the merge base to the head: 250 commits, or pages of them, and 300 files, all on the first page.

    404 when a side is not there, for instance since a force push took it away, or when they have nothing in
    common.
    """
    base, _, head = call.part("basehead").partition("...")
    git = call.repository.git
    old, new = await call.repository.commit(base), await call.repository.commit(head)
    if old is None or new is None:
        raise not_found()
    merge_base = await git.merge_base(old, new)
    if merge_base is None:
        raise Refused(404, f"No common ancestor between {base} and {head}.")
    ahead, behind = await git.between(old, new), await git.between(new, old)
    shown, link = page(call.request, ahead, size=_COMMITS) if _is_paged(call) else (ahead[-_COMMITS:], None)
    changes = await git.changes(merge_base, new) if call.request.query.get("page", "1") == "1" else []
    url = call.url(f"/compare/{quote(base)}...{quote(head)}")
    html = url.replace("/repos/", "/", 1)
    body: Json = {
        "url": url,
        "html_url": html,
        "permalink_url": html,
        "diff_url": f"{html}.diff",
        "patch_url": f"{html}.patch",
    }
    body |= {"base_commit": await _commit(call, old), "merge_base_commit": await _commit(call, merge_base)}
    body |= {
        "status": _status(len(ahead), len(behind)),
        "ahead_by": len(ahead),
        "behind_by": len(behind),
        "total_commits": len(ahead),
    }
    body["commits"] = [await _commit(call, sha) for sha in shown]
    body["files"] = [_file(call, new, change) for change in changes[:_FILES]]
    return linked(answer(call.request, body), link)


def _is_paged(call: Call) -> bool:
    return not {"page", "per_page"}.isdisjoint(call.request.query)


async def _commit(call: Call, sha: str) -> Json:
    commit = await call.repository.git.commit(sha)
    return commit_in_full(call.hub.address, call.repository, commit)


def _status(ahead: int, behind: int) -> str:
    if ahead and behind:
        return "diverged"
    return "ahead" if ahead else "behind" if behind else "identical"


def _stats(changes: Sequence[Change]) -> Json:
    additions, deletions = (
        sum(change.additions for change in changes),
        sum(change.deletions for change in changes),
    )
    return {"total": additions + deletions, "additions": additions, "deletions": deletions}


def _file(call: Call, commit: str, change: Change) -> Json:
    """Without the patch, which GitHub leaves out for binary and large files only."""
    path, html = quote(change.path), f"{call.hub.address}/{call.repository.full_name}"
    return {
        "sha": change.sha,
        "filename": change.path,
        "status": change.status,
        "additions": change.additions,
        "deletions": change.deletions,
        "changes": change.additions + change.deletions,
        "blob_url": f"{html}/blob/{commit}/{path}",
        "raw_url": f"{html}/raw/{commit}/{path}",
        "contents_url": call.url(f"/contents/{path}?ref={commit}"),
        **({"previous_filename": change.previous} if change.previous else {}),
    }
