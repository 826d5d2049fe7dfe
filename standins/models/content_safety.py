"""Azure AI Content Safety: a text is as severe as it says itself, `[Hate:4]`, and an attack when it has
`[attack]`.

https://learn.microsoft.com/rest/api/contentsafety/text-operations
"""

from __future__ import annotations

import re

from aiohttp import web

_SEVERITY = re.compile(r"\[(Hate|SelfHarm|Sexual|Violence):([0-7])\]")


async def analyze(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    said = [(category, int(level)) for category, level in _SEVERITY.findall(body["text"])]
    rows = [
        {
            "category": wanted,
            "severity": max((level for category, level in said if category == wanted), default=0),
        }
        for wanted in body["categories"]
    ]
    return web.json_response({"blocklistsMatch": [], "categoriesAnalysis": rows})


async def shield(request: web.Request) -> web.StreamResponse:
    attacked = "[attack]" in (await request.json())["userPrompt"]
    return web.json_response({"userPromptAnalysis": {"attackDetected": attacked}, "documentsAnalysis": []})
