"""KAITO in a Kubernetes cluster, with kubernetes.aio: 0.12 as v1beta1, 0.6 (the AKS add-on) as v1alpha1,
unless a test says otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from standins.tests.kubernetes.cluster import (
    MINUTE,
    Cluster,
    Manifest,
    a_workspace,
    conditions,
    labelled,
    options,
    refused,
    with_namespace,
)
from standins.tests.plugin import StandIns

A100 = "Standard_NC24ads_A100_v4"
DENIED = 'admission webhook "validation.workspace.kaito.sh" denied the request: validation failed: '
SECRET = {"presetOptions": {"modelAccessSecret": "hf"}}


@pytest.fixture
async def cluster(standins: StandIns) -> AsyncIterator[Cluster]:
    async with with_namespace(standins) as cluster:
        yield cluster


async def gpu_nodes(cluster: Cluster) -> list[str]:
    """Nodes that were ordered for workspaces of the test's namespace."""
    listed = await cluster.core.list_node(label_selector=f"kaito.sh/workspacenamespace={cluster.namespace}")
    return [item.metadata.name for item in listed.items]


def selected(instance_type: str | None = A100, **labels: str) -> Manifest:
    """The part `resource`."""
    named = {"instanceType": instance_type} if instance_type else {}
    return {**named, "labelSelector": {"matchLabels": labels or {"apps": "phi-4"}}}


def expressed(operator: str, *values: str) -> Manifest:
    """The part `resource` with an expression about the label `apps`."""
    expression = {"key": "apps", "operator": operator, **({"values": list(values)} if values else {})}
    return {"instanceType": A100, "labelSelector": {"matchExpressions": [expression]}}


def preset(name: str, **more: Any) -> Manifest:
    return {"preset": {"name": name, **more}}


# KAITO 0.12


async def test_a_workspace_becomes_ready_with_the_clock(cluster: Cluster, standins: StandIns) -> None:
    assert await cluster.apply(a_workspace()) is None
    pending = await cluster.workspace()
    assert pending["status"]["state"] == "Pending"
    assert list(conditions(pending)) == [
        "NodesReady",
        "NodeClaimReady",
        "ResourceReady",
        "InferenceReady",
        "WorkspaceSucceeded",
    ]
    assert {status for status, _ in conditions(pending).values()} == {"False"}
    assert conditions(pending)["ResourceReady"] == ("False", "NodeClaimNotReady")
    assert pending["status"]["workerNodes"] == await gpu_nodes(cluster) == []
    standins.control.advance(7 * MINUTE)
    with_nodes = await cluster.workspace()
    assert conditions(with_nodes)["ResourceReady"] == ("True", "workspaceResourceStatusSuccess")
    assert conditions(with_nodes)["WorkspaceSucceeded"] == ("False", "workspacePending")
    assert with_nodes["status"]["workerNodes"] == await gpu_nodes(cluster) != []
    services = await cluster.core.list_namespaced_service(cluster.namespace)
    assert [service.metadata.name for service in services.items] == ["phi-4", "phi-4-headless"]
    standins.control.advance(6 * MINUTE)
    ready = await cluster.workspace()
    assert conditions(ready)["InferenceReady"] == ("True", "WorkspaceInferenceStatusSuccess")
    assert conditions(ready)["WorkspaceSucceeded"] == ("True", "workspaceSucceeded")
    assert list(conditions(ready))[-2:] == ["WorkspaceSucceeded", "BenchmarkCompleted"]
    assert ready["status"]["performance"]["metrics"]["peakTokensPerMinute"]["unit"] == "tokens/min"
    assert (ready["status"]["state"], ready["metadata"]["generation"]) == ("Ready", 1)
    assert set(ready["metadata"]["annotations"]) == {"workspace.kaito.io/hash", "workspace.kaito.io/revision"}


async def test_no_benchmark_runs_for_a_template_or_against_the_wish_of_the_writer(
    cluster: Cluster, standins: StandIns
) -> None:
    wish = {"name": "phi-4", "annotations": {"kaito.sh/disable-benchmark": "true"}}
    await cluster.apply(a_workspace(metadata=wish))
    await cluster.apply(a_workspace("own", inference={"template": {"spec": {"containers": []}}}))
    standins.control.advance(13 * MINUTE)
    for name in ("phi-4", "own"):
        ready = await cluster.workspace(name)
        assert "BenchmarkCompleted" not in conditions(ready)
        assert "performance" not in ready["status"]


