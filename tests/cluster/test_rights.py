"""What the app's identity must not do, tried with the roles and the admission policy of `infra/kubernetes`:
all of it is refused with 403. On the stand-in as far as it serves the kinds.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from standins.identity import principal
from standins.tests.kubernetes.cluster import options
from standins.tests.plugin import StandIns
from tests.cluster.caller import APPLY, MERGE, Caller
from tests.cluster.real import RIGHTS, RealCluster, StandInsAt

#: No role allows these. OWN is a namespace of the app's own.
NO_ROLE = """
PUT /api/v1/namespaces/OWN
PATCH /api/v1/namespaces/OWN/status
DELETE /api/v1/namespaces/OWN/resourcequotas/any
GET /api/v1/namespaces/OWN/services
DELETE /api/v1/nodes/any
DELETE /apis/networking.k8s.io/v1/namespaces/OWN/networkpolicies/any
PUT /apis/kaito.sh/v1beta1/namespaces/OWN/workspaces/any
PATCH /apis/kaito.sh/v1beta1/namespaces/OWN/workspaces/any/status
POST /apis/rbac.authorization.k8s.io/v1/namespaces/OWN/roles
POST /apis/rbac.authorization.k8s.io/v1/namespaces/OWN/rolebindings
POST /apis/rbac.authorization.k8s.io/v1/clusterroles
PATCH /apis/rbac.authorization.k8s.io/v1/clusterroles/mergekey
POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings
DELETE /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/mergekey
PATCH /apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/mergekey-only-team-namespaces
DELETE /apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/mergekey-only-team-namespaces
DELETE /apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/mergekey-only-team-namespaces
"""
#: Nor these, of which the stand-in serves nothing.
NO_ROLE_ELSEWHERE = """
GET /api/v1/secrets
GET /api/v1/namespaces/OWN/secrets/token
POST /api/v1/namespaces/OWN/secrets
DELETE /api/v1/namespaces/kube-system/secrets/any
GET /api/v1/configmaps
GET /api/v1/namespaces/OWN/configmaps
PATCH /api/v1/namespaces/OWN/configmaps/any
DELETE /api/v1/namespaces/OWN/configmaps/any
GET /api/v1/namespaces/OWN/pods/any
DELETE /api/v1/namespaces/OWN/pods/any
POST /api/v1/namespaces/OWN/pods
POST /api/v1/namespaces/OWN/pods/any/exec?command=sh
POST /api/v1/namespaces/OWN/pods/any/attach
POST /api/v1/namespaces/OWN/pods/any/portforward
GET /api/v1/namespaces/OWN/pods/any/log
PATCH /api/v1/namespaces/OWN/pods/any/ephemeralcontainers
POST /apis/apps/v1/namespaces/OWN/deployments
POST /apis/apps/v1/namespaces/OWN/daemonsets
POST /apis/batch/v1/namespaces/OWN/jobs
POST /api/v1/namespaces/OWN/services
POST /apis/networking.k8s.io/v1/namespaces/OWN/ingresses
POST /api/v1/namespaces/OWN/serviceaccounts
POST /api/v1/namespaces/OWN/serviceaccounts/default/token
PUT /api/v1/namespaces/OWN/finalize
POST /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations
DELETE /apis/apiextensions.k8s.io/v1/customresourcedefinitions/workspaces.kaito.sh
POST /apis/apiregistration.k8s.io/v1/apiservices
POST /apis/certificates.k8s.io/v1/certificatesigningrequests
POST /apis/authentication.k8s.io/v1/tokenreviews
POST /apis/authorization.k8s.io/v1/subjectaccessreviews
GET /api/v1/nodes/any/proxy/metrics
PATCH /api/v1/nodes/any
GET /apis/karpenter.sh/v1/nodeclaims/any
DELETE /apis/karpenter.sh/v1/nodeclaims/any
GET /apis/external-secrets.io/v1/namespaces/OWN/externalsecrets/any
POST /apis/external-secrets.io/v1/namespaces/OWN/externalsecrets
POST /api/v1/persistentvolumes
DELETE /apis/kaito.sh/v1beta1/namespaces/OWN/workspaces
DELETE /apis/gateway.networking.k8s.io/v1/namespaces/OWN/httproutes
POST /apis/gateway.networking.k8s.io/v1/namespaces/OWN/gateways
POST /api/v1/namespaces/OWN/limitranges
POST /apis/coordination.k8s.io/v1/namespaces/kube-system/leases
GET /metrics
"""
#: A role allows these everywhere; the admission policy refuses them where the namespace is not the app's own.
EVERYWHERE = """
PATCH /api/v1/namespaces/PLACE Namespace
PATCH /api/v1/namespaces/PLACE/resourcequotas/new ResourceQuota
PATCH /api/v1/namespaces/PLACE/resourcequotas/known ResourceQuota
PATCH /apis/networking.k8s.io/v1/namespaces/PLACE/networkpolicies/new NetworkPolicy
PATCH /apis/networking.k8s.io/v1/namespaces/PLACE/networkpolicies/known NetworkPolicy
POST /api/v1/namespaces/PLACE/configmaps ConfigMap
POST /apis/kaito.sh/v1beta1/namespaces/PLACE/workspaces Workspace
PATCH /apis/kaito.sh/v1beta1/namespaces/PLACE/workspaces/known Workspace
DELETE /apis/kaito.sh/v1beta1/namespaces/PLACE/workspaces/known
PATCH /apis/gateway.networking.k8s.io/v1/namespaces/PLACE/httproutes/new HTTPRoute
PATCH /apis/gateway.networking.k8s.io/v1/namespaces/PLACE/httproutes/known HTTPRoute
DELETE /apis/gateway.networking.k8s.io/v1/namespaces/PLACE/httproutes/known
DELETE /api/v1/namespaces/PLACE
"""
#: Somebody else's namespaces: with another name, with a name as ours, and the cluster's own.
FOREIGN = ("foreign", "team-foreign", "kube-system")
OURS = {"app.kubernetes.io/managed-by": "mergekey"}
_SPEC: dict[str, dict[str, Any]] = {
    "Namespace": {"apiVersion": "v1"},
    "ResourceQuota": {"apiVersion": "v1", "spec": {"hard": {"count/workspaces.kaito.sh": "9"}}},
    "NetworkPolicy": {"apiVersion": "networking.k8s.io/v1", "spec": {"podSelector": {}}},
    "ConfigMap": {"apiVersion": "v1", "immutable": True, "data": {"a": "b"}},
    "Workspace": {
        "apiVersion": "kaito.sh/v1beta1",
        "resource": {
            "instanceType": "Standard_NC24ads_A100_v4",
            "labelSelector": {"matchLabels": {"apps": "any"}},
        },
        "inference": {"preset": {"name": "phi-4"}},
    },
    "HTTPRoute": {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "spec": {"rules": [{"backendRefs": [{"name": "any", "port": 80}]}]},
    },
}


@dataclass(frozen=True)
class Attempt:
    """One request; `kind` is what its body is."""

    method: str
    path: str
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def of(self, caller: Caller, **names: str) -> int:
        """The status of the answer, with these names in place of words of the path."""
        path = self.path
        for word, name in names.items():
            path = path.replace(word, name)
        if self.method == "PATCH":
            path += f"?{urlencode({'fieldManager': 'mergekey', 'force': 'true'})}"
        return caller.attempt(self.method, path, self._body(path), Content_Type=self._type)

    @property
    def _type(self) -> str:
        return APPLY if self.method == "PATCH" else "application/json"

    def _body(self, path: str) -> dict[str, Any] | None:
        if self.method in ("GET", "DELETE"):
            return None
        name = "new" if self.method == "POST" else path.partition("?")[0].rpartition("/")[2]
        labels = OURS if self.kind == "Namespace" else {"made": uuid.uuid4().hex}
        about = {"kind": self.kind, "metadata": {"name": name, "labels": labels}}
        return {**about, **_SPEC.get(self.kind, {"apiVersion": "v1"})}


def attempts(text: str) -> list[Attempt]:
    return [Attempt(*line.split()) for line in text.splitlines() if line]


@pytest.fixture(scope="module")
def worker(real_server: RealCluster) -> Caller:
    """The workers' identity at the real server, and namespaces of others there."""
    administrator = real_server.administrator
    for name in FOREIGN:
        _settle(administrator, name, {})
    _settle(administrator, "team-own", OURS)
    return real_server.workers


