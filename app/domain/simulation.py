"""Simulations: a script of what is done and when, played in a shop in memory by the real rules.

Nothing here knows what is billed: time passes through `lifecycle.step`, wishes through `command`,
payments through `collection`, as they do for everybody else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from app.domain import collection, command, signup
from app.domain.billing import Account
from app.domain.decision import Decision
from app.domain.errors import BillingError, InvalidRequest
from app.domain.event import Event
from app.domain.ids import NewId
from app.domain.invoice import Invoice
from app.domain.invoice import Status as InvoiceStatus
from app.domain.money import WHOLE_PPM, divide
from app.domain.payment import Status as PaymentStatus
from app.domain.policy import CancelCredit, PauseUnused, When
from app.domain.pricing import Price, Tier, Usage
from app.domain.shop import Shop
from app.domain.shop_paying import HARD, SOFT, Ordered
from app.domain.signup import Create
from app.domain.subscription import ENDED, Change, ItemChange, Pause, PausedInvoices, Subscription
from app.domain.using import Used

STEPS_MAX: Final = 10_000
"""Renewals, payments and drafts of one simulation: a hundred subscriptions over three years."""
ACTS_MAX: Final = 200
"""Entries of one script."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something in a script. Without `about` it is done to every subscription that still runs."""

    at: datetime
    about: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changing(Act):
    """Other items, prices or quantities."""

    change: Change
    when: When | datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Canceling(Act):
    """It ends."""

    when: When | datetime | None = None
    credit: CancelCredit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pausing(Act):
    """It is paused."""

    when: When = When.NOW
    invoices: PausedInvoices = PausedInvoices.NONE
    resumes_at: datetime | None = None
    unused: PauseUnused | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resuming(Act):
    """It goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing(Act):
    """The next payments are declined: those by one method, or whoever's they are. A hard decline
    says that the method will not work again.
    """

    times: int = 1
    method_id: UUID | None = None
    is_hard: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeding(Act):
    """Payments go through again, and what is owed is tried at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Using(Act):
    """Something metered is used."""

    quantity: int
    events: int = 1
    item_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repricing(Act):
    """Who has a price gets another one in its place."""

    price_id: UUID
    price: Price
    when: When | datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribing(Act):
    """A new subscription."""

    create: Create
    method_id: UUID | None


@dataclass(frozen=True, slots=True)
class Happened:
    """An event, or an act of the script with what became of it."""

    at: datetime
    event: Event | None = None
    act: Act | None = None
    about: UUID | None = None
    refused: BillingError | None = None


@dataclass(slots=True)
class Month:
    """One currency's sums of a calendar month (UTC), in minor units."""

    billed: int = 0
    tax: int = 0
    credited: int = 0
    collected: int = 0
    invoices: int = 0


MonthKey: TypeAlias = tuple[int, int, str]
"""Year, month, currency."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What came of a script: `shop` is as it would be at `until`."""

    begun_at: datetime
    until: datetime
    shop: Shop
    timeline: tuple[Happened, ...]
    invoices: tuple[Invoice, ...]
    months: dict[MonthKey, Month]


@dataclass(slots=True)
class _Play:
    shop: Shop
    steps_max: int
    done: list[Happened] = field(default_factory=list)

    def run(self, until: datetime) -> None:
        """Let time pass. Raises InvalidRequest where too much happens."""
        shop = self.shop
        if shop.run(until, max(0, self.steps_max - shop.steps)):
            return
        raise InvalidRequest(
            f"More than {STEPS_MAX} things would happen: simulate less, or for a shorter time.",
            code="too_many_steps",
        )


def simulate(
    shop: Shop,
    script: Sequence[Act],
    begun_at: datetime,
    until: datetime,
    steps_max: int = STEPS_MAX,
) -> Simulation:
    """Play the script, which lies between the two instants. The shop is spent after it.

    What the rules refuse is refused here too, told, and passed over. Raises InvalidRequest.
    """
    told = len(shop.told)
    play = _Play(shop, steps_max + shop.steps)
    for act in sorted(script, key=lambda act: act.at):
        play.run(act.at)
        play.done += _done(shop, act)
        play.run(act.at)
    play.run(until)
    events = [Happened(each.at, each.event) for each in shop.told[told:]]
    invoices = tuple(invoice for key, invoice in shop.invoices.items() if key in shop.born)
    timeline = sorted([*play.done, *events], key=lambda happened: happened.at)
    return Simulation(begun_at, until, shop, tuple(timeline), invoices, _months(shop, invoices))


def repriced(price: Price, unit_amount_scaled: int | None, change_ppm: int, new_id: NewId) -> Price:
    """The next version of a price: at another unit amount, or all of it so much more or less."""
    next_ = replace(price, id=new_id(), version=price.version + 1)
    if unit_amount_scaled is not None:
        return replace(next_, unit_amount_scaled=unit_amount_scaled)
    whole = WHOLE_PPM + change_ppm
    return replace(
        next_,
        unit_amount_scaled=divide(price.unit_amount_scaled * whole, WHOLE_PPM),
        tiers=tuple(
            Tier(
                tier.up_to,
                divide(tier.unit_amount_scaled * whole, WHOLE_PPM),
                divide(tier.flat_amount * whole, WHOLE_PPM),
            )
            for tier in price.tiers
        ),
    )


