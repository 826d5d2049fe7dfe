"""The local Functions host, run as a process of its own, with the app in tests/runtime/app and a broker of
its own.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender

from standins.functions_host.http_trigger import aiohttp_route
from standins.functions_host.index import Function
from standins.functions_host.invocation import Invoker
from standins.functions_host.options import HostError, read_options
from standins.functions_host.timer_trigger import Schedule, TimerTriggers
from standins.service_bus import serve
from standins.stack import FEW_SESSIONS
from standins.tests.hosting import ROOT, Host, eventually, lines, running_host
from standins.world import World

APP = ROOT / "tests" / "runtime" / "app"
KEYS = {"master": "the-master-key", "default": "the-default-key"}
ENTITIES = {
    "queues": {"jobs": {"requires_session": False, "lock_duration": "PT1M", "max_delivery_count": 3}},
    "topics": {
        "news": {
            "subscriptions": {
                "readers": {
                    "requires_session": True,
                    "lock_duration": "PT1M",
                    "max_delivery_count": 3,
                    "rules": {"all": {}},
                }
            }
        }
    },
}


@dataclass(frozen=True)
class Bench:
    """A host, its broker, and the two files they leave: what the functions saw, and the invocations."""

    host: Host
    senders: dict[str, ServiceBusSender]
    folder: Path

    def seen(self, function: str, **values: Any) -> list[dict[str, Any]]:
        """What this function saw, as far as it has these values."""
        rows = [row for row in lines(self.folder / "seen.jsonl") if row["function"] == function]
        return [row for row in rows if values.items() <= row.items()]

    def invocations(self, message_id: str) -> list[dict[str, Any]]:
        return [
            row for row in lines(self.folder / "invocations.jsonl") if row.get("message_id") == message_id
        ]

    async def send(self, entity: str, body: str, **properties: Any) -> str:
        """Send one message, and return its id."""
        message_id = uuid4().hex
        await self.senders[entity].send_messages(ServiceBusMessage(body, message_id=message_id, **properties))
        return message_id


@pytest.fixture(scope="module")
async def connection(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The connection string of a broker that lives as long as the run."""
    world = World(tmp_path_factory.mktemp("broker"))
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    await serve(world, listener, ENTITIES)
    port = listener.getsockname()[1]
    return (
        f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=local;SharedAccessKey=local;"
        "UseDevelopmentEmulator=true;"
    )


