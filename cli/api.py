"""The client of the HTTP API. It calls the API in the name of the user who is signed in to Entra."""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from shared.documents.problem import visible

#: Seconds. Azure ends a call after 230 seconds.
TIMEOUT = 240
#: Shown at the end of every `--help`.
EXIT_CODES = (
    "Exit codes: 0: done; 1: something was refused, failed or not found, or you answered no; 2: the API "
    "could not be called, or did not answer."
)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

Url = Annotated[
    str,
    typer.Option(envvar="MERGEKEY_URL", help="The address of the function app: https://...azurewebsites.net"),
]
Audience = Annotated[str, typer.Option(envvar="MERGEKEY_AUDIENCE", help="The audience of tokens: api://...")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's answer as JSON.")]


@dataclass(frozen=True)
class Api:
    """The API's address, and the audience of its tokens."""

    url: str
    audience: str

    def get(self, path: str, query: dict[str, Any] | None = None) -> Any:
        """Call by GET, without the query's None values. Ends the command if the API does not answer."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return self._call("GET", f"{path}?{urllib.parse.urlencode(given)}" if given else path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Call by POST. Ends the command if the API does not answer."""
        return self._call("POST", path, json.dumps(body).encode())

    def _call(self, method: str, path: str, body: bytes | None) -> Any:
        where = urllib.parse.urlsplit(self.url)
        if where.scheme != "https" and not (where.scheme == "http" and where.hostname in LOOPBACK):
            raise unusable("--url must begin with https://, because a token is sent there.")
        headers = {"Authorization": f"Bearer {_token(self.audience)}", "Content-Type": "application/json"}
        address = f"{self.url.rstrip('/')}/api/{path}"
        # The scheme was checked above.
        request = urllib.request.Request(address, body, headers, method=method)  # noqa: S310
        try:
            with _opener().open(request, timeout=TIMEOUT) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise self._refused(error) from None
        except (OSError, ValueError) as error:
            raise unusable(f"No answer from {self.url}: {getattr(error, 'reason', error)}") from None
        try:
            return json.loads(content)
        except ValueError:
            raise unusable(self._foreign_answer(200)) from None

    def _refused(self, error: urllib.error.HTTPError) -> typer.Exit:
        """The API's own 404 is an answer: there is no such thing."""
        problem = _problem_of(error)
        ended = unusable(problem or self._foreign_answer(error.code))
        return typer.Exit(1) if problem is not None and error.code == 404 else ended

    def _foreign_answer(self, status: int) -> str:
        """The message for an answer of Azure while the app is stopped, or of another server."""
        return (
            f"{status} from {self.url}: not Mergekey's own answer. Is the app running, and is the address "
            "without /api?"
        )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The API does not redirect. Another server that does must not get the token."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirects)


def unusable(message: str) -> typer.Exit:
    """Print the message and exit with code 2: the API could not be called."""
    typer.echo(visible(message), err=True)
    return typer.Exit(2)


def _token(audience: str) -> str:
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import DefaultAzureCredential

    # The SDK logs a line for each way to sign in that failed; the message below says what to do.
    logging.getLogger("azure.identity").setLevel(logging.CRITICAL)
    try:
        return DefaultAzureCredential().get_token(f"{audience}/.default").token
    except ClientAuthenticationError as error:
        first = (error.message or "").strip().splitlines()[:1]
        raise unusable(
            f"Entra gives no token for {audience}. Sign in: az login. ({''.join(first)})"
        ) from None


def _problem_of(error: urllib.error.HTTPError) -> str | None:
    """The API's own message; None if the body is not a problem of the API."""
    try:
        problem = json.loads(error.read())
        return f"{error.code}: {problem['reason']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return None
