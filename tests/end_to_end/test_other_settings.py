"""The same road with what a platform may choose instead: an older release of KAITO, which the catalogue
names, and a plain token in the place of a GitHub App.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.requests.paths import DEFAULT_CATALOG_PATH
from standins.demo.repository import Clone
from standins.demo.servers import Servers
from standins.stack import FEW_SESSIONS, REPOSITORY, Stack, wait_until
from tests.conftest import ROOT


class OtherStack(Stack):
    """Everything else is as always. `KAITO_DIALECT` is a setting of earlier versions."""

    def settings(self) -> dict[str, str]:
        no_app = dict.fromkeys(("GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY", "GITHUB_INSTALLATION_ID"), "")
        return {**super().settings(), **no_app, "GITHUB_TOKEN": self.github_token, "KAITO_DIALECT": "0.6"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with (
        OtherStack(tmp_path_factory.mktemp("other"), ROOT, FEW_SESSIONS) as stack,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
            patch.setenv(name, stack.settings()[name])  # `Servers` sets them too; other tests get theirs back
        yield stack


def test_an_older_release_of_kaito_and_a_plain_token_serve_as_well(stack: Stack) -> None:
    clone = Clone(stack.git_url, stack.folder / "clone")
    clone.fill(ROOT / "examples" / "access-repo")
    stack.control.set_options("kubernetes", kaito="0.6")
    clone.replace(DEFAULT_CATALOG_PATH, 'kaito: "0.12"', 'kaito: "0.6"')
    clone.write("developer-requests/delta/access.yaml", "team: {name: delta}\n")
    commit = clone.push("three good requests and a bad one")

    def statuses() -> dict[str, tuple[str, str]]:
        """The newest per context; GitHub lists the newest first."""
        rows = stack.github("GET", f"/repos/{REPOSITORY}/commits/{commit}/statuses?per_page=100")
        return {row["context"]: (row["state"], row["description"]) for row in reversed(rows)}

    wait_until(
        "the workspace to be waited for",
        lambda: statuses().get("mergekey/alpha/workspaces", ("", ""))[0] == "pending",
    )
    # Its GPU is asked for as soon as its product stands.
    address = "/apis/kaito.sh/v1beta1/namespaces/team-alpha/workspaces/phi-4"
    wait_until("the workspace to stand", lambda: Servers(stack).cluster(address))
    workspace = Servers(stack).cluster(address)
    assert workspace["apiVersion"] == "kaito.sh/v1beta1"
    stack.control.advance(1800)
    wait_until(
        "the workspace to be ready",
        # Of the messages that wait for it one says so, and any other that nothing is left to wait for.
        lambda: statuses()["mergekey/alpha/workspaces"][0] == "success",
    )
    wait_until(
        "the keys",
        lambda: all(
            statuses().get(f"mergekey/{team}/keys", ("", ""))[0] == "success" for team in ("alpha", "bravo")
        ),
    )
    # Without an App there are no check runs: the verdict is a status.
    assert statuses()["mergekey/requests"][0] == "failure"
    assert stack.github("GET", f"/repos/{REPOSITORY}/commits/{commit}/check-runs")["check_runs"] == []
