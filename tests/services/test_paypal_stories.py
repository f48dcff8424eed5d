"""The whole engine on PayPal: a real shop, and our own PayPal, whose books are the judge."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.clock import SystemClock
from app.domain.calendar import Unit
from app.services import (
    gateway_accounts,
    inbox_settling,
    kept_methods,
    payment_methods,
    setup_sessions,
)
from app.services.gateway_accounts import CreateGatewayAccount
from app.services.inbox import Delivery, Mailbox, Taken
from app.services.payment_methods import AttachPaymentMethod
from app.services.setup_sessions import CreateSetupSession
from tests.gateways.fakes.paypal.control import WEBHOOK_ID
from tests.gateways.fakes.paypal.server import CLIENT_ID, CLIENT_SECRET
from tests.gateways.paypal import PayPalProcess, start_paypal
from tests.world import DECLINED, PAID, RENEWED, STARTED, World, open_world

pytestmark = pytest.mark.anyio

PENDING = ("subscription.created", "invoice.finalized", "payment.processing")
UNKNOWN = ("subscription.created", "invoice.finalized", "payment.unknown")
ACTION = ("subscription.created", "invoice.finalized", "payment.action_required")
ACTIVATED = (*PAID, "subscription.activated")


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PayPalProcess]:
    with start_paypal(tmp_path_factory.mktemp("paypal")) as started:
        yield started


@dataclass
class Shop:
    """A shop whose customers pay at PayPal."""

    world: World
    paypal: PayPalProcess
    account: UUID
    mailbox: Mailbox = field(default_factory=Mailbox)

    async def subscribed(self, token: str, type: str = "wallet") -> UUID:
        """A subscription at ten euros a day."""
        customer = await self.world.customer(None)
        cmd = AttachPaymentMethod(customer, token, type=type, make_default=True)
        await payment_methods.attach(self.world.rt, self.world.caller, cmd)
        return await self.world.subscribe(customer, await self.world.price("1000", unit=Unit.DAY))

    async def hear(self, type: str, kind: str, own_id: str) -> Taken:
        """PayPal delivers an event about an object."""
        told = self.paypal.event(type, kind, own_id)
        headers = {name.lower(): value for name, value in told.headers.items()}
        delivery = Delivery("paypal", self.account, headers, told.body)
        return await self.mailbox.take(self.world.rt, delivery)

    async def settle(self) -> inbox_settling.Ran:
        return await inbox_settling.settle_due(self.world.rt)

    async def attempt(self) -> Any:
        return (await self.world.attempts())[-1]

    async def assert_agreed(self) -> None:
        """Every cent that moved at PayPal is in our books, under its name, once; and no other."""
        rows = [row for row in self.paypal.fake("GET", "ledger") if row["moved"]]
        there = Counter(
            (row["invoice_id"], row["kind"], int(Decimal(row["value"]) * 100)) for row in rows
        )
        ours = await self.world.fetch(
            "SELECT reference, 'capture' AS kind, amount FROM payment_attempts"
            " WHERE status = 'succeeded' UNION ALL"
            " SELECT reference, 'refund', amount FROM refunds WHERE status = 'succeeded'"
        )
        assert there == Counter(tuple(row.values()) for row in ours)
        await self.world.assert_clean()


@pytest.fixture
async def shop(clean_database: str, process: PayPalProcess) -> AsyncIterator[Shop]:
    process.reset()
    now = SystemClock().now().replace(microsecond=0)
    async with open_world(clean_database, at=now, gateway_timeout_seconds=3) as world:
        cmd = CreateGatewayAccount(
            "paypal",
            credentials={"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
            webhook_secret=WEBHOOK_ID,
            make_default=True,
        )
        account = (await gateway_accounts.create(world.rt, world.caller, cmd))["id"]
        await world.fetch(
            "UPDATE gateway_accounts SET settings = (settings::jsonb || $2)::json WHERE id = $1",
            account,
            f'{{"base_url": "{process.url}"}}',
        )
        yield Shop(world, process, account)
    assert process.violations() == []


@pytest.mark.parametrize(("token", "type"), [("wallet-ok", "wallet"), ("card-ok", "card")])
async def test_a_subscription_is_paid_and_renewed(shop: Shop, token: str, type: str) -> None:
    await shop.subscribed(token, type)
    await shop.world.expect(*STARTED)
    await shop.world.advance(days=1, expect=RENEWED)
    await shop.assert_agreed()


@pytest.mark.parametrize(
    ("fault", "moved"),
    [
        ("timeout_before_effect", 0),
        ("timeout_after_effect", 1000),
        ("error_500_before", 0),
        ("error_500_after", 1000),
        ("cut_body", 1000),
    ],
)
async def test_an_answer_that_did_not_come_is_found_out_and_never_charged_twice(
    shop: Shop, fault: str, moved: int
) -> None:
    shop.paypal.set_fault(fault, count=1)
    await shop.subscribed("card-ok", "card")
    await shop.world.expect(*UNKNOWN)
    reference = (await shop.attempt())["reference"]
    assert shop.paypal.charged(reference) == moved
    await shop.world.advance(minutes=1, expect=ACTIVATED)
    assert shop.paypal.charged(reference) == 1000
    assert len(await shop.world.attempts()) == 1
    await shop.assert_agreed()


async def test_a_decline_is_one(shop: Shop) -> None:
    await shop.subscribed("card-5120", "card")
    await shop.world.expect("subscription.created", "invoice.finalized", *DECLINED)
    [attempt] = await shop.world.attempts()
    assert attempt["failure_code"] == "insufficient_funds"
    await shop.assert_agreed()


async def test_what_the_customer_agreed_to_on_paypals_page_is_taken_when_it_tells(
    shop: Shop,
) -> None:
    await shop.subscribed("wallet-requires-action")
    await shop.world.expect(*ACTION)
    order = (await shop.attempt())["gateway_reference"].removeprefix("order:")
    shop.paypal.fake("POST", f"orders/{order}/approve")
    taken = await shop.hear("CHECKOUT.ORDER.APPROVED", "order", order)
    assert (taken.events, taken.stored) == (1, 1)
    assert (await shop.settle()).settled == 1
    await shop.world.expect(*ACTIVATED)
    await shop.assert_agreed()


async def test_a_pending_payment_is_settled_when_paypal_tells(shop: Shop) -> None:
    await shop.subscribed("wallet-pending-then-succeeds")
    await shop.world.expect(*PENDING)
    shop.paypal.fake("POST", "settlements")
    own_id = (await shop.attempt())["gateway_reference"]
    await shop.hear("PAYMENT.CAPTURE.COMPLETED", "capture", own_id)
    assert (await shop.settle()).settled == 1
    await shop.world.expect(*ACTIVATED)
    # The same event, whatever its id: nothing is new.
    await shop.hear("PAYMENT.CAPTURE.COMPLETED", "capture", own_id)
    await shop.settle()
    await shop.world.expect()
    await shop.assert_agreed()


async def test_a_refund_goes_back_once_though_its_answer_was_lost(shop: Shop) -> None:
    await shop.subscribed("wallet-ok")
    await shop.world.told()
    [payment] = await shop.world.payments()
    shop.paypal.set_fault("error_500_after", count=1, operations=["refund"])
    await shop.world.refund(payment["id"], 400)
    await shop.world.advance_quietly(minutes=5)
    [refund] = await shop.world.fetch("SELECT * FROM refunds")
    assert refund["status"] == "succeeded"
    assert shop.paypal.refunded(refund["reference"]) == 400
    await shop.assert_agreed()


async def approved(shop: Shop) -> tuple[UUID, UUID]:
    """A customer who has agreed on PayPal's page, and their set-up session."""
    customer = await shop.world.customer(None)
    cmd = CreateSetupSession(customer, return_url="https://shop.example/back", make_default=True)
    opened = await setup_sessions.create(shop.world.rt, shop.world.caller, cmd)
    assert opened.handover.redirect_url is not None
    assert await complete(shop, opened.session["id"]) == "open", "the customer has not agreed"
    back = shop.paypal.approve(opened.handover.redirect_url.rpartition("=")[2])
    assert back.headers["location"].startswith("https://shop.example/back?")
    return customer, opened.session["id"]


