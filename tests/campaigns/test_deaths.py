"""Paths × faults × kinds of gateway, and a death before and after every write of each.

A child does one thing for one subject (a payment, a refund, a session, a delivery) and kills itself
before or after its n-th write to the database or the gateway, while the gateway misbehaves. When
all have died, the next worker's sweeps run, the callers and the gateway say again what nobody
answered, and everything must have come to an end: no charge made twice, none lost, nothing stuck.
The judge is the gateway's own ledger.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.clock import SystemClock
from app.services import inbox_settling, reconciliation, setup_calls, setup_sessions
from app.services.reconciliation import CreateReconciliation
from tests.campaigns.mortal import WORK, About, Fate, Mortal, mortals
from tests.gateway_events import Post, charge_of, event, headers, post_of
from tests.simulator import SimulatorProcess
from tests.world import SECRET_KEY, World, until

KINDS = ("native_key", "per_order", "fuzzy_window", "none")
LOST = (
    "none",
    "timeout_before_effect",
    "timeout_after_effect",
    "late_effect",
    "error_500_before",
    "error_500_after",
    "error_429",
    "cut_body",
)
MONEY = ("duplicate", "decline")
"""What only charges and refunds can meet."""
DETAILS: Mapping[str, Mapping[str, Any]] = {
    "late_effect": {"delay_ms": 40},
    "decline": {"decline_code": "insufficient_funds"},
}
MOVES_MONEY = ("charge", "refund")
PATIENCE_SECONDS = 0.15
"""How long a child waits for the gateway: it hangs for longer."""
AMOUNT = 1000
RECOVERIES_MAX = 14
AWAY = "interval '100 days'"
SCHEDULES = (
    ("payment_attempts", "look_up_at"),
    ("refunds", "look_up_at"),
    ("setup_sessions", "look_up_at"),
    ("inbound_events", "due_at"),
)
OPEN = """
    SELECT 'payment' AS what, status FROM payments
     WHERE status IN ('scheduled', 'processing', 'unknown')
    UNION ALL SELECT 'refund', status FROM refunds WHERE status IN ('processing', 'unknown')
    UNION ALL SELECT 'session', status FROM setup_sessions
     WHERE status = 'starting' OR status = 'open' AND $1
    UNION ALL SELECT 'event', status FROM inbound_events WHERE status = 'received'
    UNION ALL SELECT 'review', status FROM payment_attempts WHERE look_up_at IS NULL
       AND status IN ('processing', 'unknown')