async def test_a_gpu_node_says_whose_it_is_and_outlives_its_workspace(
    cluster: Cluster, standins: StandIns
) -> None:
    await cluster.apply(a_workspace())
    standins.control.advance(7 * MINUTE)
    [name] = await gpu_nodes(cluster)
    node = await cluster.core.read_node(name)
    wanted = {"kaito.sh/workspace": "phi-4", "apps": "phi-4", "node.kubernetes.io/instance-type": A100}
    assert wanted.items() <= node.metadata.labels.items()
    assert node.status.capacity["nvidia.com/gpu"] == "1"
    await cluster.delete_workspace()
    standins.control.advance(2 * MINUTE)
    with refused(404, "NotFound"):
        await cluster.workspace()
    left = await cluster.core.read_node(name)
    assert left.metadata.deletion_timestamp is not None
    standins.control.advance(3 * MINUTE)
    assert await gpu_nodes(cluster) == []


PENDING = ("Pending", ("False", "workspacePending"))


@pytest.mark.parametrize(
    ("reason", "condition", "found", "end"),
    [
        ("NoQuota", "NodeClaimReady", ("False", "LaunchFailed"), PENDING),
        ("NodeNeverReady", "NodesReady", ("False", "NodePluginsNotReady"), PENDING),
        ("ImagePullError", "InferenceReady", ("False", "ImagePullError"), PENDING),
        (
            "BenchmarkFailed",
            "BenchmarkCompleted",
            ("False", "BenchmarkFailed"),
            ("NotReady", ("False", "BenchmarkFailed")),
        ),
        (
            "workspaceFailed",
            "ResourceReady",
            ("True", "workspaceResourceStatusSuccess"),
            ("Failed", ("False", "workspaceFailed")),
        ),
    ],
)
async def test_a_workspace_can_be_made_to_fail(
    cluster: Cluster,
    standins: StandIns,
    reason: str,
    condition: str,
    found: tuple[str, str],
    end: tuple[str, tuple[str, str]],
) -> None:
    await cluster.apply(a_workspace())
    await cluster.apply(a_workspace("other"))
    with options(standins.control, fail={"workspace": f"{cluster.namespace}/phi-4", "reason": reason}):
        standins.control.advance(60 * MINUTE)
        failed, other = await cluster.workspace(), await cluster.workspace("other")
    assert conditions(failed)[condition] == found
    assert (failed["status"]["state"], conditions(failed)["WorkspaceSucceeded"]) == end
    assert other["status"]["state"] == "Ready"
    assert (await cluster.workspace())["status"]["state"] == "Ready"


# KAITO 0.6


def an_add_on_workspace(cluster: Cluster, name: str = "phi-4") -> Manifest:
    """With a label of its own: the add-on takes any node that fits."""
    return a_workspace(name, version="v1alpha1", resource=selected(apps=cluster.namespace))


async def test_the_add_on_says_less_and_says_it_otherwise(cluster: Cluster, standins: StandIns) -> None:
    await cluster.apply(a_workspace(version="v1alpha1", resource=selected(None, apps=cluster.namespace)))
    begun = await cluster.workspace(version="v1alpha1")
    assert begun["resource"]["instanceType"] == A100
    assert set(begun["status"]) == {"conditions", "workerNodes"}
    assert conditions(begun) == {
        "NodeClaimReady": ("Unknown", "CreateNodeClaimPending"),
        "ResourceReady": ("False", "workspaceResourceCreated"),
    }
    standins.control.advance(3 * MINUTE)
    with options(standins.control, nodes_ready_after=2.0 * MINUTE):
        with_node = await cluster.workspace(version="v1alpha1")
        assert conditions(with_node) == {
            "NodeClaimReady": ("True", "installNodePluginsSuccess"),
            "ResourceReady": ("True", "workspaceResourceStatusSuccess"),
        }
        standins.control.advance(10 * MINUTE)
        ready = await cluster.workspace(version="v1alpha1")
    assert list(conditions(ready).items())[2:] == [
        ("InferenceReady", ("True", "WorkspaceInferenceStatusSuccess")),
        ("WorkspaceSucceeded", ("True", "workspaceSucceeded")),
    ]


