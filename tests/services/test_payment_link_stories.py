"""Payment links, told as stories: whoever holds one sees one invoice, and pays it once."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from app.domain.errors import BillingError, Conflict, InvalidRequest, NotFound, RateLimited
from app.domain.invoice import Collection
from app.services import paying, payment_links
from app.services.paying import ACTS_MAX, Held
from app.services.payment_links import CreatePaymentLink
from tests.world import DECLINED, PAID, World

SENT = {"collection": Collection.SEND_INVOICE, "net_days": 14}


async def owed(world: World, token: str | None = "pm_sim_ok") -> tuple[UUID, UUID]:
    """A customer who is sent an invoice of 10.00, and that invoice."""
    customer = await world.customer(token)
    sub = await world.subscribe(customer, await world.price("1000"), **SENT)
    await world.told()
    return customer, (await world.invoice(sub))["id"]


async def link(world: World, invoice: UUID, **options: Any) -> tuple[UUID, str]:
    """A link to an invoice: its id and its token."""
    cmd = CreatePaymentLink(invoice, **options)
    row, url = await payment_links.create(world.rt, world.caller, cmd)
    return row["id"], url.rpartition("/")[2]


async def hold(world: World, token: str) -> Held:
    return await paying.hold(world.rt, token, "req_story")


async def method_of(world: World, customer: UUID) -> UUID:
    rows = await world.fetch(
        "SELECT id FROM payment_methods WHERE customer_id = $1 ORDER BY id DESC", customer
    )
    return rows[0]["id"]


def confirm(world: World, reference: str, secret: str) -> None:
    """The customer does their part of a set-up at the gateway."""
    assert world.simulator is not None
    path = f"/setups/{reference}/confirm"
    world.simulator.request("POST", path, json={"client_secret": secret})


async def test_an_invoice_is_paid_by_its_link_with_a_card_that_is_kept(world: World) -> None:
    customer, invoice = await owed(world)
    _, token = await link(world, invoice)
    held = await hold(world, token)
    paper = await paying.look(world.rt, held)
    assert (paper.is_payable, paper.invoice["amount_remaining"]) == (True, 1000)
    assert [one["id"] for one in paper.methods] == [await method_of(world, customer)]
    action = await paying.pay(world.rt, held, paper.methods[0]["id"])
    assert action.status == "succeeded"
    await world.expect(*PAID)
    assert world.charged() == [(1000, "EUR")]
    after = await paying.look(world.rt, held)
    assert (after.invoice["status"], after.is_payable) == ("paid", False)
    assert (after.methods, after.accounts) == ((), ())
    with pytest.raises(Conflict, match="paid"):
        await paying.pay(world.rt, held, paper.methods[0]["id"])
    await world.assert_clean()


async def test_two_clicks_at_once_charge_once(world: World) -> None:
    customer, invoice = await owed(world)
    _, token = await link(world, invoice)
    held, method = await hold(world, token), await method_of(world, customer)
    clicks = [paying.pay(world.rt, held, method) for _ in range(4)]
    answers = await asyncio.gather(*clicks, return_exceptions=True)
    assert all(isinstance(a, BillingError) for a in answers if isinstance(a, Exception))
    assert world.charged() == [(1000, "EUR")]
    await world.assert_clean()


async def test_a_new_card_is_entered_kept_and_pays(world: World) -> None:
    customer, invoice = await owed(world, None)
    _, token = await link(world, invoice)
    held = await hold(world, token)
    opened = await paying.set_up(world.rt, held, None, None, {})
    held = await hold(world, token)
    session, action = await paying.complete(world.rt, held, {})
    assert (session.status, action) == ("open", None), "the customer has not finished"
    secret = opened.handover.client_secret
    assert secret is not None
    [row] = await world.fetch("SELECT gateway_reference FROM setup_sessions")
    confirm(world, row["gateway_reference"], secret)
    session, action = await paying.complete(world.rt, held, {})
    assert action is not None
    assert (session.status, action.status) == ("completed", "succeeded")
    await world.expect("setup_session.completed", *PAID)
    assert world.charged() == [(1000, "EUR")]
    [method] = await world.fetch("SELECT customer_id FROM payment_methods")
    assert method["customer_id"] == customer
    # Asked once more, nothing is charged again: the link has forgotten its set-up.
    with pytest.raises(NotFound):
        await paying.complete(world.rt, await hold(world, token), {})
    await world.assert_clean()


async def test_the_way_back_to_a_link_is_told_to_nobody_but_the_gateway(world: World) -> None:
    """It holds the link's token, of which nothing is kept but a hash."""
    _, invoice = await owed(world, token=None)
    _, token = await link(world, invoice)
    held = await hold(world, token)
    back = payment_links.address(token) + "/kept"
    opened = await paying.set_up(world.rt, held, None, back, {})
    assert opened.session["return_url"] is None
    for table in ("setup_sessions", "payment_links", "events", "audit_log"):
        kept = await world.fetch(f"SELECT t::text AS row FROM {table} t")
        assert kept
        assert not [row for row in kept if token[-20:] in row["row"]], table


