"""What is kept of a repository's archive, how often it is fetched, and what is too much of it."""

from __future__ import annotations

import asyncio
import gzip
import io
import tarfile
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from shared.adapters.archive import CUT_AFTER, Bounds, unpack
from shared.adapters.github import AppKey, GitHubClient, GitHubRepository
from shared.errors import MergekeyError, Rejected, Unavailable
from standins.tests.github.remotes import Remote, a_remote
from standins.tests.plugin import StandIns

MIB = 2**20


def packed(files: Mapping[str, bytes]) -> bytes:
    """A `.tar.gz` of these files."""
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w:gz", compresslevel=1) as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return into.getvalue()


def _is_request(path: str) -> bool:
    return path.startswith("requests/")


def _kept(content: bytes) -> dict[str, bytes]:
    return unpack("GitHub", io.BytesIO(content), _is_request)


def test_only_what_is_read_is_kept() -> None:
    files = {
        "top/requests/a": b"a",
        "top/docs/b": b"b",
        "top/requests/large": bytes(100_000),
        f"top/requests/{'x' * 200}": b"long",
    }
    assert _kept(packed(files)) == {
        "requests/a": b"a",
        "requests/large": bytes(CUT_AFTER),
        f"requests/{'x' * 200}": b"long",
    }


def test_what_nobody_reads_takes_no_memory() -> None:
    """64 MiB of other files beside one request."""
    content = packed(
        {**{f"top/docs/{number}": bytes(64 * 1024) for number in range(1024)}, "top/requests/a": b"a"}
    )
    tracemalloc.start()
    try:
        assert _kept(content) == {"requests/a": b"a"}
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


def _long_path(size: int) -> bytes:
    """An extended header of so many bytes."""
    entry = tarfile.TarInfo("top/pax")
    entry.type, entry.size = tarfile.XHDTYPE, size
    return gzip.compress(entry.tobuf() + bytes(size) + bytes(1024))


@pytest.mark.parametrize(
    "content",
    [
        packed({"top/docs/zero": bytes(3 * MIB)}),
        packed({f"top/requests/{number}": bytes(64 * 1024) for number in range(4)}),
        packed({f"top/{number}": b"" for number in range(101)}),
        _long_path(MIB),
    ],
    ids=["unpacks to too much", "too much to keep", "too many entries", "a header that is read at once"],
)
def test_too_much_is_refused(content: bytes) -> None:
    bounds = Bounds(unpacked=2 * MIB, kept=200_000, entries=100)
    with pytest.raises(Rejected) as refused:
        unpack("GitHub", io.BytesIO(content), _is_request, bounds)
    assert refused.value.reason == "ArchiveTooLarge"


WHOLE = packed({"top/requests/a": bytes(range(256)) * 2000})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        gzip.compress(b"no archive"),
        WHOLE[: len(WHOLE) // 2],
        WHOLE[:20] + bytes(100),
        packed({})[:-12],
    ],
    ids=["empty", "HTML", "no tar", "cut off", "spoilt", "cut off at the end"],
)
def test_what_is_no_archive_makes_no_sense(content: bytes) -> None:
    with pytest.raises(Unavailable) as refused:
        _kept(content)
    assert refused.value.reason == "UnexpectedAnswer"


# ------------------------------------------------------------------------------------------------ on the wire


@pytest.fixture
async def remote(standins: StandIns, tmp_path: Path) -> AsyncIterator[Remote]:
    async with a_remote(standins, tmp_path) as remote:
        yield remote
        standins.control.forget_faults()


@pytest.fixture
async def repository(remote: Remote) -> AsyncIterator[GitHubRepository]:
    key = AppKey(
        str(remote.installed["app_id"]), remote.installed["private_key"], remote.installed["installation_id"]
    )
    client = GitHubClient(remote.address, key, None)
    yield GitHubRepository(client, remote.name, "main", _is_request)
    await client.close()


def _downloads(remote: Remote) -> int:
    return sum(
        call.kind == "GET tarball" and remote.name in call.target for call in remote.control.calls("github")
    )