async def test_the_add_on_calls_a_workspace_failed_while_it_waits_for_a_slow_node(
    cluster: Cluster, standins: StandIns
) -> None:
    await cluster.apply(an_add_on_workspace(cluster))
    standins.control.advance(5 * MINUTE)
    waiting = await cluster.workspace(version="v1alpha1")
    assert conditions(waiting)["WorkspaceSucceeded"] == ("False", "workspaceFailed")
    assert "check nodeClaim status timed out. nodeClaim ws" in waiting["status"]["conditions"][-1]["message"]
    standins.control.advance(8 * MINUTE)
    assert conditions(await cluster.workspace(version="v1alpha1"))["WorkspaceSucceeded"] == (
        "True",
        "workspaceSucceeded",
    )


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("NoQuota", 'NodeClaim.karpenter.sh "ws'),
        ("NodeNeverReady", "check nodeClaim status timed out"),
    ],
)
async def test_what_the_add_on_gives_up_it_calls_failed(
    cluster: Cluster, standins: StandIns, reason: str, message: str
) -> None:
    await cluster.apply(an_add_on_workspace(cluster))
    with options(standins.control, fail=[{"workspace": f"{cluster.namespace}/phi-4", "reason": reason}]):
        standins.control.advance(60 * MINUTE)
        failed = await cluster.workspace(version="v1alpha1")
    assert conditions(failed)["WorkspaceSucceeded"] == ("False", "workspaceFailed")
    [verdict] = [row for row in failed["status"]["conditions"] if row["type"] == "WorkspaceSucceeded"]
    assert message in verdict["message"]


async def test_the_add_on_calls_a_model_ready_that_never_was(cluster: Cluster, standins: StandIns) -> None:
    await cluster.apply(an_add_on_workspace(cluster))
    failing = {"workspace": f"{cluster.namespace}/phi-4", "reason": "ImagePullError"}
    with options(standins.control, fail=failing):
        standins.control.advance(36 * MINUTE)
        given_up = await cluster.workspace(version="v1alpha1")
        assert conditions(given_up)["InferenceReady"] == ("False", "WorkspaceInferenceStatusFailed")
        assert conditions(given_up)["WorkspaceSucceeded"] == ("False", "workspaceFailed")
        standins.control.advance(1 * MINUTE)
        looked_at_again = await cluster.workspace(version="v1alpha1")
        pods = await cluster.core.list_namespaced_pod(cluster.namespace)
    assert conditions(looked_at_again)["WorkspaceSucceeded"] == ("True", "workspaceSucceeded")
    assert [pod.status.container_statuses[0].ready for pod in pods.items] == [False]


async def test_the_add_on_leaves_the_node_of_a_deleted_workspace_until_somebody_deletes_it(
    cluster: Cluster, standins: StandIns
) -> None:
    await cluster.apply(an_add_on_workspace(cluster))
    standins.control.advance(13 * MINUTE)
    await cluster.delete_workspace()
    standins.control.advance(2 * MINUTE)
    with refused(404, "NotFound"):
        await cluster.workspace(version="v1alpha1")
    [left] = await gpu_nodes(cluster)
    await cluster.core.delete_node(left)
    assert await gpu_nodes(cluster) == []


async def test_the_add_on_uses_a_fitting_node_that_is_there(cluster: Cluster, standins: StandIns) -> None:
    await cluster.apply(an_add_on_workspace(cluster))
    standins.control.advance(13 * MINUTE)
    await cluster.delete_workspace()
    standins.control.advance(2 * MINUTE)
    await cluster.apply(an_add_on_workspace(cluster, "again"))
    again = await cluster.workspace("again", version="v1alpha1")
    assert conditions(again)["NodeClaimReady"] == ("True", "installNodePluginsSuccess")
    assert again["status"]["workerNodes"] == await gpu_nodes(cluster)


async def test_both_versions_show_the_same_workspace(cluster: Cluster) -> None:
    await cluster.apply(a_workspace(inference=preset("google/gemma", **SECRET)))
    newer, older = await cluster.workspace(), await cluster.workspace(version="v1alpha1")
    assert (older["apiVersion"], older["metadata"]["uid"]) == ("kaito.sh/v1alpha1", newer["metadata"]["uid"])
    assert set(older["status"]) == {"conditions", "workerNodes"}
    assert older["inference"]["preset"]["presetOptions"] == {}
    assert newer["inference"]["preset"]["presetOptions"] == {"modelAccessSecret": "hf"}


async def test_the_whole_cluster_can_be_of_one_release(cluster: Cluster, standins: StandIns) -> None:
    with options(standins.control, kaito="0.6"):
        await cluster.apply(a_workspace(resource=selected(None)))
        old = await cluster.workspace()
        assert old["resource"]["instanceType"] == A100
        assert "state" not in old["status"]
        with refused(400, "BadRequest", "Unsupported inference preset name microsoft/phi-4"):
            await cluster.apply(a_workspace("other", inference=preset("microsoft/phi-4")))
        await cluster.delete_workspace()
    with options(standins.control, kaito="0.12"):
        await cluster.apply(a_workspace("new", version="v1alpha1"))
        assert (await cluster.workspace("new"))["status"]["state"] == "Pending"


