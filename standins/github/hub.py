"""What the handlers share: accounts, repositories, the store, and the wrapper that every API operation goes through."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from standins.github.accounts import Accounts, Caller, real_time
from standins.github.answers import Json, Refused, not_found
from standins.github.git import Repository
from standins.http import Handler
from standins.store import Store, Table
from standins.world import World

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LIMIT, _WINDOW = 5000, 3600


@dataclass
class Hosted:
    """A repository that is hosted here. `options` are what it was set up with: id, default_branch, protected, webhook_url, ..."""

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
    counters: Table = field(init=False)
    options: Table = field(init=False)
    _open: dict[str, Hosted] = field(default_factory=dict)
    _used: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self.accounts = Accounts(self.store)
        self.repositories = self.store.table("repositories")
        self.archives = self.store.table("archives")
        self.check_runs = self.store.table("check_runs")
        self.statuses = self.store.table("statuses")
        self.counters = self.store.table("counters")
        self.options = self.store.table("options")

    @property
    def address(self) -> str:
        return self.world.addresses["github"]

    def timestamp(self) -> str:
        return self.world.clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")

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
        options = {**before, **{key: value for key, value in wishes.items() if key in before and key not in ("id", "created_at")}}
        self.repositories[full_name] = options  # first of all, since the next repository's id counts the rows
        hosted = self.hosted(full_name)
        if not hosted.git.exists:
            await hosted.git.create(options["default_branch"])
        elif options["default_branch"] != before["default_branch"]:
            await hosted.git.git("symbolic-ref", "HEAD", f"refs/heads/{options['default_branch']}")  # Git refuses to delete this branch
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
        full_name = f"{owner}/{name}"
        if full_name not in self.repositories or (caller.repositories is not None and name not in caller.repositories):
            raise not_found()
        return self.hosted(full_name)

    def rate_limit(self, counts: bool) -> dict[str, str]:
        """The headers of every answer. They inform; to be throttled, a test injects a fault."""
        window = int(real_time()) // _WINDOW
        used = self._used[1] if self._used[0] == window else 0
        self._used = (window, used + counts)
        return {
            "x-ratelimit-limit": str(_LIMIT),
            "x-ratelimit-remaining": str(max(0, _LIMIT - self._used[1])),
            "x-ratelimit-used": str(self._used[1]),
            "x-ratelimit-reset": str((window + 1) * _WINDOW),
            "x-ratelimit-resource": "core",
        }

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


Operation = Callable[[Call], Awaitable[web.Response]]


def operation(hub: Hub, handler: Operation, permission: str, level: str = "read") -> Handler:
    """Check the token and its permission, find the repository, then answer with GitHub's headers."""

    async def checked(request: web.Request) -> web.StreamResponse:
        try:
            caller = hub.accounts.caller(request.headers.get("Authorization", ""))
            repository = hub.visible(caller, request.match_info["owner"], request.match_info["repo"])
            if not caller.may(permission, level):
                raise Refused(403, "Resource not accessible by integration")
            response = await handler(Call(hub, request, repository, caller))
        except Refused as refusal:
            response = refusal.response()
        response.headers.update(hub.rate_limit(counts=response.status != 304))
        return response

    return checked


def plain(handler: Callable[[web.Request], Awaitable[web.Response]]) -> Handler:
    """An operation that is not about a repository, or not GitHub's: only errors are translated."""

    async def translated(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refusal:
            return refusal.response()

    return translated
