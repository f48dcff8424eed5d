"""Whole stories at gateways that put a card number or our own key into every word they say: it is
found in no row, no event, no log and no answer.

Only what the protocol needs is spared (names, states, currencies), or the story would not go on.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import orjson
import pytest
import stripe as sdk

from app.gateways.reports import EventKind, WebhookDelivery
from app.services import gateway_accounts, inbox_settling, payment_methods, reconciliation
from app.services.gateway_accounts import CreateGatewayAccount
from app.services.inbox import Delivery, Mailbox
from app.services.reconciliation import CreateReconciliation
from app.testing.harness import Behaviour, Delivered, Kept
from tests import canaries
from tests.canaries import everything_kept, listening
from tests.gateways.planting import PlantedLine, Spot, planting
from tests.gateways.simulator_harness import SimulatorHarness, signed
from tests.gateways.stripe import start_stripe
from tests.gateways.stripe_harness import StripeHarness
from tests.simulator import start_simulator
from tests.world import World, open_world

SPARED = re.compile(
    r"(?:^|_)(?:id|object|status|currency|customer|charge|payment_method|payment_intent|reference"
    r"|latest_charge|client_secret|perennial_\w+|next_cursor)$"
)
DOUBLES = {
    "simulator": (start_simulator, SimulatorHarness),
    "stripe": (start_stripe, StripeHarness),
}


def is_word(spot: Spot) -> bool:
    """Whether the protocol does without it."""
    return not any(SPARED.search(part) for part in spot[1][-1:])


@dataclass
class Shop:
    """A shop whose only account is at a double, over a line that can be sown."""

    world: World
    line: PlantedLine
    harness: SimulatorHarness | StripeHarness
    account: UUID
    secrets: tuple[str, ...]

    @property
    def canary(self) -> str:
        return f"4111111111111111 is the card, and {self.secrets[0]} is the key."

    async def customer(self, kept: Kept) -> UUID:
        customer = await self.world.customer(None)
        cmd = payment_methods.AttachPaymentMethod(
            customer_id=customer,
            gateway_reference=kept.reference,
            gateway_customer_reference=kept.customer_reference,
            make_default=True,
        )
        await payment_methods.attach(self.world.rt, self.world.caller, cmd)
        return customer


@pytest.fixture(params=DOUBLES)
async def shop(
    request: pytest.FixtureRequest, clean_database: str, administrator, tmp_path
) -> AsyncIterator[Shop]:
    start, make = DOUBLES[request.param]
    with start(tmp_path) as process:
        harness = make(process)
        async with planting(harness) as line, open_world(clean_database) as world:
            settings = harness.account(line.url)
            keys = {n: key.get_secret_value() for n, key in settings.credentials.items()}
            cmd = CreateGatewayAccount(
                request.param,
                credentials=keys | dict(settings.options),
                webhook_secret=settings.webhook_secrets[0].get_secret_value(),
                make_default=True,
            )
            row = await gateway_accounts.create(world.rt, world.caller, cmd)
            await administrator.execute(
                "UPDATE gateway_accounts SET settings = (settings::jsonb"
                " || jsonb_build_object('base_url', $2::text))::json WHERE id = $1",
                row["id"],
                line.url,
            )
            yield Shop(world, line, harness, row["id"], (*keys.values(), cmd.webhook_secret))


async def test_a_gateway_that_says_them_everywhere_is_not_repeated(
    shop: Shop, administrator, capfd: pytest.CaptureFixture[str]
) -> None:
    world, line, harness = shop.world, shop.line, shop.harness
    good = await shop.customer(await harness.keep(Behaviour.OK))
    poor = await shop.customer(await harness.keep_declining("insufficient_funds"))
    price = await world.price("1000")
    began = world.now
    with listening(capfd) as logged, line.sown(shop.canary, is_word):
        await world.subscribe(good, price)
        await world.subscribe(poor, price)
        await gateway_accounts.check(world.rt, world.caller, shop.account)
        [paid] = [p for p in await world.payments() if p["status"] == "succeeded"]
        await world.refund(paid["id"], 400)
        await world.advance_quietly(hours=2)
        delivery = told_of(shop, paid["id"])
        await Mailbox().take(
            world.rt, Delivery(harness.gateway, shop.account, delivery.headers, delivery.body)
        )
        await inbox_settling.settle_due(world.rt)
        cmd = CreateReconciliation(shop.account, began - timedelta(days=1), world.now)
        made = await reconciliation.create(world.rt, world.caller, cmd)
        await reconciliation.run_due(world.rt, made)
        said = logged()
    statuses = {payment["status"] for payment in await world.payments()}
    assert statuses == {"succeeded", "requires_payment_method"}
    [refund] = await world.fetch("SELECT status FROM refunds")
    assert refund["status"] == "succeeded"
    [kept] = await world.fetch("SELECT count(*) AS n FROM inbound_events")
    assert kept["n"] == 1
    rows = (await everything_kept(administrator)).split("\n")
    leaks = [row[:300] for row in [*rows, *said.splitlines()] if found(shop, row)]
    assert not leaks, "\n".join(leaks[:10])


def told_of(shop: Shop, about: UUID) -> WebhookDelivery:
    """A delivery that says the canary in each word that is not needed, rightly signed."""
    wanted = Delivered(f"evt_{about.hex}", EventKind.PAYMENT, "ch_nobody", None, shop.world.now)
    plain = orjson.loads(shop.harness.delivery(wanted).body)
    plain |= {"note": shop.canary, "deep": [{shop.canary: [shop.canary]}]}
    body = orjson.dumps(plain)
    if shop.harness.gateway == "simulator":
        made = signed(wanted.event_id, wanted.at, body, shop.secrets[-1])
    else:
        at = int(wanted.at.timestamp())
        header = sdk.WebhookSignature.generate_signature_header(body.decode(), shop.secrets[-1], at)
        made = WebhookDelivery({"stripe-signature": header}, body, wanted.at)
    return replace(made, headers={**made.headers, "x-note": shop.canary})


def found(shop: Shop, text: str) -> set[str]:
    return canaries.found_in(text, shop.secrets)
