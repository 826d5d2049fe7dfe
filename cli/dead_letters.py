"""`mergekey dead-letters`: what could not be done, and what becomes of it.

Exit codes: 0 all was done, 1 something was refused or failed, 2 the platform could not be asked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from cli.api import Api, AsJson, Audience, Url, unusable

app = typer.Typer(help="What could not be done: look at it, replay it, discard it.", no_args_is_help=True)

#: Letters of one call: the API takes no more than 200, and people like to see that it goes on.
AT_ONCE = 100
DONE = frozenset({"replayed", "discarded", "ready", "gone"})

Team = Annotated[str | None, typer.Option(help="Only of this team.")]
Stage = Annotated[str | None, typer.Option(help="Only of this stage, such as provision-gateway.")]
Reason = Annotated[str | None, typer.Option(help="Only with this reason, such as Rejected.")]
UpTo = Annotated[int | None, typer.Option(help="Only those with a number up to this one, as the list prints it.")]
Numbers = Annotated[list[int] | None, typer.Argument(help="Numbers from the list. Or filters, with --up-to.", min=1)]
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
        return {"team": self.team, "stage": self.stage, "reason": self.reason, "up_to": self.up_to}


@app.command("list")
def list_(
    url: Url,
    audience: Audience,
    team: Team = None,
    stage: Stage = None,
    reason: Reason = None,
    older: Annotated[float | None, typer.Option(help="Only those that have been there for at least so many minutes.")] = None,
    up_to: UpTo = None,
    most: Annotated[int, typer.Option(help="So many letters at most; groups count all.", min=1, max=500)] = 50,
    check: Annotated[bool, typer.Option("--check", help="Say whose team has converged since. Reads all systems.")] = False,
    as_json: AsJson = False,
) -> None:
    """Groups first, then letters. `--up-to` below each group stands for exactly those of it that are listed."""
    from cli.tables import a_console, show_groups, show_letters, show_next

    more = {"older_minutes": older, "most": most, "check": "true" if check else None}
    page = Api(url, audience).get("dead-letters", Choice(team, stage, reason, up_to).query() | more)
    if as_json:
        typer.echo(json.dumps(page, indent=2))
        return
    if not page["letters"]:
        typer.echo("No dead letters.")
        return
    console = a_console()
    show_groups(console, page["groups"])
    console.print()
    show_letters(console, page["letters"])
    if page["next"] is not None:
        console.print(f"... and more, from {page['next']} on: narrow it down with --stage, --reason or --team.")
    show_next(console, page["groups"], page["letters"][0]["sequence"], team)


@app.command()
def show(number: Annotated[int, typer.Argument(min=1)], url: Url, audience: Audience, as_json: AsJson = False) -> None:
    """Everything about one letter, and the message itself."""
    from cli.tables import a_console, show_letter

    letter = Api(url, audience).get(f"dead-letters/{number}")
    if as_json:
        typer.echo(json.dumps(letter, indent=2))
    else:
        show_letter(a_console(), letter)


@app.command()
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
    """Send letters to the one stage that failed, once more. Only those that were listed: name their numbers, or filter with --up-to."""
    api = Api(url, audience)
    chosen = _chosen(api, numbers, Choice(team, stage, reason, up_to))
    _ask(f"Replay {len(chosen)} letters?", yes or dry_run or not chosen)
    _finish(_order(api, "dead-letters/replay", chosen, {"dry_run": dry_run}), as_json)


@app.command()
def discard(
    url: Url,
    audience: Audience,
    why: Annotated[str, typer.Option(help="For the log: why nobody needs them any more.")],
    numbers: Numbers = None,
    team: Team = None,
    stage: Stage = None,
    reason: Reason = None,
    up_to: UpTo = None,
    converged: Annotated[bool, typer.Option("--converged", help="Only those whose team has converged since.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Take letters out of the list for good. The next sweep looks at their teams anew."""
    api = Api(url, audience)
    chosen = _chosen(api, numbers, Choice(team, stage, reason, up_to))
    _ask(f"Discard {len(chosen)} letters?", yes or dry_run or not chosen)
    form = {"dry_run": dry_run, "why": why, "only_converged": converged}
    _finish(_order(api, "dead-letters/discard", chosen, form), as_json)


def _chosen(api: Api, numbers: list[int] | None, choice: Choice) -> list[int]:
    """The numbers as they were given, or those of the letters that the filters take now, up to the last one that was listed."""
    filters = {name: value for name, value in choice.query().items() if value is not None}
    if numbers and filters:
        raise unusable("Name numbers or filters, not both.")
    if numbers:
        return sorted(set(numbers))
    if choice.up_to is None:
        raise unusable("Name the numbers of letters, or filters with --up-to: what came after the list was printed must not be touched.")
    found: list[int] = []
    first: int | None = 1
    while first is not None:
        page = api.get("dead-letters", filters | {"from": first, "most": 500})
        found += [letter["sequence"] for letter in page["letters"]]
        first = page["next"]
    return found


def _ask(question: str, already: bool) -> None:
    if not already:
        typer.confirm(question, abort=True, err=True)


def _order(api: Api, path: str, numbers: list[int], form: dict[str, Any]) -> list[dict[str, Any]]:
    """Part by part, in order; after a failure the rest is left as it is."""
    answers: list[dict[str, Any]] = []
    for start in range(0, len(numbers), AT_ONCE):
        part = numbers[start : start + AT_ONCE]
        if answers and answers[-1]["outcome"] in ("failed", "untried"):
            answers += [{"sequence": number, "outcome": "untried", "why": ""} for number in part]
        else:
            answers += api.post(path, form | {"sequences": part})["answers"]
    return answers


def _finish(answers: list[dict[str, Any]], as_json: bool) -> None:
    from cli.tables import a_console, show_answers

    if as_json:
        typer.echo(json.dumps({"answers": answers}, indent=2))
    elif answers:
        show_answers(a_console(), answers)
    else:
        typer.echo("There are none.")
    raise typer.Exit(0 if all(answer["outcome"] in DONE for answer in answers) else 1)
