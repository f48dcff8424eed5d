"""What the simulator's adapter makes of answers that the simulator would never give."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from app.domain.outcome import Declined, Found, Inconclusive, RefundPending, Succeeded, Unknown
from app.gateways.base import AccountMode, AccountSettings, Gateway
from app.gateways.registry import open_gateway
from app.gateways.requests import PaymentQuery, RefundQuery
from tests.gateways.harness import at_simulator, charge_of, refund_of
from tests.gateways.sockets import heard, server
from tests.simulator import SimulatorProcess

REQUEST = charge_of("pm_sim_ok")
REFUND = refund_of("ch_1", 400)
CHARGE = {
    "object": "charge",
    "id": "ch_1",
    "reference": REQUEST.attempt_code,
    "status": "succeeded",
    "amount": 1999,
    "currency": "EUR",
    "fee": 19,
    "network_transaction_id": "nti_1",
    "decline_code": None,
    "action_url": None,
}
REFUNDED = {
    "object": "refund",
    "id": "rf_1",
    "reference": REFUND.refund_code,
    "status": "succeeded",
    "amount": 400,
    "currency": "EUR",
    "failure_code": None,
}


@asynccontextmanager
async def answering(status: int, content: Any) -> AsyncIterator[Gateway]:
    """The adapter, facing a server that answers every request like this."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    head = f"HTTP/1.1 {status} So\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(head + body)
        await writer.drain()

    async with server(talk) as url:
        gateway = open_gateway("simulator", AccountSettings(AccountMode.TEST, base_url=url))
        try:
            yield gateway
        finally:
            await gateway.aclose()


@pytest.mark.parametrize(
    "lie", [{"amount": 199_900}, {"amount": 1998}, {"currency": "USD"}, {"reference": "att_other"}]
)
async def test_an_answer_that_speaks_of_another_charge_is_unknown(lie: dict[str, Any]) -> None:
    async with answering(201, CHARGE | lie) as gateway:
        outcome = await gateway.charge(REQUEST)
    assert outcome == Unknown("answer_for_another_charge", "ch_1")


@pytest.mark.parametrize(
    "lie", [{"amount": 40_000}, {"currency": "USD"}, {"reference": "re_other"}]
)
async def test_an_answer_that_speaks_of_another_refund_is_unknown(lie: dict[str, Any]) -> None:
    async with answering(201, REFUNDED | lie) as gateway:
        outcome = await gateway.refund(REFUND)
    assert outcome == Unknown("answer_for_another_refund", "rf_1")


@pytest.mark.parametrize(
    ("status", "content", "cause"),
    [
        (201, b"<html>", "unreadable_answer"),
        (201, b"", "unreadable_answer"),
        (201, CHARGE | {"amount": 1999.0}, "unreadable_answer"),
        (201, CHARGE | {"amount": "1999"}, "unreadable_answer"),
        (201, CHARGE | {"status": "settling"}, "unreadable_answer"),
        (201, {"object": "list", "data": [CHARGE]}, "unreadable_answer"),
        (400, b"<html>blocked</html>", "unreadable_answer"),
        (202, CHARGE, "http_202"),
        (302, b"", "http_302"),
        (500, CHARGE, "http_500"),
        (503, b"", "http_503"),
    ],
)
async def test_an_answer_that_makes_no_sense_is_unknown(
    status: int, content: Any, cause: str
) -> None:
    async with answering(status, content) as gateway:
        assert await gateway.charge(REQUEST) == Unknown(cause)
        found = await gateway.find_payment(PaymentQuery(REQUEST.attempt_code))
    assert isinstance(found, Inconclusive)


async def test_of_several_charges_the_one_that_moved_money_counts() -> None:
    declined = CHARGE | {"id": "ch_0", "status": "declined", "decline_code": "generic"}
    second = CHARGE | {"id": "ch_2"}
    async with answering(200, {"data": [declined, CHARGE, second]}) as gateway:
        found = await gateway.find_payment(PaymentQuery(REQUEST.attempt_code))
    assert found == Found(Succeeded("ch_1", 1999, "EUR", "nti_1", 19), others=("ch_2",))


async def test_of_several_refunds_the_one_under_way_counts_more_than_one_that_failed() -> None:
    failed = REFUNDED | {"id": "rf_0", "status": "failed", "failure_code": "generic"}
    waiting = REFUNDED | {"status": "pending"}
    async with answering(200, {"data": [failed, waiting]}) as gateway:
        found = await gateway.find_refund(RefundQuery(REFUND.refund_code))
    assert found == Found(RefundPending("rf_1"))


async def test_a_look_up_that_speaks_of_another_charge_proves_nothing() -> None:
    async with answering(200, {"data": [CHARGE]}) as gateway:
        found = await gateway.find_payment(PaymentQuery("att_that_was_asked_for"))
    assert found == Inconclusive("answer_for_another_charge")


async def test_a_decline_code_from_the_future_is_a_soft_decline_with_the_code_kept() -> None:
    declined = CHARGE | {"status": "declined", "decline_code": "moon_phase"}
    async with answering(402, declined) as gateway:
        outcome = await gateway.charge(REQUEST)
    assert isinstance(outcome, Declined)
    assert (outcome.info.category, outcome.info.gateway_code) == ("soft", "moon_phase")


async def test_a_list_at_an_address_without_lists_proves_no_absence() -> None:
    """404 of a proxy, say, is not the simulator's word."""
    async with answering(404, b"nothing here") as gateway:
        found = await gateway.find_payment(PaymentQuery(REQUEST.attempt_code))
        fetched = await gateway.fetch_payment("ch_1")
    assert (found, fetched) == (Inconclusive("http_404"), Inconclusive("http_404"))


async def test_a_gateway_that_charges_twice_is_caught(simulator: SimulatorProcess) -> None:
    gateway = at_simulator(simulator)
    request = charge_of("pm_sim_ok")
    simulator.set_fault("duplicate")
    outcome = await gateway.charge(request)
    found = await gateway.find_payment(PaymentQuery(request.attempt_code))
    await gateway.aclose()
    assert isinstance(found, Found)
    assert found.outcome == outcome
    assert len(found.others) == 1
    assert simulator.charged(request.attempt_code) == 2 * 1999


async def test_an_effect_that_is_still_to_come_is_still_running(
    simulator: SimulatorProcess,
) -> None:
    gateway = at_simulator(simulator)
    request = charge_of("pm_sim_ok")
    simulator.set_fault("late_effect", delay_ms=400, count=1)
    answers = [await gateway.charge(request) for _ in range(2)]
    await gateway.aclose()
    assert answers == [Unknown("http_500"), Unknown("still_running")]
