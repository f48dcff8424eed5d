"""No acknowledged charge is lost when the gateway dies, and no storm makes one move money twice."""

import asyncio
import os
import signal
from pathlib import Path

from app.domain.outcome import Declined, Found, NotExecuted, NotFound, Outcome, Succeeded, Unknown
from app.gateways.base import Gateway
from app.gateways.requests import ChargeRequest, PaymentQuery
from tests.gateways.harness import at_simulator, charge_of
from tests.simulator import SimulatorProcess, start_simulator

IN_FLIGHT = 20
ROUNDS_MAX = 60
STORM = (
    {"kind": "latency", "delay_ms": 5, "probability": 0.3},
    {"kind": "timeout_before_effect", "probability": 0.02},
    {"kind": "timeout_after_effect", "probability": 0.02},
    {"kind": "error_500_before", "probability": 0.1},
    {"kind": "error_500_after", "probability": 0.1},
    {"kind": "cut_body", "probability": 0.1},
    {"kind": "error_429", "probability": 0.1},
    {"kind": "late_effect", "probability": 0.05, "delay_ms": 20},
    {"kind": "decline", "probability": 0.05, "decline_code": "insufficient_funds"},
)


async def charge_until_killed(
    gateway: Gateway, process: SimulatorProcess, kill_after: int
) -> dict[ChargeRequest, Outcome]:
    """Charge in parallel; SIGKILL the gateway after so many successes and see the rest fail."""
    outcomes: dict[ChargeRequest, Outcome] = {}
    killed = False

    async def charge_on() -> None:
        nonlocal killed
        while not killed:
            request = charge_of("pm_sim_ok")
            outcomes[request] = await gateway.charge(request)
            if len(outcomes) >= kill_after and not killed:
                killed = True
                os.kill(process.pid, signal.SIGKILL)

    await asyncio.gather(*(charge_on() for _ in range(IN_FLIGHT)))
    return outcomes


async def test_a_killed_gateway_remembers_every_charge_it_acknowledged(
    tmp_path: Path, anyio_backend: str
) -> None:
    with start_simulator(tmp_path) as process:
        gateway = at_simulator(process)
        outcomes: dict[ChargeRequest, Outcome] = {}
        for kill_after in (50, 120, 200):
            outcomes |= await charge_until_killed(gateway, process, kill_after)
            process.process.wait()
            process.restart()

        for request, outcome in outcomes.items():
            found = await gateway.find_payment(PaymentQuery(request.attempt_code))
            match outcome:
                case Succeeded():
                    assert found == Found(outcome)
                case NotExecuted():
                    assert found == NotFound(definitive=True)
                case Unknown():
                    assert isinstance(found, Found | NotFound)
            assert isinstance(await gateway.charge(request), Succeeded)
        await gateway.aclose()

        assert any(isinstance(outcome, Unknown) for outcome in outcomes.values())
        ledger = process.ledger()
    assert not ledger["duplicates"]
    assert ledger["totals"]["EUR"]["charges"] == len(outcomes)
    assert ledger["totals"]["EUR"]["charged"] == 1999 * len(outcomes)


async def persist(gateway: Gateway, request: ChargeRequest) -> Outcome:
    """Send the same request with the same key until there is a definite answer."""
    for _ in range(ROUNDS_MAX):
        outcome = await gateway.charge(request)
        if isinstance(outcome, Succeeded | Declined):
            return outcome
        await asyncio.sleep(0.005)
    raise AssertionError(f"no answer in {ROUNDS_MAX} rounds")


async def test_a_storm_of_faults_moves_every_charge_exactly_once(
    simulator: SimulatorProcess, anyio_backend: str
) -> None:
    gateway = at_simulator(simulator, total_timeout_seconds=1)
    requests = [charge_of("pm_sim_ok_storm", amount_minor=100 + i) for i in range(150)]
    simulator.set_faults(*STORM, seed=7)

    outcomes = await asyncio.gather(*(persist(gateway, request) for request in requests))
    await gateway.aclose()

    for request, outcome in zip(requests, outcomes, strict=True):
        moved = request.amount_minor if isinstance(outcome, Succeeded) else 0
        assert simulator.charged(request.attempt_code) == moved
    assert any(isinstance(outcome, Declined) for outcome in outcomes)
