"""Calls at the gateway of the fake API Management, with the keys that it has."""

from __future__ import annotations

from shared.names import BEARER_API
from shared.resources.unified_api import KEY_NAMES
from shared.secret import SecretValue
from tests.fakes.calls import Calls
from tests.fakes.gateway import FakeGateway


class FakeGatewayCalls:
    """`works`: whether the service acts on the field of the native way, which it may keep and ignore."""

    def __init__(self, calls: Calls, gateway: FakeGateway) -> None:
        self._calls = calls
        self._gateway = gateway
        self.works = True

    async def status(self, url: str, authorization: SecretValue) -> int:
        async with self._calls.read("gateway calls", "status", url):
            return 200 if self._is_let_in(authorization.reveal()) else 401

    def _is_let_in(self, sent: str) -> bool:
        state = self._gateway.state
        api = state.apis.get(BEARER_API)
        if api is None:
            return False
        if api.key_names == KEY_NAMES:
            is_native = self.works and BEARER_API in state.takes_bearer
            sent = sent.removeprefix("Bearer ") if is_native else ""
        return any(
            sent in state.keys[name]
            and found.state == "active"
            and (found.product, BEARER_API) in state.links
            for name, found in state.subscriptions.items()
        )
