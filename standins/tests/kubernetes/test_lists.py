"""Lists and watches of a Kubernetes API server, with kubernetes.aio and its Watch."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.watch import Watch

from standins.tests.kubernetes.cluster import (
    KAITO,
    MINUTE,
    Cluster,
    a_workspace,
    labelled,
    options,
    refused,
    with_namespace,
)
from standins.tests.plugin import StandIns


@pytest.fixture
async def cluster(standins: StandIns) -> AsyncIterator[Cluster]:
    async with with_namespace(standins) as cluster:
        yield cluster


def names(listed: Any) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


@pytest.fixture
async def three(cluster: Cluster) -> Cluster:
    """A namespace with three workspaces: a (team=x, size=2), b (team=y, size=10), c (no labels)."""
    await cluster.apply(labelled("a", team="x", size="2"))
    await cluster.apply(labelled("b", team="y", size="10"))
    await cluster.apply(a_workspace("c", metadata={"name": "c"}))
    return cluster


async def listed(cluster: Cluster, **parameters: Any) -> Any:
    return await cluster.custom.list_namespaced_custom_object(*cluster.workspaces, **parameters)


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("team=x", "a"),
        ("team==y", "b"),
        ("team!=x", "bc"),
        ("team in (x, y)", "ab"),
        ("team notin (x)", "bc"),
        ("team", "ab"),
        ("!team", "c"),
        ("size>5", "b"),
        ("size<5", "a"),
        ("team in (x,y),size=10", "b"),
        ("", "abc"),
    ],
)
async def test_workspaces_are_chosen_by_label(three: Cluster, selector: str, found: str) -> None:
    assert names(await listed(three, label_selector=selector)) == list(found)


@pytest.mark.parametrize(
    ("selector", "found"),
    [("metadata.name=b", "b"), ("metadata.name!=b", "ac"), ("metadata.namespace=other", "")],
)
async def test_workspaces_are_chosen_by_field(three: Cluster, selector: str, found: str) -> None:
    assert names(await listed(three, field_selector=selector)) == list(found)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"field_selector": "status.state=Ready"}, "field label not supported: status.state"),
        ({"label_selector": "team in x"}, "unable to parse requirement"),
        ({"resource_version": "new"}, 'strconv.ParseUint: parsing "new": invalid syntax'),
    ],
)
async def test_what_cannot_be_chosen_by_is_refused(
    cluster: Cluster, parameters: dict[str, str], text: str
) -> None:
    with refused(400, "BadRequest", text):
        await listed(cluster, **parameters)


async def test_workspaces_of_all_namespaces_are_one_list(three: Cluster) -> None:
    everywhere = await three.custom.list_cluster_custom_object(
        *KAITO, "workspaces", field_selector=f"metadata.namespace={three.namespace}"
    )
    assert names(everywhere) == ["a", "b", "c"]
    named = await three.core.list_namespace(label_selector=f"kubernetes.io/metadata.name={three.namespace}")
    assert [item.metadata.name for item in named.items] == [three.namespace]


async def test_a_long_list_comes_in_pages_of_one_moment(three: Cluster) -> None:
    first = await listed(three, limit=2)
    assert (names(first), first["metadata"]["remainingItemCount"]) == (["a", "b"], 1)
    await three.apply(a_workspace("bb"))
    await three.apply(labelled("c", new="label"))
    second = await listed(three, limit=2, _continue=first["metadata"]["continue"])
    assert names(second) == ["c"]
    assert "labels" not in second["items"][0]["metadata"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert not second["metadata"]["continue"]
    assert names(await listed(three)) == ["a", "b", "bb", "c"]


async def test_a_page_that_waited_too_long_is_gone_but_the_list_can_go_on(
    three: Cluster, standins: StandIns
) -> None:
    first = await listed(three, limit=2)
    with options(standins.control, watch_history=1):
        for size in "12":
            await three.apply(labelled("a", size=size))
        with refused(410, "Expired", "The provided continue parameter is too old") as problem:
            await listed(three, _continue=first["metadata"]["continue"])
    token = json.loads(problem.value.body)["metadata"]["continue"]
    assert names(await listed(three, _continue=token)) == ["c"]
    for wrong in ("%", base64.b64encode(b"{}").decode()):
        with refused(400, "BadRequest", "continue key is not valid"):
            await listed(three, _continue=wrong)


async def test_an_older_state_can_be_asked_for_but_no_later_one(three: Cluster) -> None:
    version = (await listed(three))["metadata"]["resourceVersion"]
    await three.apply(labelled("a", new="label"))
    exact = await listed(three, resource_version=version, resource_version_match="Exact")
    assert "new" not in exact["items"][0]["metadata"]["labels"]
    assert names(await listed(three, resource_version=version)) == ["a", "b", "c"]
    with refused(504, "Timeout", "Too large resource version: 999999999, current: "):
        await listed(three, resource_version="999999999")


async def watched(call: Any, *place: str, count: int | None = None, **parameters: Any) -> list[Any]:
    """So many events, or all until the server ends the watch."""
    events: list[Any] = []
    async with Watch() as watch:  # type: ignore[no-untyped-call]
        async for event in watch.stream(call, *place, **parameters):
            events.append(event)
            if len(events) == count:
                break
    return events


async def seen(cluster: Cluster, count: int | None = None, **parameters: Any) -> list[tuple[str, str]]:
    """Types and names of what a watch of the namespace's workspaces sees."""
    events = await watched(
        cluster.custom.list_namespaced_custom_object, *cluster.workspaces, count=count, **parameters
    )
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


