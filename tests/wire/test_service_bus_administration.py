"""The management interface of the Service Bus stand-in, driven by azure.servicebus.aio.management over a socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity.aio import ManagedIdentityCredential
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.aio.management import ServiceBusAdministrationClient
from azure.servicebus.exceptions import MessagingEntityNotFoundError, ServiceBusError
from azure.servicebus.management import CorrelationRuleFilter, EntityStatus, SqlRuleAction, SqlRuleFilter, TrueRuleFilter

from tests.conftest import ROOT, StandIns
from tests.differences import known_difference
from tests.wire.azure_clients import managed_identity
from tests.wire.service_bus_room import QUEUE, connection_string, one, process, text

DECLARED = json.loads((ROOT / "infra" / "service-bus.json").read_text())
SERVER = "service-bus-administration"
#: A ServiceBusAdministrationClient. Of every field of its answers the SDK says that it may be None, whatever the service does.
Administration: TypeAlias = Any


def administration(url: str, ca: Path | str, name: str = "local", key: str = "local") -> Administration:
    host = urlsplit(url).netloc
    text = f"Endpoint=sb://{host};SharedAccessKeyName={name};SharedAccessKey={key};UseDevelopmentEmulator=true;"
    return ServiceBusAdministrationClient.from_connection_string(text, connection_verify=str(ca), retry_total=0)


class Bus:
    """The AMQP client. Its links are closed with it: closing takes the SDK a second, however many they are."""

    def __init__(self, client: ServiceBusClient) -> None:
        self._client = client
        self._links: list[Any] = []

    async def open(self, *links: Any) -> tuple[Any, ...]:
        self._links.extend(links)
        await asyncio.gather(*(link.__aenter__() for link in links))
        return links

    async def of_queue(self, name: str, **receiver: Any) -> tuple[Any, ...]:
        """A sender and a receiver."""
        return await self.open(self._client.get_queue_sender(name), self._client.get_queue_receiver(name, **receiver))

    async def of_topic(self, name: str, subscription: str) -> tuple[Any, ...]:
        """A sender to the topic, and a receiver of the subscription."""
        return await self.open(self._client.get_topic_sender(name), self._client.get_subscription_receiver(name, subscription))

    async def close(self) -> None:
        await asyncio.gather(*(link.close() for link in self._links))
        await self._client.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(standins: StandIns) -> AsyncIterator[Administration]:
    async with administration(standins.addresses[SERVER], standins.ca) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bus(standins: StandIns) -> AsyncIterator[Bus]:
    port = int(standins.addresses["service-bus"].rpartition(":")[2])
    bus = Bus(ServiceBusClient.from_connection_string(connection_string(port), retry_total=0))
    yield bus
    await bus.close()


@pytest.fixture
def name() -> str:
    return f"made-{uuid.uuid4().hex[:10]}"


@pytest_asyncio.fixture(loop_scope="session")
async def queue(client: Administration, name: str) -> AsyncIterator[str]:
    await client.create_queue(name)
    yield name
    with contextlib.suppress(ResourceNotFoundError):
        await client.delete_queue(name)


@pytest_asyncio.fixture(loop_scope="session")
async def topic(client: Administration, name: str) -> AsyncIterator[str]:
    await client.create_topic(name)
    yield name
    await client.delete_topic(name)


# ------------------------------------------------------------------------------------------------------- what is declared


async def test_what_the_file_declares_is_listed(client: Administration) -> None:
    assert DECLARED["queues"].keys() <= {queue.name async for queue in client.list_queues()}
    assert DECLARED["topics"].keys() <= {topic.name async for topic in client.list_topics()}
    [(topic_name, options)] = DECLARED["topics"].items()
    found = {each.name: each async for each in client.list_subscriptions(topic_name)}
    assert list(found) == sorted(options["subscriptions"])
    assert all(each.requires_session and each.max_delivery_count == 5 for each in found.values())


async def test_a_declared_queue_is_as_it_is_declared(client: Administration) -> None:
    queue = await client.get_queue("sweeps")
    assert (queue.requires_session, queue.max_delivery_count, queue.requires_duplicate_detection) == (True, 5, True)
    assert (queue.lock_duration, queue.duplicate_detection_history_time_window) == (timedelta(minutes=5), timedelta(minutes=10))
    assert (queue.dead_lettering_on_message_expiration, queue.forward_to, queue.status) == (True, None, EntityStatus.ACTIVE)


async def test_the_declared_rules_are_shown_by_name(client: Administration) -> None:
    rules = {rule.name: rule.filter async for rule in client.list_rules("access-changes", "provision-gateway")}
    assert {name: found.to for name, found in rules.items()} == {"all": "all", "provision-gateway": "provision-gateway"}
    rule = await client.get_rule("access-changes", "provision-gateway", "all")
    assert isinstance(rule.filter, CorrelationRuleFilter)
    assert (rule.filter.to, rule.filter.correlation_id, rule.filter.properties) == ("all", None, {})


async def test_the_namespace_says_what_it_is(client: Administration) -> None:
    namespace = await client.get_namespace_properties()
    assert (namespace.name, namespace.messaging_sku, namespace.messaging_units) == ("localhost", "Standard", None)
    assert namespace.created_at_utc <= datetime.now(UTC) + timedelta(days=3650)


# ------------------------------------------------------------------------------------------------------ what is going on


async def test_messages_are_counted_by_their_state(client: Administration, bus: Bus, queue: str) -> None:
    sender, receiver = await bus.of_queue(queue)
    await sender.send_messages([ServiceBusMessage(body) for body in ("deferred", "dead", "locked", "waiting", "abandoned")])
    await sender.schedule_messages(ServiceBusMessage("later"), datetime.now(UTC) + timedelta(days=9999))
    first, second, *_, last = [await one(receiver) for _ in range(5)]
    await receiver.defer_message(first)
    await receiver.dead_letter_message(second, reason="NoGood")
    await receiver.abandon_message(last)
    found = await client.get_queue_runtime_properties(queue)
    assert (found.active_message_count, found.dead_letter_message_count, found.scheduled_message_count) == (4, 1, 1)
    assert (found.total_message_count, found.transfer_message_count, found.transfer_dead_letter_message_count) == (6, 0, 0)
    assert found.size_in_bytes > 0
    assert found.accessed_at_utc >= found.created_at_utc


async def test_counts_follow_while_messages_come_due_and_go(client: Administration, bus: Bus, standins: StandIns, queue: str) -> None:
    async def counts() -> tuple[int, int, int]:
        found = await client.get_queue_runtime_properties(queue)
        return found.active_message_count, found.dead_letter_message_count, found.scheduled_message_count

    sender, receiver = await bus.of_queue(queue)
    due = datetime.fromtimestamp(standins.control.now(), UTC) + timedelta(minutes=30)
    [number] = await sender.schedule_messages(ServiceBusMessage("never"), due)
    await sender.schedule_messages([ServiceBusMessage(f"soon {each}") for each in range(20)], due)
    assert await counts() == (0, 0, 21)
    await sender.cancel_scheduled_messages(number)
    assert await counts() == (0, 0, 20)
    standins.control.advance(1801)
    messages = [await one(receiver) for _ in range(20)]
    assert await counts() == (20, 0, 0)
    await asyncio.gather(*(receiver.dead_letter_message(message) for message in messages[:7]))
    await asyncio.gather(*(receiver.complete_message(message) for message in messages[7:15]))
    assert await counts() == (5, 7, 0)


async def test_a_topic_holds_what_is_scheduled_and_its_subscriptions_the_rest(client: Administration, bus: Bus, topic: str) -> None:
    await client.create_subscription(topic, "readers")
    sender, _ = await bus.of_topic(topic, "readers")
    await sender.send_messages(ServiceBusMessage("now"))
    await sender.schedule_messages(ServiceBusMessage("later"), datetime.now(UTC) + timedelta(days=9999))
    of_topic = await client.get_topic_runtime_properties(topic)
    assert (of_topic.scheduled_message_count, of_topic.subscription_count) == (1, 1)
    [of_subscription] = [each async for each in client.list_subscriptions_runtime_properties(topic)]
    assert (of_subscription.active_message_count, of_subscription.total_message_count) == (1, 1)
    assert of_topic.size_in_bytes > 0


async def test_a_queue_that_nobody_used_was_never_accessed(client: Administration, queue: str) -> None:
    found = await client.get_queue_runtime_properties(queue)
    assert (found.accessed_at_utc.year, found.total_message_count, found.size_in_bytes) == (1, 0, 0)


# --------------------------------------------------------------------------------------------------- made, changed, deleted


async def test_a_queue_made_without_wishes_is_as_the_service_makes_it(client: Administration, name: str) -> None:
    made = await client.create_queue(name)
    found = await client.get_queue(name)
    await client.delete_queue(name)
    assert (made.name, found.name) == (name, name)
    assert (found.lock_duration, found.max_delivery_count, found.max_size_in_megabytes) == (timedelta(minutes=1), 10, 1024)
    assert not any((found.requires_session, found.requires_duplicate_detection, found.dead_lettering_on_message_expiration))
    assert found.default_message_time_to_live > timedelta(days=10_000_000)
    assert found.max_message_size_in_kilobytes == 256


async def test_settings_of_a_new_queue_hold_at_once(client: Administration, bus: Bus, name: str) -> None:
    wishes: dict[str, Any] = {"requires_session": True, "lock_duration": timedelta(seconds=90), "max_delivery_count": 1}
    made = await client.create_queue(name, default_message_time_to_live="PT2H30M", user_metadata="of the test", **wishes)
    assert (made.lock_duration, made.default_message_time_to_live) == (timedelta(seconds=90), timedelta(hours=2, minutes=30))
    assert made.user_metadata == "of the test"
    sender, receiver = await bus.of_queue(name, session_id="s", max_wait_time=120)
    await sender.send_messages(ServiceBusMessage("in a session", session_id="s"))
    message = await one(receiver)
    assert message.time_to_live == timedelta(hours=2, minutes=30)
    await receiver.abandon_message(message)
    assert (await client.get_queue_runtime_properties(name)).dead_letter_message_count == 1
    await client.delete_queue(name)


async def test_a_changed_queue_behaves_otherwise_at_once(client: Administration, bus: Bus, queue: str) -> None:
    sender, receiver = await bus.of_queue(queue)
    found = await client.get_queue(queue)
    found.max_delivery_count, found.lock_duration = 1, timedelta(minutes=3)
    await client.update_queue(found)
    await sender.send_messages(ServiceBusMessage("once"))
    await receiver.abandon_message(await one(receiver))
    changed, running = await client.get_queue(queue), await client.get_queue_runtime_properties(queue)
    assert (changed.max_delivery_count, changed.lock_duration) == (1, timedelta(minutes=3))
    assert running.dead_letter_message_count == 1
    assert running.updated_at_utc > running.created_at_utc


async def test_what_cannot_be_changed_or_is_out_of_bounds_is_refused(client: Administration, queue: str) -> None:
    found = await client.get_queue(queue)
    for change, words in (
        ({"requires_session": True}, "RequiresSession property of an existing Queue cannot be changed"),
        ({"requires_duplicate_detection": True}, "RequiresDuplicateDetection property of an existing Queue cannot be changed"),
        ({"lock_duration": timedelta(days=25)}, "exceeds the allowed maximum of '5' minutes"),
        ({"max_delivery_count": 0}, "MaxDeliveryCount"),
        ({"max_size_in_megabytes": 81920}, "MaxSizeInMegabytes"),
    ):
        with pytest.raises(HttpResponseError, match=words) as refused:
            await client.update_queue(found, **change)
        assert refused.value.status_code == 400
    assert (await client.get_queue(queue)).lock_duration == timedelta(minutes=1)


async def test_rules_decide_at_once_what_a_subscription_gets(client: Administration, bus: Bus, topic: str) -> None:
    await client.create_subscription(topic, "some")
    assert [rule.name async for rule in client.list_rules(topic, "some")] == ["$Default"]
    assert isinstance((await client.get_rule(topic, "some", "$Default")).filter, TrueRuleFilter)
    await client.delete_rule(topic, "some", "$Default")
    made = await client.create_rule(topic, "some", "for-a", filter=CorrelationRuleFilter(to="a", label="news"))
    assert (made.filter.to, made.filter.label) == ("a", "news")
    sender, receiver = await bus.of_topic(topic, "some")

    async def send(*messages: tuple[str, str]) -> None:
        await sender.send_messages([ServiceBusMessage(f"{to} {subject}", to=to, subject=subject) for to, subject in messages])

    await send(("a", "olds"), ("b", "news"), ("a", "news"))
    assert text(await one(receiver)) == "a news"
    made.filter = CorrelationRuleFilter(to="b")
    await client.update_rule(topic, "some", made)
    await send(("a", "news"), ("b", "olds"))
    assert text(await one(receiver)) == "b olds"
    await client.delete_rule(topic, "some", "for-a")
    assert [rule async for rule in client.list_rules(topic, "some")] == []


async def test_an_open_link_learns_that_its_queue_is_deleted(client: Administration, bus: Bus, queue: str) -> None:
    sender, receiver = await bus.of_queue(queue)
    await sender.send_messages([ServiceBusMessage("locked"), ServiceBusMessage("waiting")])
    locked = await one(receiver)
    await client.delete_queue(queue)
    with pytest.raises(MessagingEntityNotFoundError):
        await sender.send_messages(ServiceBusMessage("too late"))
    with pytest.raises(ServiceBusError):
        await receiver.complete_message(locked)
    await client.create_queue(queue)
    assert (await client.get_queue_runtime_properties(queue)).total_message_count == 0


async def test_a_deleted_subscription_gets_nothing_and_a_deleted_topic_takes_it_along(client: Administration, bus: Bus, name: str) -> None:
    await client.create_topic(name)
    for child in ("kept", "gone"):
        await client.create_subscription(name, child)
    await client.delete_subscription(name, "gone")
    sender, _ = await bus.of_topic(name, "kept")
    await sender.send_messages(ServiceBusMessage("for one"))
    assert [each.name async for each in client.list_subscriptions(name)] == ["kept"]
    await client.delete_topic(name)
    for missing in (client.get_topic(name), client.get_subscription(name, "kept")):
        with pytest.raises(ResourceNotFoundError):
            await missing
    with pytest.raises(ServiceBusError):
        await bus.of_topic(name, "kept")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[tuple[Administration, ServiceBusClient]]:
    """A process with one queue and one topic declared, which is killed at the end, and its clients."""
    entities = {"queues": {"declared": QUEUE}, "topics": {"news": {"subscriptions": {}}}}
    with process(folder, entities, "--only", "service-bus", SERVER) as (_, connection):
        url = f"https://localhost:{json.loads((folder / 'ports.json').read_text())[SERVER]}"
        yield administration(url, folder / "ca.pem"), ServiceBusClient.from_connection_string(connection)


async def test_what_was_made_outlives_a_kill(tmp_path: Path) -> None:
    with running(tmp_path) as (client, bus):
        async with client, bus:
            await client.create_queue("made", lock_duration="PT2M")
            await client.create_queue("unmade")
            await client.create_subscription("news", "readers", max_delivery_count=3)
            await client.create_rule("news", "readers", "one", filter=CorrelationRuleFilter(session_id="s"))
            await client.delete_queue("unmade")
            created = (await client.get_queue_runtime_properties("made")).created_at_utc
            async with bus.get_queue_sender("made") as sender:
                await sender.send_messages(ServiceBusMessage("kept"))
    with running(tmp_path) as (client, bus):
        async with client, bus:
            assert [queue.name async for queue in client.list_queues()] == ["declared", "made"]
            found = await client.get_queue_runtime_properties("made")
            assert (found.active_message_count, found.created_at_utc) == (1, created)
            assert (await client.get_queue("made")).lock_duration == timedelta(minutes=2)
            assert (await client.get_subscription("news", "readers")).max_delivery_count == 3
            assert {rule.name async for rule in client.list_rules("news", "readers")} == {"$Default", "one"}
            async with bus.get_queue_receiver("made") as receiver:
                assert text(await one(receiver)) == "kept"


@known_difference(
    "service-bus-administration",
    "What was changed about a declared entity stays so; a start of the stand-in is like a deployment of the file.",
)
async def test_a_change_of_a_declared_entity_outlives_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as (client, bus):
        async with client, bus:
            declared = await client.get_queue("declared")
            await client.update_queue(declared, max_delivery_count=9)
    with running(tmp_path) as (client, bus):
        async with client, bus:
            assert (await client.get_queue("declared")).max_delivery_count == 9


# -------------------------------------------------------------------------------------------------- lists, and what is not


async def test_long_lists_come_in_pages(client: Administration, standins: StandIns, topic: str) -> None:
    names = [f"s-{number}" for number in range(5)]
    await asyncio.gather(*(client.create_subscription(topic, each) for each in names))
    assert [each.name async for each in client.list_subscriptions(topic, max_page_size=2)] == names
    assert [each.name async for each in client.list_subscriptions(topic, start_index=3, max_page_size=1)] == names[3:]
    pages = [call.target for call in standins.control.calls(SERVER) if f"/{topic}/subscriptions?" in call.target]
    assert len(pages) == 3 + 2


async def test_what_is_not_there_is_not_found(client: Administration, topic: str) -> None:
    found = await client.get_queue("sweeps")
    found.name = "absent"
    rule = CorrelationRuleFilter(to="a")
    for asked in (
        client.get_queue("absent"),
        client.get_queue_runtime_properties("absent"),
        client.get_topic("absent"),
        client.delete_queue("absent"),
        client.update_queue(found),
        client.get_subscription(topic, "absent"),
        client.delete_subscription(topic, "absent"),
        client.create_subscription("absent", "s"),
        client.get_rule("access-changes", "provision-gateway", "absent"),
        client.delete_rule("access-changes", "provision-gateway", "absent"),
        client.create_rule(topic, "absent", "r", filter=rule),
    ):
        with pytest.raises(ResourceNotFoundError):
            await asked


async def test_what_is_there_is_not_made_again(client: Administration, topic: str) -> None:
    await client.create_subscription(topic, "s")
    for asked in (
        client.create_queue("Sweeps"),
        client.create_queue(topic),
        client.create_topic(topic),
        client.create_subscription(topic, "s"),
        client.create_rule(topic, "s", "$Default", filter=CorrelationRuleFilter(to="a")),
    ):
        with pytest.raises(ResourceExistsError):
            await asked


async def test_names_that_the_service_does_not_take_are_refused(client: Administration, topic: str) -> None:
    for asked in (client.create_queue("-dash-"), client.create_topic("a b"), client.create_subscription(topic, "s" * 51)):
        with pytest.raises(HttpResponseError) as refused:
            await asked
        assert refused.value.status_code == 400


async def test_what_the_stand_in_does_not_know_is_refused_loudly(client: Administration, topic: str, name: str) -> None:
    await client.create_subscription(topic, "s")
    action = SqlRuleAction("SET Priority = 'low'")
    for asked in (
        client.create_rule(topic, "s", "sql", filter=SqlRuleFilter("Priority = 'low'")),
        client.create_rule(topic, "s", "custom", filter=CorrelationRuleFilter(properties={"colour": "red"})),
        client.create_rule(topic, "s", "acting", filter=CorrelationRuleFilter(to="a"), action=action),
        client.create_queue(f"{name}-2", forward_to="sweeps"),
        client.create_queue(f"{name}-2", enable_partitioning=True),
        client.create_queue(f"{name}-2", auto_delete_on_idle="PT1H"),
        client.create_queue(f"{name}-2", status=EntityStatus.DISABLED),
    ):
        with pytest.raises(HttpResponseError, match="this stand-in does not know") as refused:
            await asked
        assert refused.value.status_code == 501


# ------------------------------------------------------------------------------------------------------------- who may ask


async def test_only_the_right_key_opens(standins: StandIns) -> None:
    for name, key in (("local", "guessed"), ("nobody", "local")):
        async with administration(standins.addresses[SERVER], standins.ca, name, key) as client:
            with pytest.raises(ClientAuthenticationError, match="claim is empty or token is invalid"):
                await client.get_queue("sweeps")


async def test_a_key_without_the_manage_claim_may_not_even_look(standins: StandIns) -> None:
    before = standins.control.options("service-bus")["shared_access_keys"]
    listening = {"listening": {"key": "k", "claims": ["Listen", "Send"]}}
    standins.control.set_options("service-bus", shared_access_keys=before | listening)
    try:
        async with administration(standins.addresses[SERVER], standins.ca, "listening", "k") as client:
            with pytest.raises(ClientAuthenticationError, match="Manage,EntityRead claims required"):
                await client.get_queue("sweeps")
    finally:
        standins.control.set_options("service-bus", shared_access_keys=before)


@dataclass(frozen=True)
class ForAnotherService:
    """Tokens of the same identity that are good elsewhere."""

    credential: ManagedIdentityCredential

    async def get_token(self, *_: str, **options: Any) -> AccessToken:
        token: AccessToken = await self.credential.get_token("https://vault.azure.net/.default", **options)
        return token

    async def close(self) -> None: ...


@contextlib.asynccontextmanager
async def as_the_app(standins: StandIns, wrapper: Callable[[Any], Any] = lambda credential: credential) -> AsyncIterator[Administration]:
    """A client with tokens of the app's identity. The wrapper makes another credential of its own."""
    host = urlsplit(standins.addresses[SERVER]).netloc
    with managed_identity(standins):
        async with (
            ManagedIdentityCredential() as credential,
            ServiceBusAdministrationClient(host, wrapper(credential), connection_verify=standins.ca) as client,
        ):
            yield client


async def test_a_token_of_the_app_is_good(standins: StandIns) -> None:
    async with as_the_app(standins) as client:
        assert (await client.get_queue("sweeps")).name == "sweeps"


async def test_a_token_for_another_service_is_not(standins: StandIns) -> None:
    async with as_the_app(standins, ForAnotherService) as client:
        with pytest.raises(ClientAuthenticationError, match="claim is empty or token is invalid"):
            await client.get_queue("sweeps")


async def test_with_roles_checked_a_principal_without_one_may_not_look(standins: StandIns) -> None:
    standins.control.set_options("service-bus", check_roles=True)
    try:
        async with as_the_app(standins) as client:
            with pytest.raises(ClientAuthenticationError, match="Manage,EntityRead claims required"):
                await client.get_queue("sweeps")
    finally:
        standins.control.set_options("service-bus", check_roles=False)
