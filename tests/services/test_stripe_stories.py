"""A merchant at Stripe: the clock charges through the adapter, and Stripe's books are the judge."""

from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import pytest

from app.services import gateway_accounts, inbox_settling, payment_methods
from app.services.gateway_accounts import CreateGatewayAccount
from app.services.inbox import Delivery, Mailbox
from tests.gateways.stripe import KEY, WEBHOOK_SECRET, StripeFake, start_stripe
from tests.world import DECLINED, PAID, RENEWED, World, open_world

UNKNOWN = ("subscription.created", "invoice.finalized", "payment.unknown")
SETTLED = ("payment.succeeded", "invoice.paid", "subscription.activated")
CREATED = ("subscription.created", "invoice.finalized")


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StripeFake]:
    with start_stripe(tmp_path_factory.mktemp("stripe")) as fake:
        yield fake
        assert fake.faults_found() == []


@pytest.fixture
async def shop(clean_database: str, books: StripeFake, administrator) -> AsyncIterator[World]:
    """A shop whose only account is at our Stripe; it waits a second for an answer."""
    async with open_world(clean_database, gateway_timeout_seconds=1) as world:
        cmd = CreateGatewayAccount(
            "stripe",
            credentials={"secret_key": KEY},
            webhook_secret=WEBHOOK_SECRET,
            make_default=True,
        )
        account = await gateway_accounts.create(world.rt, world.caller, cmd)
        await administrator.execute(
            "UPDATE gateway_accounts SET settings = json_build_object('base_url', $2::text)"
            " WHERE id = $1",
            account["id"],
            books.url,
        )
        books.clear_faults()
        yield world
        books.clear_faults()


async def paying_with(world: World, books: StripeFake, card: str) -> UUID:
    """A customer with a payment method that Stripe keeps."""
    customer, at_stripe = await world.customer(None), books.customer()
    cmd = payment_methods.AttachPaymentMethod(
        customer_id=customer,
        gateway_reference=books.method(card, at_stripe),
        gateway_customer_reference=at_stripe,
        make_default=True,
    )
    await payment_methods.attach(world.rt, world.caller, cmd)
    await world.told()
    return customer


async def agree(world: World, books: StripeFake) -> None:
    """Every unit that moved at Stripe is in our books, under its name, once; and no other."""
    for kind, table in (("charge", "payment_attempts"), ("refund", "refunds")):
        for row in await world.fetch(f"SELECT reference, amount, status FROM {table}"):
            moved = books.moved(kind, row["reference"])
            assert moved == (row["amount"] if row["status"] == "succeeded" else 0), row
            assert len(books.entries(kind, row["reference"])) <= 1
    await world.assert_clean()


async def test_a_year_of_renewals_is_charged_at_stripe_once_a_month(
    shop: World, books: StripeFake
) -> None:
    customer = await paying_with(shop, books, "pm_card_visa")
    await shop.subscribe(customer, await shop.price("1000"))
    await shop.expect(*CREATED, *PAID, "subscription.activated")
    for _ in range(11):
        await shop.advance(months=1, expect=RENEWED)
    attempts = await shop.attempts()
    assert len(attempts) == 12
    # 2.5 % and 25 cents of each 10.00 stay at Stripe.
    assert {attempt["fee"] for attempt in attempts} == {50}
    assert all(attempt["network_transaction_id"] for attempt in attempts)
    await agree(shop, books)


@pytest.mark.parametrize(
    ("fault", "moved"),
    [
        ("timeout_before_effect", False),
        ("timeout_after_effect", True),
        ("error_500_before", False),
        ("error_500_after", True),
        ("cut_body", True),
    ],
)
async def test_an_answer_that_did_not_come_is_found_out_and_never_charged_twice(
    shop: World, books: StripeFake, fault: str, moved: bool
) -> None:
    customer = await paying_with(shop, books, "pm_card_visa")
    books.set_fault(fault, count=1)
    await shop.subscribe(customer, await shop.price("1000"))
    await shop.expect(*UNKNOWN)
    [attempt] = await shop.attempts()
    assert books.moved("charge", attempt["reference"]) == (1000 if moved else 0)
    await shop.advance(minutes=1, expect=[*PAID, "subscription.activated"])
    assert len(await shop.attempts()) == 1
    await agree(shop, books)


