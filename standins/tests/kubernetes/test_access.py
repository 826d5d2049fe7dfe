"""Rights in a Kubernetes cluster, as infra/kubernetes/rbac.yaml gives them, with kubernetes.aio; and what
kubectl asks first.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import yaml
from kubernetes.aio import client

from standins.identity import principal
from standins.tests.differences import known_difference
from standins.tests.kubernetes.cluster import (
    APPLY,
    Cluster,
    Manifest,
    a_workspace,
    connected,
    labelled,
    options,
    refused,
    token,
    with_namespace,
)
from standins.tests.plugin import ROOT, StandIns


@pytest.fixture
async def cluster(standins: StandIns) -> AsyncIterator[Cluster]:
    async with with_namespace(standins) as cluster:
        yield cluster


async def _apply_for(cluster: Cluster, user: str, file: str) -> None:
    """A file of infra/kubernetes, for another principal than the app's and under names of its own."""
    text = (ROOT / "infra" / "kubernetes" / file).read_text().replace("APP_OBJECT_ID", user)
    for manifest in yaml.safe_load_all(text):
        manifest["metadata"]["name"] += f"-{user}"
        if "roleRef" in manifest:
            manifest["roleRef"]["name"] += f"-{user}"
        if "policyName" in manifest.get("spec", {}):
            manifest["spec"]["policyName"] += f"-{user}"
        await cluster.raw(
            "PATCH", f"{_path(manifest)}?fieldManager=platform&force=true", manifest, {"Content-Type": APPLY}
        )


def _path(manifest: Manifest) -> str:
    plural = {"Policy": "policies", "Binding": "bindings", "Role": "roles"}
    kind = manifest["kind"]
    ending = next(each for each in plural if kind.endswith(each))
    several = kind.removesuffix(ending).lower() + plural[ending]
    return f"/apis/{manifest['apiVersion']}/{several}/{manifest['metadata']['name']}"


@asynccontextmanager
async def somebody(standins: StandIns, cluster: Cluster, *files: str) -> AsyncIterator[Cluster]:
    """Another principal, with the rights that the files give, in a cluster that checks."""
    name = f"client-{uuid.uuid4().hex[:8]}"
    for file in files:
        await _apply_for(cluster, principal(name), file)
    with options(standins.control, check_access=True):
        async with connected(standins, await token(standins, client_id=name)) as other:
            other.namespace = f"team-{uuid.uuid4().hex[:8]}"
            yield other


async def test_the_rights_in_infra_are_exactly_what_the_app_does(
    cluster: Cluster, standins: StandIns
) -> None:
    async with somebody(standins, cluster, "rbac.yaml") as app:
        write: dict[str, Any] = {"field_manager": "mergekey", "force": True, "_content_type": APPLY}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": app.namespace}}
        for _ in range(2):
            await app.core.patch_namespace(app.namespace, namespace, **write)
        assert (await app.core.read_namespace(app.namespace)).status.phase == "Active"
        await app.apply_quota(1)
        policy = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "p"},
            "spec": {"podSelector": {}},
        }
        await app.network.patch_namespaced_network_policy("p", app.namespace, policy, **write)
        await app.custom.create_namespaced_custom_object(*app.workspaces, a_workspace())
        route = {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "phi-4"},
            "spec": {},
        }
        path = ("gateway.networking.k8s.io", "v1", app.namespace, "httproutes", "phi-4")
        await app.custom.patch_namespaced_custom_object(*path, route, **write)
        listed = await app.custom.list_namespaced_custom_object(*app.workspaces)
        assert [item["metadata"]["name"] for item in listed["items"]] == ["phi-4"]
        everywhere = await app.custom.list_cluster_custom_object("kaito.sh", "v1beta1", "workspaces")
        assert app.namespace in {item["metadata"]["namespace"] for item in everywhere["items"]}
        assert app.namespace in {item.metadata.name for item in (await app.core.list_namespace()).items}
        await app.core.list_node()
        await app.custom.delete_namespaced_custom_object(*path)
        await app.delete_workspace()
        await app.core.delete_namespace(app.namespace)


async def test_everything_else_is_forbidden_to_the_app(cluster: Cluster, standins: StandIns) -> None:
    await cluster.apply(a_workspace())
    async with somebody(standins, cluster, "rbac.yaml") as app:
        where = f'in the namespace "{cluster.namespace}"'
        app.namespace = cluster.namespace
        for call, text in (
            (app.workspace(), f'cannot get resource "workspaces" in API group "kaito.sh" {where}'),
            (
                app.core.list_namespaced_service(cluster.namespace),
                f'cannot list resource "services" in API group "" {where}',
            ),
            (
                app.core.delete_node("aks-gpu-1"),
                'cannot delete resource "nodes" in API group "" at the cluster scope',
            ),
            (
                app.core.delete_namespaced_resource_quota("workspaces", cluster.namespace),
                'cannot delete resource "resourcequotas"',
            ),
            (
                app.rights.list_cluster_role(),
                'cannot list resource "clusterroles" in API group "rbac.authorization.k8s.io"',
            ),
        ):
            with refused(403, "Forbidden", text):
                await call
        status = app.custom.get_namespaced_custom_object_status(*app.workspaces, "phi-4")
        with refused(403, "Forbidden", 'cannot get resource "workspaces/status"'):
            await status


