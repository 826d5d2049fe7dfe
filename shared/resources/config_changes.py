"""The configurations of a team's workspaces: what is created, and what is left alone.

They are looked at one by one, by name, because nothing may list ConfigMaps: a team's namespace may hold what
is no concern of ours. They are immutable and never deleted: a workload reads its configuration whenever it
starts, and all of them go with the namespace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.errors import NotManaged
from shared.kaito.releases import Release
from shared.resources.actual import ConfigMap, Workspace
from shared.resources.plan import Create, Refused, Unread
from shared.resources.workspace_changes import need
from shared.resources.workspaces import Manifest

#: By name, None for one that does not exist.
ActualConfigs = Mapping[str, ConfigMap | None]


@dataclass(frozen=True, slots=True)
class ConfigChanges:
    """`held` are the workspaces whose configuration is refused: they are neither made nor changed."""

    created: tuple[Create, ...] = ()
    refused: tuple[Refused, ...] = ()
    held: frozenset[str] = frozenset()


def needed_configs(
    configs: Mapping[str, Manifest],
    workspaces: Mapping[str, Manifest],
    existing: Mapping[str, Workspace],
    release: Release,
) -> Mapping[str, Manifest]:
    """By workspace, the configurations that must exist. A workspace that asks for the same as before keeps
    the one that it has, also where this version would give it another.
    """
    return {
        name: manifest
        for name, manifest in configs.items()
        if _is_needed(existing.get(name), manifest, workspaces[name], release)
    }


def _is_needed(actual: Workspace | None, config: Manifest, manifest: Manifest, release: Release) -> bool:
    if actual is None or actual.terminating or need(actual, manifest, release) in ("new", "restart"):
        return True
    return bool(actual.configuration.name == config["metadata"]["name"])


def config_changes(needed: Mapping[str, Manifest], actual: ActualConfigs | Unread) -> ConfigChanges:
    """`actual` are those that were looked at; of others nothing is said."""
    if isinstance(actual, Unread):
        return ConfigChanges()
    by_name = {name: manifest["metadata"]["name"] for name, manifest in needed.items()}
    manifests = {by_name[name]: manifest for name, manifest in needed.items() if by_name[name] in actual}
    refused = dict(_refused(manifests, actual))
    return ConfigChanges(
        tuple(
            Create("config", name, manifest) for name, manifest in manifests.items() if actual[name] is None
        ),
        tuple(refused.values()),
        frozenset(name for name, config in by_name.items() if config in refused),
    )


def _refused(manifests: Mapping[str, Manifest], actual: ActualConfigs) -> Iterator[tuple[str, Refused]]:
    for name, manifest in manifests.items():
        found = actual[name]
        if found is not None and not _equivalent(found, manifest):
            message = (
                f"there is a ConfigMap {name} in the team's namespace that mergekey did not write so: a "
                "model would be started with what it says. Delete it: then it is made anew"
            )
            yield name, Refused("config", name, NotManaged, message)


def _equivalent(found: ConfigMap, manifest: Manifest) -> bool:
    return found.managed and found.immutable and dict(found.data) == manifest["data"]
