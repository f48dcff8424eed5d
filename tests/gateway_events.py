"""Deliveries as the simulator makes them, signed here, by the words of Standard Webhooks."""

import base64
import hmac
import json
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.ids import new_id
from app.services import gateway_accounts
from app.services.gateway_accounts import SetWebhookSecret
from app.services.inbox import Delivery, Mailbox, Taken
from tests.simulator import SimulatorProcess
from tests.world import World

SECRET: Final = "whsec_" + base64.b64encode(b"the secret of the tests, long!!!").decode()
OTHER: Final = "whsec_" + base64.b64encode(b"another secret, just as long!!!!").decode()


def signature(secret: str, event_id: str, at: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{event_id}.{at}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(digest).decode()


def event(type: str, data: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An event as the simulator tells it."""
    told = {
        "id": f"evt_{new_id().hex}",
        "type": type,
        "account": "acct_sim",
        "livemode": False,
        "created_at": 1_764_428_588_000,
        "data": data,
    }
    return told | changes


def headers(body: bytes, event_id: str, at: datetime, secret: str = SECRET) -> dict[str, str]:
    stamp = int(at.timestamp())
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(stamp),
        "webhook-signature": signature(secret, event_id, stamp, body),
    }


@dataclass
class Post:
    """What brings a world's deliveries: to one account, through one mailbox."""

    world: World
    account: UUID
    mailbox: Mailbox = field(default_factory=Mailbox)

    async def bring(self, told: dict[str, Any], **changes: Any) -> Taken:
        """Deliver an event, signed now."""
        body = json.dumps(told).encode()
        given = headers(body, told["id"], self.world.rt.clock.now())
        delivery = replace(Delivery("simulator", self.account, given, body), **changes)
        return await self.mailbox.take(self.world.rt, delivery)

    async def rows(self) -> list[Any]:
        return await self.world.fetch("SELECT * FROM inbound_events ORDER BY id")

    async def statuses(self) -> list[str]:
        return [row["status"] for row in await self.rows()]


async def post_of(world: World, secret: str = SECRET) -> Post:
    """The world's own account, whose secret is set."""
    [account] = await world.fetch("SELECT id FROM gateway_accounts WHERE is_default")
    cmd = SetWebhookSecret(account["id"], secret, 0)
    await gateway_accounts.set_webhook_secret(world.rt, world.caller, cmd)
    return Post(world, account["id"])


def charge_of(simulator: SimulatorProcess, reference: str) -> dict[str, Any]:
    """The charge that the simulator has under our reference."""
    found = simulator.request("GET", "/v1/charges", params={"reference": reference})
    charge: dict[str, Any] = found["data"][0]
    return charge


def refund_of(simulator: SimulatorProcess, reference: str) -> dict[str, Any]:
    """The refund that the simulator has under our reference."""
    found = simulator.request("GET", "/v1/refunds", params={"reference": reference})
    refund: dict[str, Any] = found["data"][0]
    return refund


def charge_elsewhere(simulator: SimulatorProcess, reference: str, amount: int) -> dict[str, Any]:
    """A charge that somebody else makes at the same gateway."""
    made: dict[str, Any] = simulator.request(
        "POST",
        "/v1/charges",
        json={
            "reference": reference,
            "amount": amount,
            "currency": "EUR",
            "payment_method": "pm_sim_ok",
        },
        headers={"Idempotency-Key": secrets.token_hex(16)},
    )
    return made
