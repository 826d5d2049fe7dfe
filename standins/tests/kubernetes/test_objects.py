"""Objects of a Kubernetes API server, with kubernetes.aio: who may write what, and what becomes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio import client

from standins.tests.kubernetes.cluster import (
    APPLY,
    JSON_PATCH,
    KAITO,
    STRATEGIC,
    Cluster,
    Manifest,
    a_workspace,
    connected,
    labelled,
    refused,
    token,
    with_namespace,
)
from standins.tests.plugin import StandIns


@pytest.fixture
async def cluster(standins: StandIns) -> AsyncIterator[Cluster]:
    async with with_namespace(standins) as cluster:
        yield cluster


async def test_a_call_needs_a_token_meant_for_the_cluster(standins: StandIns) -> None:
    for bearer in ("nonsense", await token(standins, "https://vault.azure.net")):
        async with connected(standins, bearer) as cluster:
            with refused(401, "Unauthorized"):
                await cluster.core.list_namespace()


async def test_an_applied_namespace_is_active_and_applying_it_again_writes_nothing(cluster: Cluster) -> None:
    first = await cluster.core.read_namespace(cluster.namespace)
    assert first.status.phase == "Active"
    assert first.metadata.labels == {"kubernetes.io/metadata.name": cluster.namespace}
    manifest = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": cluster.namespace, "annotations": {"a": "1"}},
    }
    options: dict[str, Any] = {"field_manager": "mergekey", "force": True, "_content_type": APPLY}
    again = await cluster.core.patch_namespace(cluster.namespace, manifest, **options)
    assert again.metadata.resource_version == first.metadata.resource_version
    manifest["metadata"] = {"name": cluster.namespace, "annotations": {"b": "2"}}
    changed = await cluster.core.patch_namespace(cluster.namespace, manifest, **options)
    assert changed.metadata.annotations == {"b": "2"}
    assert int(changed.metadata.resource_version) > int(first.metadata.resource_version)


async def test_every_cluster_has_its_first_namespaces(cluster: Cluster) -> None:
    assert {"default", "kube-system"} <= {
        item.metadata.name for item in (await cluster.core.list_namespace()).items
    }


# Server-side apply


async def test_labels_can_be_changed_and_are_no_new_generation(cluster: Cluster) -> None:
    await cluster.apply(a_workspace())
    changed = await cluster.apply(labelled(team="beta"))
    assert changed["metadata"]["labels"] == {"team": "beta"}
    assert changed["metadata"]["generation"] == 1


async def test_the_manager_and_its_fields_are_shown(cluster: Cluster) -> None:
    await cluster.apply(labelled(team="alpha"))
    [entry] = (await cluster.workspace())["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == (
        "mergekey",
        "Apply",
        "kaito.sh/v1beta1",
    )
    assert entry["fieldsV1"] == {
        "f:metadata": {"f:labels": {"f:team": {}}},
        "f:resource": {"f:instanceType": {}, "f:labelSelector": {}},
        "f:inference": {"f:preset": {"f:name": {}}},
    }


async def test_the_fields_of_another_applier_are_taken_only_by_force(cluster: Cluster) -> None:
    await cluster.apply(labelled(team="alpha"))
    theirs = labelled(team="beta")
    with refused(
        409, "Conflict", 'Apply failed with 1 conflict: conflict with "mergekey": .metadata.labels.team'
    ) as problem:
        await cluster.apply(theirs, manager="somebody", force=False)
    assert '"reason": "FieldManagerConflict"' in problem.value.body
    taken = await cluster.apply(theirs, manager="somebody")
    assert taken["metadata"]["labels"] == {"team": "beta"}
    without = a_workspace(metadata={"name": "phi-4"})
    assert (await cluster.apply(without))["metadata"]["labels"] == {"team": "beta"}


async def test_a_conflict_with_somebody_who_updated_names_the_version(cluster: Cluster) -> None:
    await cluster.apply(labelled(team="alpha"))
    await cluster.patch({"metadata": {"labels": {"team": "x", "more": "y"}}}, field_manager="kubectl-edit")
    fields = "- .metadata.labels.more\n- .metadata.labels.team"
    text = f'Apply failed with 2 conflicts: conflicts with "kubectl-edit" using kaito.sh/v1beta1:\n{fields}'
    with refused(409, "Conflict", text):
        await cluster.apply(labelled(team="alpha", more="z"), force=False)


async def test_a_field_that_two_apply_alike_belongs_to_both(cluster: Cluster) -> None:
    await cluster.apply(labelled(team="alpha"))
    await cluster.apply(labelled(team="alpha"), manager="somebody", force=False)
    left = await cluster.apply(a_workspace(metadata={"name": "phi-4"}))
    assert left["metadata"]["labels"] == {"team": "alpha"}
    gone = await cluster.apply(a_workspace(metadata={"name": "phi-4"}), manager="somebody")
    assert "labels" not in gone["metadata"]


@pytest.mark.wrong_on_purpose
@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"spec": {"x": 1}}, ".spec: field not declared in schema"),
        (
            {"inference": {"preset": {"name": "phi-4", "size": 1}}},
            ".inference.preset.size: field not declared in schema",
        ),
        (
            {"inference": {"preset": {"name": 4}}},
            ".inference.preset.name: expected string, got &value.valueUnstructured{Value:4}",
        ),
        ({"inference": {"adapters": {}}}, ".inference.adapters: expected list, got "),
    ],
)
async def test_what_the_schema_does_not_declare_cannot_be_applied(
    cluster: Cluster, changes: Manifest, problem: str
) -> None:
    text = f"failed to create typed patch object (/phi-4; kaito.sh/v1beta1, Kind=Workspace): {problem}"
    with refused(500, None, text):
        await cluster.apply(a_workspace(**changes))


async def test_an_apply_needs_a_field_manager(cluster: Cluster) -> None:
    with refused(422, "Invalid", "fieldManager: Required value: is required for apply patch"):
        await cluster.patch(a_workspace(), APPLY)


async def test_a_hand_that_opened_a_network_policy_is_overruled_by_the_next_apply(cluster: Cluster) -> None:
    spec: Manifest = {
        "podSelector": {},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {}}]}],
    }
    manifest: Manifest = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "closed"},
        "spec": spec,
    }
    at, apply = (
        ("closed", cluster.namespace),
        {"field_manager": "mergekey", "force": True, "_content_type": APPLY},
    )
    await cluster.network.patch_namespaced_network_policy(*at, manifest, **apply)
    opened = {"podSelector": {"matchLabels": {"app": "none"}}, "ingress": [{}]}
    by_hand = {"field_manager": "kubectl-edit", "_content_type": STRATEGIC}
    edited = await cluster.network.patch_namespaced_network_policy(*at, {"spec": opened}, **by_hand)
    assert (edited.spec.pod_selector.match_labels, edited.spec.ingress[0]._from) == ({"app": "none"}, None)
    await cluster.network.patch_namespaced_network_policy(*at, manifest, **apply)
    path = f"/apis/networking.k8s.io/v1/namespaces/{cluster.namespace}/networkpolicies/closed"
    _, _, found = await cluster.raw("GET", path)
    assert found["spec"] == spec
    await cluster.network.delete_namespaced_network_policy(*at)
    with refused(404, "NotFound"):
        await cluster.network.read_namespaced_network_policy(*at)


async def test_routes_and_network_policies_keep_their_version_when_nothing_differs(cluster: Cluster) -> None:
    route: Manifest = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "phi-4"},
        "spec": {
            "parentRefs": [{"name": "models", "namespace": "gateway"}],
            "rules": [{"backendRefs": [{"name": "phi-4", "port": 80}]}],
        },
    }
    path = ("gateway.networking.k8s.io", "v1", cluster.namespace, "httproutes", "phi-4")
    for _ in range(2):
        await cluster.custom.patch_namespaced_custom_object(
            *path, route, field_manager="mergekey", force=True, _content_type=APPLY
        )
    applied = await cluster.custom.get_namespaced_custom_object(*path)
    [rule] = applied["spec"]["rules"]
    assert rule["backendRefs"][0] == {
        "name": "phi-4",
        "port": 80,
        "group": "",
        "kind": "Service",
        "weight": 1,
    }
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert applied["metadata"]["generation"] == 1
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "closed"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": []},
    }
    arguments = ("closed", cluster.namespace, policy)
    options: dict[str, Any] = {"field_manager": "mergekey", "force": True, "_content_type": APPLY}
    versions = [
        await cluster.network.patch_namespaced_network_policy(*arguments, **options) for _ in range(2)
    ]
    assert versions[0].metadata.resource_version == versions[1].metadata.resource_version
    assert (await cluster.custom.delete_namespaced_custom_object(*path))["status"] == "Success"


# Optimistic locking


async def test_a_write_that_saw_an_older_version_is_refused(cluster: Cluster) -> None:
    await cluster.apply(a_workspace())
    seen = (await cluster.workspace())["metadata"]["resourceVersion"]
    await cluster.apply(labelled(new="label"))
    stale: Manifest = a_workspace(metadata={"name": "phi-4", "resourceVersion": seen})
    text = 'Operation cannot be fulfilled on workspaces.kaito.sh "phi-4": the object has been modified'
    with refused(409, "Conflict", text):
        await cluster.apply(stale)
    with refused(409, "Conflict", text):
        await cluster.custom.replace_namespaced_custom_object(*cluster.workspaces, "phi-4", stale)
    with refused(409, "Conflict", text):
        await cluster.patch(stale)
    with refused(409, "Conflict", "the ResourceVersion in the precondition"):
        await cluster.delete_workspace(
            body=client.V1DeleteOptions(preconditions=client.V1Preconditions(resource_version=seen))
        )
    with refused(409, "Conflict", "the UID in the precondition (other)"):
        await cluster.delete_workspace(
            body=client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="other"))
        )
    newest = await cluster.workspace()
    newest["metadata"]["labels"] = {"replaced": "yes"}
    replaced = await cluster.custom.replace_namespaced_custom_object(*cluster.workspaces, "phi-4", newest)
    assert replaced["metadata"]["labels"] == {"replaced": "yes"}


async def test_an_update_of_a_custom_object_must_say_what_it_saw(cluster: Cluster) -> None:
    await cluster.apply(a_workspace())
    with refused(
        422, "Invalid", "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    ):
        await cluster.custom.replace_namespaced_custom_object(*cluster.workspaces, "phi-4", a_workspace())


async def test_an_object_with_another_uid_is_another_object(cluster: Cluster) -> None:
    await cluster.apply(a_workspace())
    with refused(409, "Conflict", "Precondition failed: UID in precondition: other, UID in object meta: "):
        await cluster.patch({"metadata": {"uid": "other"}})


# Create


async def test_create_refuses_what_exists_and_what_has_no_namespace(cluster: Cluster) -> None:
    created = await cluster.custom.create_namespaced_custom_object(*cluster.workspaces, a_workspace())
    assert created["metadata"]["uid"]
    with refused(409, "AlreadyExists", 'workspaces.kaito.sh "phi-4" already exists'):
        await cluster.custom.create_namespaced_custom_object(*cluster.workspaces, a_workspace())
    with refused(404, "NotFound", 'namespaces "team-nobody" not found'):
        await cluster.custom.create_namespaced_custom_object(
            *KAITO, "team-nobody", "workspaces", a_workspace()
        )
    with refused(500, None, "resourceVersion should not be set on objects to be created"):
        await cluster.custom.create_namespaced_custom_object(
            *cluster.workspaces, a_workspace("other", metadata={"name": "other", "resourceVersion": "1"})
        )


async def test_a_name_can_be_generated(cluster: Cluster) -> None:
    manifest = a_workspace(metadata={"generateName": "phi-"})
    names = {
        (await cluster.custom.create_namespaced_custom_object(*cluster.workspaces, manifest))["metadata"][
            "name"
        ]
        for _ in range(2)
    }
    assert len(names) == 2
    assert all(len(name) == len("phi-12345") and name.startswith("phi-") for name in names)
    with refused(422, "Invalid", "metadata.name: Required value: name or generateName is required"):
        await cluster.custom.create_namespaced_custom_object(*cluster.workspaces, a_workspace(metadata={}))


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        (
            {"name": "Phi"},
            'metadata.name: Invalid value: "Phi": a lowercase RFC 1123 subdomain must consist of',
        ),
        ({"name": "a" * 254}, "must be no more than 253 characters"),
        (
            {"name": "phi-4", "labels": {"team": "a b"}},
            'metadata.labels: Invalid value: "a b": a valid label must be',
        ),
        ({"name": "phi-4", "labels": {"team": "x" * 64}}, "must be no more than 63 characters"),
        (
            {"name": "phi-4", "labels": {"a b": "x"}},
            'metadata.labels: Invalid value: "a b": name part must consist of',
        ),
        (
            {"name": "phi-4", "annotations": {"x": "y" * 256 * 1024}},
            "metadata.annotations: Too long: may not be more than 262144 bytes",
        ),
    ],
)
async def test_names_labels_and_annotations_have_rules(
    cluster: Cluster, metadata: Manifest, text: str
) -> None:
    with refused(422, "Invalid", text):
        await cluster.custom.create_namespaced_custom_object(
            *cluster.workspaces, a_workspace(metadata=metadata)
        )


async def test_the_body_must_be_what_the_path_says(cluster: Cluster) -> None:
    await cluster.apply(a_workspace())
    with refused(
        400, "BadRequest", "the name of the object (other) does not match the name on the URL (phi-4)"
    ):
        await cluster.patch({**a_workspace(metadata={"name": "other"})}, APPLY, field_manager="mergekey")


@pytest.mark.wrong_on_purpose
async def test_what_cannot_be_read_is_a_bad_request(cluster: Cluster) -> None:
    for metadata in (
        {"name": "phi-4", "labels": "team"},
        {"name": "phi-4", "labels": {"team": 1}},
        {"name": "phi-4", "finalizers": {}},
    ):
        with refused(
            400,
            "BadRequest",
            'Workspace in version "v1beta1" cannot be handled as a Workspace: json: cannot unmarshal',
        ):
            await cluster.custom.create_namespaced_custom_object(
                *cluster.workspaces, a_workspace(metadata=metadata)
            )
    await cluster.apply(a_workspace())
    with refused(400, "BadRequest", "json: cannot unmarshal"):
        await cluster.patch({"metadata": {"annotations": ["a"]}})
    without = await cluster.patch({"metadata": None})
    assert without["metadata"]["name"] == "phi-4"


# Patches


async def test_a_merge_patch_adds_and_removes(cluster: Cluster) -> None:
    await cluster.apply(labelled(team="alpha"))
    merged = await cluster.patch({"metadata": {"labels": {"a": "b"}}})
    assert merged["metadata"]["labels"] == {"team": "alpha", "a": "b"}
    assert (await cluster.patch({"metadata": {"labels": {"team": None}}}))["metadata"]["labels"] == {"a": "b"}


async def test_a_json_patch_is_a_list_of_steps(cluster: Cluster) -> None:
    await cluster.apply(labelled(team="alpha"))
    steps = [
        {"op": "test", "path": "/metadata/labels/team", "value": "alpha"},
        {"op": "add", "path": "/metadata/labels/mergekey.dev~1x", "value": "1"},
        {"op": "move", "from": "/metadata/labels/team", "path": "/metadata/labels/moved"},
        {"op": "copy", "from": "/metadata/labels/moved", "path": "/metadata/labels/copied"},
        {"op": "replace", "path": "/metadata/labels/copied", "value": "2"},
    ]
    patched = await cluster.patch(steps, JSON_PATCH)
    assert patched["metadata"]["labels"] == {"mergekey.dev/x": "1", "moved": "alpha", "copied": "2"}
    for wrong in (steps[:1], [{"op": "remove", "path": "/metadata/labels/none"}]):
        with refused(422, "Invalid", "the server rejected our request due to an error in our request"):
            await cluster.patch(wrong, JSON_PATCH)


async def test_custom_objects_know_no_strategic_merge_patch(cluster: Cluster) -> None:
    await cluster.apply(a_workspace())
    known = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    with refused(415, "UnsupportedMediaType", f"accepted media types include: {known}"):
        await cluster.patch({"metadata": {"labels": {"a": "b"}}}, STRATEGIC)
    labels = {"metadata": {"labels": {"a": "b"}}}
    patched = await cluster.core.patch_namespace(cluster.namespace, labels, _content_type=STRATEGIC)
    assert patched.metadata.labels["a"] == "b"


# Dry runs and validation


async def test_a_dry_run_changes_nothing(cluster: Cluster) -> None:
    would = await cluster.custom.create_namespaced_custom_object(
        *cluster.workspaces, a_workspace(), dry_run="All"
    )
    assert would["resource"]["count"] == 1
    with refused(404, "NotFound"):
        await cluster.workspace()
    await cluster.apply(a_workspace())
    before = await cluster.workspace()
    assert (await cluster.apply(labelled(x="y"), dry_run="All"))["metadata"]["labels"] == {"x": "y"}
    await cluster.delete_workspace(dry_run="All")
    assert await cluster.workspace() == before
    with refused(400, "BadRequest", "field is immutable: inference.preset"):
        await cluster.apply(a_workspace(inference={"preset": {"name": "mistral-7b"}}), dry_run="All")
    with refused(422, "Invalid", 'dryRun: Unsupported value: ["Some"]: supported values: "All"'):
        await cluster.delete_workspace(dry_run="Some")


@pytest.mark.wrong_on_purpose
async def test_undeclared_fields_are_dropped_with_a_warning_or_refused(cluster: Cluster) -> None:
    path = f"/apis/kaito.sh/v1beta1/namespaces/{cluster.namespace}/workspaces"
    manifest = a_workspace(spec={"x": 1})
    with refused(
        400,
        "BadRequest",
        'Workspace in version "v1beta1" cannot be handled as a Workspace: strict decoding error: unknown '
        'field "spec"',
    ):
        await cluster.custom.create_namespaced_custom_object(
            *cluster.workspaces, manifest, field_validation="Strict"
        )
    status, headers, created = await cluster.raw("POST", path, manifest)
    assert (status, headers["Warning"]) == (201, '299 - "unknown field \\"spec\\""')
    assert "spec" not in created
    with refused(422, "Invalid", 'strict decoding error: unknown field "resource.gpus"'):
        await cluster.patch({"resource": {"gpus": 4}}, field_validation="Strict")
    assert "gpus" not in (await cluster.patch({"resource": {"gpus": 4}}))["resource"]


# Status


async def test_the_status_is_written_through_its_own_path_only(cluster: Cluster) -> None:
    await cluster.apply(a_workspace())
    before = await cluster.workspace()
    ignored = await cluster.patch({"status": {"state": "Ready"}})
    assert ignored["status"] == before["status"]
    mine = {
        "type": "example.com/Checked",
        "status": "True",
        "reason": "Seen",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status = {"status": {"conditions": [mine]}, "metadata": {"labels": {"not": "here"}}}
    path = (*cluster.workspaces, "phi-4")
    await cluster.custom.patch_namespaced_custom_object_status(
        *path, status, _content_type="application/merge-patch+json"
    )
    after = await cluster.custom.get_namespaced_custom_object_status(*path)
    # KAITO puts its own back at once and leaves the others.
    assert after["status"]["conditions"] == [*before["status"]["conditions"], mine]
    assert after["metadata"]["labels"] == before["metadata"]["labels"]
    assert after["metadata"]["generation"] == 1
    owner = {"subresource": "status", "operation": "Update"}
    assert [owner.items() <= entry.items() for entry in after["metadata"]["managedFields"]] == [False, True]


async def test_calls_are_counted_by_operation(cluster: Cluster, standins: StandIns) -> None:
    await cluster.apply(a_workspace())
    await cluster.workspace()
    path = f"/apis/kaito.sh/v1beta1/namespaces/{cluster.namespace}/workspaces/phi-4"
    kinds = [call.kind for call in standins.control.calls("kubernetes") if call.target.startswith(path)]
    assert kinds == ["PATCH workspace", "GET workspace"]
