"""Somebody unticks "Requires subscription" on a team's product: whoever calls is served, until the next
sweep.
"""

from __future__ import annotations

import ssl

import httpx
import pytest
from azure.mgmt.apimanagement.models import ProductUpdateParameters

from standins.stack import APIM_ID
from tests.end_to_end.road import Road
from tests.end_to_end.written import Request

MODEL = Request("any").model
_AT = APIM_ID.split("/")[4], APIM_ID.split("/")[-1]


def _without_a_key(road: Road) -> int:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Whose bill is this?"}]}
    with httpx.Client(verify=ssl.create_default_context(cafile=road.stack.ca)) as http:
        return http.post(
            f"{road.stack.addresses['gateway']}/openai/v1/chat/completions", json=body
        ).status_code


@pytest.mark.parametrize("leaves", [False, True], ids=["a team with access", "a team in its grace period"])
def test_a_product_that_was_opened_is_closed_by_the_next_sweep(road: Road, team: str, leaves: bool) -> None:
    road.clone.write(Request(team))
    push = road.push("Access")
    road.status(push, team, "keys", "success")
    if leaves:
        road.clone.remove(team)
        road.status(road.push("Access is not needed any more"), team, "keys", "success")
    assert _without_a_key(road) == 401
    road.apim.product.update(*_AT, f"team-{team}", "*", ProductUpdateParameters(subscription_required=False))
    assert _without_a_key(road) == 200
    road.sweep()
    assert road.product(team).subscription_required
    assert _without_a_key(road) == 401
    road.stack.control.forget_calls()
    road.sweep()
    assert not road.gateway_writes(team)
