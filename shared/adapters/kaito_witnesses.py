"""Parses what the cluster shows beside a Workspace: nodes, NodeClaims, pods and ExternalSecrets. Of pods
nothing is kept that a program in them wrote. Undocumented forms raise in `understood`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.adapters.answers import instance, text
from shared.adapters.kaito_objects import conditions_of
from shared.kaito.witnesses import Container, NodeClaim, Pod
from shared.marker import read_time
from shared.resources.actual import ExternalSecret, GpuNode
from shared.resources.workspaces import Manifest

#: KAITO labels a node, a NodeClaim and a pod with the workspace that it was made for, nodes and NodeClaims
#: with `...namespace` too. What its Karpenter pools make carries only labels of their own.
NODE_OF = POD_OF = "kaito.sh/workspace"
NODE_OF_KARPENTER = "karpenter.kaito.sh/workspace-name"
_HOMES = {NODE_OF: f"{NODE_OF}namespace", NODE_OF_KARPENTER: "karpenter.kaito.sh/workspace-namespace"}


def node_of(item: Manifest) -> GpuNode:
    metadata = item["metadata"]
    home, workspace = _made_for(metadata["labels"])
    return GpuNode(text(metadata["name"]), home, workspace, _is_going(metadata))


def claims_of(item: Manifest) -> tuple[NodeClaim, ...]:
    """The NodeClaim, where it was made for a workspace."""
    metadata, status = item["metadata"], item.get("status") or {}
    home, workspace = _made_for(metadata.get("labels") or {})
    if not workspace:
        return ()
    node = instance(str, status.get("nodeName") or "")
    claim = NodeClaim(
        text(metadata["name"]), home, workspace, node, _is_going(metadata), conditions_of(status)
    )
    return (claim,)


def pod_of(item: Manifest) -> Pod:
    metadata, status = item["metadata"], item.get("status") or {}
    rows = {row["type"]: row for row in conditions_of(status)}
    refused = rows.get("PodScheduled", {})
    is_refused = refused.get("status") == "False"
    told = refused if is_refused else status
    return Pod(
        name=text(metadata["name"]),
        workspace=text(metadata["labels"][POD_OF]),
        phase=instance(str, status.get("phase") or ""),
        ready=rows.get("Ready", {}).get("status") == "True",
        going=_is_going(metadata),
        reason=instance(str, told.get("reason") or ""),
        message=instance(str, told.get("message") or ""),
        containers=tuple(_containers(status)),
    )


def _containers(status: Manifest) -> Iterator[Container]:
    for key, is_init in (("initContainerStatuses", True), ("containerStatuses", False)):
        yield from (_container(row, is_init) for row in status.get(key) or ())


def _container(row: Manifest, is_init: bool) -> Container:
    state = row.get("state") or {}
    waiting, running = state.get("waiting") or {}, state.get("running") or {}
    end = _last_end(row)
    return Container(
        name=text(row["name"]),
        is_init=is_init,
        waiting=_said(waiting, "reason"),
        message=_said(waiting, "message"),
        end=_said(end, "reason"),
        exit_code=None if not end else instance(int, end["exitCode"]),
        running=read_time(_said(running, "startedAt")),
    )


def _last_end(row: Manifest) -> Manifest:
    """Empty where it has not ended yet."""
    states = (row.get("state") or {}, row.get("lastState") or {})
    return next((state["terminated"] for state in states if state.get("terminated")), {})


def _said(shown: Manifest, key: str) -> str:
    return instance(str, shown.get(key) or "")


def external_secret_of(item: Manifest) -> ExternalSecret:
    """https://external-secrets.io/latest/api/externalsecret : the target is named as it is by default."""
    name, status = text(item["metadata"]["name"]), item.get("status") or {}
    target = ((item.get("spec") or {}).get("target") or {}).get("name") or name
    ready = next((row for row in conditions_of(status) if row.get("type") == "Ready"), {})
    return ExternalSecret(name, text(target), ready.get("status") == "True", str(ready.get("reason") or ""))


def _made_for(labels: Mapping[str, str]) -> tuple[str, str]:
    """Namespace and name of the workspace, empty where no label says so."""
    label = next((each for each in _HOMES if each in labels), None)
    return ("", "") if label is None else (labels.get(_HOMES[label], ""), text(labels[label]))


def _is_going(metadata: Manifest) -> bool:
    return "deletionTimestamp" in metadata
