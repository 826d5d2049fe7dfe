"""ConfigMaps, Secrets, pods, NodeClaims, ExternalSecrets and Gateways: what a client can do with them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ApiException

from standins.tests.kubernetes.cluster import Cluster, options, with_namespace
from standins.tests.plugin import StandIns

_CONFIG = {"inference_config.yaml": "vllm:\n  max-model-len: 8192\n"}
EXTERNAL, GATEWAY = ("external-secrets.io", "v1"), ("gateway.networking.k8s.io", "v1")


@pytest.fixture
async def cluster(standins: StandIns) -> AsyncIterator[Cluster]:
    async with with_namespace(standins) as cluster:
        yield cluster


def _config_map(**about: Any) -> dict[str, Any]:
    return {"metadata": {"name": "settings"}, "data": _CONFIG, **about}


async def test_a_config_map_is_read_as_it_was_created(cluster: Cluster) -> None:
    await cluster.core.create_namespaced_config_map(cluster.namespace, _config_map(immutable=True))
    read = await cluster.core.read_namespaced_config_map("settings", cluster.namespace)
    assert (read.data, read.immutable) == (_CONFIG, True)
    with pytest.raises(ApiException) as again:
        await cluster.core.create_namespaced_config_map(cluster.namespace, _config_map())
    assert (again.value.status, again.value.reason) == (409, "Conflict")


@pytest.mark.parametrize("change", [{"data": {"other": "text"}}, {"immutable": False}, {"data": None}])
async def test_an_immutable_config_map_keeps_what_it_says(cluster: Cluster, change: dict[str, Any]) -> None:
    await cluster.core.create_namespaced_config_map(cluster.namespace, _config_map(immutable=True))
    with pytest.raises(ApiException) as refused:
        await cluster.core.patch_namespaced_config_map("settings", cluster.namespace, change)
    assert refused.value.status == 422
    assert "Forbidden: field is immutable when `immutable` is set" in str(refused.value.body)


async def test_another_config_map_and_labels_can_be_changed(cluster: Cluster) -> None:
    await cluster.core.create_namespaced_config_map(cluster.namespace, _config_map())
    path = ("settings", cluster.namespace)
    await cluster.core.patch_namespaced_config_map(*path, {"data": {"more": "text"}, "immutable": True})
    labelled = await cluster.core.patch_namespaced_config_map(*path, {"metadata": {"labels": {"a": "b"}}})
    assert (labelled.data, labelled.metadata.labels) == ({**_CONFIG, "more": "text"}, {"a": "b"})
    await cluster.core.delete_namespaced_config_map(*path)


async def test_a_secret_shows_its_texts_in_base64(cluster: Cluster) -> None:
    secret = {"metadata": {"name": "hf"}, "stringData": {"HF_TOKEN": "abc"}}
    await cluster.core.create_namespaced_secret(cluster.namespace, secret)
    read = await cluster.core.read_namespaced_secret("hf", cluster.namespace)
    assert (read.data, read.type) == ({"HF_TOKEN": base64.b64encode(b"abc").decode()}, "Opaque")
    assert read.string_data is None


async def test_external_secrets_and_gateways_can_be_written_and_read(cluster: Cluster) -> None:
    external = {"apiVersion": "/".join(EXTERNAL), "kind": "ExternalSecret", "metadata": {"name": "hf"}}
    spec: dict[str, Any] = {"target": {"name": "hf-token"}}
    path = f"/apis/{'/'.join(EXTERNAL)}/namespaces/{cluster.namespace}/externalsecrets"
    assert (await cluster.raw("POST", path, {**external, "spec": spec}))[0] == 201
    found = await cluster.custom.list_namespaced_custom_object(
        *EXTERNAL, cluster.namespace, "externalsecrets"
    )
    assert [each["spec"] for each in found["items"]] == [spec]
    gateway = {"apiVersion": "/".join(GATEWAY), "kind": "Gateway", "metadata": {"name": "models"}}
    path = f"/apis/{'/'.join(GATEWAY)}/namespaces/{cluster.namespace}/gateways"
    assert (await cluster.raw("POST", path, {**gateway, "spec": {"listeners": []}}))[0] == 201
    read = await cluster.custom.get_namespaced_custom_object(
        *GATEWAY, cluster.namespace, "gateways", "models"
    )
    assert read["spec"] == {"listeners": []}


async def test_external_secrets_need_an_operator_that_serves_them(
    standins: StandIns, cluster: Cluster
) -> None:
    with options(standins.control, not_served=["external-secrets.io"]), pytest.raises(ApiException) as none:
        await cluster.custom.list_namespaced_custom_object(*EXTERNAL, cluster.namespace, "externalsecrets")
    assert none.value.status == 404
