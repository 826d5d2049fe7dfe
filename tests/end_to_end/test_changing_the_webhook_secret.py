"""While the webhook's secret is changed the old one and the new one are good, so that no push gets lost."""

from __future__ import annotations

import secrets

from tests.end_to_end.calls import post, signature
from tests.end_to_end.road import Road
from tests.end_to_end.written import Request, new_team


def test_during_a_change_of_secret_both_are_accepted_and_afterwards_only_the_new_one(
    road: Road, team: str
) -> None:
    old, new, late = road.stack.webhook_secret, secrets.token_hex(20), new_team()
    road.stack.overrides |= {"GITHUB_WEBHOOK_SECRET": new, "GITHUB_WEBHOOK_SECRET_PREVIOUS": old}
    road.stack.restart_host()
    assert [
        post(road, b"{}", signature(secret, b"{}"), X_GitHub_Event="ping") for secret in (new, old, "neither")
    ] == [200, 200, 401]
    road.clone.write(Request(team))
    road.status(road.push("Signed with the old secret"), team, "keys", "success")

    road.stack.github("PUT", "/_standin/app", {"webhook_secret": new})
    road.stack.webhook_secret = new
    road.stack.overrides.clear()
    road.stack.restart_host()
    assert [post(road, b"{}", signature(secret, b"{}"), X_GitHub_Event="ping") for secret in (new, old)] == [
        200,
        401,
    ]
    road.clone.write(Request(late))
    road.status(road.push("Signed with the new secret"), late, "keys", "success")
