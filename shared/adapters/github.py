"""GitHub: reading the branch. https://docs.github.com/rest/git, https://docs.github.com/rest/branches

The head is requested with an ETag (a 304 does not count against the rate limit); trees, blobs, archives and
histories of a commit never change, so they are cached by id.
"""

from __future__ import annotations

import asyncio
import base64
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from http import HTTPStatus
from typing import IO, Any, TypeVar
from urllib.parse import quote

import aiohttp
from gidgethub import HTTPException
from gidgethub.aiohttp import GitHubAPI
from gidgethub.apps import get_jwt
from gidgethub.sansio import accept_format
from jwt.algorithms import RSAAlgorithm

from shared.adapters.answers import instance, limited, require_origin, text
from shared.adapters.archive import MAX_PACKED_BYTES, too_large, unpack
from shared.adapters.github_answers import (
    SYSTEM,
    commits_of,
    entry_of,
    head_of,
    is_before,
    newest_day_of,
    note_answer,
)
from shared.adapters.sharing import Recent, SingleFlight
from shared.adapters.translate import understood, unexpected
from shared.calls import Call, counted
from shared.documents.strict_yaml import MAX_FILE_BYTES
from shared.errors import Rejected, Unavailable
from shared.git import Tree, blob_id
from shared.ports import Commit, Head

#: A token is renewed this long before it expires.
_EARLY = timedelta(minutes=5)
#: Commits on one page of a list (GitHub's most), and the pages of a history that are read.
_PAGE, _PAGES = 100, 3
#: To connect has no limit of its own: while an SDK is loaded the process looks at no connection for seconds.
_TIMEOUT, _DOWNLOAD = aiohttp.ClientTimeout(total=8), aiohttp.ClientTimeout(total=60)
#: Bytes: GitHub cuts off a tree at 7 MB, and files that are larger than a request may be are not asked for.
_MAX_ANSWER_BYTES, _MAX_IN_MEMORY = 32 * 1024 * 1024, 4 * 1024 * 1024
_MAX_PAGES = 100
#: GitHub's statuses for absent objects: 409 for an empty repository, 422 for an unknown object.
_ABSENT = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY)

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class AppKey:
    """A GitHub App's identity and the installation it acts for."""

    app_id: str
    private_key: str
    installation_id: int


def app_jwt(app_id: str, private_key: str) -> str:
    """What an App proves itself with for ten minutes. `private_key` is a PEM; PyJWT takes one that is read,
    too.
    """
    return get_jwt(app_id=app_id, private_key=_read_key(private_key))  # type: ignore[arg-type]


@lru_cache(maxsize=4)
def _read_key(private_key: str) -> object:
    """Reading a key checks its primes, which takes a hundred times as long as to sign with it."""
    return RSAAlgorithm(RSAAlgorithm.SHA256).prepare_key(private_key)


