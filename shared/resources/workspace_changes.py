"""What a standing Workspace needs to become as the catalogue and the request say.

KAITO renews neither the command of a standing workload nor its number of nodes. So a configuration that
appears or goes, and another number of nodes, need a new Workspace; another configuration in the place of one
is a change of one field, by which KAITO restarts the workload.

Both follow from a reviewed change alone: a Workspace carries what the catalogue asked for when it was written
(`shared.resources.inference_config.ASKED`), and as long as it asks for the same nothing is done, whatever
this version would write today. A Workspace that people edited is left to them, and where we have nothing to
say of its configuration, it is theirs: earlier versions left it alone, too.
"""

from __future__ import annotations

from typing import Literal

from shared.kaito.presets import table
from shared.kaito.releases import Release
from shared.resources.actual import Workspace
from shared.resources.inference_config import Configuration, configuration_of
from shared.resources.workspaces import Manifest, fixed_fields

#: `new`: it is deleted and made again; `restart`: another configuration in place; `edited`: people changed
#: what only we write, and put it back.
Need = Literal["none", "new", "restart", "edited"]


def need(actual: Workspace, manifest: Manifest, release: Release) -> Need:
    """What a Workspace that is not being deleted needs. `release` is the one that the catalogue names."""
    if dict(actual.fixed) != fixed_fields(manifest):
        return "new"
    found, wanted = actual.configuration, configuration_of(manifest)
    if found.is_edited and _is_ours(found, wanted):
        return "edited"
    if found.asked == wanted.asked:
        return "none"
    if not (found.name and wanted.name):
        return "new"
    same = found.context == wanted.context or _same_nodes(manifest, release, found.context, wanted.context)
    return "restart" if same else "new"


def _is_ours(found: Configuration, wanted: Configuration) -> bool:
    """Whether we have, or had, anything to say of the configuration."""
    return bool(found.written or found.asked or wanted.asked)


def _same_nodes(manifest: Manifest, release: Release, before: int | None, after: int | None) -> bool:
    """Whether KAITO's tables have the same number of nodes for both contexts. What they do not have is not
    the same.
    """
    known = table(release)
    if known is None:
        return False
    preset, size = manifest["inference"]["preset"]["name"], manifest["resource"]["instanceType"]
    counts = [known.nodes(preset, size, context) for context in (before, after)]
    return isinstance(counts[0], int) and counts[0] == counts[1]


def is_changed_for_all(actual: Workspace, manifest: Manifest) -> bool:
    """Whether it differs in what the catalogue says of the model, so that those of other teams do too. The
    instance type is chosen by each team.
    """
    return model_of(actual) != model_in(manifest)


def model_of(actual: Workspace) -> tuple[object, ...]:
    """What the catalogue said of the model when the Workspace was written."""
    return (*_of_catalog(dict(actual.fixed)), actual.configuration.asked)


def model_in(manifest: Manifest) -> tuple[object, ...]:
    """What the catalogue says of the model."""
    return (*_of_catalog(fixed_fields(manifest)), configuration_of(manifest).asked)


def _of_catalog(fixed: dict[str, object]) -> tuple[object, object]:
    return fixed.get("preset"), fixed.get("accessSecret")


def edited(name: str) -> str:
    """What has come of such a Workspace, for people."""
    return (
        f"workspace {name} was edited: its configuration or its adapters are not those that mergekey wrote, "
        "and what KAITO makes of that is unknown. Put it back, or delete it: then it is made anew"
    )
