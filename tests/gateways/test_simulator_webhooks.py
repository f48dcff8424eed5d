"""The simulator's events: delivered until they are heard, and believed by its adapter."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import orjson
from pydantic import SecretStr

from app.clock import SystemClock
from app.domain.outcome import Pending, Succeeded
from app.gateways.base import AccountMode, AccountSettings
from app.gateways.registry import open_gateway
from app.gateways.reports import EventKind, WebhookDelivery
from app.gateways.requests import VoidRequest
from app.testing.line import read_request
from tests.gateways.harness import at_simulator, charge_of, refund_of
from tests.simulator import SimulatorProcess
from tests.world import until

SECRET = "whsec_" + base64.b64encode(b"of this file and no other").decode()


@asynccontextmanager
async def listening(
    simulator: SimulatorProcess, refusals: int = 0
) -> AsyncIterator[list[WebhookDelivery]]:
    """What the simulator delivers while the block lasts; the first few are turned away."""
    heard: list[WebhookDelivery] = []
    left = refusals

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        sent = await read_request(reader)
        assert sent is not None
        status = b"503 Later" if left > 0 else b"200 OK"
        if left <= 0:
            heard.append(WebhookDelivery(sent.headers, sent.body, SystemClock().now()))
        left -= 1
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
    simulator.request("PUT", "/v1/webhook_endpoint", json={"url": url, "secret": SECRET})
    try:
        yield heard
    finally:
        simulator.request("DELETE", "/v1/webhook_endpoint")
        server.close()


async def test_whatever_happens_to_a_charge_is_told_and_believed(
    simulator: SimulatorProcess, anyio_backend: str
) -> None:
    account = AccountSettings(
        AccountMode.TEST, webhook_secrets=(SecretStr(SECRET),), base_url=simulator.url
    )
    gateway = open_gateway("simulator", account)
    async with listening(simulator) as heard:
        paid = await gateway.charge(charge_of("pm_sim_ok"))
        waits = await gateway.charge(charge_of("pm_sim_pending_then_succeeds"))
        held = await gateway.charge(replace(charge_of("pm_sim_ok"), is_captured=False))
        assert isinstance(paid, Succeeded)
        assert isinstance(waits, Pending)
        await gateway.void(VoidRequest("void-1", held.gateway_reference))
        refund = refund_of(paid.gateway_reference, 100)
        await gateway.refund(refund)
        dispute = {"charge": paid.gateway_reference}
        simulator.request("POST", "/v1/disputes", json=dispute)
        await until(lambda: len(heard) >= 7)
        events = [event for d in heard for event in await gateway.verify_webhook(d)]
    await gateway.aclose()
    assert sorted(event.type for event in events) == [
        "charge.authorized",
        "charge.pending",
        "charge.succeeded",
        "charge.succeeded",
        "charge.voided",
        "dispute.opened",
        "refund.succeeded",
    ]
    of_refund = next(event for event in events if event.kind is EventKind.REFUND)
    assert of_refund.our_reference == refund.refund_code
    assert of_refund.payment_reference == paid.gateway_reference
    of_dispute = next(event for event in events if event.kind is EventKind.DISPUTE)
    assert of_dispute.payment_reference == paid.gateway_reference
    assert len({event.id for event in events}) == len(events)


async def test_an_event_is_delivered_until_it_is_heard_and_always_the_same(
    simulator: SimulatorProcess, anyio_backend: str
) -> None:
    gateway = at_simulator(simulator)
    async with listening(simulator, refusals=2) as heard:
        await gateway.charge(charge_of("pm_sim_ok"))
        await until(lambda: bool(heard))
        [delivery] = heard
    await gateway.aclose()
    body = orjson.loads(delivery.body)
    assert (body["type"], body["id"]) == ("charge.succeeded", delivery.headers["webhook-id"])
    assert "secret" not in delivery.body.decode().replace("client_secret", "")
