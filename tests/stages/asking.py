"""How the tests ask what is answered to teams and to the platform."""

from __future__ import annotations

from shared.api.records import TeamRecord
from shared.api.team_view import Condition
from shared.api.teams import Audience, team, teams
from shared.errors import Rejected
from tests.fakes.app import FakeApp
from tests.fakes.calls import Call

EVERYBODY = Audience(None)


async def record(app: FakeApp, name: str = "alpha") -> TeamRecord:
    """By itself; it must be what the list says, too."""
    found = await team(app, name, EVERYBODY)
    assert found is not None
    [listed] = [each for each in (await teams(app, EVERYBODY)).teams if each.team == name]
    assert listed == found
    return found


def reasons(found: TeamRecord) -> dict[str, str]:
    return {condition.type: f"{condition.status} {condition.reason}" for condition in found.conditions}


def condition(found: TeamRecord, kind: str) -> Condition:
    return next(each for each in found.conditions if each.type == kind)


async def refusing(app: FakeApp, *calls: str) -> None:
    """From now on these calls are refused for good."""

    async def refuse(call: Call) -> None:
        if call.name in calls:
            raise Rejected("400: no")

    app.calls.before = refuse
