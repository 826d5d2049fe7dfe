"""Reads what the cluster shows of workspaces beside their conditions, as far as it decides anything.

What is not served, or not to us, is unknown, as it was to earlier versions: conditions alone decide then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from shared.cluster_ports import Cluster
from shared.errors import AccessDenied, KindNotServed
from shared.inventory.workspace_logs import with_log_classes
from shared.kaito.causes import needed
from shared.kaito.witnesses import NodeClaim, Pod
from shared.resources.actual import Workspace

V = TypeVar("V")
ByHome = Mapping[str, Sequence[Workspace]]


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Pods by namespace and NodeClaims, None where they were not read or are unknown; `denied` are the
    missing rights, by kind.
    """

    pods: Mapping[str, Sequence[Pod]] | None = None
    claims: Sequence[NodeClaim] | None = None
    denied: Mapping[str, AccessDenied] | None = None

    def of(self, home: str, workspaces: Iterable[Workspace]) -> tuple[Workspace, ...]:
        """The workspaces of a namespace with their witnesses; those of others as they are."""
        return tuple(self._seen(home, each) if each.managed else each for each in workspaces)

    def _seen(self, home: str, workspace: Workspace) -> Workspace:
        name, pods, claims = workspace.name, self.pods, self.claims
        return replace(
            workspace,
            pods=None
            if pods is None
            else tuple(each for each in pods.get(home, ()) if each.workspace == name),
            claims=None
            if claims is None
            else tuple(each for each in claims if (each.namespace, each.workspace) == (home, name)),
        )


async def with_witnesses(
    cluster: Cluster, home: str, workspaces: Iterable[Workspace], *, with_logs: bool = False
) -> tuple[tuple[Workspace, ...], Mapping[str, AccessDenied]]:
    """The workspaces of one namespace with their witnesses, for one list of each kind at most; `with_logs`:
    and for one log of each that crashes.
    """
    found = tuple(workspaces)

    async def pods() -> Mapping[str, Sequence[Pod]]:
        return {home: await cluster.pods(home)}

    seen = await _read(pods, cluster.node_claims, _wanted(found))
    told, denied = seen.of(home, found), dict(seen.denied or {})
    return (await with_log_classes(cluster, home, told, denied) if with_logs else told), denied


async def witnesses(cluster: Cluster, workspaces: ByHome, *, with_claims: bool = False) -> Witnesses:
    """Those of all namespaces, for one list of each kind at most; `with_claims`: in any case NodeClaims."""
    wanted = frozenset[str]().union(*map(_wanted, workspaces.values()))
    return await _read(cluster.all_pods, cluster.node_claims, wanted | {"claims"} if with_claims else wanted)


def _wanted(workspaces: Iterable[Workspace]) -> frozenset[str]:
    own = (each for each in workspaces if each.managed and not each.terminating)
    return frozenset[str]().union(*(needed(each.conditions, each.nodes) for each in own))


async def _read(
    read_pods: Callable[[], Awaitable[Mapping[str, Sequence[Pod]]]],
    read_claims: Callable[[], Awaitable[Sequence[NodeClaim]]],
    wanted: frozenset[str],
) -> Witnesses:
    pods, claims = await asyncio.gather(
        _if_told("pods" in wanted, read_pods), _if_told("claims" in wanted, read_claims)
    )
    denied = {
        kind: each for kind, each in (("Pod", pods), ("NodeClaim", claims)) if isinstance(each, AccessDenied)
    }
    return Witnesses(
        None if isinstance(pods, AccessDenied) else pods,
        None if isinstance(claims, AccessDenied) else claims,
        denied,
    )


async def _if_told(is_wanted: bool, read: Callable[[], Awaitable[V]]) -> V | AccessDenied | None:
    if not is_wanted:
        return None
    try:
        return await read()
    except KindNotServed:
        return None
    except AccessDenied as error:
        return error
