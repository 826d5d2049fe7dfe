"""Reading a repository: branches, refs, trees, blobs, tarballs.

https://docs.github.com/rest/branches https://docs.github.com/rest/git
https://docs.github.com/rest/repos/contents
"""

from __future__ import annotations

import base64
import secrets
from urllib.parse import quote

from aiohttp import web

from standins.github.answers import Json, Refused, answer, content, not_found
from standins.github.git import Entry
from standins.github.hub import Call, Hub, missing
from standins.github.repositories import commit_in_full, repository

_LARGEST_BLOB = 100 * 1024 * 1024
_LARGEST_CONTENT = 1024 * 1024
_FILES = ("100644", "100755")
_LINK_LIFETIME = 300


async def get_repository(call: Call) -> web.Response:
    permissions = {"permissions": {"admin": False, "push": False, "pull": True}}
    return answer(call.request, repository(call.hub.address, call.repository) | permissions)


async def get_branch(call: Call) -> web.Response:
    name = call.part("branch")
    sha = await call.repository.git.resolve(f"refs/heads/{name}", "commit")
    if sha is None:
        raise Refused(404, "Branch not found")
    commit = await call.repository.git.commit(sha)
    protected = _is_protected(call, name)
    return answer(
        call.request,
        {
            "name": name,
            "commit": commit_in_full(call.hub.address, call.repository, commit),
            "_links": {
                "self": call.url(f"/branches/{name}"),
                "html": f"{call.hub.address}/{call.repository.full_name}/tree/{name}",
            },
            "protected": protected,
            "protection": {
                "enabled": protected,
                "required_status_checks": {"enforcement_level": "off", "contexts": [], "checks": []},
            },
            "protection_url": call.url(f"/branches/{name}/protection"),
        },
    )


async def get_protection(call: Call) -> web.Response:
    """Pull requests with one review, for administrators too:
    https://docs.github.com/rest/branches/branch-protection
    """
    name = call.part("branch")
    if await call.repository.git.resolve(f"refs/heads/{name}", "commit") is None:
        raise Refused(404, "Branch not found")
    if not _is_protected(call, name):
        raise Refused(404, "Branch not protected")
    url = call.url(f"/branches/{name}/protection")
    reviews = {
        "dismiss_stale_reviews": False,
        "require_code_owner_reviews": False,
        "required_approving_review_count": 1,
    }
    switches = (
        "required_linear_history",
        "allow_force_pushes",
        "allow_deletions",
        "required_conversation_resolution",
        "lock_branch",
    )
    return answer(
        call.request,
        {
            "url": url,
            "required_pull_request_reviews": {"url": f"{url}/required_pull_request_reviews", **reviews},
            "enforce_admins": {"url": f"{url}/enforce_admins", "enabled": True},
            **{switch: {"enabled": False} for switch in switches},
        },
    )


def _is_protected(call: Call, branch: str) -> bool:
    options = call.repository.options
    return bool(options["protected"]) and branch == options["default_branch"]


async def get_ref(call: Call) -> web.Response:
    """A branch or a tag by its whole name; an annotated tag is shown as the object it is."""
    ref = f"refs/{call.part('ref')}"
    found = await call.repository.git.find(ref)
    if found is None:
        raise await missing(call)
    target = {"type": found.kind, "sha": found.sha, "url": call.url(f"/git/{found.kind}s/{found.sha}")}
    return answer(
        call.request,
        {"ref": ref, "node_id": f"REF_{found.sha}", "url": call.url(f"/git/{ref}"), "object": target},
    )


async def get_tree(call: Call) -> web.Response:
    git = call.repository.git
    sha = await git.resolve(call.part("sha"), "tree")
    if sha is None:
        raise await missing(call)
    recursive = "recursive" in call.request.query  # any value counts, even 0
    entries = await git.entries(sha, recursive)
    shown = _as_many_as_fit(call, entries) if recursive else entries
    listing = {
        "sha": sha,
        "url": call.url(f"/git/trees/{sha}"),
        "tree": [_tree_entry(call, entry) for entry in shown],
    }
    return answer(call.request, listing | {"truncated": len(shown) < len(entries)})


def _as_many_as_fit(call: Call, entries: list[Entry]) -> list[Entry]:
    """GitHub cuts a recursive listing at a number of entries and at 7 MB. Of what it does not say: here of
    Git's own trees.
    """
    options, size = call.hub.options, 0
    for number, entry in enumerate(entries):
        size += len(f"{entry.mode} {entry.path}\0".encode(errors="surrogateescape")) + len(entry.sha) // 2
        if number == options["tree_entries"] or size > options["tree_bytes"]:
            return entries[:number]
    return entries


