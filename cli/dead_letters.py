"""`mergekey dead-letters`: list, show, replay and discard messages that failed for good. `--help` explains
the exit codes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from cli.api import EXIT_CODES, Api, AsJson, Audience, Url, unusable
from shared.documents.problem import counted

app = typer.Typer(
    help="List, show, replay and discard messages that failed for good.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
)

#: Letters in one call. The API takes up to 200; smaller batches show progress sooner.
BATCH_SIZE = 100
DONE = frozenset({"replayed", "discarded", "ready", "skipped"})

Row = dict[str, Any]

Team = Annotated[str | None, typer.Option(help="Only letters of this team.")]
Stage = Annotated[
    str | None,
    typer.Option(
        help="Only letters of this stage, such as provision-gateway, or gateway as in the commit status."
    ),
]
Reason = Annotated[str | None, typer.Option(help="Only letters with this reason, such as Rejected.")]
UpTo = Annotated[int | None, typer.Option(help="Only letters up to this number, as the list prints it.")]
Numbers = Annotated[
    list[int] | None, typer.Argument(help="Numbers from the list; or use filters with --up-to.", min=1)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the changes without making them.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


@dataclass(frozen=True)
class Selection:
    """The filters that select letters."""

    team: str | None = None
    stage: str | None = None
    reason: str | None = None
    up_to: int | None = None

    def query(self) -> dict[str, Any]:
        """The query of the API, without filters that are not set."""
        filters = {"team": self.team, "stage": self.stage, "reason": self.reason, "up_to": self.up_to}
        return {name: value for name, value in filters.items() if value is not None}


@dataclass(frozen=True)
class Command:
    """A command on letters, with the options that the API takes."""

    api: Api
    verb: Literal["replay", "discard"]
    form: dict[str, Any]

    def run(self, numbers: list[int], dry_run: bool = False) -> list[Row]:
        """Run the command batch by batch, in order. After a failure the remaining letters are not tried."""
        answers: list[Row] = []
        for start in range(0, len(numbers), BATCH_SIZE):
            part = numbers[start : start + BATCH_SIZE]
            if answers and answers[-1]["outcome"] in ("failed", "untried"):
                answers += [{"sequence": number, "outcome": "untried", "why": ""} for number in part]
            else:
                form = self.form | {"dry_run": dry_run, "sequences": part}
                answers += self.api.post(f"dead-letters/{self.verb}", form)["answers"]
        return answers


@app.command("list", epilog=EXIT_CODES)
def list_(
    url: Url,
    audience: Audience,
    team: Team = None,
    stage: Stage = None,
    reason: Reason = None,
    older: Annotated[
        float | None, typer.Option(help="Only letters that have waited for at least this many minutes.")
    ] = None,
    up_to: UpTo = None,
    most: Annotated[
        int, typer.Option(help="The maximum number of letters; groups count all.", min=1, max=500)
    ] = 50,
    check: Annotated[
        bool, typer.Option("--check", help="Mark letters whose team has converged since. Reads all systems.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List groups, then letters. The commands below use `--up-to`, which leaves out later letters."""
    from cli.tables import show_groups, show_letters, show_next, wide_console

    api = Api(url, audience)
    filters = Selection(team, stage, reason, up_to).query()
    filters |= {} if older is None else {"older_minutes": older}
    page = api.get("dead-letters", filters | {"most": most, "check": "true" if check else None})
    if as_json:
        typer.echo(json.dumps(page, indent=2))
        return
    if not page["letters"]:
        typer.echo(_none(api, bool(filters)))
        return
    console = wide_console()
    show_groups(console, page["groups"])
    console.print()
    show_letters(console, page["letters"])
    if page["next"] is not None:
        console.print(
            "... and more: narrow it down with --stage, --reason or --team, or take a larger --most."
        )
    show_next(console, page["groups"], page["letters"], team)


@app.command(epilog=EXIT_CODES)
def show(
    number: Annotated[int, typer.Argument(min=1)], url: Url, audience: Audience, as_json: AsJson = False
) -> None:
    """Show one letter with the original message."""
    from cli.tables import show_letter, wide_console

    letter = Api(url, audience).get(f"dead-letters/{number}")
    if as_json:
        typer.echo(json.dumps(letter, indent=2))
    else:
        show_letter(wide_console(), letter)


