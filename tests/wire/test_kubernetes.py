"""kubernetes.aio against the Kubernetes stand-in, the way a Function uses it: server, CA and a bearer token, no kubeconfig."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from tests.conftest import StandIns

APPLY = "application/apply-patch+yaml"
KAITO = ("kaito.sh", "v1beta1")
MINUTE = 60
Manifest = dict[str, Any]


@dataclass
class Cluster:
    """Clients of the cluster (CoreV1Api, NetworkingV1Api, CustomObjectsApi), and one namespace of the test's own.

    Any, because the client's types say that every field of an answer may be absent, and nothing of custom objects.
    """

    core: Any
    network: Any
    custom: Any
    namespace: str = field(default_factory=lambda: f"team-{uuid.uuid4().hex[:8]}")

    async def apply(self, manifest: Manifest, manager: str = "mergekey", force: bool = True, version: str = "v1beta1") -> Any:
        """Apply a Workspace; None when it was created, since the client does not read a 201 of a custom object."""
        name = manifest["metadata"]["name"]
        options = {"field_manager": manager, "force": force, "_content_type": APPLY}
        return await self.custom.patch_namespaced_custom_object(
            "kaito.sh", version, self.namespace, "workspaces", name, manifest, **options
        )

    async def workspace(self, name: str = "phi-4", version: str = "v1beta1") -> Any:
        return await self.custom.get_namespaced_custom_object("kaito.sh", version, self.namespace, "workspaces", name)

    async def delete_workspace(self, name: str = "phi-4", **options: Any) -> Any:
        return await self.custom.delete_namespaced_custom_object(*KAITO, self.namespace, "workspaces", name, **options)

    async def apply_quota(self, count: int) -> Any:
        manifest = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "workspaces"},
            "spec": {"hard": {"count/workspaces.kaito.sh": str(count)}},
        }
        return await self.core.patch_namespaced_resource_quota(
            "workspaces", self.namespace, manifest, field_manager="mergekey", force=True, _content_type=APPLY
        )


def a_workspace(name: str = "phi-4", **changes: Any) -> Manifest:
    """A manifest as the app writes it; `changes` replace `resource`, `inference` or `metadata` parts, None removes them."""
    manifest: Manifest = {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": name, "labels": {"mergekey.dev/team": "alpha"}},
        "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": name}}},
        "inference": {"preset": {"name": "phi-4"}},
    }
    return {key: part for key, part in (manifest | changes).items() if part is not None}


def conditions(workspace: Any) -> dict[str, tuple[str, str]]:
    return {row["type"]: (row["status"], row["reason"]) for row in workspace["status"]["conditions"]}


def refused(code: int, reason: str, text: str = "") -> Any:
    """The context in which a call must fail with this code, reason and text of a Kubernetes `Status`."""

    def matches(error: ApiException) -> bool:
        status = json.loads(error.body or "{}")
        return (error.status, status["kind"], status["reason"]) == (code, "Status", reason) and text in status["message"]

    return pytest.RaisesExc(ApiException, check=matches)


async def _token(standins: StandIns, resource: str = "6dae42f8-4368-4678-94ff-3960e28e3630") -> str:
    url = f"{standins.addresses['identity']}/msi/token?resource={resource}&api-version=2019-08-01"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers={"X-IDENTITY-HEADER": "local-identity-header"}) as response,
    ):
        return str((await response.json())["access_token"])


def _configuration(standins: StandIns, token: str) -> client.Configuration:
    configuration = client.Configuration(host=standins.addresses["kubernetes"], api_key={"BearerToken": f"Bearer {token}"})
    configuration.ssl_ca_cert = standins.ca
    return configuration


@pytest.fixture
async def cluster(standins: StandIns) -> AsyncIterator[Cluster]:
    async with client.ApiClient(_configuration(standins, await _token(standins))) as api:
        cluster = Cluster(client.CoreV1Api(api), client.NetworkingV1Api(api), client.CustomObjectsApi(api))
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace, "annotations": {"a": "1"}}}
        await cluster.core.patch_namespace(cluster.namespace, manifest, field_manager="mergekey", force=True, _content_type=APPLY)
        yield cluster


async def test_a_call_needs_a_token_meant_for_the_cluster(standins: StandIns) -> None:
    for token in ("nonsense", await _token(standins, "https://vault.azure.net")):
        async with client.ApiClient(_configuration(standins, token)) as api:
            with refused(401, "Unauthorized"):
                await client.CoreV1Api(api).list_namespace()


async def test_an_applied_namespace_is_active_and_applying_it_again_writes_nothing(cluster: Cluster) -> None:
    first = await cluster.core.read_namespace(cluster.namespace)
    assert first.status.phase == "Active"
    assert first.metadata.labels == {"kubernetes.io/metadata.name": cluster.namespace}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace, "annotations": {"a": "1"}}}
    options: dict[str, Any] = {"field_manager": "mergekey", "force": True, "_content_type": APPLY}
    again = await cluster.core.patch_namespace(cluster.namespace, manifest, **options)
    assert again.metadata.resource_version == first.metadata.resource_version
    manifest["metadata"] = {"name": cluster.namespace, "annotations": {"b": "2"}}
    changed = await cluster.core.patch_namespace(cluster.namespace, manifest, **options)
    assert changed.metadata.annotations == {"b": "2"}
    assert int(changed.metadata.resource_version) > int(first.metadata.resource_version)


async def test_a_workspace_walks_from_pending_to_ready_with_the_clock(cluster: Cluster, standins: StandIns) -> None:
    assert await cluster.apply(a_workspace()) is None
    pending = await cluster.workspace()
    assert pending["status"]["state"] == "Pending"
    assert list(conditions(pending)) == ["NodesReady", "NodeClaimReady", "ResourceReady", "InferenceReady", "WorkspaceSucceeded"]
    assert {status for status, _ in conditions(pending).values()} == {"False"}
    standins.control.advance(7 * MINUTE)
    with_nodes = await cluster.workspace()
    assert conditions(with_nodes)["ResourceReady"] == ("True", "workspaceResourceStatusSuccess")
    assert conditions(with_nodes)["WorkspaceSucceeded"] == ("False", "workspacePending")
    assert len(with_nodes["status"]["workerNodes"]) == 1
    services = await cluster.core.list_namespaced_service(cluster.namespace)
    assert [service.metadata.name for service in services.items] == ["phi-4", "phi-4-headless"]
    standins.control.advance(6 * MINUTE)
    ready = await cluster.workspace()
    assert conditions(ready)["InferenceReady"] == ("True", "WorkspaceInferenceStatusSuccess")
    assert conditions(ready)["WorkspaceSucceeded"] == ("True", "workspaceSucceeded")
    assert ready["status"]["state"] == "Ready"
    assert ready["metadata"]["generation"] == 1


async def test_a_workspace_can_be_made_to_fail(cluster: Cluster, standins: StandIns) -> None:
    url = f"{standins.addresses['kubernetes']}/_standin/options"
    await cluster.apply(a_workspace())
    connector = aiohttp.TCPConnector(ssl=cluster.core.api_client.rest_client.ssl_context)
    async with aiohttp.ClientSession(connector=connector) as session:
        await session.put(url, json={"fail": {"workspace": f"{cluster.namespace}/phi-4", "reason": "workspaceFailed"}})
        standins.control.advance(13 * MINUTE)
        failed = await cluster.workspace()
        await session.put(url, json={"fail": None})
    assert conditions(failed)["WorkspaceSucceeded"] == ("False", "workspaceFailed")
    assert failed["status"]["state"] == "Failed"
    assert (await cluster.workspace())["status"]["state"] == "Ready"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"inference": {"preset": {"name": "phi-9"}}}, "Unsupported inference preset name phi-9"),
        ({"inference": None}, "Either Inference or Tuning must be specified, not neither"),
        ({"resource": {"labelSelector": {"matchLabels": {"a": "b"}}}}, "instanceType is required when node auto-provisioning is enabled"),
        ({"resource": {"instanceType": "m5.large", "labelSelector": {}}}, "Unsupported instance type m5.large. Supported SKUs: "),
        ({"inference": {"preset": {"name": "llama-3.1-8b-instruct"}}}, "needs a modelAccessSecret with HF_TOKEN key"),
        ({"metadata": {"name": "phi.4"}}, "a lowercase RFC 1123 label"),
    ],
)
async def test_kaito_denies_what_it_cannot_run(cluster: Cluster, changes: Manifest, text: str) -> None:
    with refused(400, "BadRequest", text):
        await cluster.apply(a_workspace(**changes))
    assert (await cluster.custom.list_namespaced_custom_object(*KAITO, cluster.namespace, "workspaces"))["items"] == []


async def test_a_workspace_needs_a_label_selector(cluster: Cluster) -> None:
    with refused(422, "Invalid", "resource.labelSelector: Required value"):
        await cluster.apply(a_workspace(resource={"instanceType": "Standard_NC24ads_A100_v4"}))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"inference": {"preset": {"name": "microsoft/phi-4"}}}, "inference.preset"),
        (
            {"resource": {"instanceType": "Standard_NC48ads_A100_v4", "labelSelector": {"matchLabels": {"apps": "phi-4"}}}},
            "resource.instanceType",
        ),
        (
            {"resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": "x"}}}},
            "resource.labelSelector",
        ),
    ],
)
async def test_model_size_and_nodes_cannot_be_changed(cluster: Cluster, changes: Manifest, field: str) -> None:
    await cluster.apply(a_workspace())
    before = await cluster.workspace()
    with refused(400, "BadRequest", f"field is immutable: {field}"):
        await cluster.apply(a_workspace(**changes))
    assert await cluster.workspace() == before


async def test_labels_can_be_changed_and_unknown_fields_are_dropped(cluster: Cluster) -> None:
    await cluster.apply(a_workspace())
    changed = await cluster.apply(a_workspace(metadata={"name": "phi-4", "labels": {"mergekey.dev/team": "beta"}}, spec={"x": 1}))
    assert changed["metadata"]["labels"] == {"mergekey.dev/team": "beta"}
    assert "spec" not in changed
    assert changed["metadata"]["generation"] == 1


async def test_the_fields_of_another_manager_are_taken_only_by_force(cluster: Cluster) -> None:
    await cluster.apply(a_workspace())
    mine = a_workspace(metadata={"name": "phi-4", "labels": {"mergekey.dev/team": "beta"}})
    with refused(409, "Conflict", 'conflict with "mergekey" using kaito.sh/v1beta1: .metadata.labels.mergekey.dev/team'):
        await cluster.apply(mine, manager="somebody", force=False)
    taken = await cluster.apply(mine, manager="somebody")
    assert taken["metadata"]["labels"] == {"mergekey.dev/team": "beta"}
    without = a_workspace(metadata={"name": "phi-4"})
    assert (await cluster.apply(without))["metadata"]["labels"] == {"mergekey.dev/team": "beta"}


async def test_a_write_that_saw_an_older_version_is_refused(cluster: Cluster, standins: StandIns) -> None:
    await cluster.apply(a_workspace())
    seen = (await cluster.workspace())["metadata"]["resourceVersion"]
    await cluster.apply(a_workspace(metadata={"name": "phi-4", "labels": {"new": "label"}}))
    stale: Manifest = a_workspace(metadata={"name": "phi-4", "resourceVersion": seen})
    with refused(409, "Conflict", "the object has been modified"):
        await cluster.apply(stale)
    path = (*KAITO, cluster.namespace, "workspaces", "phi-4")
    with refused(409, "Conflict", "the object has been modified"):
        await cluster.custom.replace_namespaced_custom_object(*path, stale)
    with refused(409, "Conflict", "the object has been modified"):
        await cluster.custom.patch_namespaced_custom_object(*path, stale, _content_type="application/merge-patch+json")
    with refused(409, "Conflict", "Precondition failed: ResourceVersion"):
        await cluster.delete_workspace(body=client.V1DeleteOptions(preconditions=client.V1Preconditions(resource_version=seen)))
    newest = await cluster.workspace()
    newest["metadata"]["labels"] = {"replaced": "yes"}
    replaced = await cluster.custom.replace_namespaced_custom_object(*path, newest)
    assert replaced["metadata"]["labels"] == {"replaced": "yes"}


async def test_a_deleted_workspace_is_gone_after_its_nodes(cluster: Cluster, standins: StandIns) -> None:
    await cluster.apply(a_workspace())
    standins.control.advance(13 * MINUTE)
    version = (await cluster.workspace())["metadata"]["resourceVersion"]
    options = client.V1DeleteOptions(preconditions=client.V1Preconditions(resource_version=version))
    going = await cluster.delete_workspace(body=options, propagation_policy="Background")
    assert going["metadata"]["deletionTimestamp"]
    assert going["metadata"]["finalizers"] == ["workspace.finalizer.kaito.sh"]
    assert conditions(going)["WorkspaceDeleting"] == ("True", "workspaceDeleted")
    standins.control.advance(2 * MINUTE)
    with refused(404, "NotFound", 'workspaces.kaito.sh "phi-4" not found'):
        await cluster.workspace()
    with refused(404, "NotFound"):
        await cluster.delete_workspace()
    assert (await cluster.core.list_namespaced_service(cluster.namespace)).items == []


async def test_a_quota_on_workspaces_holds(cluster: Cluster) -> None:
    await cluster.apply_quota(1)
    await cluster.apply(a_workspace("one"))
    await cluster.apply(a_workspace("one", metadata={"name": "one", "labels": {"a": "b"}}))
    text = "exceeded quota: workspaces, requested: count/workspaces.kaito.sh=1, used: count/workspaces.kaito.sh=1, limited: "
    with refused(403, "Forbidden", text):
        await cluster.apply(a_workspace("two"))
    quota = await cluster.core.read_namespaced_resource_quota("workspaces", cluster.namespace)
    assert quota.status.used == {"count/workspaces.kaito.sh": "1"}
    await cluster.apply_quota(2)
    await cluster.apply(a_workspace("two"))


async def test_create_refuses_what_exists_and_what_has_no_namespace(cluster: Cluster) -> None:
    path = (*KAITO, cluster.namespace, "workspaces")
    created = await cluster.custom.create_namespaced_custom_object(*path, a_workspace())
    assert created["metadata"]["uid"]
    with refused(409, "AlreadyExists", 'workspaces.kaito.sh "phi-4" already exists'):
        await cluster.custom.create_namespaced_custom_object(*path, a_workspace())
    with refused(404, "NotFound", 'namespaces "team-nobody" not found'):
        await cluster.custom.create_namespaced_custom_object(*KAITO, "team-nobody", "workspaces", a_workspace())


async def test_workspaces_are_listed_by_namespace_and_label(cluster: Cluster) -> None:
    await cluster.apply(a_workspace("one"))
    await cluster.apply(a_workspace("two", metadata={"name": "two", "labels": {"only": cluster.namespace}}))
    listed = await cluster.custom.list_namespaced_custom_object(*KAITO, cluster.namespace, "workspaces")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["one", "two"]
    chosen = await cluster.custom.list_cluster_custom_object(*KAITO, "workspaces", label_selector=f"only={cluster.namespace}")
    assert [item["metadata"]["name"] for item in chosen["items"]] == ["two"]
    named = await cluster.core.list_namespace(label_selector=f"kubernetes.io/metadata.name={cluster.namespace}")
    assert [item.metadata.name for item in named.items] == [cluster.namespace]


async def test_the_add_on_sees_the_same_workspace_in_its_own_version(cluster: Cluster) -> None:
    manifest = a_workspace(resource={"labelSelector": {"matchLabels": {"apps": "x"}}}) | {"apiVersion": "kaito.sh/v1alpha1"}
    await cluster.apply(manifest, version="v1alpha1")
    seen = await cluster.workspace(version="v1alpha1")
    assert seen["apiVersion"] == "kaito.sh/v1alpha1"
    assert seen["resource"]["instanceType"] == "Standard_NC24ads_A100_v4"
    assert set(seen["status"]) == {"conditions", "workerNodes"}
    newer = await cluster.workspace()
    assert (newer["apiVersion"], newer["metadata"]["uid"]) == ("kaito.sh/v1beta1", seen["metadata"]["uid"])


async def test_routes_and_network_policies_keep_their_version_when_nothing_differs(cluster: Cluster) -> None:
    route: Manifest = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "phi-4"},
        "spec": {"parentRefs": [{"name": "models", "namespace": "gateway"}], "rules": [{"backendRefs": [{"name": "phi-4", "port": 80}]}]},
    }
    path = ("gateway.networking.k8s.io", "v1", cluster.namespace, "httproutes", "phi-4")
    for _ in range(2):
        await cluster.custom.patch_namespaced_custom_object(*path, route, field_manager="mergekey", force=True, _content_type=APPLY)
    applied = await cluster.custom.get_namespaced_custom_object(*path)
    assert applied["spec"]["rules"][0]["backendRefs"][0] == {"name": "phi-4", "port": 80, "group": "", "kind": "Service", "weight": 1}
    assert applied["metadata"]["generation"] == 1
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "closed"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": []},
    }
    arguments = ("closed", cluster.namespace, policy)
    options: dict[str, Any] = {"field_manager": "mergekey", "force": True, "_content_type": APPLY}
    versions = [await cluster.network.patch_namespaced_network_policy(*arguments, **options) for _ in range(2)]
    assert versions[0].metadata.resource_version == versions[1].metadata.resource_version
    assert (await cluster.custom.delete_namespaced_custom_object(*path))["status"] == "Success"


async def test_a_deleted_namespace_takes_its_workspaces_along(cluster: Cluster, standins: StandIns) -> None:
    await cluster.apply(a_workspace())
    await cluster.apply_quota(5)
    with refused(409, "Conflict", "Precondition failed"):
        options = client.V1DeleteOptions(preconditions=client.V1Preconditions(resource_version="1"))
        await cluster.core.delete_namespace(cluster.namespace, body=options)
    await cluster.core.delete_namespace(cluster.namespace, propagation_policy="Background")
    assert (await cluster.core.read_namespace(cluster.namespace)).status.phase == "Terminating"
    with refused(403, "Forbidden", "because it is being terminated"):
        await cluster.apply(a_workspace("late"))
    standins.control.advance(2 * MINUTE)
    with refused(404, "NotFound"):
        await cluster.core.read_namespace(cluster.namespace)
    listed = await cluster.custom.list_cluster_custom_object(*KAITO, "workspaces")
    assert cluster.namespace not in {item["metadata"]["namespace"] for item in listed["items"]}


async def test_an_apply_without_a_field_manager_and_a_patch_of_an_unknown_type_are_refused(cluster: Cluster) -> None:
    await cluster.apply(a_workspace())
    path = (*KAITO, cluster.namespace, "workspaces", "phi-4")
    with refused(422, "Invalid", "fieldManager: Required value"):
        await cluster.custom.patch_namespaced_custom_object(*path, a_workspace(), _content_type=APPLY)
    patch, strategic = {"metadata": {"labels": {"a": "b"}}}, "application/strategic-merge-patch+json"
    with refused(415, "UnsupportedMediaType"):
        await cluster.custom.patch_namespaced_custom_object(*path, patch, _content_type=strategic)
    merged = await cluster.custom.patch_namespaced_custom_object(*path, patch)
    assert merged["metadata"]["labels"] == {"mergekey.dev/team": "alpha", "a": "b"}


async def test_calls_are_counted_by_operation(cluster: Cluster, standins: StandIns) -> None:
    await cluster.apply(a_workspace())
    await cluster.workspace()
    path = f"/apis/kaito.sh/v1beta1/namespaces/{cluster.namespace}/workspaces/phi-4"
    kinds = [call.kind for call in standins.control.calls("kubernetes") if call.target.startswith(path)]
    assert kinds == ["PATCH workspace", "GET workspace"]
