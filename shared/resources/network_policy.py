"""Who may call the pods of a team's workspaces, in today's form and in that of earlier releases.

Earlier releases let in the whole namespace of the Gateway. Envoy Gateway's proxies run in its own namespace;
those of Istio and NGINX have the Gateway's name as a label.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from shared.gateway_api.controllers import HABITS, NAMESPACE_NAME, proxies
from shared.marker import Marker
from shared.resources.actual import Limit
from shared.resources.plan import Unread
from shared.resources.workspaces import LIMITS, Cluster, Manifest, object_manifest, spec_matches

_KIND = "NetworkPolicy"
#: The port of the model server, which proxies call at the pod's address.
PORT = 5000
_TEAM: Manifest = {"podSelector": {}}
#: What may be done with a standing policy: nothing, to let in the proxies too, or nobody else any more.
Step = Literal["stays", "wide", "narrow"]


@dataclass(frozen=True, slots=True)
class PolicyForms:
    """A network policy in its forms. `narrow` lets in the team's own pods on all ports (those of one
    Workspace call each other) and the Gateway's proxies on the port of the model server; `earlier` the
    team's pods and the namespace of the Gateway; `wide` both. All are the same where the controller is not
    known: `others` are then those of all controllers, of which one that stands stays.
    """

    earlier: Manifest
    wide: Manifest
    narrow: Manifest
    others: tuple[Manifest, ...] = ()


def policy_forms(marker: Marker, cluster: Cluster) -> PolicyForms:
    home = cluster.gateway.partition("/")[0]
    in_home = {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: home}}}
    both: Manifest = {"from": [_TEAM, in_home]}
    earlier = _policy(marker, [both])
    if cluster.controller is None:
        known = [policy_forms(marker, replace(cluster, controller=each)) for each in HABITS]
        others = tuple(form for each in known for form in (each.wide, each.narrow))
        return PolicyForms(earlier, earlier, earlier, others)
    to_the_server = {
        "from": [proxies(cluster.controller, cluster.gateway)],
        "ports": [{"protocol": "TCP", "port": PORT}],
    }
    return PolicyForms(
        earlier,
        _policy(marker, [both, to_the_server]),
        _policy(marker, [{"from": [_TEAM]}, to_the_server]),
    )


def network_policy_manifest(marker: Marker, cluster: Cluster) -> Manifest:
    """The policy in today's form, so that the API gateway cannot be bypassed."""
    return policy_forms(marker, cluster).narrow


def _policy(marker: Marker, ingress: list[Manifest]) -> Manifest:
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": ingress}
    return object_manifest("networking.k8s.io/v1", _KIND, marker, LIMITS[_KIND], spec)


def form_to_have(
    forms: PolicyForms, limits: Iterable[Limit] | Unread, step: Step, *, serves: bool
) -> Manifest:
    """The form that the policy shall have now. One that stands in any form stays as it is; a missing one, and
    one that was edited, closes nothing while a workspace `serves`.
    """
    if step != "stays":
        return forms.narrow if step == "narrow" else forms.wide
    found = None if isinstance(limits, Unread) else _policy_of(limits)
    standing = (
        each for each in (forms.earlier, forms.wide, forms.narrow, *forms.others) if _is_like(found, each)
    )
    return next(standing, forms.wide if serves else forms.narrow)


def _policy_of(limits: Iterable[Limit]) -> Limit | None:
    return next((each for each in limits if (each.kind, each.name) == (_KIND, LIMITS[_KIND])), None)


def _is_like(found: Limit | None, manifest: Manifest) -> bool:
    return found is not None and spec_matches(found.spec, manifest)


def with_policy(limits: Iterable[Manifest], policy: Manifest) -> tuple[Manifest, ...]:
    """The limits with this network policy in place of theirs."""
    return tuple(policy if each.get("kind") == _KIND else each for each in limits)
