"""Stage 2, Sweep: every 15 minutes, after large pushes and after errors of GitHub, everything is compared."""

import azure.functions as func

from functions.received import BODY, received
from shared import bootstrap, telemetry
from shared.messaging.routes import SWEEP
from shared.stages.settlement import settle, start_sweep
from shared.stages.sweep import run_sweep

stage = func.Blueprint()


@stage.timer_trigger(arg_name="timer", schedule="0 */15 * * * *")
async def start_sweeps(timer: func.TimerRequest, context: func.Context) -> None:
    """Queue a sweep: the queue has one session, so two sweeps never overlap."""
    telemetry.follow_trace(context.trace_context.trace_parent)
    await start_sweep(bootstrap.app(), "late timer" if timer.past_due else "timer")


@stage.service_bus_queue_trigger(
    arg_name="message",
    connection="SERVICE_BUS",
    data_type=BODY,
    queue_name="sweeps",
    is_sessions_enabled=True,
)
async def sweep(message: func.ServiceBusMessage) -> None:
    await settle(bootstrap.app(), SWEEP, received(message), run_sweep)
