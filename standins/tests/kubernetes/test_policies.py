"""Admission policies and the rules of definitions: expressions that the cluster evaluates."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ApiException

from standins.tests.kubernetes.cluster import (
    MERGE,
    Cluster,
    Manifest,
    a_workspace,
    labelled,
    refused,
    with_namespace,
)
from standins.tests.plugin import StandIns

_POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
_BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"


@pytest.fixture
async def cluster(standins: StandIns) -> AsyncIterator[Cluster]:
    async with with_namespace(standins) as cluster:
        yield cluster


def _here(cluster: Cluster) -> str:
    """The condition that keeps a policy to the namespace of one test."""
    return f"'{cluster.namespace}' in [request.?namespace.orValue(''), request.?name.orValue('')]"


@asynccontextmanager
async def a_policy(
    cluster: Cluster, *validations: Manifest, actions: tuple[str, ...] = ("Deny",), **spec: Any
) -> AsyncIterator[str]:
    """A policy for one namespace, bound as long as the test needs it."""
    name = f"policy-{uuid.uuid4().hex[:8]}"
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
    rules = [{**rule, "operations": ["CREATE", "UPDATE", "DELETE", "CONNECT"]}]
    spec = {"matchConstraints": {"resourceRules": rules}, "validations": list(validations), **spec}
    conditions = [{"name": "here", "expression": _here(cluster)}, *spec.get("matchConditions", [])]
    about = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    policy = {**about, "kind": "ValidatingAdmissionPolicy", "spec": {**spec, "matchConditions": conditions}}
    binding = {"policyName": name, "validationActions": list(actions)}
    await cluster.raw("POST", _POLICIES, policy)
    await cluster.raw(
        "POST", _BINDINGS, {**about, "kind": "ValidatingAdmissionPolicyBinding", "spec": binding}
    )
    try:
        yield name
    finally:
        await cluster.raw("DELETE", f"{_BINDINGS}/{name}")
        await cluster.raw("DELETE", f"{_POLICIES}/{name}")


async def test_a_policy_refuses_with_its_reason_and_its_message(cluster: Cluster) -> None:
    small = {"expression": "object.resource.instanceType != 'Standard_ND96isr_H100_v5'", "message": "too big"}
    asked = a_workspace(
        resource={"instanceType": "Standard_ND96isr_H100_v5", "labelSelector": {"matchLabels": {"a": "b"}}}
    )
    only: Any = {
        "matchConditions": [{"name": "w", "expression": "request.resource.resource == 'workspaces'"}]
    }
    async with a_policy(cluster, small, **only) as name:
        text = f"ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: too big"
        with refused(422, "Invalid", f'workspaces.kaito.sh "phi-4" is forbidden: {text}'):
            await cluster.apply(asked)
        await cluster.apply(a_workspace())
    async with a_policy(cluster, {**small, "reason": "Forbidden"}, **only):
        with refused(403, "Forbidden", "too big"):
            await cluster.apply({**asked, "metadata": {"name": "other"}})


async def test_a_policy_sees_the_old_object_and_the_namespace(cluster: Cluster) -> None:
    await cluster.core.patch_namespace(cluster.namespace, {"metadata": {"labels": {"team": "alpha"}}})
    labels = (
        "request.resource.resource == 'namespaces' ? oldObject.metadata.?labels.orValue({}) : "
        "namespaceObject.metadata.?labels.orValue({})"
    )
    owned = {
        "expression": "variables.labels[?'team'].orValue('') == 'alpha'",
        "messageExpression": "'not ours: ' + request.operation",
    }
    async with a_policy(cluster, owned, variables=[{"name": "labels", "expression": labels}]):
        await cluster.apply(a_workspace())
        await cluster.core.patch_namespace(cluster.namespace, {"metadata": {"labels": {"team": None}}})
        with refused(422, "Invalid", "not ours: UPDATE"):
            await cluster.apply(labelled("phi-4", a="b"))
        with refused(422, "Invalid", "not ours: DELETE"):
            await cluster.delete_workspace()
        with refused(422, "Invalid", "not ours: UPDATE"):
            await cluster.core.patch_namespace(cluster.namespace, {"metadata": {"labels": {"a": "b"}}})


async def test_a_policy_that_fails_refuses_unless_it_shall_not(cluster: Cluster) -> None:
    failing = {"expression": "request.namespace.startsWith('team-')"}
    text = f"expression '{failing['expression']}' resulted in error: no such key: namespace"
    patch = {"metadata": {"labels": {"a": "b"}}}
    async with a_policy(cluster, failing):
        with refused(422, "Invalid", text):
            await cluster.core.patch_namespace(cluster.namespace, patch)
    async with a_policy(cluster, failing, failurePolicy="Ignore"):
        await cluster.core.patch_namespace(cluster.namespace, patch)


@pytest.mark.parametrize(("resources", "refuses"), [(["*"], False), (["*/*"], True), (["pods/exec"], True)])
async def test_subresources_are_meant_where_they_are_named(
    cluster: Cluster, resources: list[str], refuses: bool
) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["*"], "operations": ["CONNECT"], "resources": resources}
    never = {"expression": "false", "message": "no shell", "reason": "Forbidden"}
    async with a_policy(cluster, never, matchConstraints={"resourceRules": [rule]}):
        path = f"/api/v1/namespaces/{cluster.namespace}/pods/phi-4-0/exec"
        status, _, said = await cluster.raw("POST", path)
        assert (status, "no shell" in said["message"]) == ((403, True) if refuses else (404, False))


async def test_the_status_is_a_subresource_too(cluster: Cluster) -> None:
    await cluster.apply(a_workspace())
    rule = {"apiGroups": ["*"], "apiVersions": ["v1alpha1"], "operations": ["*"]}
    rules = [{**rule, "resources": ["workspaces/status"]}]
    never = {"expression": "request.subResource != 'status'", "message": "not the status"}
    async with a_policy(cluster, never, matchConstraints={"resourceRules": rules}):
        await cluster.apply(labelled("phi-4", a="b"))
        with refused(422, "Invalid", "not the status"):
            await cluster.custom.patch_namespaced_custom_object_status(
                *cluster.workspaces, "phi-4", {"status": {"state": "x"}}, _content_type=MERGE
            )


async def test_a_policy_may_warn_only(cluster: Cluster) -> None:
    never = {"expression": "false", "message": "think again"}
    path = f"/api/v1/namespaces/{cluster.namespace}"
    async with a_policy(cluster, never, actions=("Warn",)) as name:
        status, headers, _ = await cluster.raw("PATCH", path, {"metadata": {}}, {"Content-Type": MERGE})
    text = f"Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{name}': think again"
    assert (status, headers["Warning"]) == (200, f'299 - "{text}"')


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"matchConstraints": None}, 422),
        ({"validations": [{"expression": "object.metadata.name =="}]}, 422),
        ({"validations": [{"expression": "params.limit > 1"}]}, 422),
        ({"validations": [{"expression": "authorizer.path('/').check('get').allowed()"}]}, 422),
        ({"validations": [{"expression": "isQuantity(object.metadata.name)"}]}, 501),
        ({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}, 501),
        ({"auditAnnotations": [{"key": "a", "valueExpression": "'b'"}]}, 501),
    ],
)
async def test_a_policy_that_cannot_be_enforced_is_not_stored(
    cluster: Cluster, changes: Manifest, code: int
) -> None:
    with pytest.raises(ApiException) as problem:
        await _stored(cluster, changes)
    assert problem.value.status == code


async def _stored(cluster: Cluster, changes: Manifest) -> None:
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": f"policy-{uuid.uuid4().hex[:8]}"},
        "spec": {"matchConstraints": {}, "validations": [{"expression": "true"}], **changes},
    }
    status, _, said = await cluster.raw("POST", _POLICIES, policy)
    if status != 201:
        raise ApiException(status=status, reason=json.dumps(said))
    raise AssertionError("it was stored")


# The rules of HTTPRoute


def _route(**rule: Any) -> Manifest:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "r"},
        "spec": {"parentRefs": [{"name": "internal"}], "rules": [rule]},
    }


def _rewrite(**path: str) -> Manifest:
    return {"type": "URLRewrite", "urlRewrite": {"path": path}}


@pytest.mark.parametrize(
    ("route", "field", "text"),
    [
        (
            _route(matches=[{"path": {"value": "/a//b"}}]),
            "spec.rules[0].matches[0].path",
            "must not contain '//'",
        ),
        (
            _route(filters=[_rewrite(type="ReplaceFullPath", replacePrefixMatch="/")]),
            "spec.rules[0].filters[0].urlRewrite.path",
            "replaceFullPath must be specified",
        ),
        (
            _route(filters=[{"type": "RequestMirror"}]),
            "spec.rules[0].filters[0]",
            "filter.requestMirror must be specified",
        ),
        (
            _route(timeouts={"request": "1s", "backendRequest": "2s"}),
            "spec.rules[0].timeouts",
            "backendRequest timeout cannot be longer",
        ),
        (
            {**_route(), "spec": {"parentRefs": [{"name": "a"}, {"name": "a"}]}},
            "spec.parentRefs",
            "sectionName must be unique",
        ),
    ],
)
async def test_a_route_keeps_the_rules_of_its_definition(
    cluster: Cluster, route: Manifest, field: str, text: str
) -> None:
    path = ("gateway.networking.k8s.io", "v1", cluster.namespace, "httproutes")
    with pytest.raises(ApiException) as problem:
        await cluster.custom.create_namespaced_custom_object(*path, route)
    said = json.loads(problem.value.body or "")
    assert (problem.value.status, said["reason"]) == (422, "Invalid")
    assert text in next(cause["message"] for cause in said["details"]["causes"] if cause["field"] == field)


async def test_rules_are_not_looked_at_where_something_is_missing(cluster: Cluster) -> None:
    path = ("gateway.networking.k8s.io", "v1", cluster.namespace, "httproutes")
    broken = _route(backendRefs=[{"port": 80}], matches=[{"path": {"value": "x"}}])
    with refused(422, "Invalid", "some validation rules were not checked because the object was invalid"):
        await cluster.custom.create_namespaced_custom_object(*path, broken)