def _settle(administrator: Caller, namespace: str, labels: dict[str, str]) -> None:
    """A namespace with one object of each kind, named `known`."""
    metadata = {"name": namespace, "labels": labels}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    applied = "?fieldManager=administrator&force=true"
    administrator.ask("PATCH", f"/api/v1/namespaces/{namespace}{applied}", manifest, APPLY)
    for kind, plural in (
        ("ResourceQuota", "resourcequotas"),
        ("NetworkPolicy", "networkpolicies"),
        ("HTTPRoute", "httproutes"),
        ("Workspace", "workspaces"),
    ):
        version = _SPEC[kind]["apiVersion"]
        base = f"/api/{version}" if version == "v1" else f"/apis/{version}"
        body = {**_SPEC[kind], "kind": kind, "metadata": {"name": "known"}}
        path = f"{base}/namespaces/{namespace}/{plural}/known{applied}"
        administrator.ask("PATCH", path, body, APPLY)


@pytest.fixture
def worker_at_the_standin(standins: StandIns) -> Iterator[Caller]:
    """An identity with the workers' role and the policy, in a stand-in that checks roles."""
    at = StandInsAt(standins.control, standins.addresses, standins.ca)
    server, trust, client = standins.addresses["kubernetes"], Path(standins.ca), "workers-of-the-test"
    administrator = Caller(server, at.token(), trust)
    for file in ("rbac.yaml", "only-team-namespaces.yaml"):
        text = (RIGHTS / file).read_text().replace("APP_OBJECT_ID", principal(client))
        for manifest in filter(None, yaml.safe_load_all(text)):
            administrator.ask(
                "PATCH", f"{_place(manifest)}?fieldManager=administrator&force=true", manifest, APPLY
            )
    for name in FOREIGN:
        _settle(administrator, name, {})
    with options(standins.control, check_access=True):
        yield Caller(server, at.token(client), trust)


