"""Six acts: ask, fetch the key, wait for a GPU, change a limit, withdraw, call a model. Every claim is
checked where it can be seen.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from standins.control import Control
from standins.demo.repository import Clone
from standins.demo.servers import Servers
from standins.demo.view import ANNOTATIONS, Seen, Watch
from standins.stack import REPOSITORY, Stack, wait_until

ALPHA, BRAVO, CHARLIE = "alpha", "bravo", "charlie"
READERS = {
    ALPHA: "5f8d0d55-1c3e-4f7a-9b5e-2a6c8e4d7b10",
    BRAVO: "0b9c3a4e-7d21-4c52-8f0e-6e1d2b7a9c33",
    CHARLIE: "c1a7e2f4-98b6-4d03-a5c9-3f4e5d6b7a81",
}
ALPHA_FILE = "tenant-access/config/alpha/access.yaml"
BRAVO_FILE = "tenant-access/config/team-bravo/access.yaml"
BAD_REQUEST = """\
team: {name: delta, owner: delta-lead@contoso.com}
models:
  foundry:
    - {name: gpt-4.l, tokensPerMinute: 5000}
    - {name: gpt-4.1-mini, tokensPerMinut: 5000}
"""
#: What a team copies; the key comes from the vault.
_SNIPPET = """
  from openai import AzureOpenAI

  client = AzureOpenAI(azure_endpoint="{url}", api_key=..., api_version="2024-10-21")  # the key: \
alpha-primary-key
  client.chat.completions.create(model="gpt-4.1", messages=[{{"role": "user", "content": "Hello!"}}])
