"""The operators' API of a platform, called in the name of whoever is signed in."""

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

#: Azure ends a call after 230 seconds.
PATIENCE = 240
#: For the end of every `--help`.
EXIT_CODES = (
    "Exit codes: 0 done; 1 something was refused, failed or not there, or you said no; 2 the question could "
    "not be asked or answered."
)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

Url = Annotated[
    str,
    typer.Option(envvar="MERGEKEY_URL", help="The address of the function app: https://...azurewebsites.net"),
]
Audience = Annotated[
    str, typer.Option(envvar="MERGEKEY_AUDIENCE", help="For whom tokens are made out: api://...")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs: what the API answers, as JSON.")]


@dataclass(frozen=True)
class Api:
    """Where it is and for whom tokens are made out."""

    url: str
    audience: str

    def get(self, path: str, query: dict[str, Any] | None = None) -> Any:
        """None values of the query are left out. Ends the command when there is no answer."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return self._call("GET", f"{path}?{urllib.parse.urlencode(given)}" if given else path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Ends the command when there is no answer."""
        return self._call("POST", path, json.dumps(body).encode())

    def _call(self, method: str, path: str, body: bytes | None) -> Any:
        where = urllib.parse.urlsplit(self.url)
        if where.scheme != "https" and not (where.scheme == "http" and where.hostname in LOOPBACK):
            raise unusable("--url must begin with https://: a token is sent there.")
        headers = {"Authorization": f"Bearer {_token(self.audience)}", "Content-Type": "application/json"}
        address = f"{self.url.rstrip('/')}/api/{path}"
        # looked at above
        request = urllib.request.Request(address, body, headers, method=method)  # noqa: S310
        try:
            with _opener().open(request, timeout=PATIENCE) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise unusable(_explained(error) or self._not_ours(error.code)) from None
        except (OSError, ValueError) as error:
            raise unusable(f"No answer from {self.url}: {getattr(error, 'reason', error)}") from None
        try:
            return json.loads(content)
        except ValueError:
            raise unusable(self._not_ours(200)) from None

    def _not_ours(self, status: int) -> str:
        """Azure answers for an app that is stopped, and whatever else is at a wrong address."""
        return (
            f"{status} from {self.url}: not Mergekey's own answer. Is the app running, and is the address "
            "without /api?"
        )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The API redirects nobody: whoever does must not get the token."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirects)


def unusable(message: str) -> typer.Exit:
    """Exit code 2: the question could not be asked."""
    typer.echo(visible(message), err=True)
    return typer.Exit(2)


def _token(audience: str) -> str:
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import DefaultAzureCredential

    # Each kind of sign-in that is not there is a line of the SDK's; what to do is said below.
    logging.getLogger("azure.identity").setLevel(logging.CRITICAL)
    try:
        return DefaultAzureCredential().get_token(f"{audience}/.default").token
    except ClientAuthenticationError as error:
        first = (error.message or "").strip().splitlines()[:1]
        raise unusable(
            f"Entra gives no token for {audience}. Sign in: az login. ({''.join(first)})"
        ) from None


def _explained(error: urllib.error.HTTPError) -> str | None:
    """In the API's own words, when they are the API's."""
    try:
        said = json.loads(error.read())
        return f"{error.code}: {said['reason']}: {said['detail']}"
    except (ValueError, KeyError, TypeError):
        return None