async def test_a_500_that_stripe_remembers_is_found_out_by_looking(
    shop: World, books: StripeFake
) -> None:
    customer = await paying_with(shop, books, "pm_card_visa")
    books.script(operation="charge", effect=True, stored=True, status=500)
    await shop.subscribe(customer, await shop.price("1000"))
    await shop.expect(*UNKNOWN)
    await shop.advance(minutes=1, expect=[*PAID, "subscription.activated"])
    await agree(shop, books)


async def test_a_bank_debit_is_paid_once_the_bank_has_paid(shop: World, books: StripeFake) -> None:
    customer = await paying_with(shop, books, "pm_usBankAccount_success")
    await shop.subscribe(customer, await shop.price("1000"))
    told = await shop.told()
    assert "payment.processing" in told
    books.tell("settle")
    await shop.advance(minutes=10, expect=[*PAID, "subscription.activated"])
    await agree(shop, books)


async def test_stripes_deliveries_in_any_order_and_twice_settle_what_is_pending(
    shop: World, books: StripeFake
) -> None:
    before = len(books.ask("events"))
    customer = await paying_with(shop, books, "pm_usBankAccount_success")
    await shop.subscribe(customer, await shop.price("1000"))
    await shop.told()
    books.tell("settle")
    [account] = await shop.fetch("SELECT id FROM gateway_accounts WHERE is_default")
    told = books.deliveries(at=int(shop.now.timestamp()))[before:]
    assert len(told) >= 4

    mailbox = Mailbox()
    for one in [*reversed(told), *told]:
        await mailbox.take(shop.rt, Delivery("stripe", account["id"], one.headers, one.body))
    await inbox_settling.settle_due(shop.rt)

    assert [one for one in await shop.told() if one in SETTLED] == list(SETTLED)
    inbound = await shop.fetch("SELECT status, reason FROM inbound_events")
    assert len(inbound) == len(told)
    assert {row["status"] for row in inbound} <= {"settled", "ignored"}
    await agree(shop, books)


async def test_a_declined_card_is_a_failed_payment_with_stripes_word(
    shop: World, books: StripeFake
) -> None:
    customer = await paying_with(shop, books, "pm_card_visa_chargeDeclinedInsufficientFunds")
    await shop.subscribe(customer, await shop.price("1000"))
    await shop.expect(*CREATED, *DECLINED)
    [payment] = await shop.payments()
    assert payment["failure_code"] == "insufficient_funds"
    await agree(shop, books)


async def test_a_payment_that_wants_its_customer_waits_until_they_came(
    shop: World, books: StripeFake
) -> None:
    customer = await paying_with(shop, books, "pm_card_authenticationRequired")
    await shop.subscribe(customer, await shop.price("1000"))
    assert "payment.action_required" in await shop.told()
    [attempt] = await shop.attempts()
    [intent] = [
        one
        for one in books.ask("objects", kind="payment_intent")
        if one["id"] == attempt["gateway_reference"]
    ]
    by_customer = {"id": intent["id"], "client_secret": intent["client_secret"]}
    books.tell("act", **by_customer, verdict="refuse")
    await shop.advance(minutes=10)
    books.tell("act", **by_customer, verdict="accept")
    await shop.advance_quietly(hours=2)
    [payment] = await shop.payments()
    assert payment["status"] == "succeeded"
    await agree(shop, books)


async def test_a_refund_goes_back_through_stripe(shop: World, books: StripeFake) -> None:
    customer = await paying_with(shop, books, "pm_card_visa")
    await shop.subscribe(customer, await shop.price("1000"))
    [payment] = await shop.payments()
    await shop.refund(payment["id"], 400)
    await shop.told()
    [refund] = await shop.fetch("SELECT * FROM refunds")
    assert (refund["status"], books.moved("refund", refund["reference"])) == ("succeeded", 400)
    await agree(shop, books)
