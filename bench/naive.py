"""The ordinary way to renew: load one subscription with the ORM, bill it, commit; then the next.

The same tables, roles and guards, and in the end the same rows. Nothing here is slow on purpose:
one statement loads each collection, one flush writes each table, the connection is kept.
"""

import asyncio
import json
import sys
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from types import NoneType
from typing import Any, Final
from uuid import UUID

from sqlalchemy import insert, make_url, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, joinedload, relationship, selectinload

from app import process
from app.db import tables
from app.db.base import SYSTEM_ROLE
from app.domain.calendar import Interval, Unit
from app.ids import new_id
from bench.meter import Meter

PPM: Final = Decimal(1_000_000)
WARM_UP: Final = 20
"""Renewals before the clock starts: statements are compiled and prepared by then."""


class Base(DeclarativeBase):
    metadata = tables.metadata


def reference(to: str, **options: Any) -> Any:
    """What a row refers to; read with the row when it is asked for, never by surprise."""
    return relationship(to, lazy="raise", viewonly=True, **options)


class Plan(Base):
    __table__ = tables.plans


class Price(Base):
    __table__ = tables.prices
    plan = reference("Plan")


class Item(Base):
    __table__ = tables.subscription_items
    price = reference("Price")


class Coupon(Base):
    __table__ = tables.coupons


class Discount(Base):
    __table__ = tables.discounts
    coupon = reference("Coupon")


class TaxRate(Base):
    __table__ = tables.tax_rates


class SubscriptionTaxRate(Base):
    __table__ = tables.subscription_tax_rates
    rate = reference("TaxRate")


class Customer(Base):
    __table__ = tables.customers


class Subscription(Base):
    __table__ = tables.subscriptions
    customer = reference("Customer")
    items = reference("Item", order_by=tables.subscription_items.c.position)
    discounts = reference("Discount", order_by=tables.discounts.c.position)
    rates = reference("SubscriptionTaxRate", order_by=tables.subscription_tax_rates.c.position)


class Series(Base):
    __table__ = tables.invoice_series


class LineDiscount(Base):
    __table__ = tables.invoice_line_discounts


class LineTax(Base):
    __table__ = tables.invoice_line_taxes


class Line(Base):
    __table__ = tables.invoice_lines


class Payment(Base):
    __table__ = tables.payments


class Invoice(Base):
    __table__ = tables.invoices


class Entry(Base):
    __table__ = tables.ledger_entries


class Event(Base):
    __table__ = tables.events


LOADED: Final = (
    joinedload(Subscription.customer),
    selectinload(Subscription.items).joinedload(Item.price).joinedload(Price.plan),
    selectinload(Subscription.discounts).joinedload(Discount.coupon),
    selectinload(Subscription.rates).joinedload(SubscriptionTaxRate.rate),
)


async def due(engine: AsyncEngine, now: datetime, limit: int) -> list[tuple[UUID, UUID]]:
    """The keys of those that are due, oldest first."""
    async with engine.connect() as connection:
        sub = tables.subscriptions.c
        found = await connection.execute(
            select(sub.merchant_id, sub.id)
            .where(sub.next_action_at <= now, sub.parked_at.is_(None))
            .order_by(sub.next_action_at)
            .limit(limit)
        )
        return [(row.merchant_id, row.id) for row in found]


async def renew(engine: AsyncEngine, key: tuple[UUID, UUID], now: datetime) -> None:
    """Bill one subscription's next period, in a transaction of its own."""
    async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
        await session.execute(text("SELECT set_config('role', :role, true)"), {"role": SYSTEM_ROLE})
        sub = await session.scalar(
            select(Subscription)
            .where(Subscription.merchant_id == key[0], Subscription.id == key[1])
            .options(*LOADED)
            .with_for_update(of=Subscription, skip_locked=True)
        )
        if sub is None or sub.next_action_at > now:
            return
        series = await session.scalar(
            select(Series)
            .where(Series.merchant_id == sub.merchant_id, Series.series == "default")
            .with_for_update()
        )
        interval = Interval(Unit(sub.interval_unit), sub.interval_count)
        end = interval.after(sub.anchor, sub.period_index + 2, sub.zone)
        charges = [charged(sub, item, place, end) for place, item in enumerate(sub.items)]
        invoice = billed(sub, charges, end, now)
        invoice.series_number = series.next_number
        invoice.number = f"{series.prefix}{series.next_number:06d}"
        series.next_number += 1
        sub.period_start, sub.period_end = invoice.period_start, invoice.period_end
        sub.period_index += 1
        sub.next_action_at = sub.period_end
        sub.latest_invoice_id = invoice.id
        sub.version += 1
        session.add(invoice)
        await session.flush()
        # Lines must add up to their invoice after each statement, so they go in one.
        lines = [charge.line | {"invoice_id": invoice.id} for charge in charges]
        await session.execute(insert(Line).returning(Line.id), lines)
        for charge in charges:
            session.add_all((*charge.discounts, *charge.taxes))
        session.add(payment(sub, invoice, now))
        session.add_all(postings(invoice, now))
        session.add(told("subscription.renewed", "subscription", sub, now))
        session.add(told("invoice.finalized", "invoice", invoice, now))