async def test_without_rights_nothing_is_allowed_and_the_text_says_who_asked(
    cluster: Cluster, standins: StandIns
) -> None:
    async with somebody(standins, cluster) as nobody:
        nobody.namespace = cluster.namespace
        text = 'workspaces.kaito.sh is forbidden: User "'
        with refused(403, "Forbidden", text) as problem:
            await nobody.custom.create_namespaced_custom_object(*nobody.workspaces, a_workspace())
        assert (
            'cannot create resource \\"workspaces\\" in API group \\"kaito.sh\\" in the namespace'
            in problem.value.body
        )
        with refused(403, "Forbidden", f'namespaces "{cluster.namespace}" is forbidden: User '):
            await nobody.core.read_namespace(cluster.namespace)


async def test_a_role_counts_in_its_namespace_and_for_the_groups_it_names(
    cluster: Cluster, standins: StandIns
) -> None:
    group = str(uuid.uuid4())
    rules = [
        client.V1PolicyRule(
            api_groups=["kaito.sh"],
            resources=["workspaces"],
            verbs=["get", "patch"],
            resource_names=["phi-4"],
        )
    ]
    await cluster.rights.create_namespaced_role(
        cluster.namespace, client.V1Role(metadata=client.V1ObjectMeta(name="one"), rules=rules)
    )
    reference = client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind="Role", name="one")
    binding = client.V1RoleBinding(
        metadata=client.V1ObjectMeta(name="one"),
        role_ref=reference,
        subjects=[client.RbacV1Subject(kind="Group", name=group)],
    )
    await cluster.rights.create_namespaced_role_binding(cluster.namespace, binding)
    await cluster.apply(a_workspace())
    await cluster.apply(a_workspace("other"))
    with options(standins.control, check_access=True):
        async with connected(standins, await token(standins, client_id=f"reader-{group}")) as reader:
            reader.namespace = cluster.namespace
            assert (await reader.workspace())["metadata"]["name"] == "phi-4"
            for forbidden, text in (
                (reader.workspace("other"), 'workspaces.kaito.sh "other" is forbidden'),
                (reader.apply(a_workspace("new")), ""),
            ):
                with refused(403, "Forbidden", text):
                    await forbidden
            reader.namespace = "default"
            with refused(403, "Forbidden"):
                await reader.workspace()


async def _give(cluster: Cluster, role: str, rule: client.V1PolicyRule) -> str:
    """Rights in the test's namespace, for a client whose id is returned."""
    metadata = client.V1ObjectMeta(name=role)
    await cluster.rights.create_namespaced_role(
        cluster.namespace, client.V1Role(metadata=metadata, rules=[rule])
    )
    reference = client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind="Role", name=role)
    name = f"client-{cluster.namespace}"
    subject = client.RbacV1Subject(kind="User", name=principal(name), api_group="rbac.authorization.k8s.io")
    binding = client.V1RoleBinding(metadata=metadata, role_ref=reference, subjects=[subject])
    await cluster.rights.create_namespaced_role_binding(cluster.namespace, binding)
    return name


async def test_an_apply_that_creates_needs_the_right_to_create(cluster: Cluster, standins: StandIns) -> None:
    rule = client.V1PolicyRule(api_groups=["kaito.sh"], resources=["workspaces"], verbs=["patch"])
    name = await _give(cluster, "patch", rule)
    await cluster.apply(a_workspace())
    with options(standins.control, check_access=True):
        async with connected(standins, await token(standins, client_id=name)) as patcher:
            patcher.namespace = cluster.namespace
            assert (await patcher.apply(labelled(a="b")))["metadata"]["labels"] == {"a": "b"}
            with refused(403, "Forbidden", 'cannot create resource "workspaces"'):
                await patcher.apply(a_workspace("new"))


async def test_anybody_may_ask_what_they_may_do(cluster: Cluster, standins: StandIns) -> None:
    async def may(asker: Cluster, verb: str) -> bool:
        attributes = client.V1ResourceAttributes(
            group="kaito.sh", resource="workspaces", verb=verb, namespace="team-x"
        )
        body = client.V1SelfSubjectAccessReview(
            spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
        )
        answer: Any = await client.AuthorizationV1Api(asker.api).create_self_subject_access_review(body)
        return bool(answer.status.allowed)

    async with somebody(standins, cluster, "rbac.yaml") as app:
        assert [await may(app, verb) for verb in ("create", "list", "watch", "update")] == [
            True,
            True,
            False,
            False,
        ]
    assert await may(cluster, "update")


