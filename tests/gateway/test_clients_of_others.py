"""What the clients can do that `make contract` installs: the other rows of the table, and the lines of
`docs/clients.md` as they are printed for this gateway.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from cli.recipes import RECIPES, VARIABLE, Place
from tests.gateway.client_room import a_key
from tests.gateway.client_table import ALL, IN_JAVASCRIPT, as_the_table_says
from tests.gateway.clients import MODEL
from tests.gateway.room import Room

HERE = Path(__file__).resolve().parent
CA = os.environ["SSL_CERT_FILE"]
#: Where a client is -> the package without which it is not there.
PACKAGES = {"LangChain": "langchain_openai", "LiteLLM": "litellm", "pydantic-ai": "pydantic_ai"}
#: Open WebUI and Continue are programs for people: nothing here starts them.
RUN = [name for name in RECIPES if name not in {"open-webui", "continue"}]


class Absent(Exception):
    """The program, or the package, is not installed here; the text says which."""


def python(package: str | None) -> str:
    found = os.environ["MERGEKEY_CONTRACT_MODELS"]
    folder = Path(found).parent.parent / "lib"
    if package and not any(folder.glob(f"python*/site-packages/{package}")):
        raise Absent(f"the package {package} could not be installed into .contract-venv/models")
    return found


def node() -> str:
    found, folder = shutil.which("node"), Path(os.environ.get("MERGEKEY_CONTRACT_NODE", "."))
    if found is None or not (folder / "node_modules" / "openai").is_dir():
        raise Absent("Node or the npm package openai is not installed here")
    return found


async def run(*command: str, **environment: str) -> str:
    """What the program printed; its errors are shown with the test."""
    local = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NODE_EXTRA_CA_CERTS": CA, "CURL_CA_BUNDLE": CA}
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **local, **environment},
        cwd=os.environ.get("MERGEKEY_CONTRACT_NODE", HERE),
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


def program_of(client: str) -> tuple[str, ...]:
    if client in IN_JAVASCRIPT:
        return node(), str(HERE / "clients.mjs"), IN_JAVASCRIPT[client]
    return python(PACKAGES.get(client.partition(",")[0])), str(HERE / "clients.py"), client


@pytest.mark.parametrize("client", [each for each in ALL if not each.startswith("openai for Python")])
async def test_a_client_of_others_does_what_the_table_says(room: Room, client: str) -> None:
    try:
        program = program_of(client)
    except Absent as absent:
        pytest.skip(str(absent))
    gateway = room.platform.gateway_url
    printed = await run(*program, MERGEKEY_GATEWAY=gateway, MERGEKEY_API_KEY=await a_key(room))
    found: dict[str, dict[str, Any]] = json.loads(printed.splitlines()[-1])
    assert as_the_table_says(client, found)


@pytest.mark.parametrize("has_bearer", [True, False], ids=["bearer", "key"])
@pytest.mark.parametrize("name", RUN)
async def test_the_lines_of_a_client_do_what_they_say(
    room: Room, tmp_path: Path, name: str, has_bearer: bool
) -> None:
    gateway = room.platform.gateway_url
    bearer = f"{gateway}/bearer/openai/v1" if has_bearer else None
    lines = RECIPES[name].lines(Place("alpha", gateway, f"{gateway}/openai/v1", bearer, MODEL)) or ""
    try:
        program = _program(name, lines, tmp_path)
    except Absent as absent:
        pytest.skip(str(absent))
    assert "You said: Hello" in await run(*program, **{VARIABLE: await a_key(room)})


def _program(name: str, lines: str, folder: Path) -> tuple[str, ...]:
    """The command that runs the lines."""
    language = RECIPES[name].language
    if language == "sh":
        return "sh", "-c", lines
    if language == "python":
        return python(PACKAGES.get(RECIPES[name].title, "openai")), "-c", lines
    script = folder / "lines.mjs"
    script.write_text(lines)
    packages = Path(os.environ.get("MERGEKEY_CONTRACT_NODE", ".")) / "node_modules"
    (folder / "node_modules").symlink_to(packages)
    return node(), str(script)
