"""Webhooks out: every event to every endpoint that asks for it, in order, until it is taken."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks.webhooks import Webhook

from app import ids
from app.domain import delivery
from app.domain.errors import Conflict, InvalidRequest, NotFound, Stale
from app.secrets import Secrets
from app.services import (
    customers,
    events,
    fan_out,
    redelivery,
    webhook_calls,
    webhook_endpoints,
    webhook_upkeep,
)
from app.services.customers import CreateCustomer, UpdateCustomer
from app.services.redelivery import Replay
from app.services.webhook_calls import Told
from app.services.webhook_endpoints import CreateEndpoint, RotateSecret, UpdateEndpoint
from tests.simulator import SimulatorProcess
from tests.webhooks import Receiver, receiver
from tests.world import STARTED, World, open_world, until

pytestmark = pytest.mark.anyio

LONG_AGO = Replay(UUID(int=0), datetime.fromisoformat("2020-01-01T00:00:00Z"))


@dataclass
class Shop:
    """A world whose merchant has endpoints on loopback."""

    world: World
    stack: AsyncExitStack
    secrets: dict[UUID, str] = field(default_factory=dict)

    @property
    def rt(self) -> Any:
        return self.world.rt

    @property
    def caller(self) -> Any:
        return self.world.caller

    async def listens(self, *types: str, **options: Any) -> tuple[Receiver, UUID]:
        """A new endpoint, and its server."""
        hook = await self.stack.enter_async_context(receiver(**options))
        cmd = CreateEndpoint(url=hook.url, event_types=types or ("*",))
        row, secret = await webhook_endpoints.create(self.rt, self.caller, cmd)
        self.secrets[row["id"]] = secret
        return hook, row["id"]

    async def tell(self) -> Told:
        """Number what happened, and send whatever is due now."""
        await fan_out.fan_out_due(self.rt)
        return await webhook_calls.deliver_due(self.rt)

    async def customer(self, name: str = "Ada") -> UUID:
        row = await customers.create(self.rt, self.caller, CreateCustomer(name=name))
        return row["id"]

    async def rename(self, customer: UUID, name: str) -> None:
        await customers.update(self.rt, self.caller, UpdateCustomer(customer, {"name": name}))

    async def deliveries(self, endpoint: UUID) -> list[Any]:
        return await self.world.fetch(
            "SELECT * FROM webhook_deliveries WHERE webhook_endpoint_id = $1 ORDER BY position",
            endpoint,
        )

    async def endpoint(self, id: UUID) -> Any:
        [row] = await self.world.fetch("SELECT * FROM webhook_endpoints WHERE id = $1", id)
        return row

    async def change(self, id: UUID, **changes: Any) -> Any:
        return await webhook_endpoints.update(self.rt, self.caller, UpdateEndpoint(id, changes))

    async def pass_time(self, **time: int) -> None:
        self.world.clock.advance(timedelta(**time))

    async def clean(self) -> None:
        await self.world.assert_clean()


@pytest.fixture
async def shop(clean_database: str, simulator: SimulatorProcess) -> AsyncIterator[Shop]:
    simulator.clear_faults()
    async with (
        open_world(
            clean_database, simulator, private_addresses_allowed=True, webhook_timeout_seconds=2
        ) as world,
        AsyncExitStack() as stack,
    ):
        yield Shop(world, stack)


# ── who is told what ──────────────────────────────────────────────────────────────────────────────


async def test_a_paid_subscription_is_told_event_by_event(shop: Shop) -> None:
    hook, _ = await shop.listens()
    await shop.world.subscribed("1000")
    await shop.tell()
    assert [t for t in hook.types if t in STARTED] == list(STARTED)
    assert [event["sequence"] for event in hook.events] == list(range(1, len(hook.got) + 1))
    await shop.clean()


async def test_what_is_sent_is_the_event_as_it_can_be_read(shop: Shop) -> None:
    hook, _ = await shop.listens()
    customer = await shop.customer("Ada")
    await shop.rename(customer, "Countess")
    await shop.tell()
    read = await events.after(shop.rt, shop.caller, 0, None, 10)
    assert hook.events == [_as_json(event) for event in read]
    changed = hook.events[1]
    assert changed["data"]["object"]["name"] == "Countess"
    assert changed["data"]["previous_attributes"] == {"name": "Ada"}
    assert changed["object_version"] == 2


def _as_json(event: dict[str, Any]) -> Any:
    import orjson

    from app.services.public import dump

    return orjson.loads(dump(event))


async def test_each_endpoint_gets_what_it_asks_for(shop: Shop) -> None:
    everything, _ = await shop.listens("*")
    bills, _ = await shop.listens("invoice.*")
    money, _ = await shop.listens("payment.succeeded", "refund.*")
    nothing, _ = await shop.listens("price_migration.*")
    await shop.world.subscribed("1000")
    await shop.tell()
    assert set(STARTED) <= set(everything.types)
    assert bills.types == ["invoice.finalized", "invoice.paid"]
    assert money.types == ["payment.succeeded"]
    assert nothing.got == []
    await shop.clean()


async def test_another_merchants_endpoint_hears_nothing(shop: Shop, clean_database: str) -> None:
    hook, _ = await shop.listens()
    async with open_world(clean_database, private_addresses_allowed=True) as world:
        stranger = replace(shop, world=world, secrets={})
        theirs, _ = await stranger.listens()
        await stranger.customer("Grace")
        await shop.tell()
        assert (hook.types, theirs.types) == ([], ["customer.created"])
        assert theirs.events[0]["sequence"] == 1
        await stranger.clean()


async def test_an_endpoint_is_told_what_happens_from_then_on(shop: Shop) -> None:
    await shop.customer("Before")
    await fan_out.fan_out_due(shop.rt)
    hook, _ = await shop.listens()
    await shop.customer("After")
    await shop.tell()
    assert [event["data"]["object"]["name"] for event in hook.events] == ["After"]
    await shop.clean()


async def test_a_changed_filter_holds_from_then_on(shop: Shop) -> None:
    hook, endpoint = await shop.listens("invoice.*")
    await shop.customer("One")
    await fan_out.fan_out_due(shop.rt)
    await shop.change(endpoint, event_types=["customer.*"])
    await shop.customer("Two")
    await shop.tell()
    assert [event["data"]["object"]["name"] for event in hook.events] == ["Two"]
    await shop.clean()


# ── signatures and their secrets ──────────────────────────────────────────────────────────────────


async def test_calls_are_signed_by_the_secret_and_while_it_is_exchanged_by_both(
    shop: Shop,
) -> None:
    hook, endpoint = await shop.listens()
    old = shop.secrets[endpoint]
    await shop.customer()
    await shop.tell()
    rotate = RotateSecret(endpoint, timedelta(hours=1))
    row, new = await webhook_endpoints.rotate_secret(shop.rt, shop.caller, rotate)
    assert row["previous_secret_expires_at"] == shop.world.now + timedelta(hours=1)
    await shop.customer()
    await shop.tell()
    await shop.pass_time(hours=1)
    await shop.customer()
    await shop.tell()
    signed = [known(got, old, new) for got in hook.got]
    assert signed == [{old}, {old, new}, {new}]


def known(got: Any, *secrets: str) -> set[str]:
    """By which secrets a call is signed; its time stands still, so the library checks only that."""
    at = datetime.fromtimestamp(int(got.headers["webhook-timestamp"]), UTC)
    signatures = got.headers["webhook-signature"].split(" ")
    text = got.body.decode()
    return {s for s in secrets if Webhook(s).sign(got.id, at, text) in signatures}


async def test_a_secret_that_ends_at_once_signs_no_more(shop: Shop) -> None:
    hook, endpoint = await shop.listens()
    old = shop.secrets[endpoint]
    rotate = RotateSecret(endpoint, timedelta())
    _, new = await webhook_endpoints.rotate_secret(shop.rt, shop.caller, rotate)
    await shop.customer()
    await shop.tell()
    assert [known(got, old, new) for got in hook.got] == [{new}]


async def test_a_secret_is_kept_sealed_and_shown_when_asked_for(shop: Shop) -> None:
    _, endpoint = await shop.listens()
    kept = await shop.endpoint(endpoint)
    assert shop.secrets[endpoint].removeprefix("whsec_") not in str(dict(kept))
    _, secret = await webhook_endpoints.reveal_secret(shop.rt, shop.caller, endpoint)
    assert secret == shop.secrets[endpoint]
    deeds = await shop.world.fetch("SELECT action, detail::text FROM audit_log ORDER BY id")
    actions = [deed["action"] for deed in deeds if deed["action"].startswith("webhook")]
    assert actions == ["webhook_endpoint.created", "webhook_endpoint.secret_revealed"]
    assert not any("whsec" in deed["detail"] for deed in deeds)


async def test_without_the_keys_nothing_is_sent_and_nothing_lost(shop: Shop) -> None:
    hook, endpoint = await shop.listens()
    await shop.customer()
    await fan_out.fan_out_due(shop.rt)
    blind = replace(shop.rt, secrets=Secrets.parse(None))
    assert await webhook_calls.deliver_due(blind) == Told()
    assert hook.got == []
    with pytest.raises(Conflict, match="does not open"):
        await webhook_endpoints.reveal_secret(blind, shop.caller, endpoint)
    with pytest.raises(Conflict, match="keeps no secrets"):
        await webhook_endpoints.create(
            blind, shop.caller, CreateEndpoint(url=hook.url, event_types=("*",))
        )
    await shop.clean()
    await shop.pass_time(minutes=10)
    await shop.tell()
    assert hook.types == ["customer.created"]
    await shop.clean()


# ── what is not taken is tried again ──────────────────────────────────────────────────────────────


async def test_what_is_refused_is_tried_again_later_under_the_same_identifier(shop: Shop) -> None:
    hook, endpoint = await shop.listens(refusals=[500, 503])
    await shop.customer()
    assert await shop.tell() == Told(1, 0)
    assert await shop.tell() == Told()  # its time has not come
    await shop.clean()
    await shop.pass_time(seconds=11)
    assert await shop.tell() == Told(1, 0)
    await shop.pass_time(seconds=33)
    assert await shop.tell() == Told(1, 1)
    assert [got.status for got in hook.got] == [500, 503, 200]
    assert len({got.id for got in hook.got}) == 1
    assert len({got.body for got in hook.got}) == 1
    assert len({got.headers["webhook-timestamp"] for got in hook.got}) == 3
    [one] = await shop.deliveries(endpoint)
    assert (one["status"], one["attempt_count"], one["response_status"]) == ("delivered", 3, 200)
    attempts = await shop.world.fetch("SELECT * FROM webhook_attempts ORDER BY ordinal")
    assert [(a["ordinal"], a["response_status"]) for a in attempts] == [
        (1, 500),
        (2, 503),
        (3, 200),
    ]
    await shop.clean()


async def test_it_is_given_up_after_three_days(shop: Shop) -> None:
    hook, endpoint = await shop.listens(bad_types={"customer.created"})
    await shop.listens()
    customer = await shop.customer()
    await shop.rename(customer, "Later")
    began = shop.world.now
    for _ in range(delivery.ATTEMPTS_MAX):
        await shop.tell()
        waiting = [d["due_at"] for d in await shop.deliveries(endpoint) if d["due_at"]]
        if len(hook.got) < delivery.ATTEMPTS_MAX:
            assert "customer.updated" not in [got.event["type"] for got in hook.got]
            shop.world.clock.set(min(waiting))
    assert timedelta(hours=62) < shop.world.now - began < timedelta(hours=76)
    # and what waited behind it goes on
    assert [d["status"] for d in await shop.deliveries(endpoint)] == ["failed", "delivered"]
    assert hook.types == ["customer.updated"]
    assert (await shop.endpoint(endpoint))["enabled"]
    await shop.clean()


async def test_an_endpoint_may_ask_for_time(shop: Shop) -> None:
    await shop.listens(refusals=[429], answer_headers={"Retry-After": "600"})
    await shop.customer()
    await shop.tell()
    await shop.pass_time(seconds=599)
    assert await shop.tell() == Told()
    await shop.pass_time(seconds=1)
    assert await shop.tell() == Told(1, 1)


async def test_an_objects_events_wait_for_each_other_and_others_do_not(shop: Shop) -> None:
    hook, _ = await shop.listens(refusals=[500])
    ada = await shop.customer("Ada")
    await shop.tell()
    for name in ("Countess", "Lovelace"):
        await shop.rename(ada, name)
    grace = await shop.customer("Grace")
    await shop.rename(grace, "Hopper")
    await shop.tell()
    names = [event["data"]["object"]["name"] for event in hook.events]
    assert names == ["Grace", "Hopper"]
    await shop.clean()
    await shop.pass_time(seconds=11)
    await shop.tell()
    names = [event["data"]["object"]["name"] for event in hook.events]
    assert names == ["Grace", "Hopper", "Ada", "Countess", "Lovelace"]
    await shop.clean()


async def test_many_objects_each_in_order_though_many_calls_are_under_way(shop: Shop) -> None:
    hook, _ = await shop.listens()
    made = [await shop.customer(f"{n}-0") for n in range(12)]
    for version in range(1, 4):
        for n, customer in enumerate(made):
            await shop.rename(customer, f"{n}-{version}")
    hook.slow_seconds = 0.01
    await shop.tell()
    assert len(hook.events) == 48
    assert 1 < hook.most <= shop.rt.settings.webhooks_per_endpoint
    for n in range(12):
        names = [e["data"]["object"]["name"] for e in hook.events]
        assert [x for x in names if x.startswith(f"{n}-")] == [f"{n}-{v}" for v in range(4)]
    await shop.clean()


# ── endpoints that are given up ───────────────────────────────────────────────────────────────────


async def test_one_that_says_it_is_gone_is_called_no_more_and_the_others_hear_of_it(
    shop: Shop,
) -> None:
    gone, endpoint = await shop.listens("customer.*", always=410)
    other, _ = await shop.listens("webhook_endpoint.*")
    await shop.customer()
    await shop.tell()
    row = await shop.endpoint(endpoint)
    assert (row["enabled"], row["disabled_reason"], row["version"]) == (False, "gone", 2)
    await shop.customer()
    await shop.tell()
    assert len(gone.got) == 1
    [told] = other.events
    assert told["type"] == "webhook_endpoint.disabled"
    assert told["data"]["object"]["disabled_reason"] == "gone"
    assert told["data"]["previous_attributes"]["enabled"] is True
    assert "whsec" not in str(told)
    await shop.clean()


async def test_what_was_loaded_already_is_not_sent_to_one_that_says_it_is_gone(shop: Shop) -> None:
    gone, endpoint = await shop.listens("customer.*", always=410)
    for number in range(30):
        await shop.customer(f"{number}")
    await shop.tell()
    assert len(gone.got) <= shop.rt.settings.webhooks_per_endpoint  # those that were under way
    assert {d["status"] for d in await shop.deliveries(endpoint)} == {"pending"}
    await shop.clean()


@pytest.mark.parametrize("way", ["disabled", "deleted", "moved"])
async def test_what_a_merchant_changes_counts_for_what_was_loaded_already(
    shop: Shop, way: str
) -> None:
    hook, endpoint = await shop.listens("customer.*", slow_seconds=0.05)
    other, _ = await shop.listens("plan.*")
    for number in range(60):
        await shop.customer(f"{number}")
    await fan_out.fan_out_due(shop.rt)
    telling = asyncio.create_task(webhook_calls.deliver_due(shop.rt))
    await until(lambda: len(hook.got) >= 2)
    match way:
        case "disabled":
            await shop.change(endpoint, enabled=False)
        case "deleted":
            await webhook_endpoints.delete(shop.rt, shop.caller, endpoint)
        case _:
            await shop.change(endpoint, url=other.url)
    before, under_way = len(hook.got), shop.rt.settings.webhooks_per_endpoint
    await telling
    assert len(hook.got) <= before + 2 * under_way
    assert len(hook.got) + len(other.got) == (60 if way == "moved" else len(hook.got))
    await shop.clean()


async def test_one_that_took_nothing_for_five_days_is_disabled_and_told_the_rest_when_mended(
    shop: Shop,
) -> None:
    hook, endpoint = await shop.listens("customer.*", always=500)
    for day in range(6):
        await shop.customer(f"Day {day}")
        await shop.tell()
        if day < 5:
            assert (await shop.endpoint(endpoint))["enabled"], day
        await shop.pass_time(days=1)
    row = await shop.endpoint(endpoint)
    assert (row["enabled"], row["disabled_reason"]) == (False, "failing")
    calls = len(hook.got)
    await shop.customer("While away")
    await shop.tell()
    assert len(hook.got) == calls
    hook.always = 200
    await shop.change(endpoint, enabled=True)
    await shop.tell()
    names = {event["data"]["object"]["name"] for event in hook.events}
    assert names == {f"Day {day}" for day in range(6)}  # what was pending; the rest can be replayed
    assert (await shop.endpoint(endpoint))["disabled_reason"] is None
    await shop.clean()


async def test_a_success_in_between_makes_it_healthy(shop: Shop) -> None:
    hook, endpoint = await shop.listens("customer.*")
    for day in range(12):
        hook.always = 200 if day % 4 == 3 else 500
        await shop.customer()
        await shop.tell()
        await shop.pass_time(days=1)
    assert (await shop.endpoint(endpoint))["enabled"]


# ── by hand ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_disabled_endpoint_keeps_what_was_pending_and_gets_nothing_new(shop: Shop) -> None:
    hook, endpoint = await shop.listens()
    await shop.customer("Pending")
    await fan_out.fan_out_due(shop.rt)
    await shop.change(endpoint, enabled=False)
    await shop.customer("Meanwhile")
    await shop.tell()
    assert hook.got == []
    await shop.change(endpoint, enabled=True)
    await shop.customer("Afterwards")
    await shop.tell()
    names = [event["data"]["object"]["name"] for event in hook.events]
    assert names == ["Pending", "Afterwards"]
    await shop.clean()
    made = await redelivery.replay(shop.rt, shop.caller, replace(LONG_AGO, endpoint_id=endpoint))
    await shop.tell()
    names = [event["data"]["object"]["name"] for event in hook.events]
    assert (made.deliveries, names[2:]) == (3, ["Pending", "Meanwhile", "Afterwards"])
    await shop.clean()


async def test_a_deleted_endpoint_is_called_no_more_and_its_secret_is_gone(shop: Shop) -> None:
    hook, endpoint = await shop.listens()
    await shop.customer()
    await fan_out.fan_out_due(shop.rt)
    await webhook_endpoints.delete(shop.rt, shop.caller, endpoint)
    await shop.customer()
    assert await shop.tell() == Told()
    assert hook.got == []
    assert (await shop.endpoint(endpoint))["secret_ciphertext"] is None
    await webhook_upkeep.tidy(shop.rt)
    assert [d["status"] for d in await shop.deliveries(endpoint)] == ["canceled"]
    for attempt in (
        shop.change(endpoint, enabled=True),
        webhook_endpoints.delete(shop.rt, shop.caller, endpoint),
        webhook_endpoints.reveal_secret(shop.rt, shop.caller, endpoint),
        webhook_endpoints.rotate_secret(shop.rt, shop.caller, RotateSecret(endpoint)),
        redelivery.ping(shop.rt, shop.caller, endpoint),
    ):
        with pytest.raises(NotFound):
            await attempt
    await shop.clean()


async def test_a_ping_goes_to_its_endpoint_alone_whatever_it_asks_for(shop: Shop) -> None:
    bills, endpoint = await shop.listens("invoice.*")
    everything, _ = await shop.listens("*")
    event = await redelivery.ping(shop.rt, shop.caller, endpoint)
    await shop.tell()
    assert bills.types == ["webhook_endpoint.ping"]
    assert bills.got[0].id == ids.show("evt", event["id"])
    assert everything.got == []
    await shop.clean()


async def test_one_event_is_sent_again_to_one_endpoint(shop: Shop) -> None:
    hook, endpoint = await shop.listens()
    other, _ = await shop.listens()
    customer = await shop.customer("Ada")
    await shop.rename(customer, "Countess")
    await shop.tell()
    [first] = await shop.world.fetch("SELECT id FROM events WHERE type = 'customer.created'")
    row = await redelivery.resend(shop.rt, shop.caller, first["id"], endpoint)
    assert (row["cause"], row["status"]) == ("resend", "pending")
    await shop.tell()
    assert hook.types == ["customer.created", "customer.updated", "customer.created"]
    assert hook.got[0].id == hook.got[2].id
    assert len(other.got) == 2
    await shop.clean()


async def test_a_replay_takes_part_of_a_long_time_and_says_where_to_go_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook, endpoint = await shop.listens("customer.created")
    for number in range(5):
        customer = await shop.customer(f"{number}")
        await shop.rename(customer, "renamed")
    await shop.tell()
    hook.got.clear()
    monkeypatch.setattr(redelivery, "REPLAY_MAX", 2)
    cmd, rounds = replace(LONG_AGO, endpoint_id=endpoint), []
    for _ in range(3):
        made = await redelivery.replay(shop.rt, shop.caller, cmd)
        rounds.append((made.deliveries, made.next_after))
        cmd = replace(cmd, after=made.next_after or 0)
    assert rounds == [(2, 3), (2, 7), (1, None)]
    await shop.tell()
    assert [e["data"]["object"]["name"] for e in hook.events] == list("01234")
    await shop.clean()


async def test_what_is_still_pending_is_not_replayed(shop: Shop) -> None:
    hook, endpoint = await shop.listens()
    await shop.customer()
    await fan_out.fan_out_due(shop.rt)
    cmd = replace(LONG_AGO, endpoint_id=endpoint)
    assert (await redelivery.replay(shop.rt, shop.caller, cmd)).deliveries == 0
    await shop.tell()
    assert len(hook.got) == 1


async def test_a_disabled_endpoint_takes_no_ping_no_resend_and_no_replay(shop: Shop) -> None:
    _, endpoint = await shop.listens()
    await shop.customer()
    [event] = await shop.world.fetch("SELECT id FROM events")
    await shop.change(endpoint, enabled=False)
    for attempt in (
        redelivery.ping(shop.rt, shop.caller, endpoint),
        redelivery.resend(shop.rt, shop.caller, event["id"], endpoint),
        redelivery.replay(shop.rt, shop.caller, replace(LONG_AGO, endpoint_id=endpoint)),
    ):
        with pytest.raises(Conflict) as refused:
            await attempt
        assert refused.value.code == "webhook_endpoint_disabled"


async def test_what_cannot_be_is_refused(shop: Shop) -> None:
    hook, endpoint = await shop.listens()
    with pytest.raises(Stale):
        await webhook_endpoints.update(
            shop.rt, shop.caller, UpdateEndpoint(endpoint, {"enabled": False}, 7)
        )
    strict = replace(
        shop.rt, settings=shop.rt.settings.model_copy(update={"private_addresses_allowed": False})
    )
    for url in (hook.url, "https://10.0.0.1/", "http://shop.example.com/", "https://127.1/"):
        with pytest.raises(InvalidRequest) as refused:
            await webhook_endpoints.create(
                strict, shop.caller, CreateEndpoint(url=url, event_types=("*",))
            )
        assert refused.value.code == "address_not_allowed"
        with pytest.raises(InvalidRequest):
            await webhook_endpoints.update(
                strict, shop.caller, UpdateEndpoint(endpoint, {"url": url})
            )
    for _ in range(webhook_endpoints.ENDPOINTS_MAX - 1):
        await shop.listens()
    with pytest.raises(Conflict) as full:
        await shop.listens()
    assert full.value.code == "too_many_webhook_endpoints"


async def test_an_address_that_was_allowed_once_is_judged_at_each_call(shop: Shop) -> None:
    hook, endpoint = await shop.listens()
    await shop.customer()
    await fan_out.fan_out_due(shop.rt)
    strict = replace(
        shop.rt, settings=shop.rt.settings.model_copy(update={"private_addresses_allowed": False})
    )
    assert await webhook_calls.deliver_due(strict) == Told(1, 0)
    assert hook.got == []
    [one] = await shop.deliveries(endpoint)
    assert (one["status"], one["failure"]) == ("pending", "address_not_allowed")


# ── nobody is delayed by another ──────────────────────────────────────────────────────────────────


async def test_a_dead_and_a_slow_endpoint_delay_nobody(shop: Shop) -> None:
    """Two seconds until a call is given up: the fast one has everything long before."""
    dead, dead_id = await shop.listens(silent=True)
    slow, _ = await shop.listens(slow_seconds=0.2)
    fast, _ = await shop.listens()
    run = await told_to_all(shop, fast, 30)
    await eventually(lambda: len({got.id for got in slow.got}) == 30)  # ten at once
    most = shop.rt.settings.webhooks_per_endpoint
    assert (dead.most, slow.most, dead.events) == (most, most, [])
    for _ in range(200):
        if any(one["attempt_count"] for one in await shop.deliveries(dead_id)):
            break
        await asyncio.sleep(0.05)
    await stopped(run)
    # By now it is known to fail: a single call at a time, and the fast one does not notice.
    dead.most = 0
    await shop.pass_time(seconds=11)
    run = await told_to_all(shop, fast, 10)
    await eventually(lambda: dead.most > 0)
    assert dead.most == 1
    await stopped(run)
    await shop.clean()


async def told_to_all(shop: Shop, fast: Receiver, count: int) -> "asyncio.Task[Told]":
    """So many events on their way; the fast endpoint has them before a dead one is given up."""
    had = len(fast.got)
    for _ in range(count):
        await shop.customer()
    await fan_out.fan_out_due(shop.rt)
    began = time.monotonic()
    run = asyncio.create_task(webhook_calls.deliver_due(shop.rt))
    await eventually(lambda: len(fast.got) == had + count)
    assert time.monotonic() - began < 1.5
    assert not run.done()
    return run


async def stopped(run: "asyncio.Task[Told]") -> None:
    """As a worker that is told to stop."""
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_new_events_reach_others_while_a_dead_endpoint_is_waited_for(shop: Shop) -> None:
    await shop.listens("customer.created", silent=True)
    fast, _ = await shop.listens("customer.updated")
    customer = await shop.customer()
    await fan_out.fan_out_due(shop.rt)
    run = asyncio.create_task(webhook_calls.deliver_due(shop.rt))
    await asyncio.sleep(0)
    await shop.rename(customer, "Later")
    await fan_out.fan_out_due(shop.rt)
    began = time.monotonic()
    await eventually(lambda: len(fast.got) == 1)
    assert time.monotonic() - began < 1.5
    assert not run.done()
    await run
    await shop.clean()


async def test_a_small_worker_serves_endpoints_in_turn(shop: Shop) -> None:
    """Two lanes for six endpoints, of which two never answer: the other four are all told."""
    small = replace(shop.rt, settings=shop.rt.settings.model_copy(update={"webhooks_in_flight": 2}))
    for _ in range(2):
        await shop.listens(silent=True)
    fine = [(await shop.listens())[0] for _ in range(4)]
    for _ in range(3):
        await shop.customer()
    await fan_out.fan_out_due(shop.rt)
    await webhook_calls.deliver_due(small)
    assert [len(hook.got) for hook in fine] == [3] * 4
    await shop.clean()


async def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        await asyncio.sleep(0.01)


# ── upkeep ────────────────────────────────────────────────────────────────────────────────────────


async def test_deliveries_are_forgotten_after_thirty_days_and_nothing_is_missed_by_it(
    shop: Shop,
) -> None:
    _, endpoint = await shop.listens()
    await shop.listens(always=500)
    await shop.customer()
    await shop.tell()
    await shop.pass_time(days=29)
    await webhook_upkeep.tidy(shop.rt)
    assert len(await shop.deliveries(endpoint)) == 1
    await shop.customer()
    await shop.tell()
    await shop.pass_time(days=2)
    await webhook_upkeep.tidy(shop.rt)
    assert len(await shop.deliveries(endpoint)) == 1
    assert len(await shop.world.fetch("SELECT FROM webhook_attempts")) >= 1
    assert len(await events.after(shop.rt, shop.caller, 0, None, 10)) >= 2
    await shop.clean()


async def test_what_waits_for_an_endpoint_that_is_disabled_for_thirty_days_is_canceled(
    shop: Shop,
) -> None:
    hook, endpoint = await shop.listens()
    customer = await shop.customer()
    await shop.rename(customer, "Later")
    await fan_out.fan_out_due(shop.rt)
    await shop.change(endpoint, enabled=False)
    await shop.pass_time(days=31)
    assert (await webhook_upkeep.tidy(shop.rt)).canceled == 2
    await shop.change(endpoint, enabled=True)
    await shop.customer()
    await shop.tell()
    assert hook.types == ["customer.created"]
    await shop.clean()
