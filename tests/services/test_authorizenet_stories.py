"""A merchant at Authorize.net: no keys, only references; its own books are the judge."""

from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import pytest

from app.services import gateway_accounts, payment_methods, setup_calls, setup_sessions
from app.services.gateway_accounts import CreateGatewayAccount
from app.services.setup_sessions import CreateSetupSession, Opened
from tests.gateways.fakes.authorizenet.process import FakeAuthorizeNet, start_fake
from tests.gateways.fakes.authorizenet.secrets import CLIENT_KEY, KEY, LOGIN
from tests.world import DECLINED, PAID, RENEWED, World, open_world, until

CREATED = ("subscription.created", "invoice.finalized")
UNKNOWN = (*CREATED, "payment.unknown")
CREDENTIALS = {
    "api_login_id": LOGIN,
    "transaction_key": KEY,
    "client_key": CLIENT_KEY,
    "currency": "EUR",
}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeAuthorizeNet]:
    with start_fake(tmp_path_factory.mktemp("authorizenet")) as fake:
        yield fake


@pytest.fixture
def books(process: FakeAuthorizeNet) -> Iterator[FakeAuthorizeNet]:
    process.reset()
    yield process
    assert process.do("complaints") == {"refused": [], "flaws": []}


@pytest.fixture
async def shop(clean_database: str, books: FakeAuthorizeNet, administrator) -> AsyncIterator[World]:
    """A shop whose only account is at our Authorize.net; it waits a second for an answer."""
    async with open_world(clean_database, gateway_timeout_seconds=1) as world:
        cmd = CreateGatewayAccount("authorizenet", credentials=CREDENTIALS, make_default=True)
        account = await gateway_accounts.create(world.rt, world.caller, cmd)
        await administrator.execute(
            "UPDATE gateway_accounts SET settings ="
            " (settings::jsonb || jsonb_build_object('base_url', $2::text))::json WHERE id = $1",
            account["id"],
            books.url,
        )
        yield world


async def paying(world: World, books: FakeAuthorizeNet, behaves: str = "ok") -> UUID:
    """A customer with a card that behaves so, kept at Authorize.net."""
    customer = await world.customer(None)
    profile, method = books.do("method", behaves=behaves)
    cmd = payment_methods.AttachPaymentMethod(
        customer_id=customer,
        gateway_reference=method,
        gateway_customer_reference=profile,
        make_default=True,
    )
    await payment_methods.attach(world.rt, world.caller, cmd)
    await world.told()
    return customer


async def agree(world: World, books: FakeAuthorizeNet) -> None:
    """Every cent that moved there is in our books, under its name, once; and no other."""
    for row in await world.fetch("SELECT reference, amount, status FROM payment_attempts"):
        moved = books.do("moved", reference=row["reference"])
        assert moved["charged"] == (row["amount"] if row["status"] == "succeeded" else 0), row
        assert moved["times"] <= 1
    for row in await world.fetch("SELECT reference, amount, status FROM refunds"):
        moved = books.do("moved", reference=row["reference"])
        assert moved["refunded"] == (row["amount"] if row["status"] == "succeeded" else 0), row
        assert moved["times"] <= 1
    await world.assert_clean()


async def test_renewals_are_charged_once_a_month(shop: World, books: FakeAuthorizeNet) -> None:
    customer = await paying(shop, books)
    await shop.subscribe(customer, await shop.price("1000"))
    await shop.expect(*CREATED, *PAID, "subscription.activated")
    for _ in range(3):
        books.do("settle")
        await shop.advance(months=1, expect=RENEWED)
    attempts = await shop.attempts()
    assert len(attempts) == 4
    assert all(attempt["network_transaction_id"] for attempt in attempts)
    await agree(shop, books)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "timeout_after_effect"},
        {"kind": "error_500_after"},
        {"kind": "cut_body"},
        {"kind": "code_after", "code": "E00104"},
    ],
)
async def test_a_charge_whose_answer_was_lost_is_found(
    shop: World, books: FakeAuthorizeNet, fault: dict[str, str]
) -> None:
    customer = await paying(shop, books)
    books.do("faults", faults=[fault | {"count": 1}])
    await shop.subscribe(customer, await shop.price("1000"))
    await shop.expect(*UNKNOWN)
    await shop.advance(minutes=1, expect=[*PAID, "subscription.activated"])
    assert len(await shop.attempts()) == 1
    await agree(shop, books)


async def test_a_charge_that_never_arrived_is_made_anew_past_the_duplicate_window_only(
    shop: World, books: FakeAuthorizeNet
) -> None:
    customer = await paying(shop, books)
    books.do("faults", faults=[{"kind": "timeout_before_effect", "count": 1}])
    await shop.subscribe(customer, await shop.price("1000"))
    await shop.expect(*UNKNOWN)
    # Looked for again and again, eight hours long, and not once charged meanwhile.
    for _ in range(8):
        await shop.advance(hours=1)
    assert len(await shop.attempts()) == 1
    for _ in range(8):
        await shop.advance_quietly(hours=2)
    first, second = await shop.attempts()
    assert (first["status"], second["status"]) == ("canceled", "succeeded")
    await agree(shop, books)