def _done(shop: Shop, act: Act) -> list[Happened]:
    """Do it, to one subscription after the other; what is refused changes nothing."""
    match act:
        case Failing():
            outcome = HARD if act.is_hard else SOFT
            shop.bank.ordered.append(Ordered(act.times, outcome, act.method_id))
            return [Happened(act.at, act=act)]
        case Succeeding():
            _pay_all(shop, act.at)
            return [Happened(act.at, act=act)]
        case Subscribing():
            return [_tried(shop, act, None)]
        case _:
            return [_tried(shop, act, sub) for sub in _meant(shop, act)]


def _tried(shop: Shop, act: Act, sub: Subscription | None) -> Happened:
    about = None if sub is None else sub.id
    try:
        if isinstance(act, Subscribing):
            about = _subscribe(shop, act)
        elif sub is not None and isinstance(act, Using):
            _use(shop, sub, act)
        elif sub is not None:
            decision = _decide(shop.account(sub.id, act.at), sub, act, shop.new_id)
            if decision is not None:
                shop.record(decision, act.at)
    except BillingError as refused:
        return Happened(act.at, act=act, about=about, refused=refused)
    return Happened(act.at, act=act, about=about)


def _decide(account: Account, sub: Subscription, act: Act, new_id: NewId) -> Decision | None:
    """What the act makes of a subscription; None where it is not about it."""
    match act:
        case Changing():
            return command.change(account, act.change, act.when, act.at, new_id)
        case Canceling():
            return command.cancel(account, act.when, act.credit, act.at, new_id)
        case Pausing():
            wanted = Pause(act.at, act.invoices, act.resumes_at)
            return command.pause(account, wanted, act.when, act.unused, act.at, new_id)
        case Resuming():
            return command.resume(account, act.at, new_id)
        case Repricing():
            having = [item for item in sub.items if item.price.id == act.price_id]
            if not having:
                return None
            items = tuple(ItemChange(item_id=item.id, price=act.price) for item in having)
            return command.change(account, Change(items=items), act.when, act.at, new_id)
        case _:
            return None


def _meant(shop: Shop, act: Act) -> list[Subscription]:
    if act.about is None:
        return [sub for sub in shop.subscriptions.values() if sub.status not in ENDED]
    return [shop.subscriptions[act.about]]


def _use(shop: Shop, sub: Subscription, act: Using) -> None:
    metered = [item for item in sub.items if item.price.usage is Usage.METERED]
    for item in metered:
        if act.item_id in (None, item.id):
            used = Used(act.at, act.quantity, act.events)
            shop.used.setdefault(item.id, []).append(used)
            return
    if act.about is not None:
        raise InvalidRequest("The subscription has no such metered item.", code="nothing_metered")


def _pay_all(shop: Shop, at: datetime) -> None:
    """What waits to be tried again, or for a method that is there, is tried at once."""
    shop.bank.ordered.clear()
    shop.desk.refused.clear()
    for payment in list(shop.payments.values()):
        retryable = payment.status in (
            PaymentStatus.REQUIRES_PAYMENT_METHOD,
            PaymentStatus.SCHEDULED,
        )
        if retryable and payment.payment_method_id is not None:
            again = collection.retry(payment, payment.payment_method_id, at)
            shop.record(Decision(shop.merchant_id, payments=(again,)), at)


def _subscribe(shop: Shop, act: Subscribing) -> UUID:
    create = act.create
    held = shop.balance(create.customer_id, create.items[0][0].currency)
    decision = signup.create(create, held, act.method_id, act.at, shop.new_id)
    [sub] = decision.subscriptions
    account = Account(sub, held, act.method_id, policy=create.policy, taxation=create.taxation)
    shop.subscribe(account, decision, act.at)
    return sub.id


def _months(shop: Shop, invoices: Iterable[Invoice]) -> dict[MonthKey, Month]:
    """What was billed and collected in each month, by currency."""
    months: dict[MonthKey, Month] = {}

    def month(at: datetime, currency: str) -> Month:
        return months.setdefault((at.year, at.month, currency), Month())

    for invoice in invoices:
        if invoice.finalized_at is None or invoice.status is InvoiceStatus.VOID:
            continue
        of = month(invoice.finalized_at, invoice.order.currency)
        of.invoices += 1
        of.billed += invoice.total
        of.tax += invoice.tax_total
        back = (line for line in invoice.lines if line.charge.reverses_line_id is not None)
        of.credited -= sum(line.total for line in back)
    for payment in shop.payments.values():
        if payment.succeeded_at is not None and payment.status is PaymentStatus.SUCCEEDED:
            month(payment.succeeded_at, payment.currency).collected += payment.amount_captured
    return dict(sorted(months.items()))
