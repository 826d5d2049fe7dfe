"""The objects of a team with dedicated GPU workspaces: a namespace, its quota, and a Workspace per model.
Routes and network policy stand in `routes.py` and `network_policy.py`.

All releases of KAITO from 0.6 on serve and store `kaito.sh/v1beta1` (`shared.kaito.releases`).
The label selector is unique per team and model: two workspaces with one selector would share their nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.catalog.catalog import Catalog, CatalogModel
from shared.catalog.terms import Ability
from shared.catalog.workspace_checks import gpus_of
from shared.gateway_api.controllers import Controller
from shared.kaito.releases import DEFAULT_RELEASE
from shared.marker import Marker, format_time, marker_from
from shared.names import namespace, node_label, workspace
from shared.requests.request import ModelAccess
from shared.resources.inference_config import FILE, InferenceConfig, inference_config

Manifest = dict[str, Any]

API_VERSION = "kaito.sh/v1beta1"
#: What earlier versions wrote for the AKS add-on. Namespaces still carry digests of it.
EARLIER_API_VERSION = "kaito.sh/v1alpha1"
ROUTE_VERSION = "gateway.networking.k8s.io/v1"
#: The defaults that the cluster fills in: https://gateway-api.sigs.k8s.io/reference/spec
_FILLED_IN = (
    ("group", ""),
    ("kind", "Service"),
    ("weight", 1),
    ("group", "gateway.networking.k8s.io"),
    ("kind", "Gateway"),
    ("type", "Exact"),
)
#: A map into which other owners may add entries.
_SHARED = "hard"
#: What a quota counts: workspaces, and the GPUs that pods ask for.
WORKSPACES, GPUS = "count/workspaces.kaito.sh", "requests.nvidia.com/gpu"
#: A cluster has 100 agent pools, with eight GPUs a node at most. The server would spell it `1k`, too.
_NO_BOUND = 1_000
#: Prefix of our labels and annotations.
PREFIX = "mergekey.dev"
#: The label, and its value, by which lists find our objects. The admission policy of the cluster demands it
#: of a namespace: without it the app may write nothing there, not even the label.
MANAGED_BY, MANAGER = "app.kubernetes.io/managed-by", "mergekey"
#: Of a workspace that KAITO does not measure when it starts.
UNMEASURED = {"kaito.sh/disable-benchmark": "true"}
#: The limits of a namespace by kind, each with its name.
LIMITS = {"ResourceQuota": "workspaces", "NetworkPolicy": "only-through-the-gateway"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where workspaces live. `gateway` is `namespace/name` of the Gateway that the routes attach to, `url`
    how APIM reaches it, `controller` whose Gateway it is, None where the settings do not say, `certificate`
    the name of the client certificate that APIM shows there.
    """

    gateway: str
    url: str
    controller: Controller | None = None
    certificate: str | None = None


def workspace_url(cluster: Cluster, team: str, model: str) -> str:
    """The OpenAI-compatible base URL of a dedicated workspace, as the gateway calls it."""
    return f"{cluster.url.rstrip('/')}/{namespace(team)}/{workspace(model)}/v1"


def namespace_manifest(marker: Marker) -> Manifest:
    name = namespace(marker.team)
    metadata = {"name": name, "labels": labels_of(marker), "annotations": marker_annotations(marker)}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def marker_annotations(marker: Marker) -> dict[str, str]:
    """The marker, spelt as annotations. An empty withdrawal is written too, so that a return within grace
    clears it.
    """
    return {
        f"{PREFIX}/repository": str(marker.repository),
        f"{PREFIX}/team": marker.team,
        f"{PREFIX}/path": marker.path,
        f"{PREFIX}/commit": marker.commit,
        f"{PREFIX}/digest": marker.digest,
        f"{PREFIX}/withdrawn": "" if marker.withdrawn is None else format_time(marker.withdrawn),
    }


def marker_of(annotations: Mapping[str, str]) -> Marker | None:
    """Read it back; None for an object without our annotations. An empty withdrawal is none."""
    known = {
        name.removeprefix(f"{PREFIX}/"): value
        for name, value in annotations.items()
        if name.startswith(f"{PREFIX}/")
    }
    repository, team = known.pop("repository", ""), known.pop("team", "")
    return marker_from(
        repository, team, [(name, text) for name, text in known.items() if (name, text) != ("withdrawn", "")]
    )


def quota_manifest(marker: Marker, count: int, gpus: int | None = None) -> Manifest:
    """Allow no more workspaces than the request has, whatever client creates them, and no more GPUs than they
    may take together; None for no bound.
    """
    spec = {"hard": {WORKSPACES: str(count), **({} if gpus is None else {GPUS: str(gpus)})}}
    return object_manifest("v1", "ResourceQuota", marker, LIMITS["ResourceQuota"], spec)


