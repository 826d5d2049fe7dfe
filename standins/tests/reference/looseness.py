"""Where an official description says less or other than the service does, and why we know. Whatever else
differs from it is a mistake.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from standins.tests.reference.descriptions import DIRECTORY, part
from standins.tests.reference.openapi import Answer


@dataclass(frozen=True)
class Problem:
    """A difference between an exchange and the description of its operation. `where` is a place in the
    request or the answer.
    """

    server: str
    operation: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.server}: {self.operation}: {self.where}: {self.what}"


@dataclass(frozen=True)
class Looseness:
    """Problems that are none. Every text but the server's and the reason is a pattern for the whole of its
    part.
    """

    server: str
    operation: str
    where: str
    what: str
    reason: str

    def excuses(self, problem: Problem) -> bool:
        parts = (self.operation, problem.operation), (self.where, problem.where), (self.what, problem.what)
        return self.server == problem.server and all(
            re.fullmatch(pattern, text, re.DOTALL) for pattern, text in parts
        )


LOOSE = (
    Looseness(
        "resource-manager",
        r"\w+ backends?: .*",
        r"(body|answer(/value/\d+)?)/properties",
        r'"(url|protocol)" is a required property',
        "a pool has neither: Microsoft's own examples of pools (CreateBackendsPool, in the documentation of "
        "backends) leave them out",
    ),
    Looseness(
        "resource-manager",
        r"GET operation result: .*",
        "answer",
        "has a body, and none is declared",
        "the result of a finished PUT is the resource, by the guidelines for long-running operations "
        "(Location), and the SDK reads it",
    ),
    Looseness(
        "resource-manager",
        r"GET operation result: .* -> 204",
        "status",
        "204 is not declared.*",
        "the result of a finished DELETE is no content, by the same guidelines",
    ),
    Looseness(
        "resource-manager",
        r"GET operation status: GET .*/service/[^/]+/(tenant/)?operationResults/.*",
        "path",
        "the description has no such path",
        "where the examples of the same description have the outcome of a write of an API, a named value or "
        "a fragment (Azure-AsyncOperation in ApiManagementCreateNamedValueWithKeyVault and others)",
    ),
    Looseness(
        "resource-manager",
        r"GET .*[?&]asyncId=.*",
        "query async(Id|Code)|status",
        "is no declared parameter|20[24] is not declared.*",
        "part of Location in the same examples, which the service makes and a client follows as it is; 202 "
        "while the operation goes on and 204 when it has deleted the resource, by the same guidelines",
    ),
    Looseness(
        "key-vault",
        r".*: GET .*",
        r"query \$skiptoken",
        "is no declared parameter",
        "part of `nextLink`, which the service makes and a client follows as it is",
    ),
    Looseness(
        "github",
        r"LIST .*",
        "answer header link",
        "is declared, and missing",
        "only an answer with further pages has it: "
        "https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api",
    ),
    Looseness(
        "github",
        r"GET blob: .*",
        "answer",
        r"is called application/vnd\.github\.raw(\+json)?(;.*)?, not application/json",
        "what a client that accepts the raw media type gets: "
        "https://docs.github.com/rest/git/blobs#get-a-blob",
    ),
    Looseness(
        "github",
        r".* -> 422",
        "answer",
        r"Unevaluated properties are not allowed \('status' was unexpected\)",
        "every error body has had `status` for years; the description says so of its basic error, and forgot "
        "it at the 422",
    ),
    Looseness(
        "github",
        r"LIST installations: .*",
        r"answer/\d+/account",
        "fits no alternative.*",
        "an account is a user and an enterprise at once (allOf) in this list, and one of them (anyOf) in "
        "every other installation",
    ),
    Looseness(
        "resource-manager",
        r"\w+ apis?: .*",
        r"(body|answer(/value/\d+)?)/properties/subscriptionKeyParameterNames",
        r".*\('bearer' was unexpected\)",
        "Microsoft's own samples write the field (Azure-Samples/AI-Gateway, inference-api.bicep), and no "
        "published description has it: the app reads back whether it was kept",
    ),
)

#: API Management and Key Vault write null for what is not set, in answers and error bodies; the descriptions
#: know no null.
NULL_IS_ABSENT = ("resource-manager", "key-vault")

#: What is described here in an older version than the one that is spoken: accounts and deployments as of
#: 2024-10-01.
_OLDER = re.compile(r"/subscriptions/.*/providers/Microsoft\.CognitiveServices/.*", re.IGNORECASE)

#: What any operation of GitHub's may answer, said once
#: (https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api and
#: .../best-practices-for-using-the-rest-api for 304) and not again at most operations.
_GITHUBS = {
    401: "basic-error",
    403: "basic-error",
    404: "basic-error",
    409: "basic-error",
    422: "validation-error",
    429: "basic-error",
}


def is_described_older(path: str) -> bool:
    """Whether properties may have been added since the description was written."""
    return _OLDER.fullmatch(path) is not None


def general_answer(server: str, status: int) -> Answer | None:
    """What every operation of a server may answer, declared or not."""
    if server != "github" or status not in (304, *_GITHUBS):
        return None
    schemas = part(DIRECTORY / "github" / "api.github.com.subset.json")["components"]["schemas"]
    return Answer(None if status == 304 else schemas[_GITHUBS[status]], ())