def _place(manifest: dict[str, Any]) -> str:
    kind = manifest["kind"].lower()
    plural = f"{kind.removesuffix('y')}ies" if kind.endswith("y") else f"{kind}s"
    return f"/apis/{manifest['apiVersion']}/{plural}/{manifest['metadata']['name']}"


@pytest.mark.parametrize("attempt", attempts(NO_ROLE + NO_ROLE_ELSEWHERE), ids=str)
def test_what_no_role_allows_is_refused(worker: Caller, attempt: Attempt) -> None:
    assert attempt.of(worker, OWN="team-own") == 403


@pytest.mark.parametrize("attempt", attempts(NO_ROLE), ids=str)
def test_the_standin_refuses_what_no_role_allows(worker_at_the_standin: Caller, attempt: Attempt) -> None:
    assert attempt.of(worker_at_the_standin, OWN="team-own") == 403


@pytest.mark.parametrize("place", FOREIGN)
@pytest.mark.parametrize("attempt", attempts(EVERYWHERE), ids=str)
def test_a_namespace_of_others_is_not_touched(worker: Caller, attempt: Attempt, place: str) -> None:
    assert attempt.of(worker, PLACE=place) == 403


@pytest.mark.parametrize("place", FOREIGN)
@pytest.mark.parametrize("attempt", attempts(EVERYWHERE), ids=str)
def test_the_standin_keeps_namespaces_of_others(
    worker_at_the_standin: Caller, attempt: Attempt, place: str
) -> None:
    assert attempt.of(worker_at_the_standin, PLACE=place) == 403


def test_a_namespace_with_another_name_is_not_created(worker: Caller) -> None:
    new = Attempt("PATCH", "/api/v1/namespaces/other", "Namespace")
    assert new.of(worker) == 403


def test_it_does_not_take_its_label_off_a_namespace_of_its_own(worker: Caller) -> None:
    without = {"metadata": {"labels": dict.fromkeys(OURS)}}
    path = "/api/v1/namespaces/team-own"
    assert worker.attempt("PATCH", path, without, Content_Type=MERGE) == 403
    assert worker.attempt("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, Content_Type=MERGE) == 200


def test_nobody_else_is_impersonated(worker: Caller) -> None:
    assert worker.attempt("GET", "/api/v1/namespaces", Impersonate_User="admin") == 403


def test_all_of_it_is_allowed_in_a_namespace_of_its_own(worker: Caller) -> None:
    own = f"team-{uuid.uuid4().hex[:8]}"
    new, *others = attempts(EVERYWHERE)
    assert new.of(worker, PLACE=own) == 200
    known = [Attempt(each.method, each.path.replace("known", "new"), each.kind) for each in others]
    assert {str(each): each.of(worker, PLACE=own) for each in known} == {str(each): 200 for each in known}