def workspace_manifest(marker: Marker, model: ModelAccess, catalog: Catalog) -> Manifest:
    """A Workspace has no `spec`: `resource` and `inference` stand at the top. An access secret has to be in
    the namespace already, and so has the configuration, where the catalogue asks for one.
    """
    entry, config = _entry(model, catalog), config_of(model, catalog)
    name = workspace(model.name)
    annotations = {
        **({} if entry.benchmark else UNMEASURED),
        **({} if config is None else config.annotations),
    }
    options = (
        {} if entry.access_secret is None else {"presetOptions": {"modelAccessSecret": entry.access_secret}}
    )
    metadata: Manifest = {
        "name": name,
        "namespace": namespace(marker.team),
        "labels": labels_of(marker),
        **({"annotations": annotations} if annotations else {}),
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "Workspace",
        "metadata": metadata,
        "resource": {
            "instanceType": model.instance_type,
            "labelSelector": {"matchLabels": {"apps": node_label(marker.team, model.name)}},
        },
        "inference": {
            "preset": {"name": entry.preset, **options},
            **({} if config is None else {"config": config.name}),
        },
    }


def _entry(model: ModelAccess, catalog: Catalog) -> CatalogModel:
    entry = catalog.model(model.name)
    if entry is None or entry.preset is None:
        raise ValueError(f"the catalogue has no preset for {model.name}")
    return entry


def config_of(model: ModelAccess, catalog: Catalog) -> InferenceConfig | None:
    """What the model's workspaces are told beyond their preset; None for nothing."""
    return inference_config(_entry(model, catalog), catalog.kaito or DEFAULT_RELEASE)


def serves_of(model: ModelAccess, catalog: Catalog) -> frozenset[Ability]:
    """What the model serves."""
    return _entry(model, catalog).serves


def config_manifest(marker: Marker, config: InferenceConfig) -> Manifest:
    """An immutable ConfigMap: another content is another name."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": config.name,
            "namespace": namespace(marker.team),
            "labels": labels_of(marker),
        },
        "immutable": True,
        "data": {FILE: config.text},
    }


def node_bounds(catalog: Catalog) -> dict[str, int]:
    """The most nodes that a workspace may take, by its name, where the catalogue says so."""
    return {workspace(each.name): each.max_nodes for each in catalog.models if each.max_nodes is not None}


def most_gpus(models: Iterable[ModelAccess], catalog: Catalog) -> int | None:
    """How many GPUs the workspaces of these models may take together; None where the catalogue bounds the
    nodes of one of them not, where its release does not know a size, or for more than any cluster has.
    """
    total = 0
    for model in models:
        setup = catalog.setup(_entry(model, catalog))
        gpus = None if setup is None else gpus_of(setup, model.instance_type or "")
        if setup is None or setup.max_nodes is None or gpus is None:
            return None
        total += setup.max_nodes * gpus
    return total if total < _NO_BOUND else None


def fixed_fields(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an existing Workspace that KAITO does not allow to change."""
    resource = manifest.get("resource", {})
    preset = manifest.get("inference", {}).get("preset", {})
    return {
        "instanceType": resource.get("instanceType"),
        "labelSelector": resource.get("labelSelector"),
        "preset": preset.get("name"),
        "accessSecret": (preset.get("presetOptions") or {}).get("modelAccessSecret"),
    }


def spec_matches(spec: Mapping[str, Any], manifest: Manifest) -> bool:
    """Whether an existing object has all the fields of its manifest, unchanged.

    Other owners may set fields beside ours, which server-side apply would not remove. Inside of our fields
    nothing may be added: one more entry in a selector or a list can allow more than was written.
    """
    return _contains(spec, manifest["spec"])


def _contains(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(
        _contains(found.get(each) or {}, value) if each == _SHARED else _equivalent(found.get(each), value)
        for each, value in wanted.items()
    )


def _equivalent(found: Any, wanted: Any) -> bool:
    if found == wanted:  # the usual case, in which nothing need be walked through
        return True
    if isinstance(wanted, dict) and isinstance(found, Mapping):
        return _is_only_filled_in(found, wanted) and all(
            _equivalent(found.get(name), value) for name, value in wanted.items()
        )
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(_equivalent, found, wanted))
    return False


def _is_only_filled_in(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether the cluster added nothing but its defaults."""
    return all((name, value) in _FILLED_IN for name, value in found.items() if name not in wanted)


def our_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Those labels of an existing object that only we set."""
    return {
        name: value for name, value in labels.items() if name == MANAGED_BY or name.startswith(f"{PREFIX}/")
    }


def object_manifest(api_version: str, kind: str, marker: Marker, name: str, spec: Manifest) -> Manifest:
    """An object of ours with a `spec`, in the team's namespace."""
    metadata = {"name": name, "namespace": namespace(marker.team), "labels": labels_of(marker)}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def labels_of(marker: Marker) -> dict[str, str]:
    """The labels of each of our objects."""
    return {
        MANAGED_BY: MANAGER,
        f"{PREFIX}/team": marker.team,
        f"{PREFIX}/repository": str(marker.repository),
    }
