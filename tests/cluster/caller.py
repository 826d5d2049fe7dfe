"""Requests to an API server with one token, without a client library."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
#: Seconds for an answer: with etcd away the server lets a request hang.
_PATIENCE = 30.0
#: What a request meets while the server is killed, starts, or waits for etcd.
AWAY = (OSError, http.client.HTTPException)


class Caller:
    """Answers are JSON. What is refused raises urllib's HTTPError, which has the status."""

    def __init__(self, address: str, token: str, authority: Path) -> None:
        self._address, self._token = address, token
        self._trust = ssl.create_default_context(cafile=str(authority))

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """One request; `kind` is the type of the body. None where the answer has none, as the OpenAPI
        document of a version has while it goes.
        """
        answer = self._ask(method, path, body, {"Content-Type": kind})
        return json.loads(answer) if answer else None

    def find(self, path: str) -> Any:
        """An object, or None where the server says that there is none."""
        try:
            return self.ask("GET", path)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def items(self, path: str) -> list[Any]:
        found: list[Any] = self.ask("GET", path)["items"]
        return found

    def attempt(self, method: str, path: str, body: Any = None, **headers: str) -> int:
        """The status of the answer to a request that may be refused; names of headers have `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self._ask(method, path, body, {"Content-Type": "application/json", **named})
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    def is_ready(self) -> bool:
        try:
            return self._ask("GET", "/readyz", None, {}) == b"ok"
        except AWAY:
            return False

    def _ask(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> bytes:
        content = None if body is None else json.dumps(body).encode()
        signed = {"Authorization": f"Bearer {self._token}", **headers}
        request = urllib.request.Request(self._address + path, content, signed, method=method)
        with urllib.request.urlopen(request, timeout=_PATIENCE, context=self._trust) as response:
            answer: bytes = response.read()
        return answer