"""
DAY = 86400.0
#: The servers whose objects make up a team's access.
WRITTEN = ("resource-manager", "key-vault", "kubernetes")


class Story:
    """Tells the demo on a console and counts what turned out to be true."""

    def __init__(self, console: Console, stack: Stack, app_dir: Path) -> None:
        self._console = console
        self._stack = stack
        self._servers = Servers(stack)
        self._clone = Clone(stack.git_url, stack.folder / "clone")
        self._example = app_dir / "examples" / "access-repo"
        self._failed = 0
        self._figures: list[tuple[str, str, str, str]] = []

    def tell(self) -> int:
        """The whole story; 0 if every check held."""
        started = time.monotonic()
        self._ask()
        self._fetch()
        self._gpu()
        self._change()
        self._withdraw()
        self._call()
        self._sum_up(time.monotonic() - started)
        return 1 if self._failed else 0

    def _ask(self) -> None:
        self._act("1. Three teams ask for models, in three forms; a fourth makes mistakes")
        self._clone.fill(self._example)
        self._clone.write("tenant-access/config/delta/access.yaml", BAD_REQUEST)
        commit = self._push("Four teams ask for models")
        self._first = watch = Watch(self._console, self._stack, commit)
        watch.until("keys of three teams", lambda seen: _all(seen, READERS, "keys"))
        watch.until(
            "what keys do not wait for",
            lambda seen: _all(seen, READERS, "gateway") and _state(seen, ALPHA, "workspaces"),
        )
        slowest = max(watch.seen[f"mergekey/{team}/keys"].after for team in READERS)
        self._figure("four requests pushed", f"keys of three teams after {slowest:.1f} s")
        path = f"/repos/{REPOSITORY}/commits/{commit}/check-runs"
        run = next(iter(wait_until("the check run", lambda: self._stack.github("GET", path)["check_runs"])))
        notes = self._stack.github("GET", f"/repos/{REPOSITORY}/check-runs/{run['id']}/annotations")
        for note in notes:
            self._console.print(
                f"  {ANNOTATIONS[note['annotation_level']]} {note['path']}:{note['start_line']}:"
                f"{note['start_column']}  {escape(note['message'])}"
            )
        self._check(
            "the bad request got one red check run that names every mistake",
            run["conclusion"] == "failure"
            and sum(note["annotation_level"] == "failure" for note in notes) >= 2,
        )
        self._check(
            "it says how many nodes alpha's own GPU takes, and what they cost",
            any(note["path"] == ALPHA_FILE and note["title"] == "GpuCost" for note in notes),
        )
        self._check("nothing was provisioned for it", self._servers.gateway("products/team-delta") is None)
        for team in READERS:
            product = self._servers.gateway(f"products/team-{team}")
            linked = self._servers.gateway(f"products/team-{team}/apis")["value"]
            self._check(
                f"team {team}: product published, policy in place, linked to both APIs",
                product is not None
                and product["properties"]["state"] == "published"
                and self._servers.gateway(f"products/team-{team}/policies/policy") is not None
                and sorted(api["name"] for api in linked) == ["ai", "ai-bearer"],
            )

    def _fetch(self) -> None:
        self._act("2. Each team fetches its key from Key Vault")
        for team, group in READERS.items():
            key = self._servers.fetch(f"{team}-primary-key", group)
            endpoint = self._servers.fetch(f"{team}-endpoint", group)
            self._check(
                f"{team}-primary-key is the key that the gateway takes, for {endpoint}",
                key == self._servers.keys(team)[0],
            )
        self._check(
            "another team's group may not read it",
            not self._servers.may_fetch("alpha-primary-key", READERS[BRAVO]),
        )

    def _gpu(self) -> None:
        self._act("3. alpha's own GPU: the keys did not wait for it; the clock is moved by 20 minutes, twice")
        on_its_way = self._servers.workspace(ALPHA, "phi-4") is not None
        self._check("a KAITO workspace phi-4 is on its way", on_its_way)
        watch = self._first
        self._stack.control.advance(20 * 60)
        watch.until("the playground", lambda seen: _state(seen, ALPHA, "projects") == "success")
        self._stack.control.advance(20 * 60)
        watch.until("the workspace to be ready", lambda seen: _state(seen, ALPHA, "workspaces") == "success")
        ready = {
            condition["type"]: condition["status"]
            for condition in self._servers.workspace(ALPHA, "phi-4")["status"]["conditions"]
        }
        self._check("the workspace says that it is ready", ready.get("WorkspaceSucceeded") == "True")

    def _change(self) -> None:
        self._act("4. alpha asks for twice the tokens")
        self._clone.replace(ALPHA_FILE, "tokensPerMinute: 10000", "tokensPerMinute: 20000")
        commit = self._push("Twice the tokens for alpha")
        watch = Watch(self._console, self._stack, commit)
        watch.until(
            "the change",
            lambda seen: _state(seen, ALPHA, "gateway") == "success" and _all(seen, [ALPHA], "keys"),
        )
        policy = self._servers.gateway("products/team-alpha/policies/policy")["properties"]["value"]
        self._check("the policy has the new limit", 'tokens-per-minute="20000"' in policy)
        writes = _gateway_writes(self._stack.control)
        self._check(
            "it took two writes at the gateway: the policy and the mark of success",
            writes == {"PUT product policy": 1, "PATCH product": 1},
        )
        self._figure(
            "a limit changed",
            f"in force after {watch.seen['mergekey/alpha/gateway'].after:.1f} s, {sum(writes.values())} "
            "writes",
        )

    def _withdraw(self) -> None:
        self._act("5. bravo's request is removed; then eight days pass")
        self._clone.remove(BRAVO_FILE)
        commit = self._push("bravo is done")
        watch = Watch(self._console, self._stack, commit)
        watch.until(
            "the withdrawal",
            lambda seen: {_state(seen, BRAVO, "gateway"), _state(seen, BRAVO, "keys")} == {"success"},
        )
        self._figure(
            "a team withdrawn", f"keys dead after {watch.seen['mergekey/bravo/gateway'].after:.1f} s"
        )
        subscription = self._servers.gateway("subscriptions/team-bravo")
        self._check("its subscription is suspended", subscription["properties"]["state"] == "suspended")
        self._check(
            "its secrets cannot be read", not self._servers.may_fetch("bravo-primary-key", READERS[BRAVO])
        )
        self._check(
            "within the grace period its product is still there",
            self._servers.gateway("products/team-bravo") is not None,
        )
        self._stack.control.advance(8 * DAY)
        self._stack.run_function("start_sweeps")
        wait_until("bravo to be gone", lambda: self._servers.gateway("products/team-bravo") is None)
        wait_until("bravo's secrets to be deleted", lambda: self._calls("DELETE secret") >= 3)
        self._check(
            "after the grace period product and subscription are gone",
            self._servers.gateway("subscriptions/team-bravo") is None,
        )
        self._check(
            "alpha and charlie still have theirs",
            all(self._servers.gateway(f"products/team-{t}") for t in (ALPHA, CHARLIE)),
        )
        self._check(
            "charlie's key still works",
            self._servers.fetch("charlie-primary-key", READERS[CHARLIE]) == self._servers.keys(CHARLIE)[0],
        )

    def _call(self) -> None:
        self._act("6. alpha calls: one endpoint, one key, the official openai client")
        key = self._servers.fetch("alpha-primary-key", READERS[ALPHA])
        for model, where in (("gpt-4.1", "at the provider"), ("phi-4", "on alpha's own GPU")):
            answer = self._servers.chat(key, model)
            self._check(f"{model} {where} answers: {answer}", answer == "You said: Hello!")
        self._check(
            "a model that alpha was not given is refused",
            self._servers.chat(key, "gpt-4.1-mini") == "403 model_not_allowed",
        )
        self._check("without a key nobody gets in", self._servers.chat("", "gpt-4.1").startswith("401 "))
        self._check(
            "no team's key and no client's credential reached a model",
            not self._stack.control.report("models")["findings"],
        )
        self._console.print(_SNIPPET.format(url=self._stack.addresses["gateway"]), markup=False)

    def _sum_up(self, seconds: float) -> None:
        self._act("What was done")
        table = Table(box=None, padding=(0, 2))
        for column in ("what", "result", "writes", "reads"):
            table.add_column(column)
        for row in self._figures:
            table.add_row(*row)
        self._console.print(table)
        verdict = (
            "[green]Everything was seen to be true.[/]"
            if not self._failed
            else f"[red]{self._failed} checks failed.[/]"
        )
        self._console.print(
            f"\n{verdict} {seconds:.0f} s in all. Try `make up` to push requests of your own."
        )

    def _act(self, title: str) -> None:
        self._console.print(f"\n[bold]{title}[/]")

    def _push(self, message: str) -> str:
        self._stack.control.forget_calls()
        return self._clone.push(message)

    def _check(self, claim: str, held: bool) -> None:
        self._failed += not held
        self._console.print(f"  {'[green]✓[/]' if held else '[red]✗ NOT TRUE:[/]'} {claim}")

    def _figure(self, what: str, result: str) -> None:
        """Remember a line of the last table: what was written since the last push, by kind, and how often
        something was read.
        """
        calls = [call for call in self._stack.control.calls() if call.server in WRITTEN and call.status < 300]
        writes = Counter(
            call.kind for call in calls if call.kind.split()[0] in ("PUT", "POST", "PATCH", "DELETE")
        )
        reads = len(calls) - writes.total()
        self._figures.append(
            (
                what,
                result,
                "\n".join(f"{count:3} {kind}" for kind, count in sorted(writes.items())),
                str(reads),
            )
        )

    def _calls(self, kind: str) -> int:
        return sum(call.kind == kind for call in self._stack.control.calls())


def _gateway_writes(control: Control) -> dict[str, int]:
    """What was changed at API Management; a playground is elsewhere, and its stage keeps its own time."""
    calls = [call for call in control.calls("resource-manager") if "/Microsoft.ApiManagement/" in call.target]
    return dict(Counter(call.kind for call in calls if call.kind.split()[0] in ("PUT", "PATCH", "DELETE")))


def _state(seen: Mapping[str, Seen], team: str, stage: str) -> str:
    status = seen.get(f"mergekey/{team}/{stage}")
    return "" if status is None else status.state


def _all(seen: Mapping[str, Seen], teams: Iterable[str], stage: str) -> bool:
    return all(_state(seen, team, stage) == "success" for team in teams)
