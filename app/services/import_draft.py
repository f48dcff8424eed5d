"""What a chunk of an import will write, decided in pure code from what is known.

A row that is new becomes a customer, a payment method, a price and a subscription, each only where
there is none yet. A row whose subscription is there is compared with it, and never changes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from app.db.base import Row
from app.db.imports import AmountKey, NewCustomer, NewMethod
from app.domain import discount, pricing, signup
from app.domain.balance import Balance
from app.domain.calendar import Interval
from app.domain.decision import Decision
from app.domain.discount import Coupon, Discount
from app.domain.errors import BillingError
from app.domain.money import Money
from app.domain.pricing import Price, PriceModel
from app.domain.signup import Create
from app.ids import new_id
from app.services.import_rows import Broken, Fault, PriceKey, Wanted


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer that a subscription can belong to."""

    id: UUID
    zone: str
    method_id: UUID | None
    """Its default payment method."""
    test_clock_id: UUID | None


@dataclass(slots=True)
class Catalogue:
    """What an import has seen or made of the catalogue so far."""

    create_plans: bool = False
    plans: dict[str, UUID] = field(default_factory=dict)
    by_lookup_key: dict[str, Price] = field(default_factory=dict)
    by_amount: dict[AmountKey, Price] = field(default_factory=dict)
    coupons: dict[str, Coupon] = field(default_factory=dict)

    def amount_key(self, price: PriceKey) -> AmountKey | None:
        """The price of a known plan that is meant; None for one that is named by its key."""
        plan_id = self.plans.get(price.plan) if price.plan is not None else None
        if price.lookup_key is not None or plan_id is None:
            return None
        return _amount_key(plan_id, price)

    def remember(self, draft: "Draft") -> None:
        """Take in what a chunk made, once it is committed."""
        self.plans |= {code: plan_id for plan_id, code in draft.plans}
        self.by_amount |= dict(draft.prices)


@dataclass(frozen=True, slots=True)
class Known:
    """What a chunk's rows refer to, as it was before the chunk."""

    merchant_id: UUID
    test_clock_id: UUID | None
    has_gateway: bool
    catalogue: Catalogue
    customers: Mapping[str, Customer]
    subscriptions: Mapping[str, "Facts"]
    methods: Mapping[tuple[UUID, str], UUID]


@dataclass(slots=True)
class Draft:
    """What a chunk will write, and what became of its rows."""

    plans: list[tuple[UUID, str]] = field(default_factory=list)
    prices: list[tuple[AmountKey, Price]] = field(default_factory=list)
    customers: list[NewCustomer] = field(default_factory=list)
    methods: list[NewMethod] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    existing: int = 0
    broken: list[Broken] = field(default_factory=list)
    per_period: dict[tuple[str, Interval], list[Money]] = field(default_factory=dict)


Facts = Mapping[str, Any]
"""What a row says about a subscription, by column."""


class _Refused(Exception):
    """The row cannot be imported."""

    def __init__(self, column: str, code: str, message: str) -> None:
        super().__init__(message)
        self.fault = Fault(column, code, message)


def draft(known: Known, rows: Sequence[Wanted], now: datetime) -> Draft:
    """What to write for `rows`; each is judged by itself."""
    chunk = _Chunk(known, now)
    for row in rows:
        try:
            chunk.take(row)
        except _Refused as refused:
            chunk.draft.broken.append(Broken(row.number, [refused.fault]))
        except BillingError as error:
            fault = Fault(error.param or "", error.code, error.message)
            chunk.draft.broken.append(Broken(row.number, [fault]))
    return chunk.draft


def customer(row: Row) -> Customer:
    """The customer that a row of `customers` stands for."""
    return Customer(row["id"], row["zone"], row["default_payment_method_id"], row["test_clock_id"])


def facts_of(row: Row) -> Facts:
    """What a subscription's row says, in the words of the file."""
    return {
        "customer_external_id": row["customer"],
        "email": row["email"],
        "name": row["name"],
        "country": row["country"],
        "time_zone": row["zone"],
        "unit_amount": row["price_id"],
        "quantity": row["quantity"],
        "started_at": row["started_at"],
        "trial_end": row["trial_end"],
        "cancel_at": row["cancel_at"],
        "cancel_at_period_end": row["cancel_at_period_end"],
        "collection_method": row["collection_method"],
        "net_days": row["net_days"],
        "payment_token": row["payment_token"],
        "metadata": orjson.loads(row["metadata"]),
    }