@pytest.fixture(scope="module")
async def bench(connection: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    folder = tmp_path_factory.mktemp("host")
    values = {"BUS": connection, "JOBS": "jobs", "OFTEN": "* * * * * *", "SEEN": str(folder / "seen.jsonl")}
    (folder / "settings.json").write_text(json.dumps({"IsEncrypted": False, "Values": values, "Keys": KEYS}))
    options = (
        "--settings",
        str(folder / "settings.json"),
        "--invocations",
        str(folder / "invocations.jsonl"),
    )
    async with (
        running_host(APP, *options, settings={}, log=folder / "host.log") as host,
        ServiceBusClient.from_connection_string(connection) as bus,
        bus.get_queue_sender("jobs") as jobs,
        bus.get_topic_sender("news") as news,
    ):
        yield Bench(host, {"jobs": jobs, "news": news}, folder)


@pytest.fixture(scope="module")
async def http(bench: Bench) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(bench.host.url) as session:
        yield session


async def test_a_request_arrives_with_its_route_its_query_its_headers_and_its_raw_body(
    http: aiohttp.ClientSession,
) -> None:
    async with http.post(
        "/api/echo/ada?a=1&b=", data=b"\x00\xff{", headers={"X-Asked": "Yes", "Content-Type": "text/odd"}
    ) as answer:
        assert (answer.status, answer.headers["X-Answer"], answer.content_type) == (
            201,
            "yes",
            "application/json",
        )
        seen = await answer.json()
    assert seen["url"].endswith("/api/echo/ada?a=1&b=")
    assert seen | {"url": ""} == {
        "method": "POST",
        "url": "",
        "headers": {"x-asked": "Yes", "content-type": "text/odd"},
        "params": {"a": "1", "b": ""},
        "route_params": {"name": "ada"},
        "body": "00ff7b",
    }


async def test_a_method_that_the_trigger_does_not_name_is_refused(http: aiohttp.ClientSession) -> None:
    async with http.put("/api/echo/ada") as answer:
        assert answer.status == 405


@pytest.mark.parametrize(
    ("path", "header", "status"),
    [
        ("/api/keyed", "", 401),
        ("/api/keyed", "wrong", 401),
        ("/api/keyed", KEYS["default"], 200),
        ("/api/keyed", KEYS["master"], 200),
        (f"/api/keyed?code={KEYS['default']}", "", 200),
        ("/api/master", KEYS["default"], 401),
        ("/api/master", KEYS["master"], 204),
    ],
)
async def test_a_function_answers_whoever_shows_a_key_of_its_level(
    http: aiohttp.ClientSession, path: str, header: str, status: int
) -> None:
    async with http.get(path, headers={"x-functions-key": header} if header else {}) as answer:
        assert answer.status == status
        assert answer.status != 401 or await answer.read() == b""


async def test_an_exception_is_an_empty_500_and_one_stack_trace_in_the_log(
    bench: Bench, http: aiohttp.ClientSession
) -> None:
    async with http.get("/api/broken") as answer:
        assert (answer.status, await answer.read()) == (500, b"")
    assert bench.host.log.read_text().count("RuntimeError: the cause stands in the log") == 1


async def test_a_queue_message_arrives_as_the_real_host_hands_it_over(bench: Bench) -> None:
    properties = {"kind": "test", "attempt": 2, "final": True, "share": 0.5}
    at = datetime.now(UTC).replace(tzinfo=None)
    message_id = await bench.send(
        "jobs",
        "build",
        application_properties=properties,
        subject="a job",
        to="all",
        correlation_id="c1",
        content_type="text/plain",
    )
    (seen,) = await eventually(lambda: bench.seen("take_job", message_id=message_id))
    assert (seen["body"], seen["subject"], seen["label"], seen["to"]) == ("build", "a job", "a job", "all")
    assert (seen["correlation_id"], seen["content_type"], seen["session_id"]) == ("c1", "text/plain", None)
    assert seen["application_properties"] == seen["user_properties"] == properties
    assert (seen["delivery_count"], seen["dead_letter_source"]) == (1, None)
    enqueued = datetime.fromisoformat(seen["enqueued_time_utc"])
    assert enqueued.tzinfo is None
    assert abs((enqueued - at).total_seconds()) < 60


async def test_members_of_a_json_body_hide_what_the_message_says_as_in_azure(bench: Bench) -> None:
    message_id = await bench.send(
        "jobs",
        json.dumps({"Subject": "of the body", "data": {"to": "nobody"}}),
        subject="of the message",
        to="all",
    )
    (seen,) = await eventually(lambda: bench.seen("take_job", message_id=message_id))
    assert (seen["subject"], seen["label"], seen["to"]) == ("of the body", "of the message", "all")


async def test_messages_of_a_session_arrive_in_order_and_sessions_side_by_side(bench: Bench) -> None:
    one, other, gate = uuid4().hex, uuid4().hex, uuid4().hex
    await bench.send("news", f"wait for {gate}", session_id=one)
    await eventually(lambda: bench.seen("read_news", session_id=one))
    await bench.send("news", "second", session_id=one)
    await bench.send("news", "meanwhile", session_id=other)
    await eventually(lambda: bench.seen("read_news", session_id=other))
    assert [seen["body"] for seen in bench.seen("read_news", session_id=one)] == [f"wait for {gate}"]
    (bench.folder / gate).touch()
    found = await eventually(lambda: bench.seen("read_news", session_id=one), 2)
    assert [seen["body"] for seen in found] == [f"wait for {gate}", "second"]


async def test_a_message_that_fails_comes_again_and_is_dead_lettered_in_the_end(bench: Bench) -> None:
    message_id = await bench.send("news", "bad", session_id=uuid4().hex)
    (dead,) = await eventually(lambda: bench.seen("collect", message_id=message_id))
    assert [seen["delivery_count"] for seen in bench.seen("read_news", message_id=message_id)] == [1, 2, 3]
    assert dead["application_properties"]["DeadLetterReason"] == "MaxDeliveryCountExceeded"
    assert dead["dead_letter_source"] is not None
    assert dead["dead_letter_reason"] is None, "the real host does not hand it over"


async def test_each_call_leaves_one_line_that_names_no_more_than_the_type_of_the_error(bench: Bench) -> None:
    session = uuid4().hex
    message_id = await bench.send("news", "bad", session_id=session)
    rows = await eventually(lambda: bench.invocations(message_id), 4)
    first, last = rows[0], rows[-1]
    assert first.pop("at") <= last.pop("at")
    assert first.pop("seconds") >= 0
    assert first.pop("trace") != last["trace"], "a message without a trace begins one at each call"
    about = {"message_id": message_id, "session_id": session, "delivery_count": 1}
    assert first == {"function": "read_news", "outcome": "error", "error": "ValueError"} | about
    assert (last["function"], last["outcome"]) == ("collect", "ok")


async def test_a_message_that_carries_a_trace_is_handled_in_it(bench: Bench) -> None:
    trace = uuid4().hex
    carried = {"Diagnostic-Id": f"00-{trace}-{uuid4().hex[:16]}-01"}
    message_id = await bench.send("news", "hello", session_id=uuid4().hex, application_properties=carried)
    [row] = await eventually(lambda: bench.invocations(message_id))
    assert row["trace"] == trace


async def test_a_timer_runs_when_its_schedule_says_so(bench: Bench) -> None:
    ticks = await eventually(lambda: bench.seen("tick"), 2)
    assert not any(tick["past_due"] for tick in ticks)


async def test_the_master_key_runs_a_timer_or_a_queue_function_at_once(
    bench: Bench, http: aiohttp.ClientSession
) -> None:
    async with http.post("/admin/functions/new_year", headers={"x-functions-key": KEYS["default"]}) as answer:
        assert answer.status == 401
    async with http.post(
        "/admin/functions/new_year", json={}, headers={"x-functions-key": KEYS["master"]}
    ) as answer:
        assert answer.status == 202
    async with http.post(
        "/admin/functions/take_job", json={"input": "by hand"}, headers={"x-functions-key": KEYS["master"]}
    ) as answer:
        assert answer.status == 202
    assert len(await eventually(lambda: bench.seen("new_year"))) == 1
    await eventually(lambda: bench.seen("take_job", body="by hand"))


async def test_a_disabled_function_runs_by_hand_alone(connection: str, tmp_path: Path) -> None:
    seen, disabled = (
        tmp_path / "seen.jsonl",
        {f"AzureWebJobs.{name}.Disabled": "true" for name in ("echo", "new_year")},
    )
    settings = {"BUS": connection, "JOBS": "jobs", "OFTEN": "0 0 0 1 1 *", "SEEN": str(seen), **disabled}
    (tmp_path / "settings.json").write_text(json.dumps({"Values": {}, "Keys": KEYS}))
    async with (
        running_host(
            APP, "--settings", str(tmp_path / "settings.json"), settings=settings, log=tmp_path / "log"
        ) as host,
        aiohttp.ClientSession(host.url, headers={"x-functions-key": KEYS["master"]}) as http,
    ):
        async with http.get("/api/echo/ada") as gone, http.get("/api/keyed") as there:
            assert (gone.status, there.status) == (404, 200)
        async with http.post("/admin/functions/new_year", json={}) as answer:
            assert answer.status == 202
        await eventually(lambda: [row for row in lines(seen) if row["function"] == "new_year"])


async def test_a_trigger_that_is_disabled_never_fires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AzureWebJobs.off.Disabled", "1")
    fired = [threading.Event() for _ in range(2)]
    at_once = {"type": "timerTrigger", "name": "timer", "schedule": "0 0 0 1 1 *", "runOnStartup": True}
    functions = [
        Function(name, at_once, (), lambda timer, it=it: it.set())
        for name, it in zip(("off", "on"), fired, strict=True)
    ]
    timers = TimerTriggers(functions, Invoker(timeout=60, record=None))
    timers.start()
    assert await asyncio.to_thread(fired[1].wait, 300)
    await timers.stop(60)
    assert not fired[0].is_set()


async def test_a_timers_function_that_runs_when_the_host_stops_still_ends() -> None:
    begun, may_end, ended = (threading.Event() for _ in range(3))

    def slow(timer: object) -> None:
        begun.set()
        may_end.wait(300)
        ended.set()

    once = {"type": "timerTrigger", "name": "timer", "schedule": "0 0 0 1 1 *", "runOnStartup": True}
    timers = TimerTriggers([Function("slow", once, (), slow)], Invoker(timeout=60, record=None))
    timers.start()
    assert await asyncio.to_thread(begun.wait, 300)
    async with asyncio.timeout(300):
        stopped = asyncio.create_task(timers.stop(3600))
        await asyncio.sleep(0)
        may_end.set()
        await stopped
    assert ended.is_set()


async def test_a_host_that_is_told_to_stop_lets_a_running_function_end(
    connection: str, tmp_path: Path
) -> None:
    settings = {
        "BUS": connection,
        "JOBS": "jobs",
        "OFTEN": "0 0 0 1 1 *",
        "SEEN": str(tmp_path / "seen.jsonl"),
    }
    options = ("--keys", str(tmp_path / "keys.json"))
    async with running_host(APP, *options, settings=settings, log=tmp_path / "log") as host:
        async with aiohttp.ClientSession(host.url) as http:
            asked = asyncio.create_task(http.get("/api/slow?gate=end"))
            await eventually(lambda: lines(tmp_path / "seen.jsonl"))
            host.process.send_signal(signal.SIGTERM)
            await eventually(lambda: [1] if refuses_connections(host) else [])
            (tmp_path / "end").touch()
            assert await (await asked).text() == "done"
        assert await host.process.wait() == 0


def refuses_connections(host: Host) -> bool:
    try:
        socket.create_connection(("127.0.0.1", int(host.url.rpartition(":")[2])), timeout=1).close()
    except OSError:
        return True
    return False


async def test_generated_keys_are_kept_for_the_next_start_and_for_nobody_else(
    connection: str, tmp_path: Path
) -> None:
    settings = {
        "BUS": connection,
        "JOBS": "jobs",
        "OFTEN": "0 0 0 1 1 *",
        "SEEN": str(tmp_path / "seen.jsonl"),
    }
    path = tmp_path / "keys.json"
    for _ in range(2):
        async with running_host(APP, "--keys", str(path), settings=settings, log=tmp_path / "log") as host:
            kept = json.loads(path.read_text())
            async with (
                aiohttp.ClientSession(host.url, headers={"x-functions-key": kept["default"]}) as http,
                http.get("/api/keyed") as answer,
            ):
                assert answer.status == 200
    assert path.stat().st_mode & 0o077 == 0
    assert json.loads(path.read_text()) == kept


@pytest.fixture
def broken_app(tmp_path: Path) -> Path:
    shutil.copy(APP / "function_app.py", tmp_path)
    return tmp_path


async def complaint(app_dir: Path, **settings: str) -> str:
    """What a host that cannot start says, before it ends with status 1."""
    with pytest.raises(AssertionError) as told:
        async with running_host(app_dir, settings=settings, log=app_dir / "log"):
            pytest.fail("it started")
    return str(told.value)


async def test_a_missing_setting_is_named(broken_app: Path) -> None:
    assert "the setting JOBS is missing" in await complaint(broken_app, OFTEN="* * * * * *", BUS="")
    assert "the setting BUS or BUS__fullyQualifiedNamespace is missing" in await complaint(
        broken_app, OFTEN="* * * * * *", JOBS="jobs", BUS=""
    )


async def test_what_the_app_says_while_it_is_imported_is_what_the_host_says(broken_app: Path) -> None:
    (broken_app / "function_app.py").write_text("raise ValueError('three settings are missing')")
    said = await complaint(broken_app)
    assert said.endswith("the app cannot be imported: ValueError: three settings are missing\n")
    assert "Traceback" not in said


async def test_a_function_that_wants_many_messages_at_once_is_refused(broken_app: Path) -> None:
    source = (
        (broken_app / "function_app.py")
        .read_text()
        .replace('connection="BUS"', 'connection="BUS", cardinality="many"')
    )
    (broken_app / "function_app.py").write_text(source)
    assert "take_job: this host calls a function with one message at a time" in await complaint(
        broken_app, OFTEN="* * * * * *", JOBS="jobs"
    )


@pytest.mark.parametrize(
    ("expression", "moment", "expected"),
    [
        ("0 */5 * * * *", "2026-01-01T00:00:00", "2026-01-01T00:05:00"),
        ("30 9-17 * * * *", "2026-01-01T00:09:30", "2026-01-01T00:10:30"),
        ("0 0 9-17/4 * * MON-FRI", "2026-01-02T17:00:00", "2026-01-05T09:00:00"),
        ("0 30 9 * January,Jul Mon", "2026-02-01T00:00:00", "2026-07-06T09:30:00"),
        ("0 0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 0 1 * 7", "2026-01-01T00:00:00", "2026-02-01T00:00:00"),
        ("15 4 * * *", "2026-01-01T04:15:00", "2026-01-02T04:15:00"),
        ("10/20 * * * * *", "2026-01-01T00:00:10", "2026-01-01T00:00:30"),
    ],
)
def test_a_schedule_comes_next_when_ncrontab_says_so(expression: str, moment: str, expected: str) -> None:
    assert Schedule(expression).after(datetime.fromisoformat(moment + "+00:00")) == datetime.fromisoformat(
        expected + "+00:00"
    )


@pytest.mark.parametrize(
    "expression", ["* * * *", "60 * * * * *", "0 0 0 0 * *", "0 0 0 * * nay", "0 5-1 * * * *", "0 0 0 31 2 *"]
)
def test_a_schedule_that_never_comes_is_refused(expression: str) -> None:
    with pytest.raises(HostError):
        Schedule(expression).after(datetime(2026, 1, 1, tzinfo=UTC))


def test_the_rest_of_a_path_is_one_part_and_constraints_are_refused() -> None:
    assert aiohttp_route("files/{team}/{*path}") == "files/{team}/{path:.*}"
    with pytest.raises(HostError):
        aiohttp_route("teams/{id:int}")


def test_a_setting_stands_for_a_value_of_the_hosts_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = {"maxConcurrentSessions": 16, "prefetchCount": 7}
    (tmp_path / "host.json").write_text(json.dumps({"extensions": {"serviceBus": bus}}))
    for name, value in FEW_SESSIONS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AzureFunctionsJobHost__functionTimeout", "00:02:00")
    options = read_options(tmp_path)
    assert (options.max_sessions, options.prefetch, options.function_timeout) == (4, 7, 120.0)
