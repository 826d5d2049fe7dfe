"""How a model leaves the catalogue: first the catalogue announces its last day and a successor; the model is
removed when no request names it any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from shared.catalog.capacity import Grants
from shared.catalog.catalog import Catalog
from shared.documents.problem import START, Problem, listed, problem_at, quote
from shared.requests.paths import RequestPaths
from shared.requests.request import ParsedRequest

#: Files that are named in one message.
_NAMED = 20


def models_still_used(
    evaluations: Mapping[str, ParsedRequest],
    catalog: Catalog | None,
    in_force: Mapping[str, Grants],
    paths: RequestPaths,
) -> dict[str, list[str]]:
    """The models that left the catalogue although teams have them and still name them, with the paths of
    these requests.
    """
    using: dict[str, list[str]] = defaultdict(list)
    for path, evaluation in sorted(evaluations.items()):
        had = in_force.get(paths.team_of(path) or "", {})
        for model in evaluation.tokens.keys() & had.keys() if catalog else ():
            if catalog is not None and catalog.model(model) is None:
                using[model].append(path)
    return using


def removal_problems(still_used: Mapping[str, list[str]], catalog_path: str) -> Iterator[Problem]:
    """A problem of the catalogue for each such model."""
    for model, using in sorted(still_used.items()):
        message = (
            f"The model {quote(model)} is not in the catalogue any more, but is still used by "
            f"{listed(using[:_NAMED])}"
        )
        more = f" and {len(using) - _NAMED} more" if len(using) > _NAMED else ""
        advice = (
            "Put it back with 'retiresOn' and 'successor', so that its teams are warned, and remove it when "
            "no request names it."
        )
        yield problem_at(
            catalog_path,
            START,
            "ModelStillUsed",
            f"{message}{more}. Nothing of this catalogue is in force. {advice}",
        )


def requests_for_removed_models(
    evaluations: Mapping[str, ParsedRequest], catalog: Catalog | None
) -> frozenset[str]:
    """The requests that name a model which is not in the catalogue, by mistake or because it was removed."""
    return frozenset(
        path
        for path, evaluation in evaluations.items()
        if catalog is not None and any(catalog.model(model) is None for model in evaluation.tokens)
    )


def retirement_warnings(accepted: Mapping[str, ParsedRequest], catalog: Catalog) -> Iterator[Problem]:
    """A warning for each model of a valid request that has a last day, in the future or past."""
    for path, evaluation in accepted.items():
        for access in evaluation.request.models if evaluation.request else ():
            model = catalog.model(access.name)
            if model is not None and model.retirement is not None:
                until, successor = model.retirement.on, quote(model.retirement.successor)
                message = (
                    f"The last day of {quote(model.name)} is {until}; then it may be removed at any time. "
                    f"Use {successor} instead."
                )
                yield problem_at(path, evaluation.models_at[model.name], "ModelRetires", message, "warning")
