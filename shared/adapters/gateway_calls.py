"""Calls of the platform's own at API Management's gateway, as an OpenAI client makes them.

https://platform.openai.com/docs/api-reference/models/list
"""

from __future__ import annotations

import ssl

from shared.adapters.answers import origin
from shared.calls import counted
from shared.errors import Unavailable
from shared.secret import SecretValue

SYSTEM = "Gateway"
#: Seconds for a whole answer.
TIMEOUT = 5.0


class GatewayCalls:
    """`gateway_url` is the gateway's address: no other host gets a key."""

    def __init__(self, gateway_url: str) -> None:
        self._url = gateway_url

    async def status(self, url: str, authorization: SecretValue) -> int:
        """`shared.ports.GatewayCalls.status`"""
        import aiohttp

        if origin(url) != origin(self._url):
            raise Unavailable("it is not at the gateway's address")
        headers = {"User-Agent": "mergekey", "Authorization": authorization.reveal()}
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(), force_close=True)
        with counted(SYSTEM, "GET") as call:
            try:
                async with (
                    aiohttp.ClientSession(
                        connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT)
                    ) as session,
                    session.get(url, headers=headers, allow_redirects=False) as response,
                ):
                    call.answered(response.status)
                    return response.status
            except (aiohttp.ClientError, TimeoutError, OSError):
                raise Unavailable("the gateway does not answer") from None
