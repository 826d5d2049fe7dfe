"""GitHub: reading the branch. https://docs.github.com/rest/git, https://docs.github.com/rest/branches

The head is asked for with an ETag (a 304 costs nothing of the rate limit); trees, blobs, archives
and what came before a commit never change, so they are kept by id.
"""

from __future__ import annotations

import asyncio
import base64
import io
import tarfile
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import aiohttp
from gidgethub import HTTPException
from gidgethub.aiohttp import GitHubAPI
from gidgethub.apps import get_installation_access_token, get_jwt

from shared.adapters.github_answers import commits_of, is_before, newest_day_of
from shared.adapters.translate import translated
from shared.domain.push import Entry, Tree
from shared.errors import Busy, Rejected, Unavailable
from shared.ports import Commit, Head

SYSTEM = "GitHub"
#: A token is renewed this long before it expires.
_EARLY = timedelta(minutes=5)
#: Files of an archive are cut after this: one byte more than a request may have tells that it is too large.
_CUT = 64 * 1024 + 1
#: Commits on one page of a list (GitHub's most), and the pages of a history that are read.
_PAGE, _PAGES = 100, 3
_TIMEOUT = aiohttp.ClientTimeout(total=8, connect=3)

V = TypeVar("V")


class Recent(Generic[V]):
    """The values used last, for things that never change."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[str, V] = OrderedDict()

    def get(self, key: str) -> V | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: str, value: V) -> V:
        self._values[key] = value
        if len(self._values) > self._most:
            self._values.popitem(last=False)
        return value


@dataclass(frozen=True, slots=True)
class AppKey:
    """A GitHub App's identity and the installation it acts for."""

    app_id: str
    private_key: str
    installation_id: int


class GitHubClient:
    """One HTTP session and the token: of a GitHub App's installation (renewed in time), or a plain one."""

    def __init__(self, api_url: str, app: AppKey | None, token: str | None) -> None:
        self.session = aiohttp.ClientSession(timeout=_TIMEOUT)
        self._url = api_url.rstrip("/")
        self._app = app
        self._token = token
        self._expires: datetime | None = None
        self._renewing = asyncio.Lock()
        self._plain = GitHubAPI(self.session, "mergekey", base_url=self._url)
        conditional: MutableMapping[str, Any] = {}
        self._conditional = GitHubAPI(self.session, "mergekey", base_url=self._url, cache=conditional)

    @property
    def is_app(self) -> bool:
        """Whether the Checks API is open to us."""
        return self._app is not None

    async def token(self) -> str:
        """A token that works for some minutes at least. Its length and form are GitHub's business."""
        async with self._renewing:
            if self._app is not None and (self._expires is None or datetime.now(UTC) > self._expires - _EARLY):
                app = self._app
                answer = await get_installation_access_token(
                    self._plain, installation_id=str(app.installation_id), app_id=app.app_id, private_key=app.private_key
                )
                self._token = str(answer["token"])
                self._expires = datetime.fromisoformat(str(answer["expires_at"]))
        assert self._token is not None
        return self._token

    async def get(self, path: str) -> Any:
        """The answer's JSON."""
        with translated(SYSTEM):
            return await self._get(path, conditional=False)

    async def find(self, path: str, *, conditional: bool = False) -> Any:
        """The answer's JSON, or None for what GitHub does not have: 404, 409 for an empty repository, 422 for an unknown object.

        `conditional` asks with the ETag of the last answer.
        """
        try:
            with translated(SYSTEM):
                return await self._get(path, conditional)
        except (Busy, Rejected):
            return None
        except Unavailable as error:
            if error.reason == "NotFound":
                return None
            raise

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        with translated(SYSTEM):
            return await self._asked(lambda token: self._plain.post(path, data=body, oauth_token=token))

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        with translated(SYSTEM):
            return await self._asked(lambda token: self._plain.patch(path, data=body, oauth_token=token))

    async def listed_for_app(self, path: str) -> AsyncGenerator[Any, None]:
        """The rows of a list that only the App itself may see; a page is fetched when the one before has been read."""
        with translated(SYSTEM):
            async for row in self._plain.getiter(path, jwt=self._jwt()):
                yield row

    async def post_as_app(self, path: str) -> None:
        with translated(SYSTEM):
            await self._plain.post(path, data=b"", jwt=self._jwt())

    def _jwt(self) -> str:
        assert self._app is not None
        return get_jwt(app_id=self._app.app_id, private_key=self._app.private_key)

    async def _get(self, path: str, conditional: bool) -> Any:
        api = self._conditional if conditional else self._plain
        return await self._asked(lambda token: api.getitem(path, oauth_token=token))

    async def download(self, path: str) -> bytes:
        """The bytes of a file, after redirects."""
        with translated(SYSTEM):
            return await self._asked(lambda token: self._download(path, token))

    async def _download(self, path: str, token: str) -> bytes:
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "mergekey"}
        async with self.session.get(f"{self._url}{path}", headers=headers, timeout=aiohttp.ClientTimeout(total=60)) as response:
            if response.status != HTTPStatus.OK:
                raise HTTPException(HTTPStatus(response.status), headers=response.headers)
            return await response.read()

    async def _asked(self, ask: Callable[[str], Awaitable[V]]) -> V:
        """What GitHub answers to our token, or to a new one: the old one may have ended before its time, or by GitHub's clock."""
        token = await self.token()
        try:
            return await ask(token)
        except HTTPException as error:
            if self._app is None or error.status_code != HTTPStatus.UNAUTHORIZED:
                raise
        if self._token == token:
            self._expires = None
        return await ask(await self.token())

    async def close(self) -> None:
        await self.session.close()


