"""In which form a cluster answers, what it says of itself, and what it answers while it starts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from standins.tests.kubernetes.cluster import (
    APPLY,
    MINUTE,
    Cluster,
    a_workspace,
    options,
    refused,
    token,
    with_namespace,
)
from standins.tests.plugin import StandIns

_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_OPENAPI = "/openapi/v3/apis/kaito.sh/v1beta1"


@pytest.fixture
async def cluster(standins: StandIns) -> AsyncIterator[Cluster]:
    async with with_namespace(standins) as cluster:
        yield cluster


def _path(cluster: Cluster) -> str:
    return f"/apis/kaito.sh/v1beta1/namespaces/{cluster.namespace}/workspaces"


async def test_a_table_has_the_columns_of_the_definition(cluster: Cluster, standins: StandIns) -> None:
    await cluster.apply(a_workspace())
    standins.control.advance(20 * MINUTE)
    _, _, table = await cluster.raw("GET", _path(cluster), headers={"Accept": _TABLE})
    assert [column["name"] for column in table["columnDefinitions"]] == [
        *("Name", "Instance", "ResourceReady", "InferenceReady", "JobStarted", "WorkspaceSucceeded"),
        *("TargetNodeCount", "State", "Age"),
    ]
    [row] = table["rows"]
    assert row["cells"] == [
        "phi-4",
        "Standard_NC24ads_A100_v4",
        "True",
        "True",
        None,
        "True",
        1,
        "Ready",
        "20m",
    ]
    assert (row["object"]["kind"], row["object"]["metadata"]["name"]) == ("PartialObjectMetadata", "phi-4")
    _, _, bare = await cluster.raw("GET", f"{_path(cluster)}?includeObject=None", headers={"Accept": _TABLE})
    assert bare["rows"] == [{"cells": row["cells"], "object": None}]


async def test_a_watch_may_be_a_table_too(cluster: Cluster, standins: StandIns) -> None:
    await cluster.apply(a_workspace())
    headers = {"Accept": _TABLE, "Authorization": f"Bearer {await token(standins)}"}
    url = f"{standins.addresses['kubernetes']}{_path(cluster)}?watch=true&timeoutSeconds=1"
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as response:
        event = json.loads(await response.content.readline())
    assert (event["type"], event["object"]["kind"]) == ("ADDED", "Table")
    assert event["object"]["rows"][0]["cells"][0] == "phi-4"


async def test_metadata_can_be_asked_for_alone(cluster: Cluster) -> None:
    await cluster.apply(a_workspace())
    part = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    _, _, listed = await cluster.raw("GET", _path(cluster), headers={"Accept": part})
    assert listed["kind"] == "PartialObjectMetadataList"
    assert [item.keys() for item in listed["items"]] == [{"kind", "apiVersion", "metadata"}]


async def test_media_types_that_are_not_known_are_refused(cluster: Cluster) -> None:
    status, _, said = await cluster.raw("GET", _path(cluster), headers={"Accept": "application/xml"})
    assert (status, said["reason"]) == (406, "NotAcceptable")
    for method, path in (("POST", _path(cluster)), ("PUT", f"{_path(cluster)}/phi-4")):
        sent = await cluster.raw(method, path, "kind: Workspace", {"Content-Type": "text/plain"})
        assert (sent[0], sent[2]["reason"]) == (415, "UnsupportedMediaType")


# What the cluster says of itself


async def test_a_client_is_told_who_it_is_and_what_it_may_do(cluster: Cluster, standins: StandIns) -> None:
    authentication: Any = client.AuthenticationV1Api(cluster.api)
    authorization: Any = client.AuthorizationV1Api(cluster.api)
    me = await authentication.create_self_subject_review({})
    assert me.status.user_info.username
    assert me.status.user_info.groups == ["system:authenticated"]
    wish = {"spec": {"namespace": cluster.namespace}}
    rules = authorization.create_self_subject_rules_review
    everything = (await rules(wish)).status.resource_rules[0]
    assert (everything.verbs, everything.resources) == (["*"], ["*"])
    with options(standins.control, check_access=True):
        left = (await rules(wish)).status.resource_rules
    assert all(rule.verbs == ["create"] for rule in left)


async def test_a_cluster_says_how_it_is(standins: StandIns, cluster: Cluster) -> None:
    headers = {"Authorization": f"Bearer {await token(standins)}"}
    async with aiohttp.ClientSession(standins.addresses["kubernetes"], headers=headers) as session:
        for path in ("/healthz", "/livez", "/readyz"):
            async with session.get(path) as response:
                assert (response.status, await response.text()) == (200, "ok")
        for path, code in (
            ("/apis/frogs.io/v1/frogs", 404),
            ("/api/v1/frogs", 404),
            ("/apis/policy/v1", 501),
        ):
            async with session.get(path) as response:
                assert response.status == code
    _, _, said = await cluster.raw("GET", f"/api/v1/namespaces/{cluster.namespace}/frogs")
    assert (said["reason"], said["details"]) == ("NotFound", {})


async def test_schemas_and_definitions_follow_the_release_of_kaito(
    cluster: Cluster, standins: StandIns
) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/workspaces.kaito.sh"
    for release, has_partition in (("0.6", False), ("0.11", False), ("0.12", True)):
        with options(standins.control, kaito=release):
            _, _, described = await cluster.raw("GET", _OPENAPI)
            _, _, definition = await cluster.raw("GET", path)
        schema = described["components"]["schemas"]["sh.kaito.v1beta1.Workspace"]
        assert ("partition" in schema["properties"]["resource"]["properties"]) == has_partition
        [version] = [each for each in definition["spec"]["versions"] if each["name"] == "v1beta1"]
        stored = version["schema"]["openAPIV3Schema"]["properties"]["resource"]["properties"]
        assert ("partition" in stored) == has_partition


async def test_a_definition_goes_with_what_it_defines(cluster: Cluster, standins: StandIns) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    _, _, before = await cluster.raw("GET", path)
    with options(standins.control, not_served=["gateway.networking.k8s.io"]):
        _, _, after = await cluster.raw("GET", path)
    names = [{item["metadata"]["name"] for item in listed["items"]} for listed in (before, after)]
    assert names[0] - names[1] == {
        f"{plural}.gateway.networking.k8s.io" for plural in ("gatewayclasses", "gateways", "httproutes")
    }


async def test_a_cluster_may_be_without_kaito(cluster: Cluster, standins: StandIns) -> None:
    with options(standins.control, kaito="none"):
        await cluster.apply(a_workspace(inference={"preset": {"name": "no-such-model"}}))
        standins.control.advance(20 * MINUTE)
        found = await cluster.workspace()
        assert "status" not in found
        assert "finalizers" not in found["metadata"]
        await cluster.delete_workspace()


# Amounts


@pytest.mark.parametrize(
    ("amount", "code", "text"),
    [
        ("abc", 500, "quantities must match the regular expression"),
        ("-1", 422, 'spec.hard[count/workspaces.kaito.sh]: Invalid value: "-1": must be greater than'),
        ("1500m", 422, "must be an integer"),
    ],
)
async def test_a_quota_is_an_amount(cluster: Cluster, amount: str, code: int, text: str) -> None:
    with refused(code, None if code == 500 else "Invalid", text):
        await cluster.apply_quota(amount)


async def test_amounts_have_units(cluster: Cluster) -> None:
    await cluster.apply_quota("1000m")
    await cluster.apply(a_workspace("one"))
    with refused(403, "Forbidden", "limited: count/workspaces.kaito.sh=1"):
        await cluster.apply(a_workspace("two"))
    with refused(403, "Forbidden", "exceeded quota"):
        await cluster.custom.create_namespaced_custom_object(*cluster.workspaces, a_workspace("one"))


# A start


@pytest.mark.parametrize(
    ("code", "reason", "retry_after"),
    [(403, "Forbidden", None), (429, "TooManyRequests", "1"), (503, "ServiceUnavailable", "5")],
)
async def test_a_cluster_that_starts_says_so(
    cluster: Cluster, standins: StandIns, code: int, reason: str, retry_after: str | None
) -> None:
    standins.control.fault("kubernetes", "LIST workspaces", status=code)
    with pytest.raises(ApiException) as problem:
        await cluster.custom.list_namespaced_custom_object(*cluster.workspaces)
    assert (problem.value.status, json.loads(problem.value.body or "")["reason"]) == (code, reason)
    assert (problem.value.headers or {}).get("Retry-After") == retry_after
    assert (await cluster.custom.list_namespaced_custom_object(*cluster.workspaces))["items"] == []


async def test_finalizers_without_an_owner_in_their_name_earn_a_warning(cluster: Cluster) -> None:
    await cluster.apply(a_workspace())
    applied = a_workspace(metadata={"name": "phi-4", "finalizers": ["wait"]})
    path = f"{_path(cluster)}/phi-4?fieldManager=other&force=true"
    _, headers, _ = await cluster.raw("PATCH", path, applied, {"Content-Type": APPLY})
    assert "prefer a domain-qualified finalizer name" in headers["Warning"]
