"""The road from a push to the keys, as people see it: Git on one end, the real SDKs on the other, GitHub's
reports beside it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

from azure.identity import ManagedIdentityCredential
from azure.keyvault.secrets import SecretClient
from azure.mgmt.apimanagement import ApiManagementClient
from azure.mgmt.apimanagement.models import PolicyFragmentContract
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.cognitiveservices import CognitiveServicesManagementClient
from azure.servicebus import ServiceBusClient, ServiceBusReceivedMessage, ServiceBusReceiver, ServiceBusSender
from kubernetes import client as kubernetes

from standins.stack import APIM_ID, FOUNDRY_ID, REPOSITORY, VAULT_ID, Invocation, Stack, wait_until
from standins.world import SUBSCRIPTION
from tests.cluster.real import ADMINISTRATOR
from tests.end_to_end.written import Clone

DAY = 86400.0
AKS_SCOPE = "6dae42f8-4368-4678-94ff-3960e28e3630/.default"
#: What a new team costs at the gateway, and what a changed limit costs.
A_NEW_TEAM = Counter(
    {
        "PUT product": 1,
        "PUT product policy": 1,
        "PUT product api": 2,
        "PUT subscription": 1,
        "PATCH product": 1,
        "DELETE subscription": 1,  # the administrator's
    }
)
A_CHANGED_LIMIT = Counter({"PUT product policy": 1, "PATCH product": 1})


@dataclass(frozen=True)
class Push:
    """A push and what the webhook was answered."""

    commit: str
    delivery: str
    answer: int


@dataclass(frozen=True)
class DeadLetter:
    """A message that waits for a person: what is known about it, and the body as it was."""

    about: dict[str, Any]
    body: bytes

    @classmethod
    def of(cls, message: ServiceBusReceivedMessage) -> DeadLetter:
        return cls(
            {_text(name): _text(value) for name, value in (message.application_properties or {}).items()},
            b"".join(message.body),
        )


def _text(value: Any) -> Any:
    """The SDK gives text as bytes."""
    return value.decode() if isinstance(value, bytes) else value


class Road:
    """Everything on this machine. Tests run one after the other, so what is counted between two moments
    belongs to one test.
    """

    def __init__(self, stack: Stack, clone: Clone) -> None:
        self.stack = stack
        self.clone = clone
        self._state_of_bus = sqlite3.connect(f"file:{stack.folder / 'service-bus.sqlite'}?mode=ro", uri=True)
        self._senders: dict[str, ServiceBusSender] = {}
        self._closing = ExitStack()
        self._closing.callback(self._state_of_bus.close)
        self.foundry_at = FOUNDRY_ID.split("/")[4], FOUNDRY_ID.split("/")[-1]
        self._apim_at = APIM_ID.split("/")[4], APIM_ID.split("/")[-1]

    def close(self) -> None:
        self._closing.close()

    # Git and time

    def push(self, message: str, *options: str) -> Push:
        """Commit what differs, push, and wait until nothing moves any more; what is scheduled stays so."""
        commit = self.clone.commit(message)
        return Push(commit, *self.push_ref("main", *options))

    def push_ref(self, ref: str, *options: str) -> tuple[str, int]:
        """Push as `git push` says it, and wait as `push` does: the delivery's id and the answer to it."""
        known = len(self.deliveries())
        self.clone.git("push", "--quiet", *options, "origin", ref)
        return self.answered(known)

    def answered(self, known: int) -> tuple[str, int]:
        """Wait for the delivery after the first `known` ones, and for all that follows from it: its id and
        the answer to it.
        """
        delivery = wait_until("the webhook is answered", lambda: self._answered(known))
        self.settle()
        return delivery["guid"], delivery["status_code"]

    def redeliver(self, push: Push) -> int:
        """Let GitHub deliver the push once more, and wait as `push` does; returns the answer."""
        known = len(self.deliveries())
        self.stack.github("POST", f"/_standin/deliveries/{push.delivery}/redeliver")
        return self.answered(known)[1]

    def today(self) -> date:
        """The day of the stand-ins' clock, in UTC."""
        return datetime.fromtimestamp(self.stack.control.now(), UTC).date()

    def at_daybreak(self) -> None:
        """Move the clock to where midnight is far away."""
        self.advance(DAY - self.stack.control.now() % DAY)

    def advance(self, seconds: float) -> None:
        """Move the clock, and wait until what was due is done. Nobody has a lock then that the move would
        end.
        """
        self.settle()
        self.stack.control.advance(seconds)
        self.stack.control.now()  # a second call: by now the timers of the first have fired
        self.settle()

    def sweep(self) -> None:
        """Look at everything, as the timer does."""
        swept = len(self._calls("sweep"))
        self.stack.run_function("start_sweeps")
        wait_until("the sweep is over", lambda: len(self._calls("sweep")) > swept)
        self.settle()

    def settle(self) -> None:
        wait_until("no message is under way", self._has_settled)

    def _has_settled(self) -> bool:
        quiet = self.is_quiet()
        if not quiet:
            self.stack.require_host()
        return quiet

    def deliveries(self) -> list[dict[str, Any]]:
        deliveries: list[dict[str, Any]] = self.stack.github("GET", "/_standin/deliveries")
        return deliveries

    def _calls(self, function: str) -> list[Invocation]:
        return [call for call in self.stack.invocations() if call.function == function]

    def _answered(self, known: int) -> dict[str, Any] | None:
        deliveries = self.deliveries()
        return (
            deliveries[known]
            if len(deliveries) > known and deliveries[known]["status_code"] is not None
            else None
        )

    def is_quiet(self) -> bool:
        """Whether every message is scheduled, or waits for a person among the dead letters."""
        active = (
            "SELECT count(*) FROM messages WHERE json_extract(value, '$.state') = 0 AND key NOT LIKE "
            "'dead-letters|%'"
        )
        return bool(self._state_of_bus.execute(active).fetchone() == (0,))

    # GitHub

    def statuses(self, commit: str) -> dict[str, tuple[str, str]]:
        """State and description by context, the newest of each."""
        rows = self.stack.github("GET", f"/repos/{REPOSITORY}/commits/{commit}/statuses?per_page=100")
        return {row["context"]: (row["state"], row["description"]) for row in reversed(rows)}

    def status(self, push: Push, team: str, stage: str, state: str, word: str = "") -> str:
        """The description of the team's status, as soon as it has this state and this word: reports follow
        when the work is done.
        """
        context = f"mergekey/{team}/{stage}"
        return str(
            wait_until(
                f"{context} is {state} {word}", lambda: self._status(push.commit, context, (state, word))
            )
        )

    def _status(self, commit: str, context: str, wanted: tuple[str, str]) -> str | None:
        state, description = self.statuses(commit).get(context, ("", ""))
        return description if state == wanted[0] and wanted[1] in description else None

    def check_runs(self, push: Push) -> list[dict[str, Any]]:
        answer = self.stack.github("GET", f"/repos/{REPOSITORY}/commits/{push.commit}/check-runs?filter=all")
        runs: list[dict[str, Any]] = answer["check_runs"]
        return runs

    def annotations(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.stack.github(
            "GET", f"/repos/{REPOSITORY}/check-runs/{run['id']}/annotations"
        )
        return rows

    # What was counted

    def count(self, server: str, *verbs: str) -> Counter[str]:
        """Calls since the start of the test, by kind."""
        return Counter(
            call.kind for call in self.stack.control.calls(server) if call.kind.split()[0] in verbs
        )

    def gateway_writes(self, *teams: str) -> Counter[str]:
        """Every call that changed something at API Management; with teams: those that name one of them."""
        calls = (
            call
            for call in self.stack.control.calls("resource-manager")
            if "/Microsoft.ApiManagement/" in call.target
        )
        named = (call for call in calls if not teams or any(f"/team-{team}" in call.target for team in teams))
        writes = (call.kind for call in named if not call.kind.startswith(("GET", "LIST", "HEAD")))
        return Counter(kind for kind in writes if kind != "POST subscription listSecrets")

    def vault_writes(self) -> Counter[str]:
        return self.count("key-vault", "PUT", "PATCH", "DELETE", "POST")

    # Azure, through the SDKs

    @cached_property
    def apim(self) -> ApiManagementClient:
        base, ca = self.stack.addresses["resource-manager"], self.stack.ca
        return ApiManagementClient(
            ManagedIdentityCredential(), SUBSCRIPTION, base_url=base, connection_verify=ca
        )

    @cached_property
    def vault(self) -> SecretClient:
        """The vault as an officer of it sees it: the app itself may not read."""
        return self._vault(ManagedIdentityCredential(client_id="vault-officer"))

    def reader(self, group: str) -> SecretClient:
        """The vault as a member of the group sees it."""
        return self._vault(ManagedIdentityCredential(client_id=f"team-reader-{group}"))

    def _vault(self, credential: ManagedIdentityCredential) -> SecretClient:
        url, ca = self.stack.addresses["key-vault"], self.stack.ca
        return SecretClient(
            url, credential, verify_challenge_resource=False, connection_verify=ca, retry_total=0
        )

    def product(self, team: str) -> Any:
        return self.apim.product.get(*self._apim_at, f"team-{team}")

    def products(self) -> set[str]:
        return {str(product.name) for product in self.apim.product.list_by_service(*self._apim_at)}

    def policy(self, team: str) -> str:
        return str(
            self.apim.product_policy.get(*self._apim_at, f"team-{team}", "policy", format="rawxml").value
        )

    def fragment(self, name: str) -> str:
        return str(self.apim.policy_fragment.get(*self._apim_at, name, format="xml").value)

    def put_fragment(self, name: str, text: str) -> None:
        """By another hand."""
        self.apim.policy_fragment.begin_create_or_update(
            *self._apim_at, name, PolicyFragmentContract(value=text, format="xml")
        ).result()

    def linked_apis(self, team: str) -> list[str]:
        listed = self.apim.product_api.list_by_product(*self._apim_at, f"team-{team}")
        return sorted(str(api.name) for api in listed)

    def subscriptions(self, team: str) -> dict[str, str]:
        """The state of every subscription of the team's product, by name."""
        found = self.apim.product_subscriptions.list(*self._apim_at, f"team-{team}")
        return {str(subscription.name): str(subscription.state) for subscription in found}

    def subscription_names(self) -> set[str]:
        return {str(subscription.name) for subscription in self.apim.subscription.list(*self._apim_at)}

    def backends(self, team: str) -> set[str]:
        names = {str(backend.name) for backend in self.apim.backend.list_by_service(*self._apim_at)}
        return {name for name in names if name.startswith(f"team-{team}--")}

    def issued_keys(self, team: str) -> tuple[str, str]:
        """What API Management says the team's keys are."""
        keys = self.apim.subscription.list_secrets(*self._apim_at, f"team-{team}")
        return str(keys.primary_key), str(keys.secondary_key)

    def stored_keys(self, team: str) -> tuple[str | None, str | None]:
        """What the vault says the team's keys are."""
        return self.vault.get_secret(f"{team}-primary-key").value, self.vault.get_secret(
            f"{team}-secondary-key"
        ).value

    def has_its_keys(self, team: str) -> bool:
        """Whether the team's keys have arrived."""
        return self.subscriptions(team) == {f"team-{team}": "active"} and self.stored_keys(
            team
        ) == self.issued_keys(team)

    @cached_property
    def _client(self) -> ServiceBusClient:
        client = ServiceBusClient.from_connection_string(self.stack.settings()["SERVICE_BUS"])
        return self._closing.enter_context(client)

    @cached_property
    def _letters(self) -> ServiceBusReceiver:
        return self._closing.enter_context(self._client.get_queue_receiver("dead-letters"))

    def dead_letters(self, *teams: str) -> list[DeadLetter]:
        """The dead letters of these teams, or all, peeked with the SDK."""
        letters = [
            DeadLetter.of(message)
            for message in self._letters.peek_messages(max_message_count=250, sequence_number=1)
        ]
        return [letter for letter in letters if not teams or letter.about["team"] in teams]

    def sender(self, entity: str) -> ServiceBusSender:
        """To a queue or the topic. It stays open: opening and closing one takes the SDK more than a
        second.
        """
        if entity not in self._senders:
            make = (
                self._client.get_topic_sender if entity == "access-changes" else self._client.get_queue_sender
            )
            self._senders[entity] = self._closing.enter_context(make(entity))
        return self._senders[entity]

    def readers(self, team: str) -> set[str]:
        """The groups that hold a role on a secret of the team."""
        base, ca = self.stack.addresses["resource-manager"], self.stack.ca
        roles = AuthorizationManagementClient(
            ManagedIdentityCredential(), SUBSCRIPTION, base_url=base, connection_verify=ca
        )
        found = roles.role_assignments.list_for_scope(VAULT_ID)
        return {str(role.principal_id) for role in found if f"/secrets/{team}-" in str(role.scope)}

    # The playground, through the SDKs

    @cached_property
    def foundry(self) -> CognitiveServicesManagementClient:
        base, ca = self.stack.addresses["resource-manager"], self.stack.ca
        return CognitiveServicesManagementClient(
            ManagedIdentityCredential(), SUBSCRIPTION, base_url=base, connection_verify=ca
        )

    def projects(self) -> dict[str, Any]:
        """The account's projects, by name."""
        found = self.foundry.projects.list(*self.foundry_at)
        return {str(project.name).rpartition("/")[2]: project for project in found}

    def traces_of(self, team: str) -> list[str]:
        """Where the project's connections lead."""
        found = self.foundry.project_connections.list(*self.foundry_at, f"team-{team}")
        return [str(connection.properties.target) for connection in found]

    def users(self, team: str) -> list[tuple[str, str]]:
        """Group and role of every assignment on the team's project itself."""
        base, ca = self.stack.addresses["resource-manager"], self.stack.ca
        roles = AuthorizationManagementClient(
            ManagedIdentityCredential(), SUBSCRIPTION, base_url=base, connection_verify=ca
        )
        at = f"{FOUNDRY_ID}/projects/team-{team}".lower()
        found = [
            role
            for role in roles.role_assignments.list_for_scope(FOUNDRY_ID)
            if str(role.scope).lower() == at
        ]
        return [(str(role.principal_id), str(role.role_definition_id).rpartition("/")[2]) for role in found]

    # The cluster, through the SDK

    def workspaces(self, team: str) -> list[dict[str, Any]]:
        api = kubernetes.CustomObjectsApi(self.cluster)
        answer: Any = api.list_namespaced_custom_object("kaito.sh", "v1beta1", f"team-{team}", "workspaces")
        items: list[dict[str, Any]] = answer["items"]
        return items

    def limits(self, team: str) -> list[dict[str, Any]]:
        """What the quotas and the network policies of the team's namespace say."""
        quotas: Any = kubernetes.CoreV1Api(self.cluster).list_namespaced_resource_quota(f"team-{team}")
        policies: Any = kubernetes.NetworkingV1Api(self.cluster).list_namespaced_network_policy(
            f"team-{team}"
        )
        return [item.spec.to_dict() for item in (*quotas.items, *policies.items)]

    def namespaces(self) -> set[str]:
        found: Any = kubernetes.CoreV1Api(self.cluster).list_namespace()
        return {item.metadata.name for item in found.items}

    @cached_property
    def cluster(self) -> kubernetes.ApiClient:
        """As an administrator of the cluster sees it."""
        configuration = kubernetes.Configuration()
        configuration.host, configuration.ca_cert_data = self.stack.api_server()
        token = ManagedIdentityCredential(client_id=ADMINISTRATOR).get_token(AKS_SCOPE).token
        configuration.api_key = {"BearerToken": f"Bearer {token}"}
        return kubernetes.ApiClient(configuration)
