"""The examples of `docs/api.md`: answers that the app gives over the fakes.

`python -m tests.api_page` writes them into the page, each into the block below its line
`<!-- answer: <operation> -->`; a test compares.
"""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from functions.answers import letter_page
from functions.operators import problem, to_json
from shared.api import dead_letters
from shared.api.findings import findings, push_outcome
from shared.api.health_checks import check_everything
from shared.api.records import Health, ProviderList, Setting, SettingList
from shared.api.teams import Audience, models, providers, team
from shared.errors import Rejected
from shared.messaging.dead_letters import Filter
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.fakes.app import GPU, Asked, FakeApp, catalog_text, path_of
from tests.fakes.calls import Call, nothing
from tests.stages.road import a_platform, a_team, ask, later, push

PAGE = Path(__file__).resolve().parent.parent / "docs" / "api.md"
#: A pool with a reserve, and a backend by itself.
POOLED = """\
models:
  - name: gpt-4.1
    provider: foundry
    pool:
      - {name: sweden, endpoint: https://sweden.openai.azure.com/openai/v1, weight: 70, priority: 1}
      - {name: france, endpoint: https://france.openai.azure.com/openai/v1, weight: 30, priority: 1}
      - {name: reserve, endpoint: https://reserve.openai.azure.com/openai/v1, priority: 2}
    circuitBreaker: {failures: 3, interval: 60, trip: 30}
  - {name: plain, provider: foundry, endpoint: https://sweden.openai.azure.com/openai/v1}
"""
_BLOCK = re.compile(r"(<!-- answer: (\w+) -->\n```json\n)(.*?)(```\n)", re.DOTALL)


def rewritten(page: str) -> str:
    """The page with what is answered now."""
    answers = asyncio.run(_answers())
    return _BLOCK.sub(
        lambda found: f"{found[1]}{json.dumps(answers[found[2]][1], indent=2)}\n{found[4]}", page
    )


def examples() -> dict[str, tuple[int, Any]]:
    """Status and body by operation, those on the page."""
    answers, shown = asyncio.run(_answers()), {found[2] for found in _BLOCK.finditer(PAGE.read_text())}
    return {name: answer for name, answer in answers.items() if name in shown}


async def _answers() -> dict[str, tuple[int, Any]]:
    app = await _with_bearer_keys()
    await ask(app, Asked(dedicated={"phi-4": GPU}, playground=True))
    await later(app, timedelta(minutes=1))
    everybody = Audience(None)
    record = await team(app, "alpha", everybody)
    letters = await _letters(await a_team())
    whole = await models(app, with_shares=True)
    backends = to_json(await _providers())
    settings = (Setting("GRACE_DAYS", "7.0", False, True), Setting("GITHUB_WEBHOOK_SECRET", None, True, True))
    return {
        "show_team": (200, to_json(record)),
        "list_models": (200, {**to_json(whole), "models": to_json(whole)["models"][:1]}),
        "list_providers": (200, {**backends, "backends": backends["backends"][:2]}),
        "show_config": (200, to_json(SettingList(settings))),
        "health": (200, to_json(await _health(app))),
        "list_dead_letters": (200, letters),
        **await _found(),
        "problem": problem(404, "NoSuchTeam", "there is no such team, or it is not one of yours"),
    }


async def _with_bearer_keys() -> FakeApp:
    app = await a_platform()
    with_keys = catalog_text().replace("bearerKeys: false", "bearerKeys: native")
    await push(app, {DEFAULT_CATALOG_PATH: with_keys})
    app.calls.forget()
    return app


async def _providers() -> ProviderList:
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: POOLED})
    return await providers(app)


async def _health(app: FakeApp) -> Health:
    async def refused(call: Call) -> None:
        if call.system == "vault":
            raise Rejected("Key Vault answered 400")

    app.calls.before = refused
    return await check_everything(app)


async def _found() -> dict[str, tuple[int, Any]]:
    """Of a team whose product was unlinked by hand."""
    app = await a_team()
    app.gateway.state.links.clear()
    app.repository.protected = False
    pushed = await push_outcome(app, app.repository.branch or "")
    return {
        "list_findings": (200, to_json(await findings(app))),
        "show_push": (200, to_json(pushed)),
    }


async def _letters(app: FakeApp) -> Any:
    async def refused(call: Call) -> None:
        if call.name == "put_product_policy":
            raise Rejected("API Management answered 400 ValidationError")

    app.calls.before = refused
    await push(app, {path_of("alpha"): Asked(tokens=9000).text()}, "5c0f2a30-15e1-11f1-9d5c-3f2a60a1b7de")
    app.calls.before = nothing
    await later(app, timedelta(minutes=1))
    page = await dead_letters.listing(app, Filter(), 1, 10)
    return letter_page(page)


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
