"""The command line as people and workflows use it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app

EXAMPLES = Path(__file__).parents[2] / "examples" / "access-repo"
ALPHA = "tenant-access/config/alpha/access.yaml"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the example repository, with a .git folder that must not be looked at."""
    folder = tmp_path / "checkout"
    shutil.copytree(EXAMPLES, folder)
    (folder / ".git" / "tenant-access").mkdir(parents=True)
    (folder / ".git" / "developer-requests").symlink_to("nowhere")
    return folder


def _mergekey(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def _change(checkout: Path, old: str, new: str) -> None:
    file = checkout / ALPHA
    written = file.read_text()
    assert old in written
    file.write_text(written.replace(old, new))


def test_a_checkout_without_problems_passes(checkout: Path) -> None:
    result = _mergekey("validate", checkout)
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "3 requests, no problems."


def test_where_all_is_well_the_ledger_of_capacities_is_shown(checkout: Path) -> None:
    lines = _mergekey("validate", checkout, "--before", EXAMPLES).output.splitlines()
    assert lines[0].split() == ["model", "capacity", "may", "be", "granted", "granted", "left", "teams"]
    assert lines[1].split() == ["qwen3-32b", "40,000", "60,000", "0", "60,000"]
    assert lines[2].split() == [
        "text-embedding-3-large",
        "1,000,000",
        "1,500,000",
        "20,000",
        "1,480,000",
        "charlie",
        "20,000",
    ]


def _ask_for_qwen(checkout: Path, team: str) -> None:
    file = checkout / "developer-requests" / team / "access.yaml"
    file.parent.mkdir()
    file.write_text(
        f"team: {{name: {team}, owner: a@b.com}}\nmodels: {{openai: [{{name: qwen3-32b, tokensPerMinute: "
        "20000}]}\n"
    )


def test_more_than_there_is_is_refused_with_the_ledger(checkout: Path) -> None:
    for team in ("one", "two", "three", "four"):
        _ask_for_qwen(checkout, team)
    result = _mergekey("validate", checkout)
    assert result.exit_code == 1
    assert "developer-requests/two/access.yaml" in result.output
    assert "four 20,000, one 20,000, three 20,000; 0 are left" in result.output
    assert result.output.splitlines()[-1] == "7 requests, 1 problem in 1 file."


def test_beside_a_checkout_of_what_was_before_the_newcomer_is_at_fault(
    checkout: Path, tmp_path: Path
) -> None:
    for team in ("two", "three", "four"):
        _ask_for_qwen(checkout, team)
    before = tmp_path / "before"
    shutil.copytree(checkout, before, symlinks=True)
    _ask_for_qwen(checkout, "one")
    result = _mergekey("validate", checkout, "--before", before)
    assert "AboveCapacity" in result.output
    assert [line for line in result.output.splitlines() if "access.yaml" in line] == [
        "developer-requests/one/access.yaml"
    ]


def test_beside_a_checkout_of_what_was_before_a_model_that_is_used_is_missed(checkout: Path) -> None:
    catalog = checkout / "platform/config/model_catalog.yaml"
    catalog.write_text(catalog.read_text().replace("name: text-embedding-3-large", "name: text-embedding-4"))
    result = _mergekey("validate", checkout, "--before", EXAMPLES)
    assert result.exit_code == 1
    assert "ModelStillUsed" in result.output
    assert "UnknownModel" not in result.output


def test_a_warning_is_shown_and_fails_nothing(checkout: Path) -> None:
    _change(checkout, "name: gpt-4.1,", "name: gpt-4o-mini,")
    result = _mergekey("validate", checkout)
    assert result.exit_code == 0
    assert "ModelRetires" in result.output
    assert result.output.splitlines()[-1] == "3 requests, no problems and 1 warning."
    annotated = _mergekey("validate", checkout, "--format", "github").output.splitlines()
    assert annotated[0].startswith(f"::warning file={ALPHA},line=10,col=7,title=ModelRetires::")
    assert annotated[1].startswith(f"::notice file={ALPHA},line=12,col=7,title=GpuCost::")
    assert annotated[2].startswith(f"::notice file={ALPHA},line=12,col=7,title=NoToolCalls::")
    assert annotated[3:] == ["3 requests, no problems and 1 warning."]


def test_a_fault_of_a_workspace_fails_only_where_it_is_new(checkout: Path, tmp_path: Path) -> None:
    catalog = checkout / "platform/config/model_catalog.yaml"
    catalog.write_text(catalog.read_text().replace("preset: phi-4\n", "preset: phi4\n"))
    assert _mergekey("validate", checkout).exit_code == 1
    before = tmp_path / "before"
    shutil.copytree(checkout, before, symlinks=True)
    result = _mergekey("validate", checkout, "--before", before)
    assert result.exit_code == 0
    assert "UnknownPreset" in result.output


def test_problems_are_told_by_file_with_line_and_column(checkout: Path) -> None:
    _change(checkout, "costCenter", "costCentre")
    _change(checkout, "phi-4", "phi-5")
    result = _mergekey("validate", checkout)
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0] == ALPHA
    assert lines[1].split()[:2] == ["6:3", "UnknownKey"]
    assert "Did you mean 'costCenter'?" in lines[1]
    assert lines[2].split()[:2] == ["12:14", "UnknownModel"]
    assert lines[-1] == "3 requests, 2 problems in 1 file."


