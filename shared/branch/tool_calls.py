"""Requests for a model whose workspaces answer no calls of tools: said before anybody builds on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.catalog.catalog import Catalog, CatalogModel
from shared.documents.problem import Problem, problem_at, quote
from shared.requests.request import ModelAccess, ParsedRequest
from shared.resources.inference_config import serves_no_tools


def tool_call_notices(accepted: Mapping[str, ParsedRequest], catalog: Catalog) -> Iterator[Problem]:
    """A notice for each workspace of the team's own, or of the platform for all, that has no parser of tool
    calls: neither KAITO has one for the preset, nor does the catalogue name one. A catalogue that names no
    release does not say what its cluster has.
    """
    release = catalog.kaito
    if release is None:
        return
    for path, evaluation in accepted.items():
        for access in evaluation.request.models if evaluation.request else ():
            model = catalog.model(access.name)
            if model is not None and _runs(access, model) and serves_no_tools(model, release):
                message = (
                    f"{quote(model.name)} answers 400 to calls with tools: KAITO {release} has no parser for "
                    f"its preset {quote(model.preset or '')}. If vLLM has one, the platform team can name it "
                    "in the catalogue ('toolParser')."
                )
                yield problem_at(path, evaluation.models_at[model.name], "NoToolCalls", message, "notice")


def _runs(access: ModelAccess, model: CatalogModel) -> bool:
    """Whether a workspace answers: the team's own, or one of the platform."""
    return access.instance_type is not None or model.shared is not None