class _OneHost(GitHubAPI):
    """Refuses links to next pages and redirections that lead to another host, because the token would be sent
    there.
    """

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, Mapping[str, str], bytes]:
        require_origin(SYSTEM, url, self.base_url)
        with counted(SYSTEM, method) as call:
            return await self._answer(call, method, url, headers, body)

    async def _answer(
        self, call: Call, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        async with self._session.request(method, url, headers=headers, data=body) as response:
            require_origin(SYSTEM, str(response.url), self.base_url)
            # gidgethub would parse the rate limit, which is not used, and fail for an invalid number.
            kept = {
                name.lower(): value
                for name, value in response.headers.items()
                if name.lower() != "x-ratelimit-limit"
            }
            content = await limited(SYSTEM, response.content, _MAX_ANSWER_BYTES)
            note_answer(call, response.status, kept, content)
            return response.status, kept, content

    async def rows(self, path: str, jwt: str) -> AsyncGenerator[Any, None]:
        """The rows of a list, as `getiter` gives them. Raises for a response that is not a list, and for a
        list without an end.
        """
        for _ in range(_MAX_PAGES):
            page, more, _ = await self._make_request("GET", path, {}, b"", accept_format(), jwt=jwt)
            for row in instance(list, page):
                yield row
            if more is None:
                return
            path = more
        raise unexpected(SYSTEM, "the list does not end")


class GitHubClient:
    """One HTTP session and the token: of a GitHub App's installation (renewed in time), or a plain one."""

    def __init__(self, api_url: str, app: AppKey | None, token: str | None) -> None:
        self.session = aiohttp.ClientSession(timeout=_TIMEOUT)
        self._url = api_url.rstrip("/")
        self._app = app
        self._token = token
        self._expires: datetime | None = None
        self._renewing = asyncio.Lock()
        self._plain = _OneHost(self.session, "mergekey", base_url=self._url)
        self._cache: MutableMapping[str, Any] = {}
        self._conditional = _OneHost(self.session, "mergekey", base_url=self._url, cache=self._cache)

    @property
    def is_app(self) -> bool:
        """Whether the Checks API can be used."""
        return self._app is not None

    async def token(self) -> str:
        """A token that is valid for some minutes at least. Its length and form are not checked."""
        async with self._renewing:
            if self._app is not None and (
                self._expires is None or datetime.now(UTC) > self._expires - _EARLY
            ):
                path, proof = f"/app/installations/{self._app.installation_id}/access_tokens", self._jwt()
                with understood(SYSTEM):
                    answer = await self._plain.post(path, data=b"", jwt=proof)
                    token, expires = text(answer["token"]), datetime.fromisoformat(text(answer["expires_at"]))
                    self._token, self._expires = token, expires.astimezone(UTC)
        assert self._token is not None
        return self._token

    async def get(self, path: str) -> Any:
        """The answer's JSON."""
        return await self._asked(lambda token: self._plain.getitem(path, oauth_token=token))

    async def find(self, path: str, *, conditional: bool = False) -> Any:
        """The JSON of the response, or None for an absent object: 404, 409 for an empty repository, 422 for
        an unknown object.

        `conditional` asks with the ETag of the last answer.
        """
        api = self._conditional if conditional else self._plain

        async def ask(token: str) -> Any:
            try:
                found = await api.getitem(path, oauth_token=token)
            except HTTPException as error:
                if error.status_code in _ABSENT:
                    return None
                raise
            if found is None:
                raise unexpected(SYSTEM, "nothing")
            return found

        return await self._asked(ask)

    def forget(self) -> None:
        """Drop the cache, so that an invalid response is not used again by its ETag."""
        self._cache.clear()

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return await self._asked(lambda token: self._plain.post(path, data=body, oauth_token=token))

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return await self._asked(lambda token: self._plain.patch(path, data=body, oauth_token=token))

    async def listed_for_app(self, path: str) -> AsyncGenerator[Any, None]:
        """The rows of a list that only the App itself may see; a page is fetched when the one before has been
        read.
        """
        proof = self._jwt()
        with understood(SYSTEM):
            async for row in self._plain.rows(path, proof):
                yield row

    async def post_as_app(self, path: str) -> None:
        proof = self._jwt()
        with understood(SYSTEM):
            await self._plain.post(path, data=b"", jwt=proof)

    def _jwt(self) -> str:
        """Made outside of `understood`: an invalid private key is not an invalid response."""
        assert self._app is not None
        return app_jwt(self._app.app_id, self._app.private_key)

    async def download(self, path: str, into: IO[bytes]) -> None:
        """Writes a file into `into`, which is empty. GitHub redirects to a host that gets no token: aiohttp
        takes it off.
        """
        await self._asked(lambda token: self._download(path, token, into))

    async def _download(self, path: str, token: str, into: IO[bytes]) -> None:
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "mergekey"}
        with counted(SYSTEM, "GET") as call:
            async with self.session.get(f"{self._url}{path}", headers=headers, timeout=_DOWNLOAD) as response:
                if response.status == HTTPStatus.OK:
                    await _copy(response, into)
                note_answer(call, response.status, response.headers)
        if response.status != HTTPStatus.OK:
            raise HTTPException(HTTPStatus(response.status), headers=response.headers)

    async def _asked(self, ask: Callable[[str], Awaitable[V]]) -> V:
        """The response to a call with our token, or with a new one after 401: the old one may have expired
        early, or by GitHub's clock.
        """
        token = await self.token()
        with understood(SYSTEM):
            try:
                return await ask(token)
            except HTTPException as error:
                if self._app is None or error.status_code != HTTPStatus.UNAUTHORIZED:
                    raise
        if self._token == token:
            self._expires = None
        token = await self.token()
        with understood(SYSTEM):
            return await ask(token)

    async def close(self) -> None:
        await self.session.close()


async def _copy(response: aiohttp.ClientResponse, into: IO[bytes]) -> None:
    async for chunk in response.content.iter_any():
        into.write(chunk)
        if into.tell() > MAX_PACKED_BYTES:
            raise too_large()


