"""What the servers say: reads for checks, and the team's own read of its key with the Key Vault SDK."""

from __future__ import annotations

import os
import ssl
import urllib.error
import urllib.parse
from collections.abc import Mapping
from typing import Any

from standins.identity import IDENTITY_HEADER
from standins.stack import APIM_ID, Stack, ask

_ARM, _AKS = "https://management.azure.com/", "6dae42f8-4368-4678-94ff-3960e28e3630"


class Callers:
    """What a team does: read its key in the vault, and call a model with it."""

    def __init__(self, addresses: Mapping[str, str], ca: str) -> None:
        self._addresses = addresses
        self._ca = ca
        self._trust = ssl.create_default_context(cafile=ca)
        os.environ["IDENTITY_ENDPOINT"] = f"{addresses['identity']}/msi/token"
        os.environ["IDENTITY_HEADER"] = IDENTITY_HEADER

    def fetch(self, secret: str, group: str) -> str:
        """As a member of the team's Entra group does it: the real Key Vault SDK, the real credential
        class.
        """
        from azure.identity import ManagedIdentityCredential
        from azure.keyvault.secrets import SecretClient

        credential = ManagedIdentityCredential(client_id=f"team-reader-{group}")
        vault = self._addresses["key-vault"]
        with SecretClient(
            vault, credential, verify_challenge_resource=False, connection_verify=self._ca
        ) as client:
            return str(client.get_secret(secret).value)

    def may_fetch(self, secret: str, group: str) -> bool:
        from azure.core.exceptions import HttpResponseError

        try:
            self.fetch(secret, group)
        except HttpResponseError:
            return False
        return True

    def chat(self, key: str, model: str) -> str:
        """What the model says to "Hello!", with the official client, or the status and the code of the
        refusal.
        """
        import httpx
        from openai import APIStatusError, AzureOpenAI

        with httpx.Client(verify=self._trust) as http:
            given: Any = {
                "api_key": key or "none",
                "api_version": "2024-10-21",
                "http_client": http,
                "max_retries": 0,
            }
            client = AzureOpenAI(azure_endpoint=self._addresses["gateway"], **given)
            try:
                answer = client.chat.completions.create(
                    model=model, messages=[{"role": "user", "content": "Hello!"}]
                )
            except APIStatusError as refused:
                return f"{refused.status_code} {refused.code}"
        return str(answer.choices[0].message.content)


class Servers(Callers):
    """Reads of the stand-ins' state through their public interfaces."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack.addresses, stack.ca)
        self._stack = stack

    def gateway(self, path: str, method: str = "GET") -> Any:
        """Something of API Management, or None when it is not there."""
        url = f"{self._stack.addresses['resource-manager']}{APIM_ID}/{path}"
        return self._ask(method, f"{url}{'&' if '?' in path else '?'}api-version=2024-05-01", _ARM)

    def cluster(self, path: str) -> Any:
        """Something of Kubernetes, or None when it is not there."""
        server, authority = self._stack.api_server()
        return self._ask("GET", f"{server}{path}", _AKS, ssl.create_default_context(cadata=authority))

    def workspace(self, team: str, name: str) -> Any:
        """A KAITO workspace, or None when it is not there. The app's identity may only list them."""
        listed = self.cluster(f"/apis/kaito.sh/v1beta1/namespaces/team-{team}/workspaces")
        return next((item for item in listed["items"] if item["metadata"]["name"] == name), None)

    def keys(self, team: str) -> tuple[str, str]:
        """The keys that API Management holds for the team."""
        answer = self.gateway(f"subscriptions/team-{team}/listSecrets", "POST")
        return answer["primaryKey"], answer["secondaryKey"]

    def _ask(self, method: str, url: str, audience: str, trust: ssl.SSLContext | None = None) -> Any:
        signed = {"Authorization": f"Bearer {self._token(audience)}"}
        try:
            return ask(method, url, None, signed, trust or self._trust)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def _token(self, audience: str) -> str:
        query = urllib.parse.urlencode({"resource": audience, "api-version": "2019-08-01"})
        url = f"{self._stack.addresses['identity']}/msi/token?{query}"
        return str(ask("GET", url, None, {"X-IDENTITY-HEADER": IDENTITY_HEADER})["access_token"])
