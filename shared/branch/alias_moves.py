"""What a changed catalogue does to callers who ask for a model by an alias: which teams it touches, and which
of them would be refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.catalog.catalog import Catalog, ParsedCatalog
from shared.documents.problem import START, Problem, counted, listed, problem_at, quote
from shared.requests.request import ParsedRequest

#: Teams that one message names.
_NAMED = 20


def alias_problems(
    path: str, before: ParsedCatalog | None, after: Catalog, accepted: Mapping[str, ParsedRequest]
) -> Iterator[Problem]:
    """The aliases that lead elsewhere than `before`, at the catalogue's `path`, as far as the teams of
    `accepted` requests use them. Nothing is known of the time before without its catalogue.
    """
    if before is None or before.catalog is None:
        return
    models, leads = _models_of(accepted), _aliases(after)
    for alias, was in sorted(_aliases(before.catalog).items()):
        if leads.get(alias) != was:
            users = sorted(team for team, names in models.items() if was in names)
            yield from _moved(path, alias, was, leads.get(alias), users, models)


def _models_of(accepted: Mapping[str, ParsedRequest]) -> dict[str, set[str]]:
    """By team."""
    requests = (each.request for each in accepted.values() if each.request is not None)
    return {each.team: {model.name for model in each.models} for each in requests}


def _aliases(catalog: Catalog) -> dict[str, str]:
    return {alias: model.name for model in catalog.models for alias in model.aliases}


def _moved(
    path: str, alias: str, was: str, leads: str | None, users: list[str], models: Mapping[str, set[str]]
) -> Iterator[Problem]:
    refused = [team for team in users if leads is None or leads not in models[team]]
    if refused and leads is None:
        what = f"{quote(alias)} is no name of {quote(was)} now: calls by it of {_teams(refused)} get 403."
        yield problem_at(path, START, "AliasGone", what, "warning")
    elif refused:
        what = f"{quote(alias)} leads from {quote(was)} to {quote(leads or '')} now."
        advice = f"{_teams(refused)} did not ask for that: calls by it get 403. Let them ask for it first."
        yield problem_at(path, START, "AliasNotGranted", f"{what} {advice}")
    elif users:
        what = f"{quote(alias)} leads from {quote(was)} to {quote(leads or '')} for {_teams(users)}."
        yield problem_at(path, START, "AliasMoves", what, "notice")


def _teams(teams: list[str]) -> str:
    more = f" and {len(teams) - _NAMED:,} more" if len(teams) > _NAMED else ""
    return f"{counted(len(teams), 'team')} ({listed(teams[:_NAMED])}{more})"
