"""Every row of the table is still needed, and excuses nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from standins.tests.reference.looseness import LOOSE
from standins.tests.reference.samples import (
    SERVICE,
    VERSION,
    exchange,
    installations_listed,
    ref_read,
    secret_read,
    status_written,
)
from standins.tests.reference.validator import verdict
from standins.world import Exchange

OPERATIONS = (
    "/subscriptions/00000000-0000-4000-8000-000000000001/providers/Microsoft.ApiManagement/locations/local/"
    "operationResults/1"
)
BELOW_TENANT = f"{SERVICE}/tenant/operationResults/1"
POOL = {"properties": {"type": "Pool", "pool": {"services": [{"id": f"{SERVICE}/backends/a"}]}}}
NAMES = {"header": "api-key", "query": "api-key", "bearer": "enabled"}
TAKES_BEARER = {"properties": {"subscriptionKeyParameterNames": NAMES}}
RAW = {"content-type": "application/vnd.github.raw+json; charset=utf-8"}
REFUSAL = (
    '{"message": "Validation Failed", "documentation_url": "https://docs.github.com/rest", "errors": [], '
    '"status": "422"}'
)

#: For each row, in the order of the table, an exchange that the service has and the description does not.
NEEDED = (
    exchange(
        "resource-manager",
        f"PUT {SERVICE}/backends/pool?{VERSION}",
        201,
        POOL,
        POOL,
        kind="PUT backend",
        answer_headers={"etag": "x"},
    ),
    exchange(
        "resource-manager",
        f"GET {OPERATIONS}?{VERSION}",
        200,
        None,
        {"name": "ai"},
        kind="GET operation result",
    ),
    exchange("resource-manager", f"GET {OPERATIONS}?{VERSION}", 204, kind="GET operation result"),
    exchange(
        "resource-manager",
        f"GET {BELOW_TENANT}?{VERSION}",
        200,
        None,
        {"status": "Succeeded"},
        kind="GET operation status",
    ),
    exchange(
        "resource-manager",
        f"GET {SERVICE}/apis/ai?{VERSION}&asyncId=1&asyncCode=201",
        202,
        kind="GET api",
    ),
    replace(secret_read(), path="/secrets?api-version=7.5&$skiptoken=x", answer_body='{"value": []}'),
    exchange(
        "github",
        f"GET /repos/contoso/access/commits/{'0' * 40}/statuses",
        200,
        None,
        [],
        kind="LIST statuses",
    ),
    replace(
        ref_read(),
        path=f"/repos/contoso/access/git/blobs/{'0' * 40}",
        kind="GET blob",
        answer_headers=RAW,
        answer_body="team:",
    ),
    replace(status_written(), status=422, answer_body=REFUSAL),
    replace(installations_listed(), answer_headers={"content-type": "application/json", "link": "x"}),
    exchange(
        "resource-manager",
        f"PATCH {SERVICE}/apis/ai?{VERSION}",
        200,
        TAKES_BEARER,
        {"properties": {**TAKES_BEARER["properties"], "path": "ai"}},
        kind="PATCH api",
        request_headers={"if-match": "*"},
        answer_headers={"etag": "x"},
    ),
)


def test_every_row_has_its_exchange() -> None:
    assert len(NEEDED) == len(LOOSE)


@pytest.mark.parametrize(("row", "needs_it"), list(enumerate(NEEDED)))
def test_a_row_excuses_what_the_service_does_and_the_description_does_not_say(
    row: int, needs_it: Exchange
) -> None:
    strict = verdict(needs_it, excused=())
    assert strict.problems
    assert all(LOOSE[row].excuses(problem) for problem in strict.problems)


def test_a_row_excuses_its_own_part_only() -> None:
    wrong_pool = replace(
        NEEDED[0], request_body=json.dumps({"properties": {**POOL["properties"], "typ": "Pool"}})
    )
    assert [problem.what for problem in verdict(wrong_pool).problems] == [
        "Unevaluated properties are not allowed ('typ' was unexpected)"
    ]
