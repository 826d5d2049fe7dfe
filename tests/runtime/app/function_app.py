"""One function of each kind. Each appends what it sees, as one line of JSON, to the file that the setting
SEEN names.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

MESSAGE = [
    "message_id",
    "session_id",
    "correlation_id",
    "content_type",
    "subject",
    "label",
    "to",
    "reply_to",
    "application_properties",
    "user_properties",
    "lock_token",
    "sequence_number",
    "delivery_count",
    "enqueued_time_utc",
    "expires_at_utc",
    "dead_letter_reason",
    "dead_letter_source",
]


def note(function: str, **seen: Any) -> None:
    with Path(os.environ["SEEN"]).open("a") as file:
        file.write(json.dumps({"function": function} | seen, default=str) + "\n")


def note_message(function: str, message: func.ServiceBusMessage) -> str:
    body = message.get_body().decode()
    note(function, body=body, **{name: getattr(message, name) for name in MESSAGE})
    return body


async def gate(name: str) -> None:
    """Wait until the test opens the gate, by making a file of this name beside the file SEEN."""
    # the test is another process
    while not Path(os.environ["SEEN"]).with_name(name).exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


@app.route("echo/{name}", methods=["GET", "POST"], auth_level=func.AuthLevel.ANONYMOUS)
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    headers = {
        name: value for name, value in req.headers.items() if name.startswith("x-") or name == "content-type"
    }
    seen = {
        "method": req.method,
        "url": req.url,
        "headers": headers,
        "params": dict(req.params),
        "route_params": dict(req.route_params),
    }
    body = json.dumps(seen | {"body": req.get_body().hex()})
    return func.HttpResponse(body, status_code=201, mimetype="application/json", headers={"X-Answer": "yes"})


@app.route("keyed")
def keyed(req: func.HttpRequest) -> str:
    return str(req.method)


@app.route("master", auth_level=func.AuthLevel.ADMIN)
async def master(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(status_code=204)


@app.route("broken", auth_level=func.AuthLevel.ANONYMOUS)
async def broken(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("the cause stands in the log")


@app.route("slow", auth_level=func.AuthLevel.ANONYMOUS)
async def slow(req: func.HttpRequest) -> func.HttpResponse:
    note("slow")
    await gate(req.params["gate"])
    return func.HttpResponse("done")


@app.service_bus_queue_trigger(arg_name="message", queue_name="%JOBS%", connection="BUS")
def take_job(message: func.ServiceBusMessage) -> None:
    note_message("take_job", message)


@app.service_bus_topic_trigger("message", "BUS", "news", "readers", is_sessions_enabled=True)
async def read_news(message: func.ServiceBusMessage) -> None:
    body = note_message("read_news", message)
    if body.startswith("wait for "):
        await gate(body.removeprefix("wait for "))
    if body == "bad":
        raise ValueError("bad news")


@app.service_bus_topic_trigger(
    "message", "BUS", "news", "readers/$DeadLetterQueue", is_sessions_enabled=False
)
async def collect(message: func.ServiceBusMessage) -> None:
    note_message("collect", message)


@app.timer_trigger("timer", "%OFTEN%")
def tick(timer: func.TimerRequest) -> None:
    note("tick", past_due=timer.past_due)


@app.timer_trigger("timer", "0 0 0 1 1 *")
async def new_year(timer: func.TimerRequest) -> None:
    note("new_year", past_due=timer.past_due)
