"""What the stages need of the Kubernetes cluster, and of the way to the models that run in it.

Errors are those of `shared.errors`, as of the other ports (`shared.ports`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from shared.gateway_api import observed
from shared.gateway_api.controllers import Controller
from shared.gateway_api.road import RoadAnswer
from shared.kaito.log_classes import LogTail
from shared.kaito.releases import Release
from shared.kaito.witnesses import NodeClaim, Pod
from shared.resources.actual import ConfigMap, ExternalSecret, GpuNode, Limit, Namespace, Route, Workspace
from shared.resources.served_kinds import ServedKinds
from shared.resources.workspaces import Manifest


class Cluster(Protocol):
    """The Kubernetes cluster with KAITO. Every method but `served` raises KindNotServed where the cluster
    does not know the kind: that is not the same as an object or a list that is empty.
    """

    async def served(self) -> ServedKinds:
        """The kinds that the cluster serves. Some minutes old at most, and read anew after KindNotServed."""
        ...

    async def namespace(self, name: str) -> Namespace | None: ...
    async def namespaces(self) -> list[Namespace]: ...
    async def workspaces(self, namespace: str) -> list[Workspace]: ...
    async def routes(self, namespace: str) -> list[Route]: ...
    async def all_workspaces(self) -> Mapping[str, list[Workspace]]:
        """By namespace."""
        ...

    async def all_routes(self) -> Mapping[str, list[Route]]:
        """By namespace, those that are ours."""
        ...

    async def gateway(self, name: str) -> observed.Gateway | None:
        """A Gateway of Gateway API, `namespace/name`."""
        ...

    async def gateway_controller(self, name: str) -> Controller | None:
        """Whose Gateway it is, by its class, or else by what is written into our routes; None where neither
        tells, or there is no such Gateway. An answer is kept for some minutes.
        """
        ...

    async def gpu_nodes(self) -> list[GpuNode]:
        """The nodes that KAITO had made, by itself or by Karpenter."""
        ...

    async def pods(self, namespace: str) -> list[Pod]:
        """The pods of workspaces."""
        ...

    async def all_pods(self) -> Mapping[str, list[Pod]]:
        """By namespace, those of workspaces."""
        ...

    async def node_claims(self) -> list[NodeClaim]:
        """Those of workspaces, in all namespaces."""
        ...

    async def external_secrets(self, namespace: str) -> list[ExternalSecret]: ...
    async def previous_log(self, namespace: str, pod: str, container: str) -> LogTail | None:
        """The last lines of what the container wrote before it was started again; None for none."""
        ...

    async def release(self) -> Release | None:
        """The release of KAITO, by what the cluster serves; None for one that this version does not know. An
        answer is kept for some minutes.
        """
        ...

    async def network_policy_engine(self) -> str | None:
        """What enforces network policies, in the word of AKS (`azure`, `calico`, `cilium`); `none` where
        nothing does, so that policies are kept and have no effect; None where AKS cannot tell, because the
        cluster brings its own network.
        """
        ...

    async def limits(self, namespace: str) -> list[Limit]:
        """What there is under the names of a team's quota and network policy, whoever it belongs to."""
        ...

    async def config_map(self, namespace: str, name: str) -> ConfigMap | None: ...
    async def all_quotas(self) -> Mapping[str, list[Limit]]:
        """By namespace, those that are ours."""
        ...

    async def all_network_policies(self) -> Mapping[str, list[Limit]]:
        """By namespace, those that are ours."""
        ...

    async def apply(self, manifest: Manifest) -> None:
        """Server-side apply as field manager `mergekey`."""
        ...

    async def create(self, manifest: Manifest) -> None:
        """Raises Busy when there is one already: an object that cannot be changed in place is not applied
        over another owner's.
        """
        ...

    async def change_workspace(self, manifest: Manifest, resource_version: str) -> None:
        """Give an existing Workspace the configuration of this manifest, with the annotations. Raises Busy
        when it has changed since, Unavailable when it is gone.
        """
        ...

    async def delete_workspace(self, namespace: str, name: str, resource_version: str) -> None: ...
    async def delete_route(self, namespace: str, name: str) -> None: ...
    async def annotate_route(self, namespace: str, name: str, annotations: Mapping[str, str | None]) -> None:
        """Write these annotations of a route, None to take one off, as a field manager of their own: what is
        applied later leaves them. Raises Unavailable when it is gone.
        """
        ...

    async def delete_namespace(self, name: str, resource_version: str) -> None: ...


class Roads(Protocol):
    """The addresses of workspaces, asked as API Management calls them."""

    async def ask(self, url: str) -> RoadAnswer:
        """What answers at the OpenAI-compatible base URL of a workspace, as a caller without credentials.
        Never raises: what goes wrong is the answer.
        """
        ...