async def test_a_watch_begins_with_what_is_there_and_ends_in_time(three: Cluster) -> None:
    assert await seen(three, timeout_seconds=1) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


async def test_a_watch_sees_what_happens_after_the_version_it_starts_from(three: Cluster) -> None:
    version = (await listed(three))["metadata"]["resourceVersion"]
    watching = asyncio.create_task(seen(three, 4, resource_version=version))
    await three.apply(labelled("a", team="z"))
    await three.delete_workspace("b")
    await three.let_go("b")
    events = await asyncio.wait_for(watching, 300)
    # It is being deleted, KAITO says so in its status, it is gone.
    assert events == [("MODIFIED", "a"), ("MODIFIED", "b"), ("MODIFIED", "b"), ("DELETED", "b")]


async def test_a_watch_sees_what_the_controllers_do_as_time_passes(
    cluster: Cluster, standins: StandIns
) -> None:
    await cluster.apply(a_workspace())
    version = (await listed(cluster))["metadata"]["resourceVersion"]
    watching = asyncio.create_task(seen(cluster, 1, resource_version=version))
    standins.control.advance(7 * MINUTE)
    assert await asyncio.wait_for(watching, 300) == [("MODIFIED", "phi-4")]


async def test_a_watch_with_a_selector_sees_objects_come_and_go(three: Cluster) -> None:
    version = (await listed(three))["metadata"]["resourceVersion"]
    watching = asyncio.create_task(seen(three, 3, resource_version=version, label_selector="team=x"))
    await three.apply(labelled("b", team="x"))
    await three.apply(labelled("b", team="x", more="label"))
    await three.apply(labelled("b", team="y"))
    assert await asyncio.wait_for(watching, 300) == [("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "b")]


async def test_a_watch_of_built_in_kinds_speaks_their_language(cluster: Cluster) -> None:
    events = await watched(
        cluster.core.list_namespace, field_selector=f"metadata.name={cluster.namespace}", timeout_seconds=1
    )
    assert [(event["type"], event["object"].status.phase) for event in events] == [("ADDED", "Active")]


async def test_a_bookmark_says_how_far_a_watch_came(cluster: Cluster) -> None:
    version = (await listed(cluster))["metadata"]["resourceVersion"]
    parameters = {"resource_version": version, "timeout_seconds": 1, "allow_watch_bookmarks": True}
    events = await watched(cluster.custom.list_namespaced_custom_object, *cluster.workspaces, **parameters)
    assert [event["type"] for event in events] == ["BOOKMARK"]
    assert int(events[0]["object"]["metadata"]["resourceVersion"]) >= int(version)


async def test_a_watch_from_a_forgotten_version_is_gone(three: Cluster, standins: StandIns) -> None:
    version = (await listed(three))["metadata"]["resourceVersion"]
    with options(standins.control, watch_history=1):
        for size in "123":
            await three.apply(labelled("a", size=size))
        with pytest.raises(ApiException, match="Expired: too old resource version") as problem:
            await seen(three, 1, resource_version=version, timeout_seconds=2)
    assert problem.value.status == 410