async def test_a_charge_that_comes_late_is_found_and_not_made_anew(
    shop: World, books: FakeAuthorizeNet
) -> None:
    customer = await paying(shop, books)
    books.do("faults", faults=[{"kind": "late_effect", "delay_ms": 300, "count": 1}])
    await shop.subscribe(customer, await shop.price("1000"))
    await shop.expect(*UNKNOWN)
    [attempt] = await shop.attempts()
    await shop.advance_quietly(minutes=1)
    await until(lambda: books.do("charged", reference=attempt["reference"]) == "10.00")
    for _ in range(12):
        await shop.advance_quietly(hours=2)
    assert len(await shop.attempts()) == 1
    [payment] = await shop.payments()
    assert payment["status"] == "succeeded"
    await agree(shop, books)


async def test_a_look_up_that_cannot_be_read_to_its_end_frees_nothing(
    shop: World, books: FakeAuthorizeNet
) -> None:
    customer = await paying(shop, books)
    books.do("seed", count=1_500)
    books.do("settings", hides_from_page=2)
    books.do("faults", faults=[{"kind": "error_500_before", "count": 1}])
    await shop.subscribe(customer, await shop.price("1000"))
    await shop.expect(*UNKNOWN)
    await shop.advance_quietly(days=2)
    assert len(await shop.attempts()) == 1
    [payment] = await shop.payments()
    assert payment["status"] == "unknown"


async def test_a_declined_card_is_a_failed_payment(shop: World, books: FakeAuthorizeNet) -> None:
    customer = await paying(shop, books, "declined_8")
    await shop.subscribe(customer, await shop.price("1000"))
    await shop.expect(*CREATED, *DECLINED)
    [payment] = await shop.payments()
    assert (payment["failure_code"], payment["failure_category"]) == ("expired_card", "hard")
    await agree(shop, books)


@pytest.mark.parametrize(
    ("action", "status"), [("approve", "succeeded"), ("decline", "requires_payment_method")]
)
async def test_a_charge_under_review_waits_for_the_merchant(
    shop: World, books: FakeAuthorizeNet, action: str, status: str
) -> None:
    customer = await paying(shop, books, "held")
    await shop.subscribe(customer, await shop.price("1000"))
    assert "payment.processing" in await shop.told()
    [attempt] = await shop.attempts()
    await shop.advance_quietly(hours=2)
    books.do("decide", id=attempt["gateway_reference"], action=action)
    await shop.advance_quietly(hours=12)
    [payment] = await shop.payments()
    assert payment["status"] == status
    await agree(shop, books)


async def test_a_whole_charge_goes_back_before_settlement_and_a_part_of_one_after(
    shop: World, books: FakeAuthorizeNet
) -> None:
    customer = await paying(shop, books)
    await shop.subscribe(customer, await shop.price("1000"))
    [first] = await shop.payments()
    await shop.refund(first["id"])
    books.do("settle")
    await shop.told()
    await shop.advance(months=1, expect=RENEWED)
    second = (await shop.payments())[-1]
    books.do("settle")
    await shop.refund(second["id"], 400)
    refunds = await shop.fetch("SELECT * FROM refunds ORDER BY created_at")
    assert [each["status"] for each in refunds] == ["succeeded", "succeeded"]
    assert refunds[0]["gateway_reference"].endswith("-void")
    await agree(shop, books)


@pytest.mark.parametrize("settled", [True, False])
async def test_a_refund_whose_answer_was_lost_is_found(
    shop: World, books: FakeAuthorizeNet, settled: bool
) -> None:
    customer = await paying(shop, books)
    await shop.subscribe(customer, await shop.price("1000"))
    [payment] = await shop.payments()
    if settled:
        books.do("settle")
    books.do("faults", faults=[{"kind": "timeout_after_effect", "count": 1}])
    await shop.refund(payment["id"])
    await shop.advance_quietly(minutes=10)
    [refund] = await shop.fetch("SELECT * FROM refunds")
    assert refund["status"] == "succeeded"
    await agree(shop, books)


# Set-ups