OF_CUSTOMER = frozenset({"email", "name", "country", "time_zone", "payment_token"})
"""Columns that may be left empty where the customer is known."""


def _facts(row: Wanted, price_id: UUID | None) -> Facts:
    return {
        "customer_external_id": row.customer,
        "email": row.email,
        "name": row.name,
        "country": row.country,
        "time_zone": row.zone,
        "unit_amount": price_id,
        "quantity": row.quantity,
        "started_at": row.started_at,
        "trial_end": row.trial_end,
        "cancel_at": row.cancel_at,
        "cancel_at_period_end": row.cancel_at_period_end,
        "collection_method": row.collection,
        "net_days": row.net_days,
        "payment_token": row.method.reference if row.method else None,
        "metadata": row.metadata,
    }


def _amount_key(plan_id: UUID, price: PriceKey) -> AmountKey:
    return AmountKey(
        plan_id,
        price.currency,
        price.interval.unit.value,
        price.interval.count,
        pricing.show_unit_amount(price.unit_amount_scaled),
    )


class _Chunk:
    """The draft in the making, and the names it has given out so far."""

    def __init__(self, known: Known, now: datetime) -> None:
        self.known = known
        self.now = now
        self.draft = Draft()
        self.plans: dict[str, UUID] = {}
        self.prices: dict[AmountKey, Price] = {}
        self.customers: dict[str, Customer] = {}
        self.methods: dict[tuple[UUID, str], UUID] = {}
        self.subscriptions: dict[str, Facts] = {}

    def take(self, row: Wanted) -> None:
        """Add `row` to the draft, or count it as there. Raises _Refused, BillingError."""
        plan_id = self._plan(row)
        price = self._price(row, plan_id)
        there = self.known.subscriptions.get(row.subscription) or self.subscriptions.get(
            row.subscription
        )
        if there is not None:
            self._compare(row, price, there)
            self.draft.existing += 1
            return
        made = None
        if price is None:
            plan_id = plan_id or new_id()
            made = _amount_key(plan_id, row.price)
            price = _new_price(made, row.price)
        owner, is_new = self._customer(row)
        method_id, new_method = self._method(row, owner)
        if is_new:
            owner = replace(owner, method_id=method_id)
        self.draft.decisions.append(self._subscribe(row, price, owner, method_id))
        # From here on nothing fails: what the row needs is made together with it.
        if row.price.plan is not None and plan_id is not None:
            self._keep_plan(row.price.plan, plan_id)
        if made is not None:
            self.prices[made] = price
            self.draft.prices.append((made, price))
        if is_new:
            self._keep_customer(row, owner)
        if new_method is not None:
            self.draft.methods.append(new_method)
            self.methods[owner.id, new_method.reference] = new_method.id
        self.subscriptions[row.subscription] = _facts(row, price.id)
        paid = self.draft.per_period.setdefault((price.currency, price.every), [])
        paid.append(pricing.amount(price, row.quantity))

    def _plan(self, row: Wanted) -> UUID | None:
        code = row.price.plan
        if code is None:
            return None
        plan_id = self.known.catalogue.plans.get(code) or self.plans.get(code)
        if plan_id is None and not (
            self.known.catalogue.create_plans and row.price.lookup_key is None
        ):
            raise _Refused("plan", "plan_not_found", f"There is no active plan {code!r}.")
        return plan_id

    def _keep_plan(self, code: str, plan_id: UUID) -> None:
        if code not in self.known.catalogue.plans and code not in self.plans:
            self.plans[code] = plan_id
            self.draft.plans.append((plan_id, code))

    def _price(self, row: Wanted, plan_id: UUID | None) -> Price | None:
        """The price that is meant; None for one that is yet to be made."""
        lookup_key = row.price.lookup_key
        if lookup_key is None:
            if plan_id is None:
                return None
            key = _amount_key(plan_id, row.price)
            return self.known.catalogue.by_amount.get(key) or self.prices.get(key)
        price = self.known.catalogue.by_lookup_key.get(lookup_key)
        if price is None:
            said = f"There is no active price with the lookup key {lookup_key!r}."
            raise _Refused("lookup_key", "price_not_found", said)
        if plan_id is not None and price.plan_id != plan_id:
            raise _Refused("plan", "plan_mismatch", "The price belongs to another plan.")
        return price

    def _compare(self, row: Wanted, price: Price | None, there: Facts) -> None:
        given = _facts(row, price.id if price is not None else None)
        differing = [
            column
            for column, value in given.items()
            if value != there[column] and not (value is None and column in OF_CUSTOMER)
        ]
        if differing:
            said = f"The subscription is there already, with another {', '.join(differing)}."
            raise _Refused(differing[0], "exists", f"{said} It was left as it is.")

    def _customer(self, row: Wanted) -> tuple[Customer, bool]:
        """Whose subscription it is, and whether that customer is new."""
        found = self.known.customers.get(row.customer) or self.customers.get(row.customer)
        clock = self.known.test_clock_id
        if found is None:
            return Customer(new_id(), row.zone or "UTC", None, clock), True
        if found.test_clock_id != clock:
            said = "The customer is there already, on another clock."
            raise _Refused("customer_external_id", "test_clock_mismatch", said)
        return found, False

    def _keep_customer(self, row: Wanted, owner: Customer) -> None:
        self.customers[row.customer] = owner
        self.draft.customers.append(
            NewCustomer(
                owner.id,
                row.customer,
                row.email,
                row.name,
                row.country,
                owner.zone,
                owner.method_id,
            )
        )

    def _method(self, row: Wanted, owner: Customer) -> tuple[UUID | None, NewMethod | None]:
        """The payment method the row names, and what must be stored of it if it is new."""
        given = row.method
        if given is None:
            return None, None
        if not self.known.has_gateway:
            said = "The merchant has no default gateway account that could charge it."
            raise _Refused("payment_token", "no_gateway_account", said)
        key = (owner.id, given.reference)
        known = self.known.methods.get(key) or self.methods.get(key)
        if known is not None:
            return known, None
        method = NewMethod(
            new_id(),
            owner.id,
            given.reference,
            given.customer_reference,
            given.brand,
            given.last_four,
            given.expiry_month,
            given.expiry_year,
        )
        return method.id, method

    def _subscribe(
        self, row: Wanted, price: Price, owner: Customer, method_id: UUID | None
    ) -> Decision:
        cmd = Create(
            merchant_id=self.known.merchant_id,
            customer_id=owner.id,
            items=[(price, row.quantity)],
            zone=row.zone or owner.zone,
            discounts=self._discounts(row, price),
            collection=row.collection,
            net_days=row.net_days,
            # What the customer pays by default is not pinned: a new card then serves all.
            payment_method_id=None if method_id == owner.method_id else method_id,
            start_at=row.started_at,
            trial_days=0,
            trial_end=row.trial_end,
            cancel_at=row.cancel_at,
            cancel_at_period_end=row.cancel_at_period_end,
            test_clock_id=self.known.test_clock_id,
            external_id=row.subscription,
            metadata=row.metadata,
        )
        if row.started_at > self.now:
            balance = Balance(cmd.merchant_id, owner.id, price.currency, 0)  # nothing is due yet
            return signup.create(cmd, balance, None, self.now, new_id)
        if row.cancel_at is not None and row.cancel_at <= self.now:
            raise _Refused("cancel_at", "already_ended", "It has ended already.")
        return signup.adopt(cmd, self.now, new_id)

    def _discounts(self, row: Wanted, price: Price) -> tuple[Discount, ...]:
        if row.coupon is None:
            return ()
        coupon = self.known.catalogue.coupons.get(row.coupon)
        if coupon is None:
            said = f"There is no active coupon {row.coupon!r}."
            raise _Refused("coupon", "coupon_not_found", said)
        off = coupon.amount_off
        if off is not None and off.currency != price.currency:
            said = f"The coupon takes off {off.currency}, and the price is in {price.currency}."
            raise _Refused("coupon", "currency_mismatch", said)
        return (discount.redeem(coupon, new_id()),)


def _new_price(key: AmountKey, price: PriceKey) -> Price:
    return Price(
        id=new_id(),
        plan_id=key.plan_id,
        version=1,
        currency=price.currency,
        interval=price.interval,
        model=PriceModel.PER_UNIT,
        unit_amount_scaled=price.unit_amount_scaled,
    )
