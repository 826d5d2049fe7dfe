"""What the handlers share: accounts, repositories, the store, and the wrappers that every API operation goes
through.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

from standins.github.accounts import Accounts, Caller, same
from standins.github.answers import Json, Refused, empty_repository, not_found
from standins.github.git import Repository
from standins.github.limits import Limits
from standins.http import Handler
from standins.store import Store, Table
from standins.world import Options, Right, World

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: How the server behaves; `standins.github` says what each option means.
DEFAULTS = {
    "rate_limit": 5000,
    "limit_status": 403,
    "secondary_limits": False,
    "tree_entries": 100_000,
    "tree_bytes": 7 * 1024 * 1024,
    "webhook_delay": 0,
    "webhook_copies": 1,
    "webhook_hold": 0,
    "webhook_timeout": 10,
}


@dataclass
class Hosted:
    """A repository that is hosted here. `options` are what it was set up with: id, default_branch, protected,
    webhook_url, ...
    """

    owner: str
    name: str
    git: Repository
    options: Json

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def id(self) -> int:
        return int(self.options["id"])

    async def commit(self, ref: str) -> str | None:
        """The commit behind a branch, a tag or an id."""
        names = (f"refs/heads/{ref}", f"refs/tags/{ref}", ref)
        for name in names:
            if sha := await self.git.resolve(name, "commit"):
                return sha
        return None


@dataclass
class Hub:
    """The stand-in's state."""

    world: World
    store: Store
    accounts: Accounts = field(init=False)
    repositories: Table = field(init=False)
    archives: Table = field(init=False)
    check_runs: Table = field(init=False)
    statuses: Table = field(init=False)
    #: By repository and commit, oldest first: what `statuses` holds, for reading.
    statuses_of: defaultdict[str, list[Json]] = field(init=False)
    options: Options = field(init=False)
    limits: Limits = field(init=False)
    _open: dict[str, Hosted] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.accounts = Accounts(self.store, self.world.clock)
        self.repositories = self.store.table("repositories")
        self.archives = self.store.table("archives")
        self.check_runs = self.store.table("check_runs")
        self.statuses = self.store.table("commit_statuses")
        self.statuses_of = defaultdict(list)
        for row in self.statuses.values():
            self.statuses_of[row["commit"]].append(row["status"])
        self.options = self.world.options_of("github", DEFAULTS)
        self.limits = Limits(self.world.clock, self.store.table("used"), self.options)

    @property
    def address(self) -> str:
        return self.world.addresses["github"]

    def timestamp(self) -> str:
        return utc(self.world.clock.now())

    def for_clients(self, seconds: float) -> str:
        """A moment of the world's clock as a client's clock will show it, for what a client compares with its
        own: nobody moves that.
        """
        return utc(seconds - self.world.clock.offset)

    def next_id(self, table: Table, first: int) -> int:
        """Ids rise and are never given twice, since nothing is removed from these tables."""
        return first + len(table)

    async def set_up(self, owner: str, name: str, wishes: Json) -> Hosted:
        """Create the repository or change its options. Its id stays. Raises `Refused`."""
        if not (_NAME.fullmatch(owner) and _NAME.fullmatch(name)):
            raise Refused(422, "Repository creation failed.")
        full_name = f"{owner}/{name}"
        before = self.repositories.get(full_name) or {
            "id": self.next_id(self.repositories, 700_000_001),
            "created_at": self.timestamp(),
            "default_branch": "main",
            "protected": True,
            "webhook_url": None,
            "webhook_secret": None,
        }
        options = {
            **before,
            **{
                key: value
                for key, value in wishes.items()
                if key in before and key not in ("id", "created_at")
            },
        }
        self.repositories[full_name] = options  # first of all, since the next repository's id counts the rows
        hosted = self.hosted(full_name)
        if not hosted.git.exists:
            await hosted.git.create(options["default_branch"])
        elif options["default_branch"] != before["default_branch"]:
            # Git refuses to delete this branch
            await hosted.git.git("symbolic-ref", "HEAD", f"refs/heads/{options['default_branch']}")
        return hosted

    def hosted(self, full_name: str) -> Hosted:
        """Raises KeyError."""
        options = self.repositories[full_name]
        if full_name not in self._open:
            owner, _, name = full_name.partition("/")
            self._open[full_name] = Hosted(owner, name, self._git(owner, name), options)
        self._open[full_name].options = options
        return self._open[full_name]

    def visible(self, caller: Caller, owner: str, name: str) -> Hosted:
        """The repository, if the caller may know of it. Raises `Refused` (404)."""
        known = next((each for each in self.repositories if same(each, f"{owner}/{name}")), None)
        if known is None or not caller.sees(owner, name):
            raise not_found()
        return self.hosted(known)

    def _git(self, owner: str, name: str) -> Repository:
        return Repository(self.world.folder / "repositories" / owner / f"{name}.git")

    async def close(self) -> None:
        for hosted in self._open.values():
            await hosted.git.close()
        self.store.close()