async def test_one_download_serves_all_who_ask_at_once_and_later(
    remote: Remote, repository: GitHubRepository
) -> None:
    commit = remote.push("one", requests_a="1", docs_b="2")
    found = await asyncio.gather(*(repository.archive(commit) for _ in range(8)))
    assert [dict(each) for each in [*found, await repository.archive(commit)]] == [{"requests/a": b"1"}] * 9
    assert _downloads(remote) == 1


async def test_a_failure_is_shared_and_not_kept(remote: Remote, repository: GitHubRepository) -> None:
    commit = remote.push("one", requests_a="1")
    remote.control.fault("github", "GET archive", status=200, body="no archive", seconds=0.2)
    failed = await asyncio.gather(*(repository.archive(commit) for _ in range(3)), return_exceptions=True)
    assert [isinstance(each, MergekeyError) and each.reason for each in failed] == ["UnexpectedAnswer"] * 3
    assert _downloads(remote) == 1
    assert await repository.archive(commit) == {"requests/a": b"1"}


async def test_who_stops_waiting_takes_nothing_from_the_others(
    remote: Remote, repository: GitHubRepository
) -> None:
    commit = remote.push("one", requests_a="1")
    first, second = (asyncio.create_task(repository.archive(commit)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == {"requests/a": b"1"}
    assert first.cancelled()


async def test_a_branch_that_makes_no_sense_is_not_remembered(
    remote: Remote, repository: GitHubRepository
) -> None:
    """Asked with its ETag GitHub would say that nothing has changed."""
    commit = remote.push("one", requests_a="1")
    tag = (await remote.ask(remote.path("/branches/main"))).headers["ETag"]
    remote.control.fault("github", "GET branch", status=200, body="{}", headers={"ETag": tag})
    with pytest.raises(Unavailable, match="UnexpectedAnswer"):
        await repository.head()
    head = await repository.head()
    assert head is not None
    assert head.commit == commit


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "7",
        "[]",
        "{}",
        "<html>",
        '{"tree": 5, "content": 5, "message": 5, "commit": 5}',
        '{"tree": [{}]}',
    ],
)
async def test_what_github_says_without_sense_is_a_trouble_that_may_pass(
    remote: Remote, repository: GitHubRepository, body: str
) -> None:
    commit = remote.push("one", requests_a="1")
    for kind, ask in (
        ("GET branch", repository.head),
        ("GET tree", lambda: repository.tree(commit)),
        ("GET blob", lambda: repository.blob("1" * 40)),
        ("GET git commit", lambda: repository.commit_message(commit)),
    ):
        remote.control.fault("github", kind, status=200, body=body)
        with pytest.raises(Unavailable, match="UnexpectedAnswer"):
            await ask()


async def test_another_content_than_the_one_that_was_asked_for_is_not_believed(
    remote: Remote, repository: GitHubRepository
) -> None:
    remote.control.fault("github", "GET blob", status=200, body='{"content": "YQ==", "encoding": "base64"}')
    with pytest.raises(Unavailable, match="UnexpectedAnswer"):
        await repository.blob("1" * 40)


@pytest.mark.parametrize("reset", ["9" * 15, "9" * 400, "²", "-1", "soon", ""])
async def test_a_rate_limit_of_any_length_is_waited_for_an_hour_at_most(
    remote: Remote, repository: GitHubRepository, reset: str
) -> None:
    commit = remote.push("one", requests_a="1")
    limits = {"x-ratelimit-limit": "many", "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
    remote.control.fault("github", "GET tree", status=403, headers=limits)
    with pytest.raises(MergekeyError) as caught:
        await repository.tree(commit)
    wait = caught.value.retry_after  # type: ignore[attr-defined]
    assert (wait and wait.total_seconds()) == (3600 if reset.isascii() and reset.isdigit() else None)
    # Beside an answer that is right they are nobody's business.
    body = '{"sha": "x", "tree": [], "truncated": false}'
    remote.control.fault("github", "GET tree", status=200, headers=limits, body=body)
    assert await repository.tree(commit) == {}
