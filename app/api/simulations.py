"""/v1/simulations: what would become of a subscription, a customer or the whole merchant."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from app.api import simulation_objects as objects
from app.api.answers import MEDIA_TYPE
from app.api.endpoint import Asked, Endpoint
from app.api.previews import Names, invoice_shown
from app.api.simulation_objects import ScriptEntry, SimulationCreate
from app.domain import decimals, pricing, simulation
from app.domain.errors import InvalidRequest
from app.domain.invoice import Invoice
from app.domain.ledger import trial_balance
from app.domain.money import WHOLE_PPM
from app.domain.payment import Payment
from app.domain.shop import Shop
from app.domain.simulation import Happened
from app.domain.subscription import Subscription
from app.ids import show
from app.services import simulations
from app.services.public import PERCENT_PLACES, dump
from app.services.simulations import Entry, Simulate

router = APIRouter(prefix="/v1/simulations", tags=["simulations"], route_class=Endpoint)

MONTHS: Final = 12
NOBODY: Final = UUID(int=0)
WORDS: Final[Mapping[type[simulation.Act], str]] = {
    simulation.Changing: "change",
    simulation.Canceling: "cancel",
    simulation.Pausing: "pause",
    simulation.Resuming: "resume",
    simulation.Failing: "fail_payment",
    simulation.Succeeding: "succeed",
    simulation.Using: "usage",
    simulation.Repricing: "new_price",
    simulation.Subscribing: "subscribe",
}


@router.post("", operation_id="create_simulation", response_model=objects.Simulation)
async def create_simulation(ask: Asked, body: SimulationCreate) -> Response:
    """Fork a subscription, a customer or the merchant into memory and play a script in it.

    The same rules bill as for real; nothing of it is stored. Payments succeed unless the script
    says otherwise; a declined one is dunned by the merchant's policies, with the customers' back-up
    methods.
    """
    months = MONTHS if body.months is None and body.until is None else body.months
    script = [_entry(entry, place) for place, entry in enumerate(body.script)]
    asked = Simulate(body.subscription_id, body.customer_id, body.until, months, script)
    made = await simulations.run(ask.rt, ask.caller, asked)
    content = await asyncio.to_thread(_content, made)  # megabytes, where it is long
    return Response(content, media_type=MEDIA_TYPE)


def _content(made: simulation.Simulation) -> bytes:
    return dump(_Shown(made).whole())


def _entry(entry: ScriptEntry, place: int) -> Entry:
    """The entry as a service takes it."""
    match entry:
        case objects.SimulatedChange():
            about = entry.subscription_id
            return simulations.Change(entry.at, entry.change.command(about or NOBODY, None), about)
        case objects.SimulatedCancel():
            return simulation.Canceling(
                at=entry.at,
                about=entry.subscription_id,
                when=entry.cancel.at or entry.cancel.when,
                credit=entry.cancel.credit,
            )
        case objects.SimulatedPause():
            return simulation.Pausing(
                at=entry.at,
                about=entry.subscription_id,
                when=entry.pause.when,
                invoices=entry.pause.invoices,
                resumes_at=entry.pause.resumes_at,
                unused=entry.pause.unused,
            )
        case objects.SimulatedSubscribe():
            return simulations.Create(entry.at, entry.create.command())
        case objects.SimulatedPrice():
            return _new_price(entry, place)
        case _:
            return _plain(entry)


def _plain(
    entry: objects.SimulatedResume
    | objects.SimulatedFailure
    | objects.SimulatedSuccess
    | objects.SimulatedUsage,
) -> Entry:
    match entry:
        case objects.SimulatedResume():
            return simulation.Resuming(at=entry.at, about=entry.subscription_id)
        case objects.SimulatedFailure():
            return simulation.Failing(
                at=entry.at,
                times=entry.times,
                method_id=entry.payment_method_id,
                is_hard=entry.decline == "hard",
            )
        case objects.SimulatedSuccess():
            return simulation.Succeeding(at=entry.at)
        case objects.SimulatedUsage():
            return simulation.Using(
                at=entry.at,
                about=entry.subscription_id,
                quantity=entry.quantity,
                events=entry.events,
                item_id=entry.subscription_item_id,
            )


def _new_price(entry: objects.SimulatedPrice, place: int) -> Entry:
    scaled, ppm = None, 0
    if entry.unit_amount is not None:
        scaled = pricing.parse_unit_amount(entry.unit_amount)
    if entry.percent_change is not None:
        text = entry.percent_change
        ppm = decimals.parse(text.removeprefix("-"), PERCENT_PLACES)
        ppm = -ppm if text.startswith("-") else ppm
        if ppm < -WHOLE_PPM:
            raise InvalidRequest(
                "A price cannot fall below nothing.", param=f"script[{place}].percent_change"
            )
    return simulations.NewPrice(
        entry.at, entry.price_id, scaled, ppm, entry.when, entry.subscription_id
    )


class _Shown:
    """A simulation as callers see it: what it made up is counted, what exists has its name."""

    def __init__(self, made: simulation.Simulation) -> None:
        self._made = made
        self._numbers = {invoice.id: n for n, invoice in enumerate(made.invoices, 1)}
        self._new: dict[UUID, str] = {}
        for happened in made.timeline:
            if isinstance(happened.act, simulation.Subscribing) and happened.about is not None:
                self._new[happened.about] = f"new_{len(self._new) + 1}"
        subs = made.shop.subscriptions.values()
        known = {d.id: d.coupon.id for sub in subs for d in sub.discounts}
        known |= {
            d.id: d.coupon.id
            for account in made.shop.accounts.values()
            for d in account.subscription.discounts
        }
        self._names = Names(known, made.shop.made, self._new)

    def whole(self) -> dict[str, Any]:
        """The whole answer."""
        made, shop = self._made, self._made.shop
        sums = trial_balance(shop.entries)
        totals: dict[str, int] = {}
        for (_, currency), amount in sums.items():
            totals[currency] = totals.get(currency, 0) + amount
        return {
            "object": "simulation",
            "begun_at": made.begun_at,
            "until": made.until,
            "steps": shop.steps,
            "timeline": [self._happened(each) for each in made.timeline],
            "invoices": [self._invoice(invoice) for invoice in made.invoices],
            "months": _months(made),
            "ledger": [
                {"account": account, "currency": currency, "balance": amount}
                for (account, currency), amount in sorted(sums.items())
            ],
            "balanced": not any(totals.values()),
            "subscriptions": [self._subscription(s, shop) for s in shop.subscriptions.values()],
            "customer_credit": [
                {"customer_id": show("cus", customer), "currency": currency, "amount": amount}
                for (customer, currency), amount in shop.credit.items()
            ],
        }

    def _happened(self, happened: Happened) -> dict[str, Any]:
        about, invoice, detail, method = happened.about, None, None, None
        if happened.event is not None:
            kind, subject = str(happened.event.type), happened.event.subject
            if isinstance(subject, Subscription):
                about = subject.id
            elif isinstance(subject, Invoice):
                about, invoice = subject.order.subscription_id, self._numbers.get(subject.id)
            else:
                invoice = self._numbers.get(getattr(subject, "invoice_id", NOBODY))
            if isinstance(subject, Payment):
                method = subject.payment_method_id
        else:
            assert happened.act is not None
            kind = f"script.{WORDS[type(happened.act)]}"
            if happened.refused is not None:
                kind, detail = f"{kind}.refused", happened.refused.message
        return {
            "at": happened.at,
            "type": kind,
            "subscription_id": self._name(about),
            "invoice": invoice,
            "payment_method_id": None if method is None else show("pm", method),
            "detail": detail,
        }

    def _name(self, subscription_id: UUID | None) -> str | None:
        if subscription_id is None:
            return None
        return self._new.get(subscription_id) or show("sub", subscription_id)

    def _invoice(self, invoice: Invoice) -> dict[str, Any]:
        return invoice_shown(invoice, self._names) | {
            "number": self._numbers[invoice.id],
            "subscription_id": self._name(invoice.order.subscription_id),
            "status": invoice.status,
            "amount_paid": invoice.amount_paid,
        }

    def _subscription(self, sub: Subscription, shop: Shop) -> dict[str, Any]:
        return {
            "id": self._name(sub.id),
            "status": sub.status,
            "period_start": None if sub.period is None else sub.period.start,
            "period_end": None if sub.period is None else sub.period.end,
            "items": [
                {"price_id": show("price", item.price.id), "quantity": item.quantity}
                for item in sub.items
            ],
            "parked": shop.parked.get(sub.id),
        }


def _months(made: simulation.Simulation) -> list[dict[str, Any]]:
    return [
        {
            "month": f"{year:04d}-{month:02d}",
            "currency": currency,
            "invoices": of.invoices,
            "billed": of.billed,
            "tax": of.tax,
            "credited": of.credited,
            "collected": of.collected,
        }
        for (year, month, currency), of in made.months.items()
    ]
