"""Tables of teams and models for a terminal. Control characters and markup of foreign texts are escaped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.recipes import RECIPES, place_of
from cli.tables import ROOMY, age, make_table, texts
from shared.documents.problem import visible

Row = dict[str, Any]
_MARKS = {"True": "✓", "False": "✗", "Unknown": "?"}
#: The mark of what is on its way: no person has to act.
_WAITS = "…"
_PARTS = ("Request", "Gateway", "Keys", "Workspaces", "Projects")


def show_teams(console: Console, teams: Iterable[Row]) -> None:
    """Print a row for each team, with a line for each condition that is not true."""
    table = make_table("team", "access", "parts", "models", whole=("access",))
    for team in teams:
        models = ", ".join(model["name"] for model in (team["granted"] or {"models": []})["models"])
        found = {condition["type"]: condition for condition in team["conditions"]}
        table.add_row(*texts(team["team"], team["access"], _parts(found), models))
    console.print(table)


def _parts(found: dict[str, Row]) -> list[str]:
    """The parts that are not as they should be, or a mark that all are."""
    told = [found[part] for part in _PARTS if part in found and found[part]["status"] != "True"]
    return [f"{mark(each)} {each['type'].lower()} {each['reason']}" for each in told] or [
        _MARKS["True"] if found else "-"
    ]


def mark(condition: Row) -> str:
    """The sign of a condition."""
    return _WAITS if condition.get("waits") else _MARKS[condition["status"]]


def show_team(console: Console, team: Row) -> None:
    for name, value in _facts(team).items():
        _line(console, f"{name:<10}", value)
    console.print()
    console.print(_conditions(team["conditions"]))
    if team["granted"]:
        console.print()
        console.print(_granted(console, team["granted"]["models"]))
    _line(console, "\nlines to copy", f"mergekey teams show {team['team']} --client {' | '.join(RECIPES)}")
    for problem in team["problems"]:
        place = f"{problem['path']}:{problem['line']}:{problem['column']}"
        _line(console, "\n" + problem["reason"], f"{place}  {problem['message']}")


def _facts(team: Row) -> dict[str, str]:
    granted, withdrawn = team["granted"] or {}, team["withdrawn"]
    deleted = "" if withdrawn is None else f", deleted after {withdrawn['deleted_after']}"
    return {
        "team": team["team"],
        "access": f"{team['access']}{deleted}",
        "file": f"{team['path'] or '-'}, in force from commit {team['provisioned_commit'] or '-'}",
        "expires": granted.get("expires") or "-",
        "endpoint": team["endpoints"]["azure_endpoint"],
        "base url": place_of(team).plain_base_url,
        "secrets": ", ".join(team["secrets"]),
        "playground": granted.get("playground_project") or "-",
        "read by": ", ".join(map(_reader, team["readers"])) or "no group can read the secrets",
        "asked for": team["entra_group"] or "no group: add entraGroup",
    }


def _reader(reader: Row) -> str:
    return (
        f"{reader['group']} (a stranger: no request names it)" if reader["stranger"] else str(reader["group"])
    )


def show_models(console: Console, answer: Row) -> None:
    """Print a row for each model. In little room its provider, ceiling, data and workspaces share a column
    with the note.
    """
    money = f" ({answer['currency']} per million tokens)" if answer["currency"] else ""
    roomy = console.width >= ROOMY
    middle = ("provider", "at most/min") if roomy else ()
    last = ("data", "workspaces", "note") if roomy else ("note",)
    table = make_table("model", f"price{money}", "granted/min", *middle, *last, whole=middle)
    for offer in answer["models"]:
        style = "bold red" if offer["overcommitted"] else None
        cells = _offer(offer) if roomy else _narrow_offer(offer)
        table.add_row(*texts(*cells), style=style)
    console.print(table)


def _offer(offer: Row) -> tuple[object, ...]:
    price, grants = offer["price"], offer["grants"]
    return (
        offer["name"],
        f"{price['prompt']} in, {price['completion']} out" if price else "-",
        _number(grants["granted"])
        + (f" of {_number(grants['grantable'])}" if grants["grantable"] is not None else ""),
        offer["provider"],
        _number(offer["max_tokens_per_minute"]),
        ", ".join(offer["data_classes"]),
        ", ".join(offer["instance_types"]) or "-",
        _too_much(offer)
        or _retirement(offer)
        or ("" if offer["shared"] else "only as a dedicated workspace"),
    )


def _narrow_offer(offer: Row) -> tuple[object, ...]:
    name, price, granted, provider, ceiling, data, workspaces, note = _offer(offer)
    named = {"at most/min": ceiling, "data": data, "workspaces": workspaces}
    lines = [f"{title}: {value}" for title, value in named.items() if value != "-"]
    return name, price, granted, [provider, *lines, *([note] if note else [])]


def _conditions(conditions: Iterable[Row]) -> Table:
    table = make_table("", "part", "reason", "since", "message", whole=("", "part", "since"))
    for each in conditions:
        since = "" if each["since"] is None else age(each["since"])
        table.add_row(*texts(mark(each), each["type"], each["reason"], since, each["message"]))
    return table


def _granted(console: Console, models: Iterable[Row]) -> Table:
    """In little room nodes, price and note share a column."""
    roomy = console.width >= ROOMY
    last = ("nodes", "price", "note") if roomy else ("note",)
    table = make_table("model", "tokens/min", "quota", "workspace", *last, whole=("tokens/min",))
    for model in models:
        quota = model["token_quota"]
        text = f"{_number(quota['tokens'])} {quota['period']}" if quota else "-"
        rest = (*_gpus(model.get("gpus")), _retirement(model))
        nodes = [] if rest[0] == "-" else [f"nodes: {rest[0]}"]
        notes = [*nodes, *(each for each in rest[1:] if each not in ("-", ""))]
        where = model["instance_type"] or "shared"
        cells = (model["name"], _number(model["tokens_per_minute"]), text, where)
        table.add_row(*texts(*cells, *(rest if roomy else [notes or [""]])))
    return table


def _gpus(gpus: Row | None) -> tuple[str, str]:
    """Nodes, and what they cost."""
    if gpus is None:
        return "-", "-"
    nodes = "unknown" if gpus["nodes"] is None else _number(gpus["nodes"])
    if gpus["per_hour"] is None:
        return nodes, "-"
    return nodes, f"{gpus['per_hour']} {gpus['currency']}/h, {gpus['per_month']} {gpus['currency']}/month"


def _too_much(offer: Row) -> str:
    return "Overcommitted: more is in force than may be granted" if offer["overcommitted"] else ""


def _retirement(model: Row) -> str:
    return f"until {model['retires_on']}, then {model['successor']}" if model["retires_on"] else ""


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _line(console: Console, name: str, value: str) -> None:
    console.print(Text.assemble((f"{name} ", "bold"), visible(value)), soft_wrap=True)
