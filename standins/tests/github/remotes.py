"""A repository at the GitHub stand-in with a clone of it, clients that ask about it, and a receiver of its
webhooks.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import aiohttp
import gidgethub
import pytest
from aiohttp import web
from gidgethub.aiohttp import GitHubAPI
from gidgethub.apps import get_jwt
from jwt.algorithms import RSAAlgorithm

from standins.control import Control
from standins.tests.plugin import StandIns

SECRET = "It's a Secret to Everybody"
_ENVIRONMENT = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@contoso.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@contoso.com",
}


@lru_cache
def _read_key(private_key: str) -> object:
    """Reading a key checks its primes, which takes a hundred times as long as to sign with it."""
    return RSAAlgorithm(RSAAlgorithm.SHA256).prepare_key(private_key)


@dataclass
class Receiver:
    """A webhook receiver: what came, oldest first. It answers with `status`, as long as `answers` is set."""

    url: str = ""
    status: int = 202
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        async with self.arrived:
            self.arrived.notify_all()
        await self.answers.wait()
        return web.Response(status=self.status, text="seen")

    async def next(self, count: int = 1) -> tuple[dict[str, str], Any]:
        """Headers and payload of the request number `count`, as soon as it is there."""
        async with asyncio.timeout(300), self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= count)
        headers, body = self.requests[count - 1]
        return headers, json.loads(body)

    def heads(self) -> list[str]:
        """Where the branches are after each push that came."""
        return [json.loads(body)["after"] for _, body in self.requests]


@dataclass
class Remote:
    """A repository of an account of its own, where the App is installed. `app` has a token of the
    installation, `plain` a person's.
    """

    control: Control
    address: str
    account: str
    name: str
    clone: Path
    pushes: Path
    session: aiohttp.ClientSession
    receiver: Receiver
    app: GitHubAPI
    plain: GitHubAPI
    installed: dict[str, Any] = field(default_factory=dict)

    def path(self, rest: str = "") -> str:
        return f"/repos/{self.name}{rest}"

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.clone, env=_ENVIRONMENT, check=True, capture_output=True, text=True
        )
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

    def push(self, message: str, **files: str | None) -> str:
        """`commit`, and push the branch."""
        sha = self.commit(message, **files)
        self.git("push", "--quiet", "origin", "HEAD")
        return sha

    async def nothing_to_announce(self) -> bool:
        """Whether the stand-in has seen every push."""
        return not any(self.pushes.iterdir())

    async def standin(self, method: str, path: str, body: Any = None) -> Any:
        async with self.session.request(method, f"{self.address}/_standin/{path}", json=body) as response:
            return await response.json()

    async def set_up(self, **options: Any) -> Any:
        return await self.standin("PUT", f"repositories/{self.name}", options)

    async def install(self, **wishes: Any) -> Any:
        """The App on this account."""
        return await self.standin("PUT", "app", {"account": self.account, **wishes})

    @property
    def jwt(self) -> str:
        """What the App proves itself with."""
        key: Any = _read_key(self.installed["private_key"])
        return get_jwt(app_id=str(self.installed["app_id"]), private_key=key)

    async def token(self, **wishes: Any) -> str:
        """A new token of the installation."""
        url = f"/app/installations/{self.installed['installation_id']}/access_tokens"
        return str((await self.app.post(url, data=wishes or b"", jwt=self.jwt))["token"])

    async def ask(self, path: str, **headers: str) -> aiohttp.ClientResponse:
        """A GET as the App, for what gidgethub does not show; redirects are not followed."""
        headers = {"Authorization": f"Bearer {self.app.oauth_token}", **headers}
        async with self.session.get(
            f"{self.address}{path}", headers=headers, allow_redirects=False
        ) as response:
            await response.read()
        return response


@asynccontextmanager
async def a_remote(standins: StandIns, folder: Path) -> AsyncIterator[Remote]:
    """A new one."""
    address, account = standins.addresses["github"], f"contoso-{uuid.uuid4().hex[:8]}"
    pushes = standins.folder / "repositories" / ".pushes"
    async with aiohttp.ClientSession() as session, _receiver() as receiver:
        app, plain = (GitHubAPI(session, "tests", base_url=address) for _ in range(2))
        remote = Remote(
            standins.control,
            address,
            account,
            f"{account}/access",
            folder / "clone",
            pushes,
            session,
            receiver,
            app,
            plain,
        )
        remote.installed = await remote.install()
        remote.app.oauth_token = await remote.token()
        remote.plain.oauth_token = (await remote.standin("PUT", "tokens", {"login": account}))["token"]
        made = await remote.set_up()
        remote.clone.mkdir()
        remote.git("clone", "--quiet", made["git_url"], ".")
        yield remote


@asynccontextmanager
async def _receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    receiver.answers.set()
    app = web.Application(client_max_size=30_000_000)
    app.router.add_post("/hook", receiver.receive)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield receiver
    receiver.answers.set()
    await runner.cleanup()


@contextmanager
def options(control: Control, **wishes: Any) -> Iterator[None]:
    """The stand-in behaves otherwise inside this block."""
    before = control.options("github")
    control.set_options("github", **wishes)
    try:
        yield
    finally:
        control.set_options("github", **{name: before[name] for name in wishes})


@contextmanager
def faults(control: Control, kind: str, **wishes: Any) -> Iterator[None]:
    """The next calls of this kind go wrong inside this block."""
    control.fault("github", kind, **wishes)
    try:
        yield
    finally:
        control.forget_faults()


def refusal(status: int, message: str) -> Any:
    """For `with`: gidgethub raises an answer of this status whose message has this in it."""

    def matches(error: gidgethub.HTTPException) -> bool:
        return error.status_code == status and message in str(error)

    return pytest.RaisesExc(gidgethub.HTTPException, check=matches)


def signature(body: bytes, algorithm: Callable[[], Any]) -> str:
    return hmac.new(SECRET.encode(), body, algorithm).hexdigest()


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """The first true value of the condition."""
    for _ in range(3000):
        if value := await condition():
            return value
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come true")
