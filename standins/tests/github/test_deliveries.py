"""Deliveries of the GitHub stand-in's webhooks: listed, redelivered; failed, lost, late, doubled and out of
order on demand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from standins.tests.github.remotes import SECRET, Remote, a_remote, faults, options, refusal, until
from standins.tests.plugin import StandIns

DAYS = 24 * 3600


@pytest.fixture
async def remote(standins: StandIns, tmp_path: Path) -> AsyncIterator[Remote]:
    async with a_remote(standins, tmp_path) as remote:
        await remote.set_up(webhook_url=remote.receiver.url, webhook_secret=SECRET)
        yield remote


@pytest.fixture
async def app_hook(remote: Remote) -> AsyncIterator[Remote]:
    """The same with the App's webhook instead of one of the repository."""
    await remote.set_up(webhook_url=None)
    await remote.install(webhook_url=remote.receiver.url, webhook_secret=SECRET)
    yield remote
    await remote.install(webhook_url=None, webhook_secret=None)


async def listed(remote: Remote, count: int) -> list[Any]:
    """The deliveries of the repository's webhook, newest first, as soon as there are so many."""

    async def all_of_them() -> Any:
        rows = await remote.plain.getitem(f"{await deliveries(remote)}?per_page=100")
        return rows if len(rows) >= count else None

    return list(await until(all_of_them))


async def deliveries(remote: Remote) -> str:
    (hook,) = await remote.plain.getitem(remote.path("/hooks"))
    return remote.path(f"/hooks/{hook['id']}/deliveries")


async def test_what_was_delivered_can_be_looked_at(remote: Remote) -> None:
    head = remote.push("one", a="1")
    (row,) = await listed(remote, 1)
    assert (row["status"], row["status_code"], row["event"], row["redelivery"]) == ("OK", 202, "push", False)
    one = await remote.plain.getitem(f"{await deliveries(remote)}/{row['id']}")
    headers, payload = await remote.receiver.next()
    assert (one["url"], one["guid"]) == (remote.receiver.url, headers["X-GitHub-Delivery"])
    assert (one["request"]["payload"], payload["after"]) == (payload, head)
    assert one["request"]["headers"]["X-Hub-Signature-256"] == headers["X-Hub-Signature-256"]
    assert (one["response"]["payload"], row["repository_id"]) == ("seen", payload["repository"]["id"])


async def test_a_delivery_that_fails_is_not_repeated_but_can_be_redelivered_under_its_id(
    remote: Remote,
) -> None:
    await remote.set_up(webhook_url="http://127.0.0.1:9/nobody")
    remote.push("one", a="1")
    (failed,) = await listed(remote, 1)
    assert (failed["status"], failed["status_code"]) == ("failed to connect", 0)
    await remote.set_up(webhook_url=remote.receiver.url)
    await remote.plain.post(f"{await deliveries(remote)}/{failed['id']}/attempts", data=b"")
    headers, _ = await remote.receiver.next()
    assert headers["X-GitHub-Delivery"] == failed["guid"]
    again, first = await listed(remote, 2)
    assert (again["guid"], again["redelivery"], again["status"]) == (failed["guid"], True, "OK")
    assert first == failed
    assert again["id"] != failed["id"]


async def test_deliveries_are_gone_after_three_days(remote: Remote) -> None:
    remote.push("one", a="1")
    (row,) = await listed(remote, 1)
    path = await deliveries(remote)
    remote.control.advance(3 * DAYS - 60)
    assert len(await remote.plain.getitem(path)) == 1
    remote.control.advance(61)
    assert await remote.plain.getitem(path) == []
    with refusal(404, "Not Found"):
        await remote.plain.getitem(f"{path}/{row['id']}")
    with refusal(404, "Not Found"):
        await remote.plain.post(f"{path}/{row['id']}/attempts", data=b"")


async def test_deliveries_come_in_pages_and_by_success(remote: Remote) -> None:
    remote.receiver.status = 500
    heads = [remote.push(f"{number}", a=f"{number}") for number in range(3)]
    await listed(remote, 3)
    remote.receiver.status = 204
    heads.append(remote.push("last", a="last"))
    rows = await listed(remote, 4)
    path = await deliveries(remote)
    assert [row async for row in remote.plain.getiter(f"{path}?per_page=3")] == rows
    assert [row["status_code"] for row in await remote.plain.getitem(f"{path}?status=success")] == [204]
    assert {row["status"] for row in await remote.plain.getitem(f"{path}?status=failure")} == {
        "Invalid HTTP Response: 500"
    }
    assert sorted(remote.receiver.heads()) == sorted(heads)
    with refusal(422, "Validation Failed"):
        await remote.plain.getitem(f"{path}?cursor=yesterday")