@dataclass
class Charge:
    """A line to be written, and what belongs to it."""

    line: dict[str, Any]
    discounts: list[LineDiscount]
    taxes: list[LineTax]


def billed(sub: Subscription, charges: list[Charge], end: datetime, now: datetime) -> Invoice:
    """The next period's invoice, not yet numbered."""
    subtotal = sum(charge.line["amount"] for charge in charges)
    discount = sum(charge.line["discount_amount"] for charge in charges)
    tax = sum(charge.line["tax_amount"] for charge in charges)
    total = subtotal - discount + tax
    return Invoice(
        merchant_id=sub.merchant_id,
        id=new_id(),
        customer_id=sub.customer_id,
        subscription_id=sub.id,
        status="open",
        series="default",
        currency=sub.currency,
        billing_reason="subscription_cycle",
        cycle_start=sub.period_end,
        period_start=sub.period_end,
        period_end=end,
        collection_method=sub.collection_method,
        subtotal=subtotal,
        discount_total=discount,
        tax_total=tax,
        tax_added=tax,
        total=total,
        balance_applied=0,
        amount_due=total,
        amount_paid=0,
        due_at=now,
        created_at=now,
        finalized_at=now,
        version=1,
    )


def charged(sub: Subscription, item: Item, place: int, end: datetime) -> Charge:
    """One item's price for the period, less the discounts, plus the taxes."""
    price = item.price
    times = item.quantity if price.model == "per_unit" else 1
    amount = rounded(Decimal(price.unit_amount_decimal) * times)
    line_id, left = new_id(), amount
    key = {"merchant_id": sub.merchant_id, "line_id": line_id}
    discounts, taxes = [], []
    for discount in sub.discounts:
        off = rounded(left * discount.coupon.percent_off_ppm / PPM)
        left -= off
        discounts.append(LineDiscount(**key, discount_id=discount.id, amount=off))
    for chosen in sub.rates:
        rate = chosen.rate
        taxes.append(
            LineTax(
                **key,
                tax_rate_id=rate.id,
                rate_ppm=rate.rate_ppm,
                inclusive=False,
                taxable_amount=left,
                amount=rounded(left * rate.rate_ppm / PPM),
            )
        )
    line = {
        "merchant_id": sub.merchant_id,
        "id": line_id,
        "position": place,
        "kind": "period",
        "subscription_item_id": item.id,
        "price_id": price.id,
        "description": f"{price.plan.name} ({price.nickname})",
        "quantity": item.quantity,
        "period_start": sub.period_end,
        "period_end": end,
        "amount": amount,
        "discount_amount": amount - left,
        "tax_amount": sum(tax.amount for tax in taxes),
    }
    return Charge(line, discounts, taxes)


def rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def payment(sub: Subscription, invoice: Invoice, now: datetime) -> Payment:
    return Payment(
        merchant_id=sub.merchant_id,
        id=new_id(),
        invoice_id=invoice.id,
        customer_id=sub.customer_id,
        payment_method_id=sub.payment_method_id or sub.customer.default_payment_method_id,
        status="scheduled",
        currency=sub.currency,
        amount=invoice.amount_due,
        amount_captured=0,
        amount_refunded=0,
        amount_refund_reserved=0,
        attempt_count=0,
        due_at=now,
        created_at=now,
        version=1,
    )


def postings(invoice: Invoice, now: datetime) -> list[Entry]:
    net = invoice.subtotal - invoice.discount_total
    return [
        Entry(
            merchant_id=invoice.merchant_id,
            id=new_id(),
            source="invoice",
            source_id=invoice.id,
            debit="receivable",
            credit=account,
            currency=invoice.currency,
            amount=amount,
            effective_at=now,
        )
        for account, amount in (("deferred_revenue", net), ("tax_payable", invoice.tax_total))
    ]


def told(type_: str, noun: str, subject: Subscription | Invoice, now: datetime) -> Event:
    """The event with all columns of its subject, as the clock tells it."""
    data = {
        column.key: value if isinstance(value, (int, str, NoneType)) else str(value)
        for column in subject.__table__.columns
        if (value := getattr(subject, column.key)) is not None or column.nullable
    }
    return Event(
        merchant_id=subject.merchant_id,
        id=new_id(),
        type=type_,
        object=noun,
        object_id=subject.id,
        object_version=subject.version,
        data=data,
        created_at=now,
    )


async def main(url: str, now: datetime, count: int) -> None:
    engine = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"), pool_size=1)
    keys = await due(engine, now, WARM_UP + count)
    for key in keys[:WARM_UP]:
        await renew(engine, key, now)
    async with engine.connect() as connection:
        pid = await connection.scalar(text("SELECT pg_backend_pid()"))
    process.settle()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    meter = Meter(pid)
    for key in keys[WARM_UP:]:
        await renew(engine, key, now)
    print(json.dumps({"renewals": len(keys) - WARM_UP, **meter.read()}), flush=True)
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], datetime.fromisoformat(sys.argv[2]), int(sys.argv[3])))