async def test_a_binding_keeps_its_role(cluster: Cluster) -> None:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "one"}
    binding = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": []}
    await cluster.rights.create_namespaced_role_binding(cluster.namespace, binding)
    with refused(422, "Invalid", "cannot change roleRef"):
        await cluster.rights.patch_namespaced_role_binding(
            "b", cluster.namespace, {"roleRef": {"name": "two"}}
        )


async def test_an_admission_policy_is_enforced(cluster: Cluster, standins: StandIns) -> None:
    async with somebody(standins, cluster, "rbac.yaml", "only-team-namespaces.yaml") as app:
        manifest = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": f"other-{uuid.uuid4().hex[:8]}"},
        }
        with refused(403, "Forbidden", "mergekey writes in namespaces team-* only"):
            await app.core.create_namespace(manifest)


@known_difference(
    "kubernetes",
    "Nobody can write a role with rights that they do not have themselves; here only the right to write "
    "counts.",
)
async def test_nobody_gives_rights_away_that_they_do_not_have(cluster: Cluster, standins: StandIns) -> None:
    write = client.V1PolicyRule(
        api_groups=["rbac.authorization.k8s.io"], resources=["roles"], verbs=["create"]
    )
    await _give(cluster, "write-roles", write)
    everything = client.V1PolicyRule(api_groups=["*"], resources=["*"], verbs=["*"])
    with options(standins.control, check_access=True):
        async with connected(
            standins, await token(standins, client_id=f"client-{cluster.namespace}")
        ) as other:
            role = client.V1Role(metadata=client.V1ObjectMeta(name="all"), rules=[everything])
            with refused(403, "Forbidden", "attempting to grant RBAC permissions not currently held"):
                await other.rights.create_namespaced_role(cluster.namespace, role)


# Discovery


async def test_the_cluster_says_what_it_has(cluster: Cluster) -> None:
    resources = await client.CustomObjectsApi(cluster.api).get_api_resources("kaito.sh", "v1beta1")
    rows = {row.name: row for row in resources.resources}
    assert rows.keys() == {"workspaces", "workspaces/status", "inferencesets"}
    assert (rows["workspaces"].kind, rows["workspaces"].namespaced, rows["workspaces"].short_names) == (
        "Workspace",
        True,
        ["wk", "wks"],
    )
    groups = {group.name: group for group in (await client.ApisApi(cluster.api).get_api_versions()).groups}
    assert [version.version for version in groups["kaito.sh"].versions] == ["v1beta1", "v1alpha1"]
    core = {row.name for row in (await client.CoreV1Api(cluster.api).get_api_resources()).resources}
    assert {"namespaces", "nodes", "resourcequotas", "services"} <= core
    assert (await client.VersionApi(cluster.api).get_code()).minor == "35"


async def test_a_list_can_be_a_table(cluster: Cluster) -> None:
    _, _, listed = await cluster.raw(
        "GET", "/api/v1/namespaces", headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    )
    assert listed["kind"] == "Table"


async def test_kubectl_may_write_the_built_in_kinds_in_their_binary_form(
    cluster: Cluster, standins: StandIns
) -> None:
    def message(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    name = f"team-{uuid.uuid4().hex[:8]}"
    metadata = message(1, name.encode()) + message(2, b"") + message(11, message(1, b"a") + message(2, b"b"))
    about = message(1, b"v1") + message(2, b"Namespace")
    status = message(3, message(1, b""))
    body = b"k8s\0" + message(1, about) + message(2, message(1, metadata) + message(2, b"") + status)
    headers = {
        "Authorization": f"Bearer {await token(standins)}",
        "Content-Type": "application/vnd.kubernetes.protobuf",
    }
    async with aiohttp.ClientSession(headers=headers) as session:
        url = f"{standins.addresses['kubernetes']}/api/v1/namespaces"
        assert (await session.post(url, data=body)).status == 201
        assert (await session.post(url, data=b"{}")).status == 400
        assert (await session.post(url, data=body.replace(b"Namespace", b"ConfigMap"))).status == 501
    assert (await cluster.core.read_namespace(name)).metadata.labels["a"] == "b"


async def test_the_cluster_says_that_it_validates_fields_itself(cluster: Cluster) -> None:
    _, _, paths = await cluster.raw("GET", "/openapi/v3")
    _, _, document = await cluster.raw("GET", paths["paths"]["apis/kaito.sh/v1beta1"]["serverRelativeURL"])
    patch = document["paths"]["/apis/kaito.sh/v1beta1/namespaces/{namespace}/workspaces/{name}"]["patch"]
    assert [parameter["name"] for parameter in patch["parameters"]] == ["fieldValidation"]