async def test_the_app_finds_and_redelivers_what_it_missed(app_hook: Remote) -> None:
    await app_hook.app.patch("/app/hook/config", data={"url": "http://127.0.0.1:9/nobody"}, jwt=app_hook.jwt)
    head = app_hook.push("one", a="1")

    async def missed() -> Any:
        rows = await app_hook.app.getitem("/app/hook/deliveries?status=failure&per_page=1", jwt=app_hook.jwt)
        return [row for row in rows if row["installation_id"] == app_hook.installed["installation_id"]]

    (failed,) = await until(missed)
    config = await app_hook.app.patch(
        "/app/hook/config", data={"url": app_hook.receiver.url}, jwt=app_hook.jwt
    )
    assert (config["url"], config["secret"]) == (app_hook.receiver.url, "********")
    await app_hook.app.post(f"/app/hook/deliveries/{failed['id']}/attempts", data=b"", jwt=app_hook.jwt)
    headers, payload = await app_hook.receiver.next()
    assert (headers["X-GitHub-Delivery"], payload["after"]) == (failed["guid"], head)
    one = await app_hook.app.getitem(f"/app/hook/deliveries/{failed['id']}", jwt=app_hook.jwt)
    assert one["request"]["payload"] == payload
    with refusal(401, "could not be decoded"):
        await app_hook.plain.getitem("/app/hook/deliveries")


async def test_an_installation_reads_webhooks_only_with_the_permission(remote: Remote) -> None:
    path = await deliveries(remote)
    with refusal(403, "Resource not accessible by integration"):
        await remote.app.getitem(path)
    await remote.install(permissions={"repository_hooks": "read"})
    token = await remote.token()
    assert await remote.app.getitem(path, oauth_token=token) == []
    with refusal(403, "Resource not accessible by integration"):
        await remote.app.post(f"{path}/1/attempts", data=b"", oauth_token=token)


async def test_a_receiver_that_takes_too_long_has_not_answered(remote: Remote) -> None:
    remote.receiver.answers.clear()
    with options(remote.control, webhook_timeout=3):
        remote.push("one", a="1")
        (row,) = await listed(remote, 1)
    assert (row["status"], row["status_code"]) == ("timed out", 0)
    assert len(remote.receiver.requests) == 1


async def test_a_delivery_can_fail_before_anybody_hears_of_it_and_after(remote: Remote) -> None:
    with faults(remote.control, "webhook push", status=0):
        remote.push("one", a="1")
        (row,) = await listed(remote, 1)
    assert (row["status"], remote.receiver.requests) == ("failed to connect", [])
    with faults(remote.control, "webhook push", status=0, when="after"):
        remote.push("two", a="2")
        row, _ = await listed(remote, 2)
    assert (row["status"], len(remote.receiver.requests)) == ("timed out", 1)


async def test_an_event_can_be_lost_without_a_trace(remote: Remote) -> None:
    with faults(remote.control, "webhook event", status=0):
        remote.push("one", a="1")
        await until(remote.nothing_to_announce)
    head = remote.push("two", a="2")
    assert len(await listed(remote, 1)) == 1
    assert remote.receiver.heads() == [head]


async def test_deliveries_can_be_late(remote: Remote) -> None:
    with options(remote.control, webhook_delay=3600):
        head = remote.push("one", a="1")
        await until(remote.nothing_to_announce)
    later = remote.push("two", a="2")
    await listed(remote, 1)
    assert remote.receiver.heads() == [later]
    remote.control.advance(3601)
    await remote.receiver.next(2)
    assert remote.receiver.heads() == [later, head]


async def test_deliveries_can_come_twice(remote: Remote) -> None:
    with options(remote.control, webhook_copies=2):
        remote.push("one", a="1")
        first, second = [await remote.receiver.next(count) for count in (1, 2)]
    assert first[0]["X-GitHub-Delivery"] == second[0]["X-GitHub-Delivery"]
    assert first[1] == second[1]


async def test_deliveries_can_come_out_of_order(remote: Remote) -> None:
    with options(remote.control, webhook_hold=3):
        heads = [remote.push(f"{number}", a=f"{number}") for number in range(3)]
        await remote.receiver.next(3)
    assert remote.receiver.heads() == heads[::-1]


async def test_what_was_held_leaves_when_nothing_is_held_any_more(remote: Remote) -> None:
    with options(remote.control, webhook_hold=2):
        head = remote.push("one", a="1")
        await until(remote.nothing_to_announce)
        assert remote.receiver.requests == []
    await remote.receiver.next()
    assert remote.receiver.heads() == [head]