class GitHubRepository:
    """The repository of requests at GitHub. `name` is `owner/repository`, `is_read` says of which files an
    archive has the content.
    """

    def __init__(
        self, client: GitHubClient, name: str, branch: str, is_read: Callable[[str], bool] = bool
    ) -> None:
        self._client = client
        self._base = f"/repos/{name}"
        self._branch = branch
        self._is_read = is_read
        self._trees: Recent[Tree] = Recent(8)
        #: The trees of the branch's last heads, by commit: a push is compared with the one before.
        self._trees_of: Recent[str] = Recent(64)
        self._blobs: Recent[bytes] = Recent(512)
        self._archives: Recent[Mapping[str, bytes]] = Recent(1)
        self._downloads: SingleFlight[Mapping[str, bytes]] = SingleFlight()
        self._histories: Recent[tuple[Commit, ...]] = Recent(2)
        self._ancestors: Recent[bool] = Recent(2048)
        self._days: Recent[date] = Recent(512)
        self._files: Recent[bytes] = Recent(8192)

    async def head(self) -> Head | None:
        branch = await self._client.find(f"{self._base}/branches/{self._branch}", conditional=True)
        if branch is None:
            # Tell a missing branch from a repository that cannot be read, which raises.
            await self._client.get(self._base)
            return None
        try:
            with understood(SYSTEM):
                head = head_of(branch)
        except Unavailable:
            self._client.forget()
            raise
        self._trees_of.put(head.commit, head.tree)
        asked_by_commit = self._trees.get(head.commit)
        if asked_by_commit is not None:
            self._trees.put(head.tree, asked_by_commit)
        return head

    async def commit_message(self, sha: str) -> str:
        answer = await self._client.find(f"{self._base}/git/commits/{sha}")
        with understood(SYSTEM):
            return "" if answer is None else instance(str, answer["message"])

    async def newest_commits(self, head: str) -> list[Commit]:
        known = self._histories.get(head)
        if known is not None:
            return list(known)
        found: list[Commit] = []
        for number in range(1, _PAGES + 1):
            answer = await self._client.find(
                f"{self._base}/commits?sha={head}&per_page={_PAGE}&page={number}"
            )
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
        # An absent commit may still arrive, so this result is not cached.
        return False if answer is None else self._ancestors.put(compared, is_before(answer))

    async def changed_on(self, path: str, head: str) -> date | None:
        key = f"{head} {path}"
        known = self._days.get(key)
        if known is not None:
            return known
        answer = await self._client.find(
            f"{self._base}/commits?sha={head}&path={quote(path, safe='')}&per_page=1"
        )
        day = None if answer is None else newest_day_of(answer)
        return None if day is None else self._days.put(key, day)

    async def tree(self, sha: str) -> Tree | None:
        known = self._trees.get(self._trees_of.get(sha) or sha)
        if known is not None:
            return known
        answer = await self._client.find(f"{self._base}/git/trees/{sha}?recursive=1")
        if answer is None:
            return None
        with understood(SYSTEM):
            if answer.get("truncated"):
                raise Rejected(
                    f"the tree {sha} has too many files for one answer of GitHub", reason="TreeTruncated"
                )
            return self._trees.put(
                self._trees_of.get(sha) or sha,
                {text(entry["path"]): entry_of(entry) for entry in answer["tree"] if entry["type"] != "tree"},
            )

    async def blob(self, sha: str) -> bytes:
        known = self._blobs.get(sha)
        if known is not None:
            return known
        answer = await self._client.get(f"{self._base}/git/blobs/{sha}")
        with understood(SYSTEM):
            content = base64.b64decode(answer["content"])
            if blob_id(content, len(sha)) != sha:
                raise unexpected(SYSTEM, f"another content than that of {sha}")
            return self._blobs.put(sha, content)

    async def file(self, commit: str, path: str) -> bytes | None:
        """GitHub follows symbolic links without saying so: callers must know that the path is not one."""
        key = f"{commit} {path}"
        known = self._files.get(key)
        if known is not None:
            return known
        answer = await self._client.find(f"{self._base}/contents/{quote(path)}?ref={commit}")
        with understood(SYSTEM):
            if not isinstance(answer, dict) or answer["type"] != "file" or answer["size"] > MAX_FILE_BYTES:
                return None
            return self._files.put(key, base64.b64decode(answer["content"]))

    async def archive(self, commit: str) -> Mapping[str, bytes]:
        """Concurrent stages share the download of a commit."""
        known = self._archives.get(commit)
        return (
            known if known is not None else await self._downloads.share(commit, lambda: self._archive(commit))
        )

    async def _archive(self, commit: str) -> Mapping[str, bytes]:
        # A small one stays in memory.
        with tempfile.SpooledTemporaryFile(max_size=_MAX_IN_MEMORY) as packed:
            await self._client.download(f"{self._base}/tarball/{commit}", packed)
            return self._archives.put(commit, await asyncio.to_thread(unpack, SYSTEM, packed, self._is_read))