"""


@dataclass
class Shop:
    """A world with one kind of gateway, and what its subjects are made of."""

    world: World
    post: Post
    began: datetime
    count: int = 0
    deliveries: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def simulator(self) -> SimulatorProcess:
        assert self.world.simulator is not None
        return self.world.simulator

    def about(self, **ids: Any) -> About:
        """Whom a life is for, as a child is told it."""
        merchant = self.world.caller.merchant_id
        return {name: str(value) for name, value in ({"merchant": merchant} | ids).items()}

    async def due(self, n: int, stem: str = "pm_sim_ok") -> list[About]:
        """So many payments that are due, on a card that no other shop's charges look like."""
        world = self.world
        token = f"{stem}_{world.caller.merchant_id.hex}"
        customer, price = await world.customer(token), await world.price(f"{AMOUNT}")
        start = world.now + timedelta(seconds=1)
        subs = [await world.subscribe(customer, price, start_at=start) for _ in range(n)]
        world.clock.set(start)
        await WORK["renew"](world.rt, {})
        rows = await world.fetch(
            "SELECT p.id FROM payments p JOIN invoices i ON i.id = p.invoice_id"
            " WHERE i.subscription_id = ANY ($1) ORDER BY p.id",
            subs,
        )
        assert len(rows) == n
        return [self.about(payment=row["id"]) for row in rows]

    async def held(self, n: int) -> list[About]:
        return await self.due(n, "pm_sim_authorized")

    async def waiting(self, n: int) -> list[About]:
        return await self.due(n, "pm_sim_requires_action")

    async def paid(self, n: int) -> list[About]:
        due = await self.due(n)
        await WORK["collect"](self.world.rt, {})
        return due

    async def customers(self, n: int) -> list[About]:
        return [self.about(customer=await self.world.customer(None)) for _ in range(n)]

    # ── what was done before a child takes over ───────────────────────────────────────────────────

    async def first(self, work: str, about: About, fault: str | None = None) -> None:
        """Somebody began it, and the answer was lost."""
        if fault is not None:
            self.simulator.set_fault(fault, count=1, operations=list(MOVES_MONEY))
        await WORK[work](self.world.rt, about)
        self.simulator.clear_faults()

    async def collected(self, about: About) -> About:
        await self.first("collect_one", about)
        self.world.clock.advance(timedelta(seconds=31))
        return about

    async def unanswered(self, about: About) -> About:
        """Every second one took effect."""
        self.count += 1
        lost = ("error_500_before", "error_500_after")[self.count % 2]
        await self.first("collect_one", about, lost)
        self.world.clock.advance(timedelta(seconds=31))
        return about

    async def refund_unanswered(self, about: About) -> About:
        self.count += 1
        lost = ("error_500_before", "error_500_after")[self.count % 2]
        await self.first("refund", about, lost)
        self.world.clock.advance(timedelta(seconds=31))
        return about

    async def confirmed(self, about: About) -> About:
        await self.first("begin_setup", about)
        await confirm_all(self)
        self.world.clock.advance(timedelta(minutes=2))
        return about

    async def told(self, about: About) -> About:
        """It took effect unseen; now the gateway tells of it, twice and what is older last."""
        await self.first("collect_one", about, "error_500_after")
        [row] = await self.world.fetch(
            "SELECT a.reference FROM payment_attempts a WHERE a.payment_id = $1::text::uuid",
            about["payment"],
        )
        charge = charge_of(self.simulator, row["reference"])
        ended = event("charge.succeeded", charge)
        older = event("charge.pending", charge | {"status": "pending"})
        deliveries = [self.signed(each) for each in (ended, ended, older)]
        self.deliveries += reversed(deliveries)
        return {**about, "account": str(self.post.account), "deliveries": deliveries}

    def signed(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        body = json.dumps(told)
        return {"headers": headers(body.encode(), told["id"], self.world.now), "body": body}

    # ── what follows when all have died ───────────────────────────────────────────────────────────

    async def put_away(self) -> None:
        """What a life left behind waits until all have died: each of them is alone."""
        await self._shift(f"{{0}} + {AWAY} WHERE {{0}} < $1::timestamptz + {AWAY} / 2")

    async def bring_back(self) -> None:
        """Everything is due when it was."""
        await self._shift(f"{{0}} - {AWAY} WHERE {{0}} > $1::timestamptz + {AWAY} / 2")

    async def _shift(self, how: str) -> None:
        async with self.world.rt.db.begin(self.world.caller.merchant_id) as tx:
            for table, column in SCHEDULES:
                shift = how.format(column)
                await tx.run(f"UPDATE {table} SET {column} = {shift}", self.world.now)

    def moved(self) -> list[Any]:
        """What money moved, by the gateway's own books."""
        return [row for row in self.world.entries() if row["status"] == "succeeded"]

    async def recover(self, *, is_over: bool) -> None:
        """What the next worker does: sweeps, further and further apart, until nothing is open; once
        all `is_over`, no page of a customer is either.
        """
        world = self.world
        for n in range(RECOVERIES_MAX):
            world.clock.advance(timedelta(minutes=min(2 * 2**n, 360)))
            await world.tick()
            await setup_calls.settle_due(world.rt)
            await inbox_settling.settle_due(world.rt)
            left = await world.fetch(OPEN, is_over)
            if not left:
                return
        raise AssertionError(f"stuck: {[dict(row) for row in left]}")


# What is said again, by callers, customers and the gateway, where nobody answered them.


async def pay_what_was_declined(shop: Shop, subjects: list[About]) -> None:
    del subjects
    for row in await shop.world.fetch("SELECT id FROM invoices WHERE status = 'open' ORDER BY id"):
        await shop.world.pay(row["id"])


async def ask_again(shop: Shop, subjects: list[About]) -> None:
    """A refund that was not reserved is asked for again, and one that failed."""
    for about in subjects:
        await WORK["refund"](shop.world.rt, about)


async def cancel_again(shop: Shop, subjects: list[About]) -> None:
    for about in subjects:
        await WORK["cancel"](shop.world.rt, about)


async def confirm_all(shop: Shop, subjects: list[About] | None = None) -> None:
    """Customers whose page is open enter a payment method."""
    del subjects
    world = shop.world
    rows = await world.fetch(
        "SELECT id, gateway_reference FROM setup_sessions WHERE status = 'open'"
    )
    for row in rows:
        opened = await setup_sessions.open_again(world.rt, world.caller, row["id"], None)
        shown = shop.simulator.request("GET", f"/v1/setups/{row['gateway_reference']}")
        if shown["status"] == "requires_action":
            body = {"client_secret": opened.handover.client_secret}
            path = f"/setups/{row['gateway_reference']}/confirm"
            shop.simulator.request("POST", path, json=body)


async def deliver_again(shop: Shop, subjects: list[About]) -> None:
    """The gateway was not answered: it tells everything again, the newest first."""
    del subjects
    told = [shop.signed(json.loads(each["body"])) for each in shop.deliveries]
    about = {"account": str(shop.post.account), "deliveries": told}
    await WORK["take"](shop.world.rt, about)


# What must be true in the end.


async def all_charged_once(shop: Shop, subjects: list[About]) -> None:
    statuses = Counter(row["status"] for row in await shop.world.payments())
    assert statuses == {"succeeded": len(subjects)}
    assert shop.world.charged() == [(AMOUNT, "EUR")] * len(subjects)
    told = Counter(await shop.world.told())
    assert told["payment.succeeded"] == told["invoice.paid"] == len(subjects)
    await shop.world.assert_clean()


async def all_heard_once(shop: Shop, subjects: list[About]) -> None:
    await all_charged_once(shop, subjects)
    ids = [json.loads(told["body"])["id"] for told in shop.deliveries]
    rows = await shop.post.rows()
    assert Counter(row["gateway_event_id"] for row in rows) == Counter(set(ids))
    assert {row["status"] for row in rows} == {"settled"}


async def all_refunded_once(shop: Shop, subjects: list[About]) -> None:
    """A refund that failed took nothing, and was asked for again."""
    assert shop.world.refunded() == [AMOUNT] * len(subjects)
    payments = await shop.world.payments()
    assert {row["amount_refunded"] for row in payments} == {AMOUNT}
    assert {row["amount_refund_reserved"] for row in payments} == {0}
    await shop.world.assert_clean()


async def all_given_up(shop: Shop, subjects: list[About]) -> None:
    statuses = Counter(row["status"] for row in await shop.world.payments())
    assert statuses == {"requires_payment_method": len(subjects)}
    assert Counter(row["status"] for row in shop.world.charges()) == {"voided": len(subjects)}
    assert Counter(await shop.world.told())["payment.voided"] == len(subjects)
    await shop.world.assert_clean()


async def all_kept_once(shop: Shop, subjects: list[About]) -> None:
    """Every session that was written down led to one payment method."""
    rows = await shop.world.fetch("SELECT status, payment_method_id FROM setup_sessions")
    assert {row["status"] for row in rows} == {"completed"}
    kept = {row["payment_method_id"] for row in rows}
    assert len(kept) == len(rows) <= len(subjects)
    methods = await shop.world.fetch("SELECT id FROM payment_methods")
    assert {row["id"] for row in methods} == kept
    assert Counter(await shop.world.told())["setup_session.completed"] == len(rows)
    await shop.world.assert_clean()


async def all_doubles_are_found(shop: Shop, subjects: list[About]) -> None:
    """The gateway itself did it twice: we asked once, and comparing the books finds each."""
    world = shop.world
    moved = Counter(row["reference"] for row in shop.moved())
    twice = {reference for reference, times in moved.items() if times > 1}
    assert len(twice) <= len(subjects) <= len(moved)
    assert set(moved.values()) <= {1, 2}
    cmd = CreateReconciliation(shop.post.account, shop.began, world.now)
    made = await reconciliation.create(world.rt, world.caller, cmd)
    assert await reconciliation.run_due(world.rt, made) == 1
    rows = await world.fetch(
        "SELECT our_reference FROM reconciliation_differences WHERE status = 'open'"
    )
    assert Counter(row["our_reference"] for row in rows) == Counter(twice)


Ready = Callable[[Shop, int], Awaitable[list[About]]]
Before = Callable[[Shop, About], Awaitable[About]]
After = Callable[[Shop, list[About]], Awaitable[None]]


@dataclass(frozen=True)
class Path:
    """One thing that may die on its way: how it comes about, who does it, and its end."""

    ready: Ready
    work: tuple[str, ...]
    meets: tuple[str, ...]
    """The calls that the fault strikes, each once."""
    after: After
    holds: After
    before: Before | None = None


PATHS: Mapping[str, Path] = {
    "charge": Path(
        Shop.due, ("collect_one",), ("charge", "order"), pay_what_was_declined, all_charged_once
    ),
    "look-up": Path(
        Shop.due,
        ("resolve",),
        ("lookup", "charge"),
        pay_what_was_declined,
        all_charged_once,
        Shop.unanswered,
    ),
    "capture": Path(
        Shop.held,
        ("resolve",),
        ("capture",),
        pay_what_was_declined,
        all_charged_once,
        Shop.collected,
    ),
    "void": Path(Shop.waiting, ("cancel",), ("void",), cancel_again, all_given_up, Shop.collected),
    "refund": Path(Shop.paid, ("refund",), ("refund",), ask_again, all_refunded_once),
    "refund look-up": Path(
        Shop.paid,
        ("refunds",),
        ("lookup", "refund"),
        ask_again,
        all_refunded_once,
        Shop.refund_unanswered,
    ),
    "set-up": Path(
        Shop.customers, ("begin_setup",), ("customer", "setup"), confirm_all, all_kept_once
    ),
    "set-up sweep": Path(
        Shop.customers, ("setups",), ("lookup",), confirm_all, all_kept_once, Shop.confirmed
    ),
    "webhook": Path(
        Shop.due, ("take", "inbox"), ("lookup",), deliver_again, all_heard_once, Shop.told
    ),
}


@dataclass(frozen=True)
class Moments:
    """At which moments of a life it ends; `marks` as in `mortal.Wire`."""

    marks: str = "wda"
    offset: int = 0
    stride: int = 1


EVERY = Moments()


@pytest.fixture(scope="session")
def impatient(database_url: str, simulator: SimulatorProcess) -> Iterator[Mortal]:
    with mortals(
        database_url,
        simulator.url,
        patience_seconds=PATIENCE_SECONDS,
        secret_keys=SECRET_KEY,
        pool_size=3,
    ) as process:
        yield process


async def live(
    shop: Shop, mortal: Mortal, path: Path, fault: str, about: About, moment: int | None = None
) -> Fate:
    """One life that ends at `moment`, if at one; what of it is left is put away."""
    if path.before is not None:
        about = await path.before(shop, about)
    strikes = path.meets if fault in LOST else [one for one in path.meets if one in MOVES_MONEY]
    if fault != "none":
        details = {"kind": fault, "count": 1, **DETAILS.get(fault, {})}
        shop.simulator.set_faults(*({"operations": [one], **details} for one in strikes))
    fate = mortal.run(shop.world.now, work=path.work, about=about, moment=moment)
    shop.simulator.clear_faults()
    await shop.put_away()
    return fate


async def die_everywhere(
    world: World, mortal: Mortal, path: Path, fault: str, kind: str, *, moments: Moments
) -> int:
    """Every subject's own death, then everything comes to its end; how many died."""
    await world.speak_as(kind)
    if fault == "duplicate":
        world.clock.set(SystemClock().now())  # the gateway's own list goes by its own clock
    shop = Shop(world, await post_of(world), world.now)
    subjects = await path.ready(shop, 1)
    whole = await live(shop, mortal, path, fault, subjects[0])
    assert not whole.died
    passed = [n for n, mark in enumerate(whole.moments) if mark in moments.marks]
    chosen = passed[moments.offset :: moments.stride]
    more = await path.ready(shop, len(chosen))
    deaths = 0
    for about, moment in zip(more, chosen, strict=True):
        deaths += (await live(shop, mortal, path, fault, about, moment)).died
    await until(lambda: shop.simulator.request("GET", "/v1/faults")["late_effects"] == 0)
    subjects += more
    await shop.bring_back()
    await shop.recover(is_over=False)
    await path.after(shop, subjects)
    await shop.recover(is_over=True)
    await (all_doubles_are_found if fault == "duplicate" else path.holds)(shop, subjects)
    return deaths


def faults_of(path: Path) -> tuple[str, ...]:
    """What this path's calls can meet."""
    return (*LOST, *MONEY) if {*path.meets} & {*MOVES_MONEY} else LOST


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", list(PATHS))
async def test_a_death_at_some_moments_that_decide_leaves_nothing_twice_and_nothing_undone(
    world: World, impatient: Mortal, name: str, kind: str
) -> None:
    """Each path and kind meets another fault, and dies at other moments of those that decide."""
    place = list(PATHS).index(name) * len(KINDS) + KINDS.index(kind)
    faults = faults_of(PATHS[name])
    fault = faults[(place * 7) % len(faults)]
    some = Moments("da", offset=place % 3, stride=3)
    assert await die_everywhere(world, impatient, PATHS[name], fault, kind, moments=some) > 0


@pytest.mark.campaign
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("name", "fault", "kind"),
    [(name, fault, kind) for name in PATHS for fault in faults_of(PATHS[name]) for kind in KINDS],
)
async def test_a_death_at_every_moment_leaves_nothing_twice_and_nothing_undone(
    world: World, impatient: Mortal, name: str, fault: str, kind: str
) -> None:
    assert await die_everywhere(world, impatient, PATHS[name], fault, kind, moments=EVERY) > 10
