"""The stand-ins for GitHub and for the cluster, used with the command lines that everybody has."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.clients.azure_cli import Refused
from tests.clients.kubectl import Kubectl, with_token
from tests.conftest import StandIns

GIT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@contoso.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@contoso.com",
}


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, env=GIT, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


def commit(clone: Path, text: str) -> str:
    """One file with this text; answers the commit."""
    (clone / "access.yaml").write_text(text)
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", text)
    return git(clone, "rev-parse", "HEAD")


@pytest.fixture
def remote(standins: StandIns) -> str:
    """Where a new repository is cloned from."""
    url = f"{standins.addresses['github']}/_standin/repositories/contoso/clients-{uuid.uuid4().hex[:8]}"
    with urllib.request.urlopen(urllib.request.Request(url, data=b"{}", method="PUT"), timeout=10) as answer:
        return str(json.load(answer)["git_url"])


def test_what_one_clone_pushes_another_pulls(remote: str, tmp_path: Path) -> None:
    for name in ("ada", "ben"):
        git(tmp_path, "clone", "--quiet", remote, name)
    head = commit(tmp_path / "ada", "of Ada")
    git(tmp_path / "ada", "push", "--quiet", "origin", "HEAD:main")
    git(tmp_path / "ben", "pull", "--quiet", "origin", "main")
    assert git(tmp_path / "ben", "rev-parse", "HEAD") == head
    assert (tmp_path / "ben" / "access.yaml").read_text() == "of Ada"


def test_a_push_that_would_lose_another_one_is_rejected(remote: str, tmp_path: Path) -> None:
    for name in ("ada", "ben"):
        git(tmp_path, "clone", "--quiet", remote, name)
        commit(tmp_path / name, f"of {name}")
    git(tmp_path / "ada", "push", "--quiet", "origin", "HEAD:main")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        git(tmp_path / "ben", "push", "--quiet", "origin", "HEAD:main")
    assert "rejected" in refused.value.stderr


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
    assert [row["metadata"]["name"] for row in (await kubectl.get("workspace", "--namespace", namespace))["items"]] == ["phi-4"]
    await kubectl("delete", "workspace", "phi-4", "--namespace", namespace, "--wait=false")


async def test_a_field_that_another_manager_owns_is_not_taken_without_force(kubectl: Kubectl, namespace: str) -> None:
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


async def test_what_changes_is_watched(kubectl: Kubectl, namespace: str) -> None:
    async with kubectl.watching("workspaces", "--namespace", namespace) as lines:
        await apply(kubectl, a_workspace(namespace))
        happened, name, *_ = (await lines.readline()).decode().split()
        assert (happened, name) == ("ADDED", "phi-4")
        while happened != "MODIFIED":  # the controller writes conditions
            happened, name, *_ = (await lines.readline()).decode().split()
        assert name == "phi-4"


async def test_a_workspace_is_waited_for(standins: StandIns, kubectl: Kubectl, namespace: str) -> None:
    await apply(kubectl, a_workspace(namespace))
    condition = "--for=condition=WorkspaceSucceeded"
    waiting = asyncio.create_task(kubectl("wait", condition, "workspace/phi-4", "--namespace", namespace, "--timeout", "20s"))
    while not waiting.done():
        standins.control.advance(300)
        await asyncio.wait([waiting], timeout=0.2)
    assert "condition met" in await waiting
