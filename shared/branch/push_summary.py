"""What a push means for each team, in one line for people: who is new, what changes, who loses access."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.documents.problem import counted
from shared.requests.details import TokenQuota
from shared.requests.request import AccessRequest, ModelAccess

NONE = "none"


@dataclass(frozen=True, slots=True)
class TeamChange:
    """What a push does to one team: its request before, None where no valid one was there or none was read,
    and after, None where its last file is gone. `is_new`: no file of the team was there before. `held`: the
    guard keeps its access.
    """

    team: str
    before: AccessRequest | None
    after: AccessRequest | None
    is_new: bool = False
    held: bool = False


def team_lines(changes: Sequence[TeamChange], grace: timedelta) -> list[str]:
    """A line per team, sorted: `alpha: gpt-4.1 10,000 -> 20,000/min`. `grace` is the time from the withdrawal
    to the deletion.
    """
    renamed = _renamed(changes)
    former = {new: old for old, new in renamed.items()}
    found = ((each.team, _text(each, renamed, former, grace)) for each in changes)
    return [f"{team}: {text}" for team, text in sorted(found)]


def _text(change: TeamChange, renamed: Mapping[str, str], former: Mapping[str, str], grace: timedelta) -> str:
    if change.after is None:
        return _removal(change, renamed.get(change.team), grace)
    if change.team in former:
        return f"renamed from {former[change.team]}, new keys"
    if change.is_new:
        return ", ".join(["new", *granted_lines(change.after)])
    if change.before is None:
        return f"now {', '.join(granted_lines(change.after))}"
    return ", ".join(_differences(change.before, change.after)) or "nothing changes"


def _removal(change: TeamChange, new_name: str | None, grace: timedelta) -> str:
    what = "removed" if new_name is None else f"renamed to {new_name}"
    if change.held:
        return f"{what}, held by the withdrawal guard: its keys go on working"
    days, hours = grace.days, int(grace.total_seconds() // 3600)
    time = counted(days, "day") if grace == timedelta(days=days) else counted(hours, "hour")
    return f"{what}, its keys stop at once, deleted after {time}"


def _renamed(changes: Iterable[TeamChange]) -> dict[str, str]:
    """New names by former ones: a team that is gone and a new one that asks for the same, one of each."""
    gone, new = defaultdict[AccessRequest, list[str]](list), defaultdict[AccessRequest, list[str]](list)
    for each in changes:
        if each.after is None and each.before is not None:
            gone[_without_name(each.before)].append(each.team)
        if each.after is not None and each.is_new:
            new[_without_name(each.after)].append(each.team)
    return {
        teams[0]: new[asked][0] for asked, teams in gone.items() if len(teams) == len(new.get(asked, ())) == 1
    }


def _without_name(request: AccessRequest) -> AccessRequest:
    return replace(request, team="", display_name="")


def granted_lines(request: AccessRequest) -> Iterator[str]:
    """What a request gives: `gpt-4.1 10,000/min`, its last day at the end."""
    for model in request.models:
        yield f"{model.name} {_amount(model)}"
    if request.expires is not None:
        yield f"until {request.expires}"


def _amount(model: ModelAccess) -> str:
    if model.instance_type is not None:
        return f"on {model.instance_type}"
    return "without a limit" if model.tokens_per_minute is None else f"{model.tokens_per_minute:,}/min"


def _differences(before: AccessRequest, after: AccessRequest) -> Iterator[str]:
    yield from _models(before, after)
    limits = (
        ("all models", before.tokens_per_minute, after.tokens_per_minute, "/min"),
        ("all models", before.daily_token_quota, after.daily_token_quota, " tokens a day"),
        ("requests", before.requests_per_minute, after.requests_per_minute, "/min"),
    )
    for name, was, now, unit in limits:
        if was != now:
            yield f"{name} {_changed(was, now, unit)}"
    if before.data_classification != after.data_classification:
        yield f"data class {before.data_classification} -> {after.data_classification}"
    if before.expires != after.expires:
        yield f"last day {before.expires or NONE} -> {after.expires or NONE}"
    yield from _others(before, after)


def _changed(was: int | None, now: int | None, unit: str) -> str:
    shown = [NONE if each is None else f"{each:,}" for each in (was, now)]
    return f"{shown[0]} -> {shown[1]}{unit if now is not None else ''}"


def _models(before: AccessRequest, after: AccessRequest) -> Iterator[str]:
    had, has = ({model.name: model for model in each.models} for each in (before, after))
    for name in sorted(had.keys() | has.keys()):
        was, now = had.get(name), has.get(name)
        if was is None and now is not None:
            yield f"{name} added, {_amount(now)}"
        elif now is None:
            yield f"{name} removed"
        elif was is not None:
            yield from _model(was, now)


def _model(was: ModelAccess, now: ModelAccess) -> Iterator[str]:
    if was.instance_type != now.instance_type:
        yield f"{now.name} {_amount(was)} -> {_amount(now)}"
    elif was.tokens_per_minute != now.tokens_per_minute:
        yield f"{now.name} {_changed(was.tokens_per_minute, now.tokens_per_minute, '/min')}"
    if was.token_quota != now.token_quota:
        yield f"{now.name} quota {_quota(was.token_quota)} -> {_quota(now.token_quota)}"


def _quota(quota: TokenQuota | None) -> str:
    return NONE if quota is None else f"{quota.tokens:,} {quota.period.lower()}"


def _others(before: AccessRequest, after: AccessRequest) -> Iterator[str]:
    """Texts that the team has written are named, not shown."""
    if before.entra_group != after.entra_group:
        yield "another group reads the keys, which are made new"
    if before.playground_access != after.playground_access:
        yield f"playground {'opened' if after.playground_access else 'closed'}"
    named = {
        "tracing": before.tracing_enabled == after.tracing_enabled,
        "display name": before.display_name == after.display_name,
        "owner": before.owner == after.owner,
        "cost centre": before.cost_center == after.cost_center,
    }
    changed = [name for name, is_same in named.items() if not is_same]
    if changed:
        yield f"{' and '.join(changed)} changed"
