"""The manifests of a team's namespace."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from shared.catalog.terms import Ability
from shared.marker import Marker
from shared.names import MAX_SLUG_LENGTH, MAX_TEAM_LENGTH, node_label
from shared.resources.desired import Platform, compile_workspaces
from shared.resources.network_policy import network_policy_manifest
from shared.resources.routes import PATHS, earlier_route_manifest, route_manifest
from shared.resources.workspaces import (
    Cluster,
    Manifest,
    fixed_fields,
    marker_annotations,
    marker_of,
    most_gpus,
    namespace_manifest,
    quota_manifest,
    spec_matches,
    workspace_manifest,
    workspace_url,
)
from tests.fakes.app import GPU, LARGER_GPU, REPOSITORY, Asked, a_catalog, catalog_text, path_of

MARKER = Marker(REPOSITORY, "alpha", path_of("alpha"), "c" * 40)
CLUSTER = Cluster("gateway-system/internal", "https://models.internal.contoso.com/")
REQUEST = Asked(dedicated={"phi-4": LARGER_GPU, "mistral-7b": GPU}).read()
PLATFORM = Platform(REPOSITORY, "https://ai.contoso.com", CLUSTER)


def _model(name: str) -> Manifest:
    model = next(model for model in REQUEST.models if model.name == name)
    return workspace_manifest(MARKER, model, a_catalog())


def test_a_workspace_has_no_spec() -> None:
    assert _model("phi-4") == {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {
            "name": "phi-4",
            "namespace": "team-alpha",
            "labels": {
                "app.kubernetes.io/managed-by": "mergekey",
                "mergekey.dev/team": "alpha",
                "mergekey.dev/repository": str(REPOSITORY),
            },
        },
        "resource": {
            "instanceType": LARGER_GPU,
            "labelSelector": {"matchLabels": {"apps": "team-alpha--phi-4"}},
        },
        "inference": {"preset": {"name": "phi-4"}},
    }


def test_a_preset_that_needs_a_token_names_the_secret_and_cannot_change_it() -> None:
    model = next(model for model in REQUEST.models if model.name == "phi-4")
    catalog = a_catalog()
    gated = replace(
        catalog, models=tuple(replace(each, access_secret="hugging-face") for each in catalog.models)
    )
    manifest = workspace_manifest(MARKER, model, gated)
    assert manifest["inference"] == {
        "preset": {"name": "phi-4", "presetOptions": {"modelAccessSecret": "hugging-face"}}
    }
    assert fixed_fields(manifest) == {**fixed_fields(_model("phi-4")), "accessSecret": "hugging-face"}


def test_only_a_model_that_is_not_measured_has_the_annotation() -> None:
    model = next(model for model in REQUEST.models if model.name == "phi-4")
    catalog = a_catalog()
    unmeasured = replace(catalog, models=tuple(replace(each, benchmark=False) for each in catalog.models))
    manifest = workspace_manifest(MARKER, model, unmeasured)
    assert manifest["metadata"]["annotations"] == {"kaito.sh/disable-benchmark": "true"}
    assert "annotations" not in _model("phi-4")["metadata"]
    assert fixed_fields(manifest) == fixed_fields(_model("phi-4"))


def test_no_two_workspaces_share_a_label_selector() -> None:
    other = Marker(REPOSITORY, "bravo", path_of("bravo"), "c" * 40)
    model = next(model for model in REQUEST.models if model.name == "phi-4")
    manifests = [_model("phi-4"), _model("mistral-7b"), workspace_manifest(other, model, a_catalog())]
    assert len({str(manifest["resource"]["labelSelector"]) for manifest in manifests}) == 3


def test_a_selector_and_the_labels_fit_into_a_label_however_long_the_names_are() -> None:
    team, name = "a" * MAX_TEAM_LENGTH, "m" * MAX_SLUG_LENGTH
    catalog = a_catalog()
    catalog = replace(
        catalog, models=tuple(replace(each, name=name) for each in catalog.models if each.name == "phi-4")
    )
    model = replace(next(model for model in REQUEST.models if model.name == "phi-4"), name=name)
    manifest = workspace_manifest(replace(MARKER, team=team, repository=2**63), model, catalog)
    selector = manifest["resource"]["labelSelector"]["matchLabels"]
    assert selector == {"apps": node_label(team, name)}
    assert max(map(len, [*selector.values(), *manifest["metadata"]["labels"].values()])) <= 63


def test_the_preset_is_the_catalogues() -> None:
    assert _model("mistral-7b")["inference"] == {"preset": {"name": "mistral-7b-instruct"}}


def test_a_model_without_a_preset_is_never_compiled() -> None:
    model = next(model for model in REQUEST.models if model.name == "gpt-4.1")
    with pytest.raises(ValueError, match="preset"):
        workspace_manifest(MARKER, model, a_catalog())


@pytest.mark.parametrize(
    ("more", "size", "expected"),
    [
        ("maxNodes: 3\n", GPU, 3),
        ("maxNodes: 3\n", LARGER_GPU, 6),
        ("maxNodes: 3\n", "Standard_NC99", None),
        ("maxNodes: 499\n", LARGER_GPU, 998),
        ("maxNodes: 500\n", LARGER_GPU, None),
        ("context: 8192\n", GPU, None),
    ],
)
def test_gpus_are_bounded_where_nodes_are_and_the_size_is_known(
    more: str, size: str, expected: int | None
) -> None:
    catalog = a_catalog(catalog_text().replace("preset: phi-4\n", f"preset: phi-4\n    {more}"))
    models = [replace(each, instance_type=size) for each in REQUEST.models if each.name == "phi-4"]
    assert most_gpus(models, catalog) == expected


def test_limits_routes_and_urls_fit_together() -> None:
    desired = compile_workspaces(REQUEST, a_catalog(), PLATFORM)
    quota, policy = desired.limits
    assert quota["spec"] == {"hard": {"count/workspaces.kaito.sh": "2"}}
    spec = desired.routes["phi-4"]["spec"]
    base = workspace_url(CLUSTER, "alpha", "phi-4").removesuffix("/v1")
    assert [f"https://{spec['hostnames'][0]}{each}" for each in _paths(spec)] == [
        f"{base}{path}" for path in PATHS
    ]
    assert all(rule["backendRefs"] == [{"name": "phi-4", "port": 80}] for rule in spec["rules"])
    assert spec["parentRefs"] == [{"name": "internal", "namespace": "gateway-system"}]
    peers = policy["spec"]["ingress"][0]["from"]
    assert {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateway-system"}}} in peers
    assert policy["spec"]["policyTypes"] == ["Ingress"]


def _paths(spec: Manifest) -> list[str]:
    return [str(rule["matches"][0]["path"]["value"]) for rule in spec["rules"]]


def test_everything_in_the_namespace_is_labelled_as_ours() -> None:
    desired = compile_workspaces(REQUEST, a_catalog(), PLATFORM)
    manifests = [*desired.limits, *desired.workspaces.values(), *desired.routes.values()]
    assert {manifest["metadata"]["labels"]["app.kubernetes.io/managed-by"] for manifest in manifests} == {
        "mergekey"
    }
    assert {manifest["metadata"]["namespace"] for manifest in manifests} == {"team-alpha"}


def test_without_a_cluster_or_a_dedicated_model_there_is_nothing() -> None:
    for request, platform in ((REQUEST, Platform(REPOSITORY, "x", None)), (Asked().read(), PLATFORM)):
        assert compile_workspaces(request, a_catalog(), platform).workspaces == {}


def test_what_is_put_into_the_cluster_is_what_the_golden_file_says() -> None:
    marker = Marker(4711, "alpha", path_of("alpha"), "cccc", "9f", datetime(2026, 3, 2, 12, tzinfo=UTC))
    model = next(model for model in REQUEST.models if model.name == "phi-4")
    written = [
        namespace_manifest(marker),
        quota_manifest(marker, 1),
        network_policy_manifest(marker, CLUSTER),
        earlier_route_manifest(marker, model, CLUSTER),
        network_policy_manifest(marker, replace(CLUSTER, controller="istio")),
        route_manifest(marker, model, CLUSTER, set(get_args(Ability))),
    ]
    assert written == list(yaml.safe_load_all(Path(__file__).with_name("manifests.yaml").read_text()))


def test_the_marker_is_read_back_from_the_annotations_and_missing_ones_are_unknown() -> None:
    marker = Marker(4711, "alpha", path_of("alpha"), "c" * 40, "9f", datetime(2026, 3, 2, 12, tzinfo=UTC))
    assert marker_of(marker_annotations(marker)) == marker
    unknown = Marker(4711, "alpha", "", "", unreadable=frozenset({"path", "commit", "digest"}))
    assert marker_of({"mergekey.dev/repository": "4711", "mergekey.dev/team": "alpha"}) == unknown
    assert marker_of({"repository": "4711", "team": "alpha"}) is None


DESIRED = compile_workspaces(REQUEST, a_catalog(), PLATFORM)
QUOTA, NETWORK, ROUTE = (*DESIRED.limits, DESIRED.routes["phi-4"])
EARLIER = DESIRED.earlier_routes["phi-4"]
Way = tuple[str | int, ...]


def _with(manifest: Manifest, way: Way, value: object) -> Manifest:
    """Its spec as the cluster shows it, with one field set."""
    spec = deepcopy(manifest["spec"])
    holder: Any = spec
    for step in way[:-1]:
        holder = holder[step]
    holder[way[-1]] = value
    return dict(spec)


def test_what_was_applied_says_what_was_written_whatever_the_cluster_fills_in() -> None:
    assert all(spec_matches(deepcopy(manifest["spec"]), manifest) for manifest in (QUOTA, NETWORK, ROUTE))
    shown = _with(
        ROUTE,
        ("parentRefs", 0),
        {**ROUTE["spec"]["parentRefs"][0], "group": "gateway.networking.k8s.io", "kind": "Gateway"},
    )
    shown["rules"][0]["backendRefs"][0] |= {"group": "", "kind": "Service", "weight": 1}
    assert spec_matches(shown, ROUTE)
    by_header = _with(ROUTE, ("rules", 0, "matches", 0, "headers"), [{"name": "x-key", "value": "v"}])
    shown = deepcopy(by_header)
    shown["rules"][0]["matches"][0]["headers"][0]["type"] = "Exact"
    assert spec_matches(shown, {"spec": by_header})
    shown["rules"][0]["matches"][0]["headers"][0]["type"] = "RegularExpression"
    assert not spec_matches(shown, {"spec": by_header})


def test_what_others_put_beside_ours_stays_theirs() -> None:
    assert spec_matches(_with(QUOTA, ("hard", "pods"), "10"), QUOTA)
    assert spec_matches(_with(EARLIER, ("hostnames",), ["models.contoso.com"]), EARLIER)


@pytest.mark.parametrize(
    ("manifest", "way", "value"),
    [
        (QUOTA, ("hard", "count/workspaces.kaito.sh"), "9"),
        (QUOTA, ("hard",), {}),
        (NETWORK, ("podSelector",), {"matchLabels": {"app": "none"}}),
        (NETWORK, ("ingress",), [{}]),
        (NETWORK, ("ingress",), None),
        (NETWORK, ("ingress", 0, "from"), []),
        (NETWORK, ("ingress", 0, "from", 0), {"podSelector": {}, "namespaceSelector": {}}),
        (NETWORK, ("ingress", 0, "from", 1, "namespaceSelector", "matchLabels"), {}),
        (NETWORK, ("policyTypes",), ["Egress"]),
        (ROUTE, ("rules", 0, "backendRefs", 0, "name"), "another"),
        (ROUTE, ("rules", 0, "backendRefs", 0, "namespace"), "elsewhere"),
        (ROUTE, ("rules", 0, "backendRefs", 0, "kind"), "InferencePool"),
        (ROUTE, ("rules", 0, "backendRefs", 0, "weight"), 0),
        (ROUTE, ("rules", 0, "filters"), []),
        (ROUTE, ("rules", 0, "timeouts"), {"request": "15s"}),
        (ROUTE, ("rules", 0, "matches", 0, "path", "type"), "PathPrefix"),
        (ROUTE, ("hostnames",), ["models.internal.contoso.com", "models.contoso.com"]),
        (ROUTE, ("hostnames",), None),
        (ROUTE, ("parentRefs", 0, "name"), "public"),
        (EARLIER, ("rules", 0, "filters"), []),
        (EARLIER, ("parentRefs", 0, "name"), "public"),
    ],
    ids=lambda part: part["kind"] if isinstance(part, dict) and "kind" in part else str(part),
)
def test_every_edit_of_what_is_ours_is_seen(manifest: Manifest, way: Way, value: object) -> None:
    assert not spec_matches(_with(manifest, way, value), manifest)
    assert not spec_matches({}, manifest)