async def complete(shop: Shop, session: UUID) -> str:
    done = await setup_sessions.complete(shop.world.rt, shop.world.caller, session, None, {})
    return done.status


async def kept(shop: Shop) -> list[Any]:
    return await shop.world.fetch("SELECT * FROM payment_methods ORDER BY id")


@pytest.mark.parametrize("fault", [None, "error_500_after", "cut_body"])
async def test_a_wallet_is_approved_kept_once_and_charged(shop: Shop, fault: str | None) -> None:
    customer, session = await approved(shop)
    if fault is not None:
        shop.paypal.set_fault(fault, count=1, operations=["setup"])
        assert await complete(shop, session) == "open"
    assert await complete(shop, session) == "completed"
    assert await complete(shop, session) == "completed"
    [method] = await kept(shop)
    assert (method["type"], method["brand"], method["is_usable"]) == ("wallet", "paypal", True)
    await shop.world.told()
    await shop.world.subscribe(customer, await shop.world.price("1000", unit=Unit.DAY))
    await shop.world.expect(*STARTED)
    await shop.assert_agreed()


async def test_a_way_back_that_is_a_secret_is_told_to_paypal_alone(shop: Shop) -> None:
    secret = "https://shop.example/pay/pl_secret/kept"
    cmd = CreateSetupSession(await shop.world.customer(None), secret_return_url=secret)
    opened = await setup_sessions.create(shop.world.rt, shop.world.caller, cmd)
    assert opened.handover.redirect_url is not None
    back = shop.paypal.approve(opened.handover.redirect_url.rpartition("=")[2])
    assert back.headers["location"].startswith(secret)
    assert await complete(shop, opened.session["id"]) == "completed"
    for table in ("setup_sessions", "events"):
        kept = await shop.world.fetch(f"SELECT t::text AS row FROM {table} t")
        assert not [row for row in kept if "pl_secret" in row["row"]]


