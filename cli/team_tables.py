"""Tables of teams and models for a terminal. Control characters and markup of foreign texts are escaped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.tables import PREVIEW_LENGTH, age
from shared.documents.problem import visible

Row = dict[str, Any]
_MARKS = {"True": "✓", "False": "✗", "Unknown": "?"}
_PARTS = ("Request", "Gateway", "Keys", "Workspaces", "Projects")


def show_teams(console: Console, teams: Iterable[Row]) -> None:
    """Print a line for each team. Conditions that are not true have their reason."""
    table = _table("team", "access", *(part.lower() for part in _PARTS), "models")
    for team in teams:
        found = {condition["type"]: condition for condition in team["conditions"]}
        models = ", ".join(model["name"] for model in (team["granted"] or {"models": []})["models"])
        table.add_row(
            *_texts(team["team"], team["access"], *(_short(found.get(part)) for part in _PARTS), models)
        )
    console.print(table)


def show_team(console: Console, team: Row) -> None:
    for name, value in _facts(team).items():
        _line(console, f"{name:<10}", value)
    console.print()
    console.print(_conditions(team["conditions"]))
    if team["granted"]:
        console.print()
        console.print(_granted(team["granted"]["models"]))
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
        "base url": team["endpoints"]["base_url"],
        "secrets": ", ".join(team["secrets"]),
        "playground": granted.get("playground_project") or "-",
        "read by": team["entra_group"] or "no group: add entraGroup",
    }


def show_models(console: Console, answer: Row) -> None:
    money = f" ({answer['currency']} per million tokens)" if answer["currency"] else ""
    table = _table(
        "model", "provider", f"price{money}", "at most/min", "granted/min", "data", "workspaces", "note"
    )
    for offer in answer["models"]:
        price, grants = offer["price"], offer["grants"]
        cells = (
            offer["name"],
            offer["provider"],
            f"{price['prompt']} in, {price['completion']} out" if price else "-",
            _number(offer["max_tokens_per_minute"]),
            _number(grants["granted"])
            + (f" of {_number(grants['grantable'])}" if grants["grantable"] is not None else ""),
            ", ".join(offer["data_classes"]),
            ", ".join(offer["instance_types"]) or "-",
            _too_much(offer)
            or _retirement(offer)
            or ("" if offer["shared"] else "only as a dedicated workspace"),
        )
        table.add_row(*_texts(*cells), style="bold red" if offer["overcommitted"] else None)
    console.print(table)


def _conditions(conditions: Iterable[Row]) -> Table:
    table = _table("", "part", "reason", "since", "message")
    for each in conditions:
        since = "" if each["since"] is None else age(each["since"])
        table.add_row(*_texts(_MARKS[each["status"]], each["type"], each["reason"], since, each["message"]))
    return table


def _granted(models: Iterable[Row]) -> Table:
    table = _table("model", "tokens/min", "quota", "workspace", "nodes", "price", "note")
    for model in models:
        quota = model["token_quota"]
        text = f"{_number(quota['tokens'])} {quota['period']}" if quota else "-"
        table.add_row(
            *_texts(
                model["name"],
                _number(model["tokens_per_minute"]),
                text,
                model["instance_type"] or "shared",
                *_gpus(model.get("gpus")),
                _retirement(model),
            )
        )
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


def _short(condition: Row | None) -> str:
    if condition is None:
        return "-"
    return (
        _MARKS[condition["status"]]
        if condition["status"] == "True"
        else f"{_MARKS[condition['status']]} {condition['reason']}"
    )


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _line(console: Console, name: str, value: str) -> None:
    console.print(Text.assemble((f"{name} ", "bold"), visible(value)), soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", max_width=PREVIEW_LENGTH)
    return table


def _texts(*cells: object) -> list[Text]:
    return [Text(visible(str(cell))) for cell in cells]