@app.command(epilog=EXIT_CODES)
def replay(
    url: Url,
    audience: Audience,
    numbers: Numbers = None,
    team: Team = None,
    stage: Stage = None,
    reason: Reason = None,
    up_to: UpTo = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send letters once more to the stage that failed. Select them by numbers, or by filters with --up-to."""
    command = Command(Api(url, audience), "replay", {})
    chosen = _chosen(command.api, numbers, Selection(team, stage, reason, up_to))
    answers = command.run(chosen, dry_run) if dry_run or yes else _confirm_and_run(command, chosen)
    _finish(command.api, answers, bool(numbers), as_json)


@app.command(epilog=EXIT_CODES)
def discard(
    url: Url,
    audience: Audience,
    why: Annotated[
        str, typer.Option(help="The reason, for the log: why the letters are not needed any more.")
    ],
    numbers: Numbers = None,
    team: Team = None,
    stage: Stage = None,
    reason: Reason = None,
    up_to: UpTo = None,
    converged: Annotated[
        bool,
        typer.Option("--converged", help="Only letters whose team has converged since; others are skipped."),
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove letters for good. The next sweep compares their teams anew."""
    command = Command(Api(url, audience), "discard", {"why": why, "only_converged": converged})
    chosen = _chosen(command.api, numbers, Selection(team, stage, reason, up_to))
    answers = command.run(chosen, dry_run) if dry_run or yes else _confirm_and_run(command, chosen)
    _finish(command.api, answers, bool(numbers), as_json)


def _chosen(api: Api, numbers: list[int] | None, selection: Selection) -> list[int]:
    """The given numbers, or those of the letters that match the filters, up to the last listed one."""
    filters = selection.query()
    if numbers and filters:
        raise unusable("Name numbers or filters, not both.")
    if numbers:
        return sorted(set(numbers))
    if selection.up_to is None:
        raise unusable(
            "Name the numbers of letters, or filters with --up-to: letters that came after the list was "
            "printed must not be touched."
        )
    return [letter["sequence"] for letter in _listed(api, filters)]


def _listed(api: Api, filters: dict[str, Any], first: int = 1) -> Iterator[Row]:
    """All letters that match the filters, from a number on."""
    following: int | None = first
    while following is not None:
        page = api.get("dead-letters", filters | {"from": following, "most": 500})
        yield from page["letters"]
        following = page["next"]


def _confirm_and_run(command: Command, chosen: list[int]) -> list[Row]:
    """Ask for confirmation, naming the letters that a dry run found, and run the command. Ends the program if
    the answer is no.
    """
    from cli.tables import summary

    tried = command.run(chosen, dry_run=True)
    ready = [answer["sequence"] for answer in tried if answer["outcome"] == "ready"]
    if ready:
        rows = [
            letter
            for letter in _listed(command.api, {"up_to": ready[-1]}, ready[0])
            if letter["sequence"] in ready
        ]
        typer.confirm(f"{command.verb.capitalize()} {summary(rows)}?", abort=True, err=True)
    left = [answer for answer in tried if answer["outcome"] != "ready"]
    return sorted(left + command.run(ready), key=lambda answer: int(answer["sequence"]))


def _none(api: Api, filtered: bool) -> str:
    """The message for an empty list. It tells how many letters a filter leaves out."""
    groups = api.get("dead-letters", {"most": 1})["groups"] if filtered else []
    others = sum(group["count"] for group in groups)
    if others:
        return f"No dead letters match the filter ({counted(others, 'other')})."
    return "No dead letters."


def _finish(api: Api, answers: list[Row], named: bool, as_json: bool) -> None:
    """Print the answers and exit. A letter that is gone is an error only if its number was `named`; a letter
    that was just listed may have been handled by somebody else.
    """
    from cli.tables import show_answers, wide_console

    if as_json:
        typer.echo(json.dumps({"answers": answers}, indent=2))
    elif answers:
        show_answers(wide_console(), answers)
    else:
        typer.echo(_none(api, filtered=True))
    done = DONE if named else DONE | {"gone"}
    raise typer.Exit(0 if answers and all(answer["outcome"] in done for answer in answers) else 1)
