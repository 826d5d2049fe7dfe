"""`mergekey dead-letters`: what could not be done, and what becomes of it. What the exit codes mean stands at
the end of `--help`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from cli.api import EXIT_CODES, Api, AsJson, Audience, Url, unusable

app = typer.Typer(
    help="What could not be done: look at it, replay it, discard it.", epilog=EXIT_CODES, no_args_is_help=True
)

#: Letters of one call: the API takes no more than 200, and people like to see that it goes on.
AT_ONCE = 100
DONE = frozenset({"replayed", "discarded", "ready", "skipped"})

Row = dict[str, Any]

Team = Annotated[str | None, typer.Option(help="Only of this team.")]
Stage = Annotated[
    str | None,
    typer.Option(help="Only of this stage, such as provision-gateway, or gateway as in the commit status."),
]
Reason = Annotated[str | None, typer.Option(help="Only with this reason, such as Rejected.")]
UpTo = Annotated[
    int | None, typer.Option(help="Only those with a number up to this one, as the list prints it.")
]
Numbers = Annotated[
    list[int] | None, typer.Argument(help="Numbers from the list. Or filters, with --up-to.", min=1)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@dataclass(frozen=True)
class Choice:
    """Which letters are meant."""

    team: str | None = None
    stage: str | None = None
    reason: str | None = None
    up_to: int | None = None

    def query(self) -> dict[str, Any]:
        """Without what was not asked for."""
        asked = {"team": self.team, "stage": self.stage, "reason": self.reason, "up_to": self.up_to}
        return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True)
class Order:
    """What is to be done with letters."""

    api: Api
    verb: Literal["replay", "discard"]
    form: dict[str, Any]

    def give(self, numbers: list[int], dry_run: bool = False) -> list[Row]:
        """Part by part, in order; after a failure the rest is left as it is."""
        answers: list[Row] = []
        for start in range(0, len(numbers), AT_ONCE):
            part = numbers[start : start + AT_ONCE]
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
        float | None, typer.Option(help="Only those that have been there for at least so many minutes.")
    ] = None,
    up_to: UpTo = None,
    most: Annotated[
        int, typer.Option(help="So many letters at most; groups count all.", min=1, max=500)
    ] = 50,
    check: Annotated[
        bool, typer.Option("--check", help="Say whose team has converged since. Reads all systems.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Groups first, then letters. `--up-to` below a group stands for what it counts, and nothing later."""
    from cli.tables import a_console, show_groups, show_letters, show_next

    api, wanted = (
        Api(url, audience),
        Choice(team, stage, reason, up_to).query() | ({} if older is None else {"older_minutes": older}),
    )
    page = api.get("dead-letters", wanted | {"most": most, "check": "true" if check else None})
    if as_json:
        typer.echo(json.dumps(page, indent=2))
        return
    if not page["letters"]:
        typer.echo(_none(api, bool(wanted)))
        return
    console = a_console()
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
    """Everything about one letter, and the message itself."""
    from cli.tables import a_console, show_letter

    letter = Api(url, audience).get(f"dead-letters/{number}")
    if as_json:
        typer.echo(json.dumps(letter, indent=2))
    else:
        show_letter(a_console(), letter)


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
    """Send letters to the stage that failed once more. Only listed ones: numbers, or --up-to."""
    order = Order(Api(url, audience), "replay", {})
    chosen = _chosen(order.api, numbers, Choice(team, stage, reason, up_to))
    answers = order.give(chosen, dry_run) if dry_run or yes else _ask_and_give(order, chosen)
    _finish(order.api, answers, bool(numbers), as_json)


@app.command(epilog=EXIT_CODES)
def discard(
    url: Url,
    audience: Audience,
    why: Annotated[str, typer.Option(help="For the log: why nobody needs them any more.")],
    numbers: Numbers = None,
    team: Team = None,
    stage: Stage = None,
    reason: Reason = None,
    up_to: UpTo = None,
    converged: Annotated[
        bool,
        typer.Option(
            "--converged", help="Only those whose team has converged since; the others are skipped."
        ),
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Take letters out of the list for good. The next sweep looks at their teams anew."""
    order = Order(Api(url, audience), "discard", {"why": why, "only_converged": converged})
    chosen = _chosen(order.api, numbers, Choice(team, stage, reason, up_to))
    answers = order.give(chosen, dry_run) if dry_run or yes else _ask_and_give(order, chosen)
    _finish(order.api, answers, bool(numbers), as_json)


def _chosen(api: Api, numbers: list[int] | None, choice: Choice) -> list[int]:
    """The numbers as they were given, or those of the letters that the filters take now, up to the last one
    that was listed.
    """
    filters = choice.query()
    if numbers and filters:
        raise unusable("Name numbers or filters, not both.")
    if numbers:
        return sorted(set(numbers))
    if choice.up_to is None:
        raise unusable(
            "Name the numbers of letters, or filters with --up-to: what came after the list was printed must "
            "not be touched."
        )
    return [letter["sequence"] for letter in _listed(api, filters)]


def _listed(api: Api, filters: dict[str, Any], first: int = 1) -> Iterator[Row]:
    """All letters that the filters take, from a number on."""
    following: int | None = first
    while following is not None:
        page = api.get("dead-letters", filters | {"from": following, "most": 500})
        yield from page["letters"]
        following = page["next"]


def _ask_and_give(order: Order, chosen: list[int]) -> list[Row]:
    """What would be done is tried dry first, so that the question names it. Ends the command when the answer
    is no.
    """
    from cli.tables import summary

    tried = order.give(chosen, dry_run=True)
    ready = [answer["sequence"] for answer in tried if answer["outcome"] == "ready"]
    if ready:
        rows = [
            letter
            for letter in _listed(order.api, {"up_to": ready[-1]}, ready[0])
            if letter["sequence"] in ready
        ]
        typer.confirm(f"{order.verb.capitalize()} {summary(rows)}?", abort=True, err=True)
    left = [answer for answer in tried if answer["outcome"] != "ready"]
    return sorted(left + order.give(ready), key=lambda answer: int(answer["sequence"]))


def _none(api: Api, filtered: bool) -> str:
    """A filter that takes nothing must not look as if there were nothing."""
    others = (
        sum(group["count"] for group in api.get("dead-letters", {"most": 1})["groups"]) if filtered else 0
    )
    return (
        f"No dead letters with that filter ({others} other{'s' * (others != 1)})."
        if others
        else "No dead letters."
    )


def _finish(api: Api, answers: list[Row], named: bool, as_json: bool) -> None:
    """`named`: people wrote the numbers down, so one that is not there is a slip. Of those just listed
    somebody else may have taken it.
    """
    from cli.tables import a_console, show_answers

    if as_json:
        typer.echo(json.dumps({"answers": answers}, indent=2))
    elif answers:
        show_answers(a_console(), answers)
    else:
        typer.echo(_none(api, filtered=True))
    done = DONE if named else DONE | {"gone"}
    raise typer.Exit(0 if answers and all(answer["outcome"] in done for answer in answers) else 1)
