"""The stand-in for the cluster, used with Kubernetes' own command line."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
import pytest_asyncio

from standins.tests.clients.azure_cli import Refused
from standins.tests.clients.kubectl import Kubectl, with_token
from standins.tests.plugin import StandIns


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def kubectl(standins: StandIns, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    return await with_token(standins, tmp_path_factory.mktemp("kubectl"))


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(kubectl: Kubectl) -> str:
    name = f"team-{uuid.uuid4().hex[:8]}"
    await kubectl("create", "namespace", name)
    return name


def a_workspace(namespace: str, instance_type: str = "Standard_NC24ads_A100_v4") -> dict[str, Any]:
    return {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": "phi-4", "namespace": namespace, "labels": {"mergekey.dev/team": "alpha"}},
        "resource": {"instanceType": instance_type, "labelSelector": {"matchLabels": {"apps": "phi-4"}}},
        "inference": {"preset": {"name": "phi-4"}},
    }


async def apply(kubectl: Kubectl, manifest: dict[str, Any], *words: str) -> str:
    return await kubectl("apply", "--server-side", "--filename", "-", *words, manifest=manifest)


async def test_the_cluster_says_what_it_serves(kubectl: Kubectl) -> None:
    listed = (await kubectl("api-resources", "--output", "name")).split()
    assert {"namespaces", "workspaces.kaito.sh"} <= set(listed)


async def test_a_namespace_is_made_shown_and_deleted(kubectl: Kubectl, namespace: str) -> None:
    assert (await kubectl.get("namespace", namespace))["status"]["phase"] == "Active"
    with pytest.raises(Refused, match="AlreadyExists"):
        await kubectl("create", "namespace", namespace)
    await kubectl("delete", "namespace", namespace)
    with pytest.raises(Refused, match="NotFound"):
        await kubectl.get("namespace", namespace)


async def test_a_workspace_is_applied_shown_and_deleted(kubectl: Kubectl, namespace: str) -> None:
    assert "serverside-applied" in await apply(kubectl, a_workspace(namespace))
    shown = await kubectl.get("workspaces.kaito.sh", "phi-4", "--namespace", namespace)
    assert shown["resource"]["instanceType"] == "Standard_NC24ads_A100_v4"
    assert [
        row["metadata"]["name"] for row in (await kubectl.get("workspace", "--namespace", namespace))["items"]
    ] == ["phi-4"]
    await kubectl("delete", "workspace", "phi-4", "--namespace", namespace, "--wait=false")


async def test_a_field_that_another_manager_owns_is_not_taken_without_force(
    kubectl: Kubectl, namespace: str
) -> None:
    await apply(kubectl, a_workspace(namespace), "--field-manager", "mergekey")
    other = a_workspace(namespace)
    other["metadata"]["labels"] = {"mergekey.dev/team": "bravo"}
    with pytest.raises(Refused, match="conflict"):
        await apply(kubectl, other, "--field-manager", "somebody")
    await apply(kubectl, other, "--field-manager", "somebody", "--force-conflicts")


@pytest.mark.wrong_on_purpose
async def test_a_misspelt_field_is_refused(kubectl: Kubectl, namespace: str) -> None:
    wrong = a_workspace(namespace)
    wrong["resource"]["instanceTypo"] = "Standard_NC24ads_A100_v4"
    with pytest.raises(Refused, match="instanceTypo: field not declared in schema"):
        await apply(kubectl, wrong)


async def test_what_changes_is_watched(standins: StandIns, kubectl: Kubectl, namespace: str) -> None:
    async with kubectl.watching("workspaces", "--namespace", namespace) as lines:
        await apply(kubectl, a_workspace(namespace))
        happened, name, *_ = (await lines.readline()).decode().split()
        assert (happened, name) == ("ADDED", "phi-4")
        standins.control.advance(400)  # the node is ready, and the conditions say so
        while happened != "MODIFIED":  # the controller writes conditions
            happened, name, *_ = (await lines.readline()).decode().split()
        assert name == "phi-4"


async def test_a_workspace_is_waited_for(standins: StandIns, kubectl: Kubectl, namespace: str) -> None:
    await apply(kubectl, a_workspace(namespace))
    condition = "--for=condition=WorkspaceSucceeded"
    waiting = asyncio.create_task(
        kubectl("wait", condition, "workspace/phi-4", "--namespace", namespace, "--timeout", "50s")
    )
    while not waiting.done():
        standins.control.advance(300)
        await asyncio.wait([waiting], timeout=0.2)
    assert "condition met" in await waiting