class GitHubRepository:
    """The repository of requests at GitHub. `name` is `owner/repository`."""

    def __init__(self, client: GitHubClient, name: str, branch: str) -> None:
        self._client = client
        self._base = f"/repos/{name}"
        self._branch = branch
        self._trees: Recent[Tree] = Recent(8)
        self._blobs: Recent[bytes] = Recent(512)
        self._archives: Recent[Mapping[str, bytes]] = Recent(1)
        self._histories: Recent[tuple[Commit, ...]] = Recent(2)
        self._ancestors: Recent[bool] = Recent(2048)
        self._days: Recent[date] = Recent(512)

    async def head(self) -> Head | None:
        branch = await self._client.find(f"{self._base}/branches/{self._branch}", conditional=True)
        if branch is None:
            # No such branch, or no right to see the repository? The second is trouble, and raises.
            await self._client.get(self._base)
            return None
        commit = branch["commit"]["commit"]
        return Head(branch["commit"]["sha"], commit["tree"]["sha"], bool(branch.get("protected")), commit["message"])

    async def commit_message(self, sha: str) -> str:
        answer = await self._client.find(f"{self._base}/git/commits/{sha}")
        return "" if answer is None else str(answer["message"])

    async def newest_commits(self, head: str) -> list[Commit]:
        known = self._histories.get(head)
        if known is not None:
            return list(known)
        found: list[Commit] = []
        for number in range(1, _PAGES + 1):
            answer = await self._client.find(f"{self._base}/commits?sha={head}&per_page={_PAGE}&page={number}")
            if answer is None:
                return []
            page = commits_of(answer)
            found += page
            if len(page) < _PAGE:
                break
        return list(self._histories.put(head, tuple(found)))

    async def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        if ancestor == descendant:
            return True
        compared = f"{ancestor}...{descendant}"
        known = self._ancestors.get(compared)
        if known is not None:
            return known
        # Only the status is read: one commit keeps the answer small.
        answer = await self._client.find(f"{self._base}/compare/{compared}?per_page=1")
        # What GitHub does not have may still come: that it is no ancestor is not kept.
        return False if answer is None else self._ancestors.put(compared, is_before(answer))

    async def changed_on(self, path: str, head: str) -> date | None:
        key = f"{head} {path}"
        known = self._days.get(key)
        if known is not None:
            return known
        answer = await self._client.find(f"{self._base}/commits?sha={head}&path={quote(path, safe='')}&per_page=1")
        day = None if answer is None else newest_day_of(answer)
        return None if day is None else self._days.put(key, day)

    async def tree(self, sha: str) -> Tree | None:
        known = self._trees.get(sha)
        if known is not None:
            return known
        answer = await self._client.find(f"{self._base}/git/trees/{sha}?recursive=1")
        if answer is None:
            return None
        if answer.get("truncated"):
            raise Rejected(f"the tree {sha} has too many files for one answer of GitHub", reason="TreeTruncated")
        entries = [entry for entry in answer["tree"] if entry["type"] != "tree"]
        return self._trees.put(sha, {entry["path"]: Entry(entry["sha"], entry["mode"], entry.get("size", 0)) for entry in entries})

    async def blob(self, sha: str) -> bytes:
        known = self._blobs.get(sha)
        if known is not None:
            return known
        answer = await self._client.get(f"{self._base}/git/blobs/{sha}")
        return self._blobs.put(sha, base64.b64decode(answer["content"]))

    async def archive(self, commit: str) -> Mapping[str, bytes]:
        known = self._archives.get(commit)
        if known is not None:
            return known
        packed = await self._client.download(f"{self._base}/tarball/{commit}")
        return self._archives.put(commit, await asyncio.to_thread(_unpack, packed))


def _unpack(packed: bytes) -> dict[str, bytes]:
    """Regular files by their path in the repository: the archive's top folder is cut off."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            if content is not None:
                files[member.name.partition("/")[2]] = content.read(_CUT)
    return files
