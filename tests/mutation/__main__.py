"""`make mutate`: changes the decisions of the app in thousands of small ways, and counts how many of the
changes the tests notice.

Prints a table and every survivor that `survivors.toml` does not judge. Fails when fewer than 85 % of the
mutants are killed. Mutants that the type checker refuses are left out: they cannot get into the app. Each
gets eight seconds of tests, the quickest first. `mutants/` remembers what is known; a second run tests only
functions that changed since. With names such as 'shared.stages.settlement.*' only those are tested, again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import orig_function_and_class_names_from_key
from rich.console import Console
from rich.markup import escape
from rich.table import Table

WANTED = 85.0
JUDGED = Path(__file__).with_name("survivors.toml")
NOTICED = ("killed", "timeout", "segfault")
UNNOTICED = ("survived", "no tests", "suspicious")


@dataclass(frozen=True)
class Tested:
    """One file: how many mutants ended how, and the texts of those that nothing noticed."""

    path: Path
    ends: Counter[str]
    survivors: tuple[str, ...]


def main(names: list[str]) -> int:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    status = subprocess.run(
        ["mutmut", "run", "--max-children", os.environ.get("CHILDREN", "2"), *names],
        env=environment,
        check=False,
    )
    if status.returncode:
        return status.returncode
    tested = [_tested(path) for path in walk_mutatable_files()]
    judged = {
        mutant: group["why"]
        for group in tomllib.loads(JUDGED.read_text())["judged"]
        for mutant in group["mutants"]
    }
    score = _print([file for file in tested if file.ends], judged)
    return int(score < WANTED)


def _tested(path: Path) -> Tested:
    of_file = SourceFileMutationData(path=path)
    of_file.load()
    ends = {name: status_by_exit_code[code] for name, code in of_file.exit_code_by_key.items()}
    return Tested(
        path,
        Counter(ends.values()),
        tuple(_text(path, name) for name, end in ends.items() if end in UNNOTICED),
    )


def _text(path: Path, mutant: str) -> str:
    """`function: line -> changed line`. It stays the same while the function is edited elsewhere."""
    function, of_class = orig_function_and_class_names_from_key(mutant)
    lines = get_diff_for_mutant(mutant, path=path).splitlines()[2:]
    was, became = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return f"{'.'.join(filter(None, (path.stem, of_class, function)))}: {was} -> {became}"


def _print(tested: list[Tested], judged: dict[str, str]) -> float:
    console = Console(width=160)
    for text in _unjudged(tested, judged):
        console.print(f"not judged: {escape(text)}", highlight=False, soft_wrap=True)
    total = sum((file.ends for file in tested), Counter[str]())
    table = Table(
        "file", "mutants", "refused by types", "killed", "timeouts", "survived", "of these judged", "% killed"
    )
    for file in tested:
        table.add_row(str(file.path), *_figures(file.ends, sum(text in judged for text in file.survivors)))
    table.add_section()
    table.add_row("all", *_figures(total, sum(text in judged for file in tested for text in file.survivors)))
    console.print(table)
    gone = set(judged) - {text for file in tested for text in file.survivors}
    if gone and not total["not checked"]:
        console.print(
            "judged, and no survivors (any more):", *sorted(map(escape, gone)), sep="\n  ", highlight=False
        )
    return _score(total)


def _unjudged(tested: list[Tested], judged: dict[str, str]) -> Iterator[str]:
    return (text for file in tested for text in file.survivors if text not in judged)


def _figures(ends: Counter[str], judged: int) -> tuple[str, ...]:
    survived = sum(ends[end] for end in UNNOTICED)
    counts = (
        ends.total(),
        ends["caught by type check"],
        ends["killed"],
        ends["timeout"] + ends["segfault"],
        survived,
        judged,
    )
    return (*map(str, counts), f"{_score(ends):.1f}")


def _score(ends: Counter[str]) -> float:
    """Percent of what was tested."""
    noticed, unnoticed = (sum(ends[end] for end in group) for group in (NOTICED, UNNOTICED))
    return 100.0 * noticed / (noticed + unnoticed or 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