async def test_a_card_is_entered_in_the_shop_s_page_kept_and_charged(shop: Shop) -> None:
    customer = await shop.world.customer(None)
    where = {"return_url": "https://shop.example/back", "make_default": True}
    cmd = CreateSetupSession(customer, parameters={"payment_source": "card"}, **where)
    opened = await setup_sessions.create(shop.world.rt, shop.world.caller, cmd)
    assert (opened.session["flow"], opened.handover.redirect_url) == ("checkout", None)
    assert opened.handover.parameters is not None
    session = opened.session["id"]
    assert await complete(shop, session) == "open"
    shop.paypal.approve(opened.handover.parameters["setup_token"])
    assert await complete(shop, session) == "completed"
    [method] = await kept(shop)
    assert (method["type"], method["is_usable"]) == ("card", True)
    await shop.world.told()
    await shop.world.subscribe(customer, await shop.world.price("1000", unit=Unit.DAY))
    await shop.world.expect(*STARTED)
    await shop.assert_agreed()


async def test_what_paypal_does_not_know_fails_the_session(shop: Shop) -> None:
    where = {"return_url": "https://shop.example/back"}
    cmd = CreateSetupSession(
        await shop.world.customer(None), parameters={"payment_source": "gold"}, **where
    )
    opened = await setup_sessions.create(shop.world.rt, shop.world.caller, cmd)
    assert (opened.session["status"], opened.session["failure_code"]) == (
        "failed",
        "gateway_refused",
    )


async def test_what_the_customer_takes_back_at_paypal_is_not_charged_any_more(shop: Shop) -> None:
    _, session = await approved(shop)
    assert await complete(shop, session) == "completed"
    [method] = await kept(shop)
    token = method["gateway_reference"]
    told = ("VAULT.PAYMENT-TOKEN.DELETED", "token", token)
    await shop.hear(*told)
    await shop.settle()
    assert (await kept(shop))[0]["is_usable"], "PayPal has it still, whatever it told"
    shop.world.clock.advance(timedelta(minutes=1))
    await shop.hear(*told)
    shop.paypal.fake("DELETE", f"tokens/{token}")
    assert (await shop.settle()).settled == 1
    assert not (await kept(shop))[0]["is_usable"]


async def test_a_method_that_is_detached_is_deleted_at_paypal(shop: Shop) -> None:
    _, session = await approved(shop)
    await complete(shop, session)
    [method] = await kept(shop)
    await payment_methods.detach(shop.world.rt, shop.world.caller, method["id"])
    await kept_methods.detach_due(shop.world.rt)
    [call] = [
        one for one in shop.paypal.calls("/v3/vault/payment-tokens/") if one["method"] == "DELETE"
    ]
    assert call["path"].endswith(method["gateway_reference"])
