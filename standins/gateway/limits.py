"""Limits: `llm-token-limit` answers 429 beyond the tokens of a minute and 403 beyond those of a period,
`rate-limit-by-key` 429.

Tokens are counted when the answer is there, from the `usage` that the backend says, so calls that run side by
side may overshoot. https://learn.microsoft.com/azure/api-management/llm-token-limit-policy
https://learn.microsoft.com/azure/api-management/rate-limit-by-key-policy
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from standins.gateway.context import Context, Step, Usage
from standins.gateway.counters import PERIODS, Count
from standins.gateway.document import Node
from standins.gateway.exchange import Failure, NotKnown, Response

_MINUTE = 60.0
_ATTRIBUTES = (
    "counter-key",
    "estimate-prompt-tokens",
    "tokens-per-minute",
    "token-quota",
    "token-quota-period",
    "remaining-tokens-header-name",
)


@dataclass(frozen=True)
class _Limit:
    """So many tokens in a minute, or in a period of the calendar."""

    most: int
    period: str | None = None

    def count(self, context: Context, key: str) -> Count:
        counters = context.gateway.counters
        return counters.period(self.period, key) if self.period else counters.window("tokens", key, _MINUTE)

    def check(self, context: Context, key: str) -> None:
        count = self.count(context, key)
        if count.used >= self.most:
            refused: tuple[Literal[403, 429], str] = (403, "quota") if self.period else (429, "limit")
            raise _beyond(context, count, refused[0], f"Token {refused[1]} is exceeded.")


def token_limit(node: Node) -> Step:
    attributes = node.only(*_ATTRIBUTES)
    node.empty()
    key = node.value(attributes, "counter-key")
    node.fixed(attributes, "estimate-prompt-tokens", "false")
    limits = _limits(
        node,
        attributes.get("tokens-per-minute"),
        attributes.get("token-quota"),
        attributes.get("token-quota-period"),
    )
    header = node.fixed(attributes, "remaining-tokens-header-name")

    async def limit(context: Context) -> None:
        name = str(key(context))
        if header and limits[0].period is None:
            context.telling.append(
                lambda answer: _tell(answer, header, limits[0].most - limits[0].count(context, name).used)
            )
        for each in limits:
            each.check(context, name)
        context.counting.append(lambda usage: _use(context, limits, name, usage))

    return limit


def _limits(node: Node, per_minute: str | None, quota: str | None, period: str | None) -> list[_Limit]:
    if (quota is None) != (period is None) or (period is not None and period not in PERIODS):
        raise NotKnown(f'token-quota="{quota}" token-quota-period="{period}" of <{node.tag}>')
    found = [] if per_minute is None else [_Limit(int(per_minute))]
    return found + ([] if quota is None else [_Limit(int(quota), period)])


def _use(context: Context, limits: list[_Limit], key: str, usage: Usage) -> None:
    """Once per counter and call, however many policies name the counter."""
    for limit in limits:
        counted = ("counted", limit.period or "", key)
        if counted not in context.marks:
            context.marks.add(counted)
            limit.count(context, key).used += usage.total


def rate_limit(node: Node) -> Step:
    attributes = node.only("calls", "renewal-period", "counter-key", "remaining-calls-header-name")
    node.empty()
    key, most = node.value(attributes, "counter-key"), int(node.fixed(attributes, "calls"))
    seconds, header = (
        float(node.fixed(attributes, "renewal-period")),
        node.fixed(attributes, "remaining-calls-header-name"),
    )

    async def limit(context: Context) -> None:
        count = context.gateway.counters.window("calls", str(key(context)), seconds)
        if header:
            context.telling.append(lambda answer: _tell(answer, header, most - count.used))
        if count.used >= most:
            raise _beyond(context, count, 429, "Rate limit is exceeded.")
        count.used += 1

    return limit


def _beyond(context: Context, count: Count, status: int, what: str) -> Failure:
    seconds = context.gateway.counters.seconds_left(count)
    return Failure(status, f"{what} Try again in {seconds} seconds.", {"Retry-After": str(seconds)})


def _tell(answer: Response, header: str, left: int) -> None:
    answer.headers[header] = str(max(0, left))