def test_github_gets_one_annotation_per_problem(checkout: Path) -> None:
    _change(checkout, "costCenter", "costCentre")
    result = _mergekey("validate", checkout, "--format", "github")
    assert result.exit_code == 1
    message = "There is no key 'costCentre' in 'team'. Did you mean 'costCenter'?"
    assert result.output.splitlines()[0] == f"::error file={ALPHA},line=6,col=3,title=UnknownKey::{message}"


def test_an_annotation_cannot_be_used_to_write_another_workflow_command(checkout: Path) -> None:
    folder = checkout / "developer-requests" / "a,b:%c\n::warning::x"
    folder.mkdir()
    shutil.copy(checkout / ALPHA, folder / "access.yaml")
    lines = _mergekey("validate", checkout, "--format", "github").output.splitlines()
    assert not [line for line in lines[:-1] if not line.startswith("::error file=")]
    assert any(
        "file=developer-requests/a%2Cb%3A%25c%0A%3A%3Awarning%3A%3Ax/access.yaml,line=" in line
        for line in lines
    )


def test_nothing_that_somebody_wrote_reaches_the_terminal_raw(checkout: Path) -> None:
    folder = checkout / "developer-requests" / "\x1b[31mred"
    folder.mkdir()
    (folder / "access.yaml").write_text('team: {name: "[bold]x[/bold]", owner: "\\e[2J"}\n')
    result = _mergekey("validate", checkout)
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert "[bold]x[/bold]" in result.output


def test_a_symbolic_link_is_refused_and_not_followed(checkout: Path, tmp_path: Path) -> None:
    shutil.move(checkout / "developer-requests" / "charlie", tmp_path / "outside")
    (checkout / "developer-requests" / "charlie").symlink_to(tmp_path / "outside")
    (checkout / ALPHA).rename(tmp_path / "access.yaml")
    (checkout / ALPHA).symlink_to(tmp_path / "access.yaml")
    result = _mergekey("validate", checkout)
    assert result.exit_code == 1
    assert result.output.count("SymbolicLink") == 2
    assert "bravo" not in result.output


def test_a_file_of_any_size_is_refused_without_reading_it_all(checkout: Path) -> None:
    with (checkout / ALPHA).open("r+b") as file:
        file.truncate(2**33)
    assert "TooLarge" in _mergekey("validate", checkout).output


def test_paths_are_options(checkout: Path) -> None:
    (checkout / "platform/config/model_catalog.yaml").rename(checkout / "models.yaml")
    result = _mergekey(
        "validate",
        checkout,
        "--catalog-path",
        "models.yaml",
        "--request-path",
        "developer-requests/*/access.yaml",
    )
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "1 request, no problems."


def test_a_request_path_of_another_form_is_an_error_of_use(checkout: Path) -> None:
    assert _mergekey("validate", checkout, "--request-path", "access.yaml").exit_code == 2


def test_what_is_not_there_or_not_read_cannot_be_checked(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "access.yaml").write_text("team: {}\n")
    (checkout / "notes.yaml").write_text("team: {}\n")
    for path in (checkout / "nowhere", tmp_path / "access.yaml", checkout / "notes.yaml"):
        result = _mergekey("validate", path)
        assert (result.exit_code, result.stdout) == (2, "")
        assert path.name in result.stderr
    assert _mergekey("validate", checkout, "--before", checkout / ALPHA).exit_code == 2


