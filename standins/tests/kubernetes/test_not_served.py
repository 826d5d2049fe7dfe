"""Kinds whose definitions are not installed: every path of theirs is unknown, and discovery tells nothing of
them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ApiException

from standins.tests.kubernetes.cluster import ADD_ON, KAITO, Cluster, labelled, options, with_namespace
from standins.tests.plugin import StandIns

ROUTES, GATEWAY = ("gateway.networking.k8s.io", "v1"), "httproutes.gateway.networking.k8s.io"


@pytest.fixture
async def cluster(standins: StandIns) -> AsyncIterator[Cluster]:
    async with with_namespace(standins) as cluster:
        yield cluster


async def _unknown(call: Any) -> None:
    with pytest.raises(ApiException) as raised:
        await call
    answer = raised.value
    assert (answer.status, answer.body) == (404, "404 page not found\n")
    assert (answer.headers or {})["Content-Type"] == "text/plain; charset=utf-8"


async def test_no_path_of_a_kind_that_is_not_served_is_known(standins: StandIns, cluster: Cluster) -> None:
    await cluster.apply(labelled("phi-4"))
    with options(standins.control, not_served=["workspaces.kaito.sh"]):
        await _unknown(cluster.workspace())
        await _unknown(cluster.custom.list_namespaced_custom_object(*cluster.workspaces))
        await _unknown(cluster.custom.list_cluster_custom_object(*KAITO, "workspaces"))
        await _unknown(cluster.apply(labelled("phi-4")))
        await _unknown(cluster.delete_workspace())
    assert (await cluster.workspace())["metadata"]["name"] == "phi-4"


async def test_one_version_may_be_missing_while_the_others_have_the_objects(
    standins: StandIns, cluster: Cluster
) -> None:
    await cluster.apply(labelled("phi-4"))
    with options(standins.control, not_served=["kaito.sh/v1beta1"]):
        await _unknown(cluster.workspace())
        assert (await cluster.workspace(version="v1alpha1"))["metadata"]["name"] == "phi-4"
        group = await _document(cluster, "/apis/kaito.sh")
    assert [version["version"] for version in group["versions"]] == [ADD_ON[1]]


async def test_discovery_tells_nothing_of_what_is_not_served(standins: StandIns, cluster: Cluster) -> None:
    path = f"/apis/{'/'.join(ROUTES)}"
    rows = (await _document(cluster, path))["resources"]
    assert rows[0]["kind"] == "HTTPRoute"
    with options(standins.control, not_served=[ROUTES[0]]):
        await _unknown(_document(cluster, path))
        groups = (await _document(cluster, "/apis"))["groups"]
    assert ROUTES[0] not in {group["name"] for group in groups}


async def _document(cluster: Cluster, path: str) -> Any:
    """A document of discovery, as it was sent."""
    client = cluster.api
    method, url, headers, body, posted = await client.param_serialize(
        "GET", path, header_params={"Accept": "application/json"}, auth_settings=["BearerToken"]
    )
    answer = await client.call_api(method, url, headers, body, posted)
    content = await answer.read()
    if answer.status != 200:
        raise ApiException(http_resp=answer, body=content.decode(), data=None)
    return json.loads(content)
