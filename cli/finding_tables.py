"""Tables of findings, planned changes and pushes for a terminal. Control characters and markup of foreign
texts are escaped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console

from cli.tables import make_table, stage_name, texts
from cli.team_tables import mark

Row = dict[str, Any]


def show_findings(console: Console, findings: Iterable[Row]) -> None:
    """Print a row for each finding."""
    table = make_table("kind", "team", "finding", whole=("kind",))
    for each in findings:
        reason = [f"{each['reason']}:"] if each["reason"] and each["reason"] not in each["message"] else []
        place = [f"{each['path']}:{each['line']}"] if each["path"] else []
        table.add_row(*texts(each["kind"], each["team"] or "-", " ".join([*place, *reason, each["message"]])))
    console.print(table)


def show_planned(console: Console, planned: Iterable[Row]) -> None:
    """Print a row for each team for which a sweep would do something."""
    table = make_table("team", "change", "stages", "differs", whole=("change",))
    for each in planned:
        stages = [stage_name(console, stage) for stage in each["stages"]]
        stages += [f"not {stage_name(console, stage)}: dead letter" for stage in each["blocked"]]
        told = [f"left: {each['left']}"] if each["left"] else stages
        table.add_row(*texts(each["team"], each["change"], told, list(each["differences"])))
    console.print(table)


def show_push(console: Console, push: Row) -> None:
    """Print a row for each part of each team that the commit touched, and the findings about its files."""
    table = make_table("team", "", "part", "reason", "message", whole=("", "part"))
    for team in push["teams"]:
        name = team["team"] if team["current"] else [team["team"], "(changed since)"]
        for condition in team["conditions"]:
            cells = (mark(condition), condition["type"], condition["reason"], condition["message"])
            table.add_row(*texts(name, *cells))
            name = ""
    if push["teams"]:
        console.print(table)
    elif not push["catalog"]:
        console.print("This commit touched no request and not the catalogue.")
    if push["catalog"] and not any(each["team"] == "catalogue" for each in push["findings"]):
        console.print("The platform's side is as the catalogue says.")
    if push["findings"]:
        console.print()
        show_findings(console, push["findings"])
