"""Requests for a model whose workspaces answer no calls of tools: said before anybody builds on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.branch.workspace_review import InForce
from shared.catalog.catalog import Catalog, CatalogModel
from shared.documents.problem import Problem, problem_at, quote
from shared.kaito.releases import Release
from shared.requests.request import ModelAccess, ParsedRequest
from shared.resources.inference_config import serves_no_tools


def tool_call_notices(
    accepted: Mapping[str, ParsedRequest], catalog: Catalog, before: InForce
) -> Iterator[Problem]:
    """A notice for each workspace, the team's own or the platform's for all, that a request names for the
    first time and that has no parser of tool calls: neither KAITO has one for the preset, nor does the
    catalogue name one. A catalogue that names no release does not say what its cluster has.
    """
    if catalog.kaito is None:
        return
    for path, evaluation in accepted.items():
        for access in evaluation.request.models if evaluation.request else ():
            model = catalog.model(access.name)
            if model is not None and _is_new(evaluation.team or "", access, model, before):
                yield from _notice(path, evaluation, model, catalog.kaito)


def _is_new(team: str, access: ModelAccess, model: CatalogModel, before: InForce) -> bool:
    """Whether a workspace answers that did not answer the team before."""
    if access.instance_type is not None:
        return not before.has(team, model.name)
    return model.shared is not None and model.name not in before.grants.get(team, {})


def _notice(path: str, evaluation: ParsedRequest, model: CatalogModel, release: Release) -> Iterator[Problem]:
    if serves_no_tools(model, release):
        message = (
            f"{quote(model.name)} answers 400 to calls with tools: KAITO {release} has no parser for its "
            f"preset {quote(model.preset or '')}. If vLLM has one, the platform team can name it in the "
            "catalogue ('toolParser')."
        )
        yield problem_at(path, evaluation.models_at[model.name], "NoToolCalls", message, "notice")
