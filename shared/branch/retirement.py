"""How a model leaves the catalogue: first it says until when and what to use instead, and when nobody names
it any more it is removed.
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
    verdicts: Mapping[str, ParsedRequest],
    catalog: Catalog | None,
    in_force: Mapping[str, Grants],
    paths: RequestPaths,
) -> dict[str, list[str]]:
    """The models that are not in the catalogue any more, while teams have them and still name them; with
    these requests.
    """
    using: dict[str, list[str]] = defaultdict(list)
    for path, verdict in sorted(verdicts.items()):
        had = in_force.get(paths.team_of(path) or "", {})
        for model in verdict.tokens.keys() & had.keys() if catalog else ():
            if catalog is not None and catalog.model(model) is None:
                using[model].append(path)
    return using


def removals(still_used: Mapping[str, list[str]], catalog_path: str) -> Iterator[Problem]:
    """One for each such model, at the catalogue."""
    for model, using in sorted(still_used.items()):
        message = (
            f"The model {quote(model)} is not in the catalogue any more, but is still used by "
            f"{listed(using[:_NAMED])}"
        )
        more = f" and {len(using) - _NAMED} more" if len(using) > _NAMED else ""
        advice = (
            "Put it back with 'retiresOn' and 'successor', so that its teams are told, and remove it when "
            "nobody names it."
        )
        yield problem_at(
            catalog_path,
            START,
            "ModelStillUsed",
            f"{message}{more}. Nothing of this catalogue is in force. {advice}",
        )


def naming_removed(verdicts: Mapping[str, ParsedRequest], catalog: Catalog | None) -> frozenset[str]:
    """The requests that name a model which the catalogue does not have: by mistake, or because it was taken
    out.
    """
    return frozenset(
        path
        for path, verdict in verdicts.items()
        if catalog is not None and any(catalog.model(model) is None for model in verdict.tokens)
    )


def retiring(accepted: Mapping[str, ParsedRequest], catalog: Catalog) -> Iterator[Problem]:
    """A warning for each model that a valid request names and that will go, or may have to go by now."""
    for path, verdict in accepted.items():
        for access in verdict.request.models if verdict.request else ():
            model = catalog.model(access.name)
            if model is not None and model.retirement is not None:
                until, successor = model.retirement.on, quote(model.retirement.successor)
                message = (
                    f"The last day of {quote(model.name)} is {until}; then it may be removed at any time. "
                    f"Use {successor} instead."
                )
                yield problem_at(path, verdict.models_at[model.name], "ModelRetires", message, "warning")
