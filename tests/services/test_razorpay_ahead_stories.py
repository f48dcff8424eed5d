"""The whole engine on Razorpay, whose debits are announced; the books of our own one are the judge.
Its clock goes with ours.

499.00 rupees a month: the next period is billed two days and two hours before it begins.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.services import gateway_accounts, payment_methods
from app.services.gateway_accounts import CreateGatewayAccount
from app.services.payment_methods import AttachPaymentMethod
from tests.ahead import BEGUN, BILLED, EARLY
from tests.gateways.fakes.razorpay.books import ACCOUNT
from tests.gateways.fakes.razorpay.server import KEY_ID, SECRET
from tests.gateways.razorpay import RazorpayFake, start_razorpay
from tests.world import DECLINED, RENEWED, World, open_world

NOTICE = timedelta(hours=36, minutes=5)
MINUTE = timedelta(minutes=1)
PENDING = ("subscription.created", "invoice.finalized", "payment.processing")
ACTIVE = ("payment.succeeded", "invoice.paid", "subscription.activated")


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RazorpayFake]:
    with start_razorpay(tmp_path_factory.mktemp("razorpay")) as started:
        yield started


@dataclass
class Shop:
    """A shop whose customers pay at Razorpay; the first period is paid."""

    world: World
    razorpay: RazorpayFake
    sub: UUID
    boundary: datetime

    async def go_to(self, at: datetime, *expect: str) -> None:
        """Time goes on, here and there; what is due happens, and tells this."""
        self.razorpay.advance(seconds=(at - self.world.now).total_seconds())
        await self.world.advance(to=at, expect=expect)

    async def order(self) -> Any:
        """The order of the latest attempt, as Razorpay has it."""
        reference = (await self.world.attempts())[-1]["reference"]
        return next(o for o in self.razorpay.ask("orders") if o["receipt"] == reference)

    async def assert_agreed(self, moved: int) -> None:
        """So often 499.00 moved there, each once and in our books; and the books are right."""
        references = [row["reference"] for row in await self.world.attempts()]
        there = [self.razorpay.moved("charge", reference) for reference in references]
        assert sum(there) == moved * 49_900
        assert max(there) <= 49_900
        await self.world.assert_clean()


async def open_shop(world: World, razorpay: RazorpayFake) -> Shop:
    """A customer with a card, whose first debit is announced."""
    cmd = CreateGatewayAccount(
        "razorpay",
        credentials={"key_id": KEY_ID, "key_secret": SECRET, "account_id": ACCOUNT},
        make_default=True,
    )
    account = (await gateway_accounts.create(world.rt, world.caller, cmd))["id"]
    await world.fetch(
        "UPDATE gateway_accounts SET settings = (settings::jsonb || $2)::json WHERE id = $1",
        account,
        f'{{"base_url": "{razorpay.url}"}}',
    )
    customer, known = await world.customer(None), razorpay.customer()
    token = razorpay.token(known)
    method = AttachPaymentMethod(
        customer, token, gateway_customer_reference=known, make_default=True
    )
    await payment_methods.attach(world.rt, world.caller, method)
    price = await world.price("49900", "INR")
    sub = await world.subscribe(customer, price)
    await world.expect(*PENDING)
    return Shop(world, razorpay, sub, (await world.subscription(sub))["period_end"])


@pytest.fixture
async def world(clean_database: str, process: RazorpayFake) -> AsyncIterator[World]:
    process.fair()
    at = datetime.fromtimestamp(process.ask("time"), UTC).replace(microsecond=0)
    async with open_world(clean_database, at=at, gateway_timeout_seconds=5) as opened:
        yield opened
    assert process.violations() == []


async def test_a_renewal_is_announced_by_its_order_and_debited_as_the_period_begins(
    world: World, process: RazorpayFake
) -> None:
    shop = await open_shop(world, process)
    await shop.go_to(world.now + timedelta(days=4), *ACTIVE)
    await shop.go_to(shop.boundary - EARLY - MINUTE)
    await shop.go_to(shop.boundary - EARLY, *BILLED)
    order = await shop.order()
    assert order["notification"]["payment_after"] == int(shop.boundary.timestamp())
    assert process.moved("charge", order["receipt"]) == 0
    assert (await world.subscription(shop.sub))["period_end"] == shop.boundary
    await shop.go_to(shop.boundary - MINUTE)
    assert process.moved("charge", order["receipt"]) == 0
    await shop.go_to(shop.boundary + timedelta(days=3), *BEGUN)
    assert process.moved("charge", order["receipt"]) == 49_900
    await shop.assert_agreed(2)


async def test_a_debit_that_is_refused_leaves_it_behind_after_the_boundary(
    world: World, process: RazorpayFake
) -> None:
    shop = await open_shop(world, process)
    await shop.go_to(world.now + timedelta(days=4), *ACTIVE)
    customer, known = (await world.subscription(shop.sub))["customer_id"], process.customer()
    token = process.token(known, "insufficient_funds")
    method = AttachPaymentMethod(
        customer, token, gateway_customer_reference=known, make_default=True
    )
    await payment_methods.attach(world.rt, world.caller, method)
    await shop.go_to(shop.boundary - EARLY, *BILLED)
    await shop.go_to(shop.boundary - MINUTE)
    assert await world.status(shop.sub) == "active"
    await shop.go_to(shop.boundary, "subscription.renewed", *DECLINED, "subscription.past_due")
    await shop.assert_agreed(1)


async def test_who_cancels_after_the_notice_is_debited_and_has_it_as_credit(
    world: World, process: RazorpayFake
) -> None:
    shop = await open_shop(world, process)
    await shop.go_to(world.now + timedelta(days=4), *ACTIVE)
    await shop.go_to(shop.boundary - EARLY, *BILLED)
    await world.cancel(shop.sub, at_period_end=True)
    await world.told()
    await shop.go_to(shop.boundary, "subscription.canceled", "payment.succeeded", "invoice.paid")
    await shop.go_to(world.now + MINUTE, "credit_note.created")
    customer = (await world.subscription(shop.sub))["customer_id"]
    assert await world.credit_left(customer) == 49_900
    await shop.assert_agreed(2)


async def test_a_late_renewal_follows_its_notice_as_soon_as_it_may(
    world: World, process: RazorpayFake
) -> None:
    """A day before the boundary there is no time for the notice: no moment is named."""
    shop = await open_shop(world, process)
    await shop.go_to(world.now + timedelta(days=4), *ACTIVE)
    await shop.go_to(shop.boundary - timedelta(days=1), *BILLED)
    order = await shop.order()
    assert "payment_after" not in order["notification"]
    await shop.go_to(shop.boundary, "subscription.renewed")
    assert process.moved("charge", order["receipt"]) == 0
    await shop.go_to(shop.boundary - timedelta(days=1) + NOTICE + timedelta(days=3), *BEGUN[1:])
    await shop.assert_agreed(2)


async def test_a_bank_mandate_is_not_announced_and_billed_as_it_begins(
    world: World, process: RazorpayFake
) -> None:
    shop = await open_shop(world, process)
    await shop.go_to(world.now + timedelta(days=4), *ACTIVE)
    customer, known = (await world.subscription(shop.sub))["customer_id"], process.customer()
    token = process.token(known, method="emandate")
    method = AttachPaymentMethod(
        customer,
        token,
        gateway_customer_reference=known,
        type="bank_account",
        make_default=True,
    )
    await payment_methods.attach(world.rt, world.caller, method)
    await shop.go_to(shop.boundary - EARLY)
    await shop.go_to(shop.boundary, *RENEWED)
    await shop.assert_agreed(2)


async def test_an_order_that_is_not_listed_yet_is_not_made_and_charged_a_second_time(
    world: World, process: RazorpayFake
) -> None:
    """The debit's answer is lost, and for four minutes the list of orders does not show its order:
    within the time that we give a look-up, so nothing may be concluded from it.
    """
    shop = await open_shop(world, process)
    await shop.go_to(world.now + timedelta(days=4), *ACTIVE)
    customer, known = (await world.subscription(shop.sub))["customer_id"], process.customer()
    method = AttachPaymentMethod(
        customer,
        process.token(known, method="emandate"),
        gateway_customer_reference=known,
        type="bank_account",
        make_default=True,
    )
    await payment_methods.attach(world.rt, world.caller, method)
    process.fault("error_500_after", count=1, operations=["charge"])
    process.tell("settings", unlisted_seconds=240)
    await shop.go_to(shop.boundary, *RENEWED[:2], "payment.unknown")
    for _ in range(4):
        await shop.go_to(world.now + MINUTE)
    await shop.go_to(world.now + timedelta(hours=1), *RENEWED[2:])
    await shop.assert_agreed(2)