def _tree_entry(call: Call, entry: Entry) -> Json:
    row: Json = {"path": entry.path, "mode": entry.mode, "type": entry.kind, "sha": entry.sha}
    if entry.kind == "blob":
        row["size"] = entry.size
    if entry.kind != "commit":  # a submodule's commit is in another repository
        row["url"] = call.url(f"/git/{entry.kind}s/{entry.sha}")
    return row


async def get_blob(call: Call) -> web.Response:
    sha = call.part("sha")
    found = await call.repository.git.find(sha)
    if found is None or found.kind != "blob" or found.sha != sha:
        raise await missing(call)
    if len(found.content) > _LARGEST_BLOB:
        raise Refused(
            403,
            "This API returns blobs up to 100 MB in size.",
            [{"resource": "Blob", "field": "data", "code": "too_large"}],
        )
    if "raw" in call.request.headers.get("Accept", ""):
        return content(call.request, found.content, "application/vnd.github.raw+json; charset=utf-8")
    encoded = base64.encodebytes(found.content).decode()
    size = len(found.content)
    answers = {"sha": sha, "node_id": f"B_{sha}", "size": size, "url": call.url(f"/git/blobs/{sha}")}
    return answer(call.request, answers | {"content": encoded, "encoding": "base64"})


async def get_contents(call: Call) -> web.Response:
    """One file of a commit, in JSON: https://docs.github.com/rest/repos/contents#get-repository-content

    Folders, symbolic links, submodules and files above 1 MB have answers of their own, which nobody asks for
    here: 501.
    """
    git, path = call.repository.git, call.part("path")
    ref = call.request.query.get("ref", call.repository.options["default_branch"])
    sha = await call.repository.commit(ref)
    if sha is None:
        raise Refused(404, f"No commit found for the ref {ref}")
    tree = await git.resolve(sha, "tree")
    assert tree is not None, "every commit has one"
    entry = next((entry for entry in await git.entries(tree, recursive=True) if entry.path == path), None)
    if entry is None:
        raise not_found()
    found = await git.find(entry.sha)
    if (
        entry.kind != "blob"
        or entry.mode not in _FILES
        or found is None
        or len(found.content) > _LARGEST_CONTENT
    ):
        raise web.HTTPNotImplemented(text=f"contents of {path}: this stand-in knows files of up to 1 MB")
    return answer(call.request, _file(call, path, ref, entry, found.content))


def _file(call: Call, path: str, ref: str, entry: Entry, content: bytes) -> Json:
    url, page = (
        call.url(f"/contents/{quote(path)}?ref={ref}"),
        f"{call.hub.address}/{call.repository.full_name}",
    )
    blob, shown = call.url(f"/git/blobs/{entry.sha}"), f"{page}/blob/{ref}/{quote(path)}"
    return {
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": entry.sha,
        "size": len(content),
        "url": url,
        "html_url": shown,
        "git_url": blob,
        "download_url": f"{page}/raw/{ref}/{quote(path)}",
        "type": "file",
        "content": base64.encodebytes(content).decode(),
        "encoding": "base64",
        "_links": {"self": url, "git": blob, "html": shown},
    }


async def get_tarball(call: Call) -> web.Response:
    """302 to a link that works without a token for five minutes."""
    hub, full_name = call.hub, call.repository.full_name
    sha = await call.repository.commit(call.part("ref") or call.repository.options["default_branch"])
    if sha is None:
        raise not_found()
    token = secrets.token_hex(16)
    hub.archives[token] = {
        "repository": full_name,
        "sha": sha,
        "until": hub.world.clock.now() + _LINK_LIFETIME,
    }
    location = f"{hub.address}/codeload/{full_name}/legacy.tar.gz/{sha}?token={token}"
    return web.Response(status=302, headers={"Location": location})


async def get_archive(hub: Hub, request: web.Request) -> web.Response:
    """What the link of `get_tarball` leads to; codeload.github.com at GitHub."""
    link = hub.archives.get(request.query.get("token", ""))
    if link is None or link["sha"] != request.match_info["sha"] or link["until"] < hub.world.clock.now():
        raise not_found()
    hosted = hub.hosted(link["repository"])
    folder = f"{hosted.owner}-{hosted.name}-{link['sha'][:7]}"
    archive = await hosted.git.archive(link["sha"], folder)
    headers = {
        "Content-Type": "application/x-gzip",
        "Content-Disposition": f"attachment; filename={folder}.tar.gz",
    }
    return web.Response(body=archive, headers=headers)
