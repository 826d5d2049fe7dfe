"""Writing a plan: what a call is told, and what becomes of several that fail."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from shared.cluster_ports import Cluster
from shared.errors import Busy, MergekeyError, Rejected, Throttled
from shared.marker import Marker
from shared.ports import Gateway
from shared.resources.actual import Subscription
from shared.resources.plan import Change, Create, Delete, Replace, Update, WritablePlan
from shared.secret import SecretValue
from shared.stages.apply import (
    GatewayWriter,
    Secret,
    WorkspaceWriter,
    apply_plan,
    gather_all,
    remove_administrator,
    write_secret,
)
from tests.fakes.app import REPOSITORY, FakeApp
from tests.fakes.calls import Call

MARKER = Marker(REPOSITORY, "alpha", "p", "c" * 40)


class Recorder:
    """Takes every call and answers the same to all."""

    def __init__(self, answer: object = None) -> None:
        self.calls: list[tuple[object, ...]] = []
        self._answer = answer

    def __getattr__(self, name: str) -> Any:
        async def call(*given: object) -> object:
            self.calls.append((name, *given))
            return self._answer

        return call


def _gateway(recorder: Recorder) -> GatewayWriter:
    return GatewayWriter(cast(Gateway, recorder), MARKER)


def _cluster(recorder: Recorder) -> WorkspaceWriter:
    return WorkspaceWriter(cast(Cluster, recorder), "team-alpha")


@pytest.mark.parametrize(
    ("change", "call"),
    [
        (Create("product", "n", ("N", MARKER)), ("create_product", "n", "N", MARKER)),
        (Update("product policy", "n", "t", "text"), ("put_product_policy", "n", "text", "t")),
        (Create("product link", "n", "ai"), ("link_product", "n", "ai")),
        (Update("product marker", "n", "t", ("N", MARKER)), ("publish_product", "n", "t", "N", MARKER)),
        (Update("product marker", "n", None, ("N", MARKER)), ("publish_product", "n", "*", "N", MARKER)),
        (Update("product", "n", "t"), ("require_subscription", "n", "t")),
        (Update("product reservation", "n", "t", MARKER), ("mark_product", "n", "t", MARKER)),
        (Update("product", "n", None), ("require_subscription", "n", "*")),
        (Create("backend", "n", "body"), ("put_backend", "body", MARKER, None)),
        (Update("backend", "n", "t", "body"), ("put_backend", "body", MARKER, "t")),
        (Delete("backend", "n", "t"), ("delete_backend", "n", "t")),
        (Update("api", "n", "t", ("desired", MARKER)), ("put_api", "n", "desired", MARKER, "t")),
        (Create("policy fragment", "n", "text"), ("put_fragment", "n", "text")),
        (Update("api policy", "n", "t", "text"), ("put_api_policy", "n", "text", "t")),
        (Update("api marker", "n", None, MARKER), ("mark_api", "n", MARKER)),
        (Create("named value", "n", "body"), ("put_named_value", "body", REPOSITORY, None)),
        (Update("named value", "n", "t", "body"), ("put_named_value", "body", REPOSITORY, "t")),
        (Delete("named value", "n", "t"), ("delete_named_value", "n", "t")),
        (Update("subscription", "n", "t", "suspended"), ("suspend_subscription", "n", "t")),
        (Delete("subscription", "n", "t"), ("delete_subscription", "n", "t")),
        (Delete("product", "n", "t"), ("delete_product", "n", "t")),
        (Delete("product link", "n", "ai"), ("unlink_product", "n", "ai")),
    ],
)
async def test_a_write_to_the_gateway_carries_the_tag_that_was_read(
    change: Change, call: tuple[object, ...]
) -> None:
    recorder = Recorder()
    await _gateway(recorder)(change)
    assert recorder.calls == [call]


async def test_a_backend_that_was_just_written_is_written_over_whatever_its_tag_is_by_now() -> None:
    recorder = Recorder()
    write = _gateway(recorder)
    await write(Update("backend", "n", "t", "without its credential"))
    await write(Update("backend", "n", "t", "body"))
    assert [call[-1] for call in recorder.calls] == ["t", "*"]


async def test_the_seal_of_a_product_just_created_carries_the_tag_of_its_creation() -> None:
    recorder = Recorder("created")
    write = _gateway(recorder)
    await write(Create("product", "n", ("N", MARKER)))
    await write(Update("product marker", "n", None, ("N", MARKER)))
    assert recorder.calls[-1] == ("publish_product", "n", "created", "N", MARKER)


async def test_the_seal_of_a_product_just_closed_carries_the_tag_of_its_closing() -> None:
    recorder = Recorder("closed")
    write = _gateway(recorder)
    await write(Update("product", "n", "t"))
    await write(Update("product marker", "n", "t", ("N", MARKER)))
    assert recorder.calls[-1] == ("publish_product", "n", "closed", "N", MARKER)


@pytest.mark.parametrize(
    ("change", "call"),
    [
        (Replace("workspace", "phi-4", "7"), ("delete_workspace", "team-alpha", "phi-4", "7")),
        (Delete("workspace", "phi-4", "7"), ("delete_workspace", "team-alpha", "phi-4", "7")),
        (Delete("route", "phi-4", ""), ("delete_route", "team-alpha", "phi-4")),
        (Delete("namespace", "team-alpha", "7"), ("delete_namespace", "team-alpha", "7")),
    ],
    ids=str,
)
async def test_what_goes_from_the_cluster_goes_in_the_version_that_was_read(
    change: Change, call: tuple[object, ...]
) -> None:
    recorder = Recorder()
    await _cluster(recorder)(change)
    assert recorder.calls == [call]


async def test_what_neither_writes_is_a_bug_and_says_so() -> None:
    with pytest.raises(TypeError, match="the gateway cannot write"):
        await _gateway(Recorder())(Delete("route", "n", "t"))
    with pytest.raises(TypeError, match="the cluster cannot write"):
        await _cluster(Recorder())(Delete("backend", "n", "t"))


async def _fails(error: BaseException | None, done: list[object], turns: int = 0) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
    done.append(error)
    if error is not None:
        raise error


async def test_only_the_administrators_stray_subscriptions_are_removed() -> None:
    mine = Subscription("team-alpha", "tag of team-alpha", "", "team-alpha", "1", "active")
    theirs = replace(mine, name="x", etag="tag of x", owner="7")
    stray = replace(mine, name="5f8d", etag="tag of 5f8d")
    recorder = Recorder([mine, theirs, stray])
    await remove_administrator(cast(Gateway, recorder), "team-alpha")
    assert recorder.calls == [
        ("product_subscriptions", "team-alpha"),
        ("delete_subscription", "5f8d", "tag of 5f8d"),
    ]


async def test_a_secret_is_written_only_when_its_value_tags_or_state_differ() -> None:
    app, secret = FakeApp(), Secret("alpha-endpoint", "text/plain", SecretValue("https://ai.contoso.com"))
    tags = {"team": "alpha", "commit": "c1"}

    async def write(secret: Secret, tags: dict[str, str]) -> bool:
        kept = app.vault.kept.get(secret.name)
        return await write_secret(app, secret, kept.versions[0] if kept else None, tags)

    assert await write(secret, tags)
    assert not await write(secret, {**tags, "commit": "c2"})
    assert await write(secret, {**tags, "reader": "g"})
    assert await write(replace(secret, value=SecretValue("https://elsewhere")), tags)
    newest = app.vault.kept[secret.name].versions[0]
    await app.vault.update(newest, False, newest.tags)
    assert await write(replace(secret, value=SecretValue("https://elsewhere")), tags)
    assert app.vault.kept[secret.name].versions[0].enabled


@pytest.mark.parametrize(
    ("reason", "calls"), [("SecretIsDeleted", ["set", "deleted_tags", "recover"]), ("Conflict", ["set"])]
)
async def test_a_secret_that_is_soft_deleted_is_recovered_before_the_stage_comes_back(
    reason: str, calls: list[str]
) -> None:
    app, busy = FakeApp(), Busy("409", reason=reason)
    secret = Secret("alpha-endpoint", "text/plain", SecretValue("v"))
    await write_secret(app, secret, None, {})
    app.vault.kept[secret.name].deleted = True
    made: list[str] = []

    async def note(call: Call) -> None:
        made.append(call.name)
        if call.name == "set":
            raise busy

    app.calls.before = note
    with pytest.raises(Busy) as caught:
        await write_secret(app, secret, None, {})
    assert (caught.value, made) == (busy, calls)


BUG, STAYS, PASSES = KeyError("x"), Rejected("400"), Throttled("429")


@pytest.mark.parametrize(
    ("errors", "raised"),
    [
        ((PASSES, STAYS, BUG), BUG),
        ((BUG, STAYS), BUG),
        ((PASSES, STAYS), STAYS),
        ((STAYS, PASSES), STAYS),
        ((PASSES, Busy("409")), PASSES),
        ((None, PASSES), PASSES),
    ],
    ids=str,
)
async def test_of_several_failures_the_one_that_weighs_most_is_raised(
    errors: tuple[BaseException | None, ...], raised: Exception
) -> None:
    with pytest.raises((MergekeyError, KeyError)) as caught:
        await gather_all(*(_fails(error, []) for error in errors))
    assert caught.value is raised


async def test_what_has_begun_comes_to_its_end_when_something_beside_it_fails() -> None:
    done: list[object] = []
    with pytest.raises(Rejected):
        await gather_all(_fails(STAYS, done), _fails(None, done, turns=5))
    assert done == [STAYS, None]


async def test_a_step_that_follows_only_the_first_runs_beside_the_second() -> None:
    order: list[str] = []

    async def write(change: Change) -> None:
        order.append(change.name)

    async def after_first() -> None:
        order.append("after first")

    one, two, three = (Create("product", name) for name in ("one", "two", "three"))
    await apply_plan(WritablePlan(((one,), (two,), (three,))), write, after_first)
    assert order[0] == "one"
    assert [name for name in order if name != "after first"] == ["one", "two", "three"]
    assert "after first" in order
    order.clear()
    await apply_plan(WritablePlan(), write, after_first)
    assert order == ["after first"]