def test_without_a_path_the_checkout_around_the_folder_is_checked(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _change(checkout, "costCenter", "costCentre")
    for folder, summary in {
        ".": "3 requests, 1 problem in 1 file.",
        "tenant-access/config/alpha": "1 request, 1 problem in 1 file.",
        "tenant-access": "2 requests, 1 problem in 1 file.",
        "developer-requests": "1 request, no problems.",
    }.items():
        monkeypatch.chdir(checkout / folder)
        assert _mergekey("validate").output.splitlines()[-1] == summary


def test_of_one_file_its_own_problems_are_shown_and_those_of_a_wrong_catalogue(checkout: Path) -> None:
    charlie = checkout / "developer-requests/charlie/access.yaml"
    _change(checkout, "costCenter", "costCentre")
    assert _mergekey("validate", charlie).output == "1 request, no problems.\n"
    result = _mergekey("validate", checkout / ALPHA)
    assert (result.exit_code, result.output.splitlines()[-1]) == (1, "1 request, 1 problem in 1 file.")
    catalog = checkout / "platform/config/model_catalog.yaml"
    catalog.write_text(catalog.read_text().replace("currency:", "curency:"))
    result = _mergekey("validate", charlie)
    assert (result.exit_code, "Did you mean 'currency'?" in result.output) == (1, True)


def test_what_was_wrong_before_is_a_warning_and_blocks_no_other_team(checkout: Path, tmp_path: Path) -> None:
    _change(checkout, "costCenter", "costCentre")
    before = tmp_path / "before"
    shutil.copytree(checkout, before, symlinks=True)
    result = _mergekey("validate", checkout, "--before", before)
    assert (result.exit_code, "UnknownKey" in result.output) == (0, True)
    assert result.output.splitlines()[-1] == "3 requests, no problems and 1 warning."
    _change(checkout, "displayName", "dispayName")
    result = _mergekey("validate", checkout, "--before", before)
    assert result.output.splitlines()[-1] == "3 requests, 1 problem in 1 file and 1 warning."
    assert result.exit_code == 1


def test_a_step_of_github_gets_a_summary_in_which_nothing_is_rendered(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkout / "developer-requests" / "a`b"
    folder.mkdir()
    key = "x``` [a](https://evil.example)"
    (folder / "access.yaml").write_text(f"team: {{'{key}': 1}}\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    assert _mergekey("validate", checkout).exit_code == 1
    assert not (tmp_path / "summary.md").exists()
    assert _mergekey("validate", checkout, "--format", "github").exit_code == 1
    lines = (tmp_path / "summary.md").read_text().splitlines()
    assert lines[:3] == ["## Access requests", "", "4 requests, 4 problems in 1 file."]
    failed = [line for line in lines if " failure **" in line]
    assert len(failed) == 4
    assert all(line.startswith("- `` developer-requests/a`b/access.yaml:1:") for line in failed)
    [told] = [line for line in lines if "evil" in line]
    assert told.count("````") == 2
    assert told.index("````") < told.index(key)


def test_the_version_is_printed() -> None:
    result = _mergekey("--version")
    assert (result.exit_code, result.output.split()[0]) == (0, "mergekey")
    assert result.output.split()[1][0].isdigit()


def test_an_annotation_spells_out_what_a_terminal_would_act_on(checkout: Path) -> None:
    folder = checkout / "developer-requests" / "\x1b[31mred"
    folder.mkdir()
    (folder / "access.yaml").write_text("team: {}\n")
    output = _mergekey("validate", checkout, "--format", "github").output
    assert "\x1b" not in output
    assert "developer-requests/\\x1b[31mred/access.yaml" in output


def test_the_command_loads_nothing_of_azure() -> None:
    heavy = "{'azure', 'kubernetes', 'aiohttp'}"
    code = (
        f"import sys, cli.main, shared.branch.review; print(sorted({heavy} & {{name.split('.')[0] for name "
        "in sys.modules}))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=EXAMPLES.parents[1]
    )
    assert finished.stdout == "[]\n"


def test_the_console_script_validates_the_examples() -> None:
    script = Path(sys.executable).parent / "mergekey"
    finished = subprocess.run([script, "validate", EXAMPLES], capture_output=True, text=True, check=False)
    assert finished.returncode == 0
    assert finished.stdout.endswith("3 requests, no problems.\n")


def test_beside_a_checkout_of_what_was_before_a_replaced_workspace_is_told(
    checkout: Path, tmp_path: Path
) -> None:
    before = tmp_path / "before"
    shutil.copytree(checkout, before, symlinks=True)
    catalog = before / "platform" / "config" / "model_catalog.yaml"
    catalog.write_text(catalog.read_text().replace("servedName: written", "maxNodes: 1"))
    assert "WorkspacesReplaced" not in _mergekey("validate", checkout, "--before", checkout).output
    result = _mergekey("validate", checkout, "--before", before)
    assert (result.exit_code, "WorkspacesReplaced" in result.output) == (0, True)


def _ends(checkout: Path, day: str) -> None:
    file = checkout / ALPHA
    lines = [line for line in file.read_text().splitlines() if not line.startswith("expires:")]
    file.write_text("\n".join([*lines, f"expires: {day}", ""]))


def test_a_last_day_that_has_passed_is_a_warning_as_nobody_knows_what_was_granted(checkout: Path) -> None:
    _ends(checkout, "2020-01-01")
    result = _mergekey("validate", checkout)
    assert (result.exit_code, "AlreadyOver" in result.output) == (0, True)
    assert result.output.splitlines()[-1] == "3 requests, no problems and 1 warning."


def test_beside_a_checkout_of_what_was_before_a_new_last_day_may_not_have_passed(
    checkout: Path, tmp_path: Path
) -> None:
    before = tmp_path / "before"
    shutil.copytree(checkout, before, symlinks=True)
    _ends(checkout, "2020-01-01")
    result = _mergekey("validate", checkout, "--before", before)
    assert (result.exit_code, "AlreadyOver" in result.output) == (1, True)
    _ends(before, "2020-01-01")
    natural = _mergekey("validate", checkout, "--before", before)
    assert (natural.exit_code, "AlreadyOver" in natural.output) == (0, False)
