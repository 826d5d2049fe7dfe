"""gidgethub and `git push` against the GitHub stand-in."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import io
import json
import os
import subprocess
import tarfile
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import gidgethub
import jwt
import pytest
from aiohttp import web
from gidgethub.aiohttp import GitHubAPI
from gidgethub.apps import get_installation_access_token, get_jwt

from tests.conftest import StandIns

SECRET = "It's a Secret to Everybody"
ENVIRONMENT = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@contoso.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@contoso.com",
}


@dataclass
class Receiver:
    """A webhook receiver: what came, oldest first."""

    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def receive(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        async with self.arrived:
            self.arrived.notify_all()
        return web.Response(status=202)

    async def next(self, count: int = 1) -> tuple[dict[str, str], Any]:
        """Headers and payload of the request number `count`, as soon as it is there."""
        async with asyncio.timeout(10), self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= count)
        headers, body = self.requests[count - 1]
        return headers, json.loads(body)


@dataclass
class Team:
    """A repository at the stand-in, a clone of it, and clients."""

    address: str
    name: str
    bare: str
    clone: Path
    receiver: Receiver
    session: aiohttp.ClientSession
    app: GitHubAPI
    plain: GitHubAPI

    def path(self, rest: str = "") -> str:
        return f"/repos/{self.name}{rest}"

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.clone, env=ENVIRONMENT, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, message: str, **files: str | None) -> str:
        """Write files (None removes), commit, and give the commit's id. `_` in a keyword stands for `/`."""
        for name, text in files.items():
            path = self.clone / name.replace("_", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink() if text is None else path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    async def standin(self, method: str, path: str, body: Any = None) -> Any:
        async with self.session.request(method, f"{self.address}/_standin/{path}", json=body) as response:
            return await response.json()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application(client_max_size=30_000_000)
    app.router.add_post("/hook", receiver.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def team(standins: StandIns, receiver: Receiver, tmp_path: Path) -> AsyncIterator[Team]:
    address, name = standins.addresses["github"], f"contoso/access-{uuid.uuid4().hex[:8]}"
    async with aiohttp.ClientSession() as session:
        team = Team(address, name, "", tmp_path / "clone", receiver, session, *_clients(session, address))
        made = await team.standin("PUT", f"repositories/{name}", {"webhook_url": receiver.url, "webhook_secret": SECRET})
        app = await team.standin("PUT", "app")
        answer = await get_installation_access_token(
            GitHubAPI(session, "tests", base_url=address),
            installation_id=str(app["installation_id"]),
            app_id=str(app["app_id"]),
            private_key=app["private_key"],
        )
        team.app.oauth_token = answer["token"]
        team.plain.oauth_token = (await team.standin("PUT", "tokens"))["token"]
        team.bare = made["git_url"]
        team.clone.mkdir()
        team.git("clone", "--quiet", team.bare, ".")
        yield team


def _clients(session: aiohttp.ClientSession, address: str) -> tuple[GitHubAPI, GitHubAPI]:
    return GitHubAPI(session, "tests", base_url=address), GitHubAPI(session, "tests", base_url=address)


def _refusal(status: int, message: str) -> Any:
    def matches(error: gidgethub.BadRequest) -> bool:
        return error.status_code == status and message in str(error)

    return pytest.RaisesExc(gidgethub.BadRequest, check=matches)


def _signature(body: bytes, algorithm: Callable[[], Any]) -> str:
    return hmac.new(SECRET.encode(), body, algorithm).hexdigest()


async def _delivery(team: Team, guid: str) -> list[Any]:
    """The deliveries under one guid, when all of them are done."""
    for _ in range(200):
        found = [delivery for delivery in await team.standin("GET", "deliveries") if delivery["guid"] == guid]
        if found and all(delivery["delivered_at"] for delivery in found):
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"{guid} was not delivered")


async def test_a_push_to_a_new_branch_arrives_signed(team: Team) -> None:
    first = team.commit("one", a_x="1")
    head = team.commit("two\n\nwith a body", a_x="2", b_y="3")
    team.git("push", "--quiet", "origin", "main")
    headers, payload = await team.receiver.next()
    body = team.receiver.requests[0][1]
    assert headers["X-GitHub-Event"] == "push"
    assert uuid.UUID(headers["X-GitHub-Delivery"])
    assert headers["X-Hub-Signature-256"] == "sha256=" + _signature(body, hashlib.sha256)
    assert headers["X-Hub-Signature"] == "sha1=" + _signature(body, hashlib.sha1)
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("GitHub-Hookshot/")
    assert (payload["ref"], payload["before"], payload["after"]) == ("refs/heads/main", "0" * 40, head)
    assert (payload["created"], payload["deleted"], payload["forced"]) == (True, False, False)
    assert [commit["id"] for commit in payload["commits"]] == [first, head]
    assert payload["head_commit"]["message"] == "two\n\nwith a body"
    assert (payload["head_commit"]["added"], payload["head_commit"]["modified"]) == (["b/y"], ["a/x"])
    assert payload["repository"]["full_name"] == team.name
    assert payload["installation"]["id"]


async def test_a_reset_is_a_forced_push_without_commits(team: Team) -> None:
    first = team.commit("one", a="1")
    second = team.commit("two", a="2")
    team.git("push", "--quiet", "origin", "main")
    team.git("reset", "--quiet", "--hard", first)
    team.git("push", "--quiet", "--force", "origin", "main")
    _, payload = await team.receiver.next(2)
    assert (payload["before"], payload["after"], payload["forced"], payload["commits"]) == (second, first, True, [])
    assert payload["head_commit"]["id"] == first


async def test_a_merge_names_what_it_brought_and_a_deleted_branch_nothing(team: Team) -> None:
    team.commit("base", a="1")
    team.git("push", "--quiet", "origin", "main")
    team.git("checkout", "--quiet", "-b", "side")
    side = team.commit("side", b="1", a=None)
    team.git("push", "--quiet", "origin", "side")
    await team.receiver.next(2)
    team.git("checkout", "--quiet", "main")
    team.git("merge", "--quiet", "--no-ff", "-m", "merge side", "side")
    team.git("push", "--quiet", "origin", "main")
    _, merged = await team.receiver.next(3)
    assert [commit["id"] for commit in merged["commits"]] == [side, merged["after"]]
    assert (merged["head_commit"]["added"], merged["head_commit"]["removed"]) == (["b"], ["a"])
    team.git("push", "--quiet", "origin", ":side")
    _, deleted = await team.receiver.next(4)
    assert (deleted["deleted"], deleted["after"], deleted["commits"], deleted["head_commit"]) == (True, "0" * 40, [], None)


async def test_a_delivery_that_fails_is_not_repeated_but_can_be_redelivered_under_its_id(team: Team) -> None:
    await team.standin("PUT", f"repositories/{team.name}", {"webhook_url": "http://127.0.0.1:9/nobody"})
    team.commit("one", a="1")
    team.git("push", "--quiet", "origin", "main")
    guid = ""
    while not guid:
        mine = [delivery for delivery in await team.standin("GET", "deliveries") if delivery["repository"] == team.name]
        guid = mine[0]["guid"] if mine else ""
    (failed,) = await _delivery(team, guid)
    assert failed["status_code"] == 0
    await team.standin("PUT", f"repositories/{team.name}", {"webhook_url": team.receiver.url})
    await team.standin("POST", f"deliveries/{guid}/redeliver")
    headers, _ = await team.receiver.next()
    assert headers["X-GitHub-Delivery"] == guid
    assert [delivery["status_code"] for delivery in await _delivery(team, guid)] == [0, 202]


async def test_a_ping_is_delivered(team: Team) -> None:
    await team.standin("POST", f"repositories/{team.name}/ping")
    headers, payload = await team.receiver.next()
    assert (headers["X-GitHub-Event"], payload["hook"]["type"]) == ("ping", "Repository")
    assert str(payload["hook_id"]) == headers["X-GitHub-Hook-ID"]


async def test_branch_tree_and_blob_are_those_of_git(team: Team) -> None:
    sha = team.commit("one", a_x="hello\n", b="1")
    team.git("push", "--quiet", "origin", "main")
    branch = await team.app.getitem(team.path("/branches/main"))
    assert (branch["commit"]["sha"], branch["protected"]) == (sha, True)
    tree_sha = branch["commit"]["commit"]["tree"]["sha"]
    assert tree_sha == team.git("rev-parse", "HEAD^{tree}")
    tree = await team.app.getitem(team.path(f"/git/trees/{tree_sha}?recursive=1"))
    assert [(entry["path"], entry["type"], entry["mode"]) for entry in tree["tree"]] == [
        ("a", "tree", "040000"),
        ("a/x", "blob", "100644"),
        ("b", "blob", "100644"),
    ]
    assert (tree["sha"], tree["truncated"], tree["tree"][1]["size"]) == (tree_sha, False, 6)
    assert await team.app.getitem(team.path("/git/trees/main?recursive=1")) == tree
    blob = await team.app.getitem(team.path(f"/git/blobs/{tree['tree'][1]['sha']}"))
    assert (base64.b64decode(blob["content"]), blob["encoding"]) == (b"hello\n", "base64")
    raw = await team.app.getitem(team.path(f"/git/blobs/{tree['tree'][1]['sha']}"), accept="application/vnd.github.raw+json")
    assert raw == "hello\n"


async def test_a_branch_is_followed_through_pushes_and_an_unchanged_one_costs_nothing(team: Team, standins: StandIns) -> None:
    team.app._cache = {}
    team.commit("one", a="1")
    team.git("push", "--quiet", "origin", "main")
    before = await team.app.getitem(team.path("/git/ref/heads/main"))
    assert team.app.rate_limit is not None
    remaining = team.app.rate_limit.remaining
    assert await team.app.getitem(team.path("/git/ref/heads/main")) == before
    statuses = [call.status for call in standins.control.calls("github") if call.target == team.path("/git/ref/heads/main")]
    assert statuses == [200, 304]
    second = team.commit("two", a="2")
    team.git("push", "--quiet", "origin", "main")
    assert (await team.app.getitem(team.path("/git/ref/heads/main")))["object"]["sha"] == second
    assert remaining <= 5000


async def test_a_tree_that_is_too_large_says_that_it_was_truncated(team: Team) -> None:
    team.commit("one", a="1", b="2", c="3")
    team.git("push", "--quiet", "origin", "main")
    await team.standin("PUT", "options", {"tree_entries": 2})
    try:
        tree = await team.app.getitem(team.path("/git/trees/main?recursive=1"))
    finally:
        await team.standin("PUT", "options", {"tree_entries": None})
    assert (len(tree["tree"]), tree["truncated"]) == (2, True)


async def test_what_is_not_there_is_refused_as_github_does(team: Team) -> None:
    for path, status, message in (
        ("/branches/main", 404, "Branch not found"),
        ("/git/ref/heads/main", 404, "Not Found"),
        ("/git/trees/main", 409, "Git Repository is empty."),
        (f"/git/blobs/{'0' * 40}", 404, "Not Found"),
        ("/tarball/main", 404, "Not Found"),
    ):
        with _refusal(status, message):
            await team.app.getitem(team.path(path))
    with _refusal(404, "Not Found"):
        await team.app.getitem("/repos/contoso/nothing")


async def test_a_tarball_holds_the_files_below_one_folder(team: Team) -> None:
    sha = team.commit("one", a_x="hello\n")
    team.git("push", "--quiet", "origin", "main")
    headers = {"Authorization": f"Bearer {team.app.oauth_token}"}
    async with team.session.get(f"{team.address}{team.path('/tarball/main')}", headers=headers, allow_redirects=False) as response:
        assert response.status == 302
        location = response.headers["Location"]
    async with team.session.get(location) as response:
        packed = await response.read()
    folder = f"{team.name.replace('/', '-')}-{sha[:7]}"
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        names = archive.getnames()
        member = archive.extractfile(f"{folder}/a/x")
        assert member is not None
        assert member.read() == b"hello\n"
    assert {name.split("/")[0] for name in names} == {folder}


async def test_a_check_run_collects_annotations_fifty_at_a_time(team: Team) -> None:
    sha = team.commit("one", a="1")
    team.git("push", "--quiet", "origin", "main")
    notes = [
        {"path": "a", "start_line": line, "end_line": line, "start_column": 3, "annotation_level": "failure", "message": "wrong"}
        for line in range(1, 52)
    ]
    output = {"title": "1 problem", "summary": "see below"}
    body: dict[str, Any] = {"name": "mergekey", "head_sha": sha, "output": output | {"annotations": notes}}
    with _refusal(422, "No more than 50 items are allowed; 51 were supplied."):
        await team.app.post(team.path("/check-runs"), data=body)
    made = await team.app.post(team.path("/check-runs"), data=body | {"output": output | {"annotations": notes[:50]}})
    assert made["status"] == "queued"
    more = {"conclusion": "failure", "output": output | {"annotations": notes[50:]}}
    done = await team.app.patch(team.path(f"/check-runs/{made['id']}"), data=more)
    assert (done["status"], done["conclusion"], done["output"]["annotations_count"]) == ("completed", "failure", 51)
    pages = [note async for note in team.app.getiter(team.path(f"/check-runs/{made['id']}/annotations?per_page=20"))]
    assert [note["start_line"] for note in pages] == list(range(1, 52))
    listed = await team.app.getitem(team.path(f"/commits/{sha}/check-runs"))
    assert [run["id"] for run in listed["check_runs"]] == [made["id"]]


async def test_a_check_run_needs_an_app_and_a_known_commit(team: Team) -> None:
    sha = team.commit("one", a="1")
    team.git("push", "--quiet", "origin", "main")
    with _refusal(403, "You must authenticate via a GitHub App."):
        await team.plain.post(team.path("/check-runs"), data={"name": "mergekey", "head_sha": sha})
    with _refusal(422, "No commit found for SHA"):
        await team.app.post(team.path("/check-runs"), data={"name": "mergekey", "head_sha": "1" * 40})


async def test_statuses_are_listed_newest_first_and_checked(team: Team) -> None:
    sha = team.commit("one", a="1")
    team.git("push", "--quiet", "origin", "main")
    path = team.path(f"/statuses/{sha}")
    await team.app.post(path, data={"state": "pending", "context": "mergekey/alpha/keys"})
    await team.plain.post(path, data={"state": "success", "context": "mergekey/alpha/keys", "description": "keys in vault"})
    listed = await team.app.getitem(team.path(f"/commits/{sha}/statuses"))
    assert [(status["state"], status["description"]) for status in listed] == [("success", "keys in vault"), ("pending", None)]
    with _refusal(422, "Validation Failed"):
        await team.app.post(path, data={"state": "success", "description": "x" * 141})
    with _refusal(422, "No commit found for SHA"):
        await team.app.post(team.path(f"/statuses/{'1' * 40}"), data={"state": "success"})


async def test_a_token_is_needed_and_an_app_proves_itself_with_a_short_lived_jwt(team: Team) -> None:
    stranger = GitHubAPI(team.session, "tests", base_url=team.address)
    with _refusal(401, "Requires authentication"):
        await stranger.getitem(team.path())
    with _refusal(401, "Bad credentials"):
        await stranger.getitem(team.path(), oauth_token="ghs_1_unknown")
    app = await team.standin("PUT", "app")
    url = f"/app/installations/{app['installation_id']}/access_tokens"
    long_lived = get_jwt(app_id=str(app["app_id"]), private_key=app["private_key"], expiration=1200)
    with _refusal(401, "too far in the future"):
        await stranger.post(url, data=b"", jwt=long_lived)
    claims = jwt.decode(long_lived, options={"verify_signature": False})
    with _refusal(401, "could not be decoded"):
        await stranger.post(url, data=b"", jwt=jwt.encode(claims, "k" * 32, algorithm="HS256"))
    assert team.app.oauth_token is not None
    assert team.app.oauth_token.startswith(f"ghs_{app['app_id']}_")


async def test_a_token_can_be_narrowed(team: Team) -> None:
    sha = team.commit("one", a="1")
    team.git("push", "--quiet", "origin", "main")
    app = await team.standin("PUT", "app")
    token = get_jwt(app_id=str(app["app_id"]), private_key=app["private_key"])
    wishes = {"permissions": {"contents": "read"}, "repositories": [team.name.split("/")[1]]}
    answer = await team.app.post(f"/app/installations/{app['installation_id']}/access_tokens", data=wishes, jwt=token)
    assert (await team.plain.getitem(team.path(), oauth_token=answer["token"]))["default_branch"] == "main"
    with _refusal(403, "Resource not accessible by integration"):
        await team.plain.post(team.path(f"/statuses/{sha}"), data={"state": "success"}, oauth_token=answer["token"])


async def test_a_repository_keeps_its_id(team: Team) -> None:
    before = await team.app.getitem(team.path())
    again = await team.standin("PUT", f"repositories/{team.name}", {"protected": False})
    assert again["id"] == before["id"]
    assert (before["full_name"], before["default_branch"]) == (team.name, "main")