# The webhook


@pytest.mark.parametrize(
    ("version", "changes", "text"),
    [
        (
            "v1beta1",
            {"inference": preset("phi-9")},
            "invalid value: Unsupported inference preset name phi-9: inference.presetName",
        ),
        ("v1alpha1", {"inference": preset("gpt-oss-20b")}, "Unsupported inference preset name gpt-oss-20b"),
        (
            "v1beta1",
            {"inference": preset("phi-2")},
            "Model phi-2 is deprecated and no longer supported: resource.presetName",
        ),
        ("v1beta1", {"inference": None}, "Either Inference or Tuning must be specified, not neither: spec"),
        ("v1alpha1", {"inference": {}}, "missing field(s): inference.Preset or Template must be specified"),
        (
            "v1beta1",
            {"inference": {**preset("phi-4"), "template": {}}},
            "Preset and Template cannot be set at the same time: ",
        ),
        (
            "v1beta1",
            {"tuning": {"input": {}, "output": {}}},
            "Either Inference or Tuning must be specified, but not both: spec",
        ),
        (
            "v1beta1",
            {"resource": selected(None)},
            (
                "missing field(s): spec.instanceType is required when node auto-provisioning is enabled, "
                "spec.resource.instanceType"
            ),
        ),
        (
            "v1beta1",
            {"resource": selected("m5.large")},
            "invalid value: Unsupported instance type m5.large. Supported SKUs: ",
        ),
        (
            "v1alpha1",
            {"resource": selected("m5.large")},
            "invalid value: Unsupported instance type m5.large. Supported SKUs: ",
        ),
        (
            "v1beta1",
            {"resource": {**selected(), "partition": {"mode": "mig"}}},
            "GPU partitioning is only supported with BYO nodes",
        ),
        (
            "v1beta1",
            {"resource": selected(**{"kaito.sh/workspace": "x"})},
            "matchLabels must contain at least one non-reserved label",
        ),
        (
            "v1beta1",
            {"resource": expressed("Exists")},
            (
                'operator "Exists" cannot be converted into the old label selector format: '
                "resource.labelSelector"
            ),
        ),
        (
            "v1beta1",
            {"metadata": {"name": "phi.4"}},
            "invalid value: must not contain dots: name",
        ),
        (
            "v1beta1",
            {"inference": {**preset("phi-4"), "config": "mine"}},
            "ConfigMap 'mine' specified in 'config' not found in namespace",
        ),
        (
            "v1beta1",
            {"inference": {**preset("phi-4"), "adapters": [{"source": {"name": "a", "image": "i"}}] * 2}},
            "Duplicate adapter source name found: a",
        ),
    ],
)
async def test_kaito_denies_what_it_cannot_run(
    cluster: Cluster, version: str, changes: Manifest, text: str
) -> None:
    with refused(400, "BadRequest", DENIED) as problem:
        await cluster.apply(a_workspace(version=version, **changes))
    assert text in problem.value.body.replace("\\n", "\n").replace('\\"', '"')
    assert (await cluster.custom.list_namespaced_custom_object(*cluster.workspaces))["items"] == []


@pytest.mark.parametrize(
    ("version", "changes"),
    [
        ("v1beta1", {"inference": preset("meta-llama/Llama-3.1-8B", **SECRET)}),
        ("v1beta1", {"inference": preset("Qwen/Qwen3-8B")}),
        ("v1beta1", {"resource": selected("Standard_NC64as_T4_v3")}),
        ("v1alpha1", {"inference": preset("falcon-7b")}),
        # v1alpha1 has no field for the secret, and its webhook does not ask for one.
        ("v1alpha1", {"inference": preset("llama-3.1-8b-instruct")}),
        ("v1beta1", {"resource": expressed("In", "x")}),
        # From 0.11 any model may have a secret, and none of the short names needs one.
        ("v1beta1", {"inference": preset("llama-3.1-8b-instruct")}),
        ("v1beta1", {"inference": preset("phi-4", **SECRET)}),
        # No node can have such a label: the workspace is taken, and no node ever comes.
        ("v1beta1", {"resource": selected(apps="a-")}),
    ],
)
async def test_kaito_takes_what_it_can_run(cluster: Cluster, version: str, changes: Manifest) -> None:
    await cluster.apply(a_workspace(version=version, **changes))
    assert (await cluster.workspace(version=version))["metadata"]["uid"]