async def entered(world: World, books: FakeAuthorizeNet, behaves: str = "ok") -> tuple[Opened, str]:
    """A set-up whose customer has entered a card; the status after the storefront's call."""
    cmd = CreateSetupSession(await world.customer(None), make_default=True)
    opened = await setup_sessions.create(world.rt, world.caller, cmd)
    assert opened.handover.parameters is not None
    assert opened.handover.parameters["clientKey"] == CLIENT_KEY
    token = books.do("token", behaves=behaves)
    opaque = {"dataDescriptor": "COMMON.ACCEPT.INAPP.PAYMENT", "dataValue": token}
    session = await setup_sessions.complete(
        world.rt, world.caller, opened.session["id"], opened.client_token, opaque
    )
    return opened, session.status


async def test_a_card_that_accept_js_took_is_kept_and_charged(
    shop: World, books: FakeAuthorizeNet
) -> None:
    _, status = await entered(shop, books)
    assert status == "completed"
    [method] = await shop.fetch("SELECT * FROM payment_methods")
    assert (method["brand"], method["last_four"]) == ("visa", "1111")
    await shop.subscribe(method["customer_id"], await shop.price("1000"))
    assert "payment.succeeded" in await shop.told()
    await agree(shop, books)


async def test_a_card_whose_keeping_was_not_heard_of_is_kept_all_the_same(
    shop: World, books: FakeAuthorizeNet
) -> None:
    books.do("faults", faults=[{"kind": "timeout_after_effect", "count": 1}])
    _, status = await entered(shop, books)
    assert status == "open"
    assert await shop.fetch("SELECT * FROM payment_methods") == []
    for _ in range(3):
        await shop.advance_quietly(hours=1)
        await setup_calls.settle_due(shop.rt)
    [session] = await shop.fetch("SELECT * FROM setup_sessions")
    [method] = await shop.fetch("SELECT * FROM payment_methods")
    assert (session["status"], session["payment_method_id"]) == ("completed", method["id"])


async def test_a_card_that_the_bank_refuses_is_not_kept(
    shop: World, books: FakeAuthorizeNet
) -> None:
    _, status = await entered(shop, books, "setup_declined_8")
    assert status == "failed"
    [session] = await shop.fetch("SELECT * FROM setup_sessions")
    assert (session["failure_code"], session["failure_category"]) == ("expired_card", "hard")
    assert await shop.fetch("SELECT * FROM payment_methods") == []


# What is proved, and what may be sent again


async def test_after_an_outage_one_look_is_no_proof(shop: World, books: FakeAuthorizeNet) -> None:
    """Nobody looked for nine hours: the first absence is not believed, nor one soon after it."""
    customer = await paying(shop, books)
    books.do("faults", faults=[{"kind": "timeout_before_effect", "count": 1}])
    await shop.subscribe(customer, await shop.price("1000"))
    await shop.expect(*UNKNOWN)
    await shop.advance(hours=9)
    await shop.advance(minutes=1)
    await shop.advance(minutes=5)
    assert [each["status"] for each in await shop.attempts()] == ["unknown"]
    for _ in range(3):
        await shop.advance_quietly(minutes=20)
    assert [each["status"] for each in await shop.attempts()] == ["canceled", "succeeded"]
    await agree(shop, books)


async def test_a_part_of_what_is_not_settled_goes_back_once_it_is(
    shop: World, books: FakeAuthorizeNet
) -> None:
    customer = await paying(shop, books)
    await shop.subscribe(customer, await shop.price("1000"))
    [payment] = await shop.payments()
    await shop.told()
    await shop.refund(payment["id"], 400)
    for _ in range(3):
        await shop.advance(hours=2)
    [refund] = await shop.fetch("SELECT * FROM refunds")
    assert (refund["status"], refund["request"]) == ("processing", None)
    books.do("settle")
    await shop.advance(hours=6, expect=["refund.succeeded"])
    await agree(shop, books)


async def test_a_refund_that_was_turned_away_and_then_lost_is_not_believed_absent_too_early(
    shop: World, books: FakeAuthorizeNet
) -> None:
    """What was tried in vain for a day does not make the last try any older."""
    customer = await paying(shop, books)
    await shop.subscribe(customer, await shop.price("1000"))
    [payment] = await shop.payments()
    books.do("settle")
    await shop.told()
    books.do("faults", faults=[{"kind": "error_429"}])
    await shop.refund(payment["id"], 400)
    for _ in range(6):
        await shop.advance(hours=2)
    books.do("faults", faults=[{"kind": "timeout_before_effect", "count": 1}])
    await shop.advance(hours=7)
    [refund] = await shop.fetch("SELECT * FROM refunds")
    assert refund["status"] == "unknown"
    assert refund["last_sent_at"] == shop.now
    for _ in range(4):
        await shop.advance(hours=1)
    [refund] = await shop.fetch("SELECT * FROM refunds")
    assert refund["status"] == "unknown"
    for _ in range(8):
        await shop.advance_quietly(hours=12)
    [refund] = await shop.fetch("SELECT * FROM refunds")
    assert (refund["status"], refund["detail"]) == ("failed", "never_executed")
    await agree(shop, books)