@dataclass(frozen=True)
class Call:
    """One authorised request about one repository."""

    hub: Hub
    request: web.Request
    repository: Hosted
    caller: Caller

    def part(self, name: str) -> str:
        return self.request.match_info[name]

    def url(self, path: str) -> str:
        """An API URL below the repository."""
        return f"{self.hub.address}/repos/{self.repository.full_name}{path}"


async def missing(call: Call, usual: Refused | None = None) -> Refused:
    """Why an object is not there: a repository without commits says so first."""
    return empty_repository() if await call.repository.git.is_empty() else usual or not_found()


Operation = Callable[[Call], Awaitable[web.Response]]
TokenOperation = Callable[[Hub, Caller, web.Request], Awaitable[web.Response]]


def operation(hub: Hub, handler: Operation, permission: str, level: str = "read") -> Handler:
    """Find the repository and check the token's permission, then answer."""

    async def about_a_repository(_: Hub, caller: Caller, request: web.Request) -> web.Response:
        repository = hub.visible(caller, request.match_info["owner"], request.match_info["repo"])
        if not caller.may(permission, level):
            raise Refused(403, "Resource not accessible by integration")
        hub.world.rights.add(Right("github", caller.name, f"{permission} {level}", repository.full_name))
        return await handler(Call(hub, request, repository, caller))

    return with_token(hub, about_a_repository)


def with_token(hub: Hub, handler: TokenOperation, *, free: bool = False) -> Handler:
    """Check the token and the caller's limits, unless the operation is free, then answer with GitHub's
    headers.
    """

    async def admitted(caller: Caller, request: web.Request) -> web.Response:
        with hub.limits.admit(caller.name, request.method):
            response = await _refused(handler(hub, caller, request))
        if response.status != 304:
            hub.limits.count(caller.name)
        return response

    async def limited(request: web.Request) -> web.Response:
        caller = hub.accounts.caller(request.headers.get("Authorization", ""))
        response = await _refused(handler(hub, caller, request) if free else admitted(caller, request))
        response.headers.update(hub.limits.headers(caller.name))
        return response

    return plain(limited)


def as_app(hub: Hub, handler: Callable[[Hub, web.Request], Awaitable[web.Response]]) -> Handler:
    """An operation that the App itself asks for, with its JWT."""

    async def signed(request: web.Request) -> web.Response:
        hub.accounts.verify_app(request.headers.get("Authorization", ""))
        return await handler(hub, request)

    return plain(signed)


def plain(handler: Callable[[web.Request], Awaitable[web.Response]]) -> Handler:
    """Only errors are translated."""

    async def translated(request: web.Request) -> web.StreamResponse:
        return await _refused(handler(request))

    return translated


async def _refused(answering: Awaitable[web.Response]) -> web.Response:
    try:
        return await answering
    except Refused as refusal:
        return refusal.response()


def utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
