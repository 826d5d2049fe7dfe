"""Why containers crash, as far as the end of their log says it. Read only where the platform wants it
(`App.pod_logs`), of one container for each workspace, and no text of it is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import replace

from shared.cluster_ports import Cluster
from shared.errors import AccessDenied, MergekeyError
from shared.kaito.log_classes import LogClass, classify
from shared.kaito.witnesses import Container, Pod
from shared.resources.actual import Workspace

#: The exit codes that do not say the cause by themselves.
_UNCLEAR = (1, 2)


async def with_log_classes(
    cluster: Cluster,
    home: str,
    workspaces: Iterable[Workspace],
    denied: MutableMapping[str, AccessDenied],
) -> tuple[Workspace, ...]:
    """The workspaces of a namespace whose pods were read, with the class of the log of their first container
    that crashes. A missing right is noted in `denied`; other troubles leave the class unknown.
    """

    async def told(workspace: Workspace) -> Workspace:
        first = _first_crash(workspace.pods or ())
        if first is None:
            return workspace
        found = await _class_of(cluster, home, *first, denied)
        return workspace if found is None else _with(workspace, *first, found)

    return tuple(await asyncio.gather(*map(told, workspaces)))


def _first_crash(pods: Sequence[Pod]) -> tuple[Pod, Container] | None:
    """The first pod leads the others."""
    return next(
        (
            (pod, container)
            for pod in sorted(pods, key=lambda each: each.name)
            if not pod.ready and not pod.going
            for container in pod.containers
            if container.is_crashing and container.exit_code in _UNCLEAR and not container.is_init
        ),
        None,
    )


async def _class_of(
    cluster: Cluster, home: str, pod: Pod, container: Container, denied: MutableMapping[str, AccessDenied]
) -> LogClass | None:
    try:
        return classify(await cluster.previous_log(home, pod.name, container.name))
    except AccessDenied as error:
        denied["pods/log"] = error
    except MergekeyError:
        return None  # the cause is told without it, and the next look may see it
    return None


def _with(workspace: Workspace, crashed: Pod, container: Container, found: LogClass) -> Workspace:
    told = tuple(replace(each, log=found) if each is container else each for each in crashed.containers)
    pods = tuple(replace(pod, containers=told) if pod is crashed else pod for pod in workspace.pods or ())
    return replace(workspace, pods=pods)