@pytest.mark.parametrize(
    ("version", "changes", "text"),
    [
        ("v1beta1", {"inference": preset("microsoft/phi-4")}, "field is immutable: inference.preset"),
        (
            "v1beta1",
            {"resource": selected("Standard_NC48ads_A100_v4")},
            (
                "instanceType cannot be changed once set when node auto-provisioning is enabled: "
                "resource.instanceType"
            ),
        ),
        (
            "v1alpha1",
            {"resource": selected("Standard_NC48ads_A100_v4")},
            "field is immutable: resource.instanceType",
        ),
        ("v1beta1", {"resource": selected(apps="x")}, "field is immutable: resource.labelSelector"),
        (
            "v1beta1",
            {"resource": {**selected(), "count": 2}, "inference": preset("mistral-7b")},
            "field is immutable: inference.preset, resource.count",
        ),
    ],
)
async def test_model_size_and_nodes_cannot_be_changed(
    cluster: Cluster, version: str, changes: Manifest, text: str
) -> None:
    await cluster.apply(a_workspace(version=version))
    before = await cluster.workspace()
    with refused(400, "BadRequest", f"{DENIED}{text}"):
        await cluster.apply(a_workspace(version=version, **changes))
    assert await cluster.workspace() == before


async def test_a_preset_does_not_become_a_template(cluster: Cluster) -> None:
    await cluster.apply(a_workspace())
    text = (
        "field cannot be unset/set if it was set/unset: inference.template\nfield is immutable: "
        "inference.preset"
    )
    with refused(400, "BadRequest", f"{DENIED}{text}"):
        await cluster.patch({"inference": {"preset": None, "template": {"spec": {}}}})


async def test_selectors_that_say_the_same_are_equal(cluster: Cluster) -> None:
    await cluster.apply(a_workspace())
    await cluster.apply(a_workspace(resource=expressed("In", "phi-4")))


async def test_what_is_mutable_makes_a_new_generation(cluster: Cluster) -> None:
    await cluster.apply(a_workspace())
    adapters = [{"source": {"name": "mine", "image": "registry/adapter:1"}, "strength": "0.5"}]
    changed = await cluster.apply(a_workspace(inference={**preset("phi-4"), "adapters": adapters}))
    assert changed["metadata"]["generation"] == 2
    # the adapters are gone again
    assert (await cluster.apply(labelled(a="b")))["metadata"]["generation"] == 3


# The schema


@pytest.mark.wrong_on_purpose
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"resource": {"instanceType": A100}}, "resource.labelSelector: Required value"),
        ({"inference": {"preset": {}}}, "inference.preset.name: Required value"),
        (
            {"resource": {**selected(), "count": "2"}},
            'resource.count in body must be of type integer: "string"',
        ),
        (
            {"inference": preset("phi-4", accessMode="open")},
            'Unsupported value: "open": supported values: "public", "private"',
        ),
        (
            {"resource": {**selected(), "partition": {"mode": "mig", "count": 0}}},
            "resource.partition.count in body should be greater than or",
        ),
        (
            {"resource": {}, "inference": {"preset": {}}},
            "[inference.preset.name: Required value, resource.labelSelector: Required value]",
        ),
    ],
)
async def test_the_schema_refuses_what_does_not_fit(cluster: Cluster, changes: Manifest, text: str) -> None:
    with refused(422, "Invalid", 'Workspace.kaito.sh "phi-4" is invalid: ') as problem:
        await cluster.custom.create_namespaced_custom_object(*cluster.workspaces, a_workspace(**changes))
    assert text in problem.value.body.replace('\\"', '"')


# What is refused on purpose, and what is known to be missing


async def test_tuning_is_kept_and_inference_sets_are_not_known_here(cluster: Cluster) -> None:
    tuning = {
        "method": "lora",
        "preset": {"name": "phi-4"},
        "input": {"urls": ["https://x"]},
        "output": {"image": "y", "imagePushSecret": "z"},
    }
    await cluster.apply(a_workspace(inference=None, tuning=tuning))
    assert "status" not in await cluster.workspace()
    path = f"/apis/kaito.sh/v1beta1/namespaces/{cluster.namespace}/inferencesets"
    status, _, listed = await cluster.raw("GET", path)
    assert (status, listed["items"]) == (200, [])
    assert (await cluster.raw("POST", path, {"metadata": {"name": "a"}}))[0] == 501


async def test_the_add_on_refuses_a_model_that_does_not_fit(cluster: Cluster) -> None:
    with refused(400, "BadRequest", "Insufficient"):
        await cluster.apply(
            a_workspace(
                version="v1alpha1",
                inference=preset("falcon-40b"),
                resource=selected("Standard_NV36ads_A10_v5"),
            )
        )
