"""The release of KAITO that the catalogue names beside the one in the cluster."""

from __future__ import annotations

from collections.abc import Mapping

from shared import telemetry
from shared.app import App
from shared.branch.review import File
from shared.catalog.catalog import Catalog
from shared.documents.problem import Problem, problem_at
from shared.documents.strict_yaml import read_bytes
from shared.errors import MergekeyError
from shared.kaito.releases import difference


async def release_notes(app: App, catalog: Catalog | None, files: Mapping[str, File]) -> tuple[Problem, ...]:
    """A warning at the catalogue when the cluster has another release. Requests are judged by the catalogue
    alone: nothing is refused for it, and a cluster that does not answer is no difference.
    """
    if app.cluster is None or catalog is None or not catalog.has_workspaces:
        return ()
    try:
        release = await app.cluster.release()
    except MergekeyError as error:
        telemetry.not_looked_at("releases of KAITO", str(error))
        return ()
    text = difference(catalog.kaito, release)
    if not text:
        return ()
    path = app.paths.catalog
    place = read_bytes(path, files[path].content).at(("kaito",))
    reason = "KaitoReleaseUnknown" if release is None else "KaitoReleaseDiffers"
    message = f"{text[0].upper()}{text[1:]}. See docs/catalogue.md: releases of KAITO."
    return (problem_at(path, place, reason, message, "warning"),)