async def test_a_card_that_must_be_confirmed_says_where(world: World) -> None:
    customer, invoice = await owed(world, "pm_sim_requires_action")
    _, token = await link(world, invoice)
    held = await hold(world, token)
    action = await paying.pay(world.rt, held, await method_of(world, customer))
    assert (action.status, action.action_url is not None) == ("requires_action", True)
    assert await paying.act(world.rt, held) == action
    await world.expect("payment.action_required")
    # The event has a link of its own, whose token is kept nowhere but there.
    [told] = await world.fetch("SELECT data FROM events WHERE type = 'payment.action_required'")
    url = orjson.loads(told["data"])["hosted_url"]
    paper = await paying.look(world.rt, await hold(world, url.rpartition("/")[2]))
    assert (paper.invoice["id"], paper.is_payable) == (invoice, False)
    [payment] = await world.payments()
    assert paper.payment is not None
    assert paper.payment["id"] == payment["id"]
    with pytest.raises(Conflict):
        await paying.pay(world.rt, held, await method_of(world, customer))
    await world.assert_clean()


async def test_a_declined_card_leaves_another_try(world: World) -> None:
    customer, invoice = await owed(world, "pm_sim_declined_do_not_honor")
    _, token = await link(world, invoice)
    held = await hold(world, token)
    action = await paying.pay(world.rt, held, await method_of(world, customer))
    assert action.status == "requires_payment_method"
    await world.expect(*DECLINED, "subscription.past_due")
    paper = await paying.look(world.rt, held)
    assert (paper.is_payable, paper.is_declined) == (True, True)
    good = await world.attach(customer, "pm_sim_ok", default=False)
    assert (await paying.pay(world.rt, held, good)).status == "succeeded"
    assert world.charged() == [(1000, "EUR")]
    await world.assert_clean()


async def test_a_link_ends_and_then_shows_nothing(world: World) -> None:
    _, invoice = await owed(world)
    first, revoked = await link(world, invoice)
    _, short = await link(world, invoice, expires_at=world.now + timedelta(hours=1))
    await payment_links.revoke(world.rt, world.caller, first)
    world.clock.advance(timedelta(hours=1))
    for token, code in (
        (revoked, "payment_link_revoked"),
        (short, "payment_link_expired"),
        (revoked[:-1] + "x", "payment_link_not_found"),
        (revoked[:30], "payment_link_not_found"),
        ("pl_nonsense", "payment_link_not_found"),
        ("x" * 5_000, "payment_link_not_found"),
    ):
        with pytest.raises(NotFound) as refused:
            await hold(world, token)
        assert refused.value.code == code
    rows = await world.fetch("SELECT * FROM payment_links")
    assert all(revoked not in str(dict(row)) for row in rows), "a token is kept as a hash"


async def test_links_are_for_what_is_owed(world: World) -> None:
    customer, invoice = await owed(world)
    for wrong in (world.now, world.now + timedelta(days=366)):
        with pytest.raises(InvalidRequest):
            await link(world, invoice, expires_at=wrong)
    _, token = await link(world, invoice)
    await world.void(invoice)
    paper = await paying.look(world.rt, await hold(world, token))
    assert (paper.invoice["status"], paper.is_payable, paper.methods) == ("void", False, ())
    with pytest.raises(Conflict, match="void"):
        await paying.pay(world.rt, await hold(world, token), await method_of(world, customer))
    with pytest.raises(Conflict, match="void"):
        await link(world, invoice)


async def test_a_link_pays_with_nobody_else_s_card(world: World) -> None:
    _, invoice = await owed(world)
    other, _ = await owed(world)
    _, token = await link(world, invoice)
    with pytest.raises(InvalidRequest, match="no such payment method"):
        await paying.pay(world.rt, await hold(world, token), await method_of(world, other))
    assert world.charged() == []


async def test_a_link_lets_nobody_try_without_end(world: World) -> None:
    customer, invoice = await owed(world, "pm_sim_declined_do_not_honor")
    _, token = await link(world, invoice)
    held, method = await hold(world, token), await method_of(world, customer)
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        await tx.run("UPDATE payment_links SET acts = $1, acts_since = $2", ACTS_MAX, world.now)
    with pytest.raises(RateLimited):
        await paying.pay(world.rt, held, method)
    assert world.charges() == []
    world.clock.advance(timedelta(hours=1))
    await paying.pay(world.rt, held, method)
    assert len(world.charges()) == 1
