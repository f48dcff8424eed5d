"""No account is called faster than it may be, whoever calls, and 429 holds up all of its calls."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from app.domain.outcome import Inconclusive, NotExecuted, Outcome, Succeeded
from app.gateways import pace
from app.gateways.base import AccountMode, AccountSettings
from app.gateways.capabilities import Capabilities
from app.gateways.pace import Paced
from app.gateways.requests import PaymentQuery
from app.gateways.simulator import SimulatorGateway
from tests.gateways.harness import charge_of
from tests.simulator import SimulatorProcess


class Limited(SimulatorGateway):
    """The simulator, if it wanted to be called more slowly; counts calls under way."""

    def __init__(self, url: str, **limits: Any) -> None:
        super().__init__(AccountSettings(AccountMode.TEST, base_url=url))
        self.capabilities: Capabilities = replace(self.capabilities, **limits)
        self.under_way = self.most = 0

    async def charge(self, request: Any) -> Outcome:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            return await super().charge(request)
        finally:
            self.under_way -= 1


@asynccontextmanager
async def limited(
    simulator: SimulatorProcess, **limits: Any
) -> AsyncIterator[tuple[Paced, Limited]]:
    inner = Limited(simulator.url, **limits)
    paced = Paced(inner)
    try:
        yield paced, inner
    finally:
        await paced.aclose()


async def charges(gateway: Paced, times: int) -> list[Outcome]:
    return await asyncio.gather(*(gateway.charge(charge_of("pm_sim_ok")) for _ in range(times)))


async def test_no_more_calls_are_under_way_than_the_account_bears(
    simulator: SimulatorProcess, anyio_backend: str
) -> None:
    simulator.set_fault("latency", delay_ms=20)
    async with limited(simulator, in_flight_max=3) as (gateway, inner):
        outcomes = await charges(gateway, 20)
    assert all(isinstance(outcome, Succeeded) for outcome in outcomes)
    assert inner.most == 3


async def test_requests_keep_the_account_s_distance(
    simulator: SimulatorProcess, anyio_backend: str
) -> None:
    async with limited(simulator, requests_per_second=50) as (gateway, _):
        began = time.monotonic()
        outcomes = await charges(gateway, 26)
        took = time.monotonic() - began
    assert all(isinstance(outcome, Succeeded) for outcome in outcomes)
    assert took >= 0.5  # 25 distances of 20 ms


async def test_a_limit_that_nobody_reaches_costs_nothing(
    simulator: SimulatorProcess, anyio_backend: str
) -> None:
    simulator.set_fault("latency", delay_ms=100)
    async with limited(simulator, in_flight_max=50, requests_per_second=10_000) as (gateway, inner):
        await charges(gateway, 50)
    assert inner.most == 50


async def test_whoever_is_turned_away_holds_up_the_whole_account_until_its_time(
    simulator: SimulatorProcess, anyio_backend: str
) -> None:
    async with limited(simulator) as (gateway, _):
        simulator.set_fault("error_429", count=1)
        refused = await gateway.charge(charge_of("pm_sim_ok"))
        began = time.monotonic()
        found = await gateway.find_payment(PaymentQuery("att_of_somebody_else"))
        took = time.monotonic() - began
    assert refused == NotExecuted("rate_limited", retry_after_seconds=1)
    assert not isinstance(found, Inconclusive)
    assert took >= 0.9


async def test_what_would_wait_for_too_long_is_not_sent_and_says_when_to_come_back(
    simulator: SimulatorProcess, anyio_backend: str
) -> None:
    async with limited(simulator) as (gateway, _):
        gateway._pace.hold(120)
        request = charge_of("pm_sim_ok")
        outcome = await gateway.charge(request)
        found = await gateway.find_payment(PaymentQuery(request.attempt_code))
    assert outcome == NotExecuted("rate_limited", retry_after_seconds=120)
    assert found == Inconclusive("rate_limited")
    assert simulator.charged(request.attempt_code) == 0


async def test_a_place_that_does_not_become_free_is_not_waited_for_for_ever(
    simulator: SimulatorProcess, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "WAIT_SECONDS_MAX", 0.1)
    simulator.set_fault("latency", delay_ms=1_000)
    async with limited(simulator, in_flight_max=1) as (gateway, _):
        first, second = await charges(gateway, 2)
    assert isinstance(first, Succeeded)
    assert second == NotExecuted("account_busy", retry_after_seconds=1)
