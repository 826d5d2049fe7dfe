"""How objects of a Kubernetes API server go, and how many there may be, with kubernetes.aio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio import client

from standins.tests.kubernetes.cluster import (
    KAITO,
    MINUTE,
    Cluster,
    Manifest,
    a_workspace,
    conditions,
    options,
    refused,
    with_namespace,
)
from standins.tests.plugin import StandIns


@pytest.fixture
async def cluster(standins: StandIns) -> AsyncIterator[Cluster]:
    async with with_namespace(standins) as cluster:
        yield cluster


async def test_a_deleted_workspace_is_gone_after_its_nodes(cluster: Cluster, standins: StandIns) -> None:
    await cluster.apply(a_workspace())
    standins.control.advance(13 * MINUTE)
    version = (await cluster.workspace())["metadata"]["resourceVersion"]
    wish = client.V1DeleteOptions(preconditions=client.V1Preconditions(resource_version=version))
    going = await cluster.delete_workspace(body=wish, propagation_policy="Background")
    assert going["metadata"]["deletionTimestamp"]
    assert going["metadata"]["finalizers"] == ["workspace.finalizer.kaito.sh"]
    assert going["metadata"]["generation"] == 2
    assert conditions(await cluster.workspace())["WorkspaceDeleting"] == ("True", "workspaceDeleted")
    standins.control.advance(2 * MINUTE)
    with refused(404, "NotFound", 'workspaces.kaito.sh "phi-4" not found'):
        await cluster.workspace()
    with refused(404, "NotFound"):
        await cluster.delete_workspace()
    assert (await cluster.core.list_namespaced_service(cluster.namespace)).items == []


async def test_whoever_set_a_finalizer_must_take_it_off(cluster: Cluster, standins: StandIns) -> None:
    await cluster.apply(a_workspace(metadata={"name": "phi-4", "finalizers": ["example.com/wait"]}))
    assert (await cluster.workspace())["metadata"]["finalizers"] == [
        "example.com/wait",
        "workspace.finalizer.kaito.sh",
    ]
    await cluster.delete_workspace()
    standins.control.advance(2 * MINUTE)
    assert (await cluster.workspace())["metadata"]["finalizers"] == ["example.com/wait"]
    with refused(
        422, "Invalid", "no new finalizers can be added if the object is being deleted, found new finalizers"
    ):
        await cluster.patch({"metadata": {"finalizers": ["example.com/wait", "example.com/more"]}})
    last = await cluster.let_go("phi-4")
    assert "finalizers" not in last["metadata"]
    with refused(404, "NotFound"):
        await cluster.workspace()


async def test_an_applier_takes_only_its_own_finalizer_off(cluster: Cluster) -> None:
    await cluster.apply(a_workspace(metadata={"name": "phi-4", "finalizers": ["example.com/wait"]}))
    left = await cluster.apply(a_workspace(metadata={"name": "phi-4"}))
    assert left["metadata"]["finalizers"] == ["workspace.finalizer.kaito.sh"]


async def _route(cluster: Cluster, owner: Manifest) -> Any:
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"]}
    manifest = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "owned", "ownerReferences": [{**reference, "uid": owner["metadata"]["uid"]}]},
        "spec": {},
    }
    path = ("gateway.networking.k8s.io", "v1", cluster.namespace, "httproutes")
    await cluster.custom.create_namespaced_custom_object(*path, manifest)
    return lambda: cluster.custom.get_namespaced_custom_object(*path, "owned")


async def test_what_belongs_to_an_object_follows_it(cluster: Cluster, standins: StandIns) -> None:
    await cluster.apply(a_workspace())
    owned = await _route(cluster, await cluster.workspace())
    await cluster.delete_workspace(propagation_policy="Background")
    assert (await owned())["metadata"]["name"] == "owned"
    standins.control.advance(2 * MINUTE)
    with refused(404, "NotFound"):
        await owned()


async def test_a_deletion_in_the_foreground_waits_for_what_belongs_to_the_object(cluster: Cluster) -> None:
    await cluster.apply(a_workspace())
    owned = await _route(cluster, await cluster.workspace())
    going = await cluster.delete_workspace(propagation_policy="Foreground")
    assert going["metadata"]["deletionTimestamp"]
    with refused(404, "NotFound"):
        await owned()
    assert (await cluster.workspace())["metadata"]["finalizers"] == ["workspace.finalizer.kaito.sh"]


async def test_orphans_stay(cluster: Cluster, standins: StandIns) -> None:
    await cluster.apply(a_workspace())
    owned = await _route(cluster, await cluster.workspace())
    await cluster.delete_workspace(body=client.V1DeleteOptions(propagation_policy="Orphan"))
    standins.control.advance(2 * MINUTE)
    with refused(404, "NotFound"):
        await cluster.workspace()
    assert "ownerReferences" not in (await owned())["metadata"]
    with refused(422, "Invalid", 'propagationPolicy: Unsupported value: "Fast"'):
        await cluster.core.delete_namespace(cluster.namespace, propagation_policy="Fast")


async def test_what_names_an_owner_that_does_not_exist_is_collected(cluster: Cluster) -> None:
    stranger = {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": "phi-4", "uid": "no such uid"},
    }
    with refused(404, "NotFound"):
        await (await _route(cluster, stranger))()


# Namespaces


async def test_a_deleted_namespace_takes_its_workspaces_along(cluster: Cluster, standins: StandIns) -> None:
    await cluster.apply(a_workspace())
    await cluster.apply_quota(5)
    with refused(409, "Conflict", "Precondition failed"):
        wish = client.V1DeleteOptions(preconditions=client.V1Preconditions(resource_version="1"))
        await cluster.core.delete_namespace(cluster.namespace, body=wish)
    await cluster.core.delete_namespace(cluster.namespace, propagation_policy="Background")
    going = await cluster.core.read_namespace(cluster.namespace)
    assert (going.status.phase, going.metadata.deletion_timestamp is None) == ("Terminating", False)
    with refused(403, "Forbidden", "because it is being terminated") as problem:
        await cluster.apply(a_workspace("late"))
    assert '"reason": "NamespaceTerminating"' in problem.value.body
    standins.control.advance(2 * MINUTE)
    with refused(404, "NotFound"):
        await cluster.core.read_namespace(cluster.namespace)
    listed = await cluster.custom.list_cluster_custom_object(*KAITO, "workspaces")
    assert cluster.namespace not in {item["metadata"]["namespace"] for item in listed["items"]}


async def test_a_namespace_waits_some_seconds_before_it_goes(cluster: Cluster, standins: StandIns) -> None:
    with options(standins.control, namespace_deleted_after=30.0):
        await cluster.apply_quota(5)
        await cluster.core.delete_namespace(cluster.namespace)
        standins.control.advance(20)
        going = await cluster.core.read_namespace(cluster.namespace)
        assert (going.status.phase, going.status.conditions) == ("Terminating", None)
        quota = await cluster.apply_quota(6)
        assert quota.metadata.deletion_timestamp is None
        standins.control.advance(11)
        with refused(404, "NotFound"):
            await cluster.core.read_namespace(cluster.namespace)


async def test_a_namespace_says_what_keeps_it(cluster: Cluster, standins: StandIns) -> None:
    await cluster.apply(a_workspace(metadata={"name": "phi-4", "finalizers": ["example.com/wait"]}))
    await cluster.core.delete_namespace(cluster.namespace)
    standins.control.advance(2 * MINUTE)
    going = await cluster.core.read_namespace(cluster.namespace)
    said = {row.type: (row.status, row.reason, row.message) for row in going.status.conditions}
    assert said["NamespaceContentRemaining"] == (
        "True",
        "SomeResourcesRemain",
        "Some resources are remaining: workspaces.kaito.sh has 1 resource instances",
    )
    assert said["NamespaceFinalizersRemaining"] == (
        "True",
        "SomeFinalizersRemain",
        "Some content in the namespace has finalizers remaining: example.com/wait in 1 resource instances",
    )
    assert said["NamespaceDeletionContentFailure"][:2] == ("False", "ContentDeleted")
    await cluster.let_go("phi-4")
    with refused(404, "NotFound"):
        await cluster.core.read_namespace(cluster.namespace)


async def test_the_first_namespaces_cannot_be_deleted(cluster: Cluster) -> None:
    with refused(
        403, "Forbidden", 'namespaces "kube-system" is forbidden: this namespace may not be deleted'
    ):
        await cluster.core.delete_namespace("kube-system")


# Quotas


async def test_a_quota_on_workspaces_holds(cluster: Cluster) -> None:
    await cluster.apply_quota(1)
    await cluster.apply(a_workspace("one"))
    await cluster.apply(a_workspace("one", metadata={"name": "one", "labels": {"a": "b"}}))
    text = (
        "exceeded quota: workspaces, requested: count/workspaces.kaito.sh=1, used: "
        "count/workspaces.kaito.sh=1, limited: "
    )
    with refused(403, "Forbidden", f'workspaces.kaito.sh "two" is forbidden: {text}'):
        await cluster.apply(a_workspace("two"))
    with refused(403, "Forbidden", text):
        await cluster.apply(a_workspace("two"), dry_run="All")
    quota = await cluster.core.read_namespaced_resource_quota("workspaces", cluster.namespace)
    assert quota.status.used == {"count/workspaces.kaito.sh": "1"}
    await cluster.apply_quota(2)
    await cluster.apply(a_workspace("two"))
