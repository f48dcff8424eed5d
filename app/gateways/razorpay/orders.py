"""Orders: the object of which one payment may succeed, found again by our own reference.

A second success on an order is refunded by Razorpay at once, so the order is what makes a charge
safe to repeat: there is one for each of our attempts, and its receipt is the attempt's code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.domain.outcome import Inconclusive, NotExecuted, NotFound, Unknown
from app.gateways.razorpay.wire import Wire, refuse, told_at, unfound
from app.gateways.razorpay.words import Order, Page, Payment, Problem, read, spoken
from app.http import Answer

PAGE_SIZE: Final = 100
"""The most that Razorpay lists at once."""


@dataclass(frozen=True, slots=True)
class OnOrders:
    """What there is under one reference: its orders, their payments, and Razorpay's own time."""

    orders: tuple[Order, ...]
    payments: tuple[tuple[Order, Payment], ...]
    now: datetime | None

    @property
    def is_out_of_step(self) -> bool:
        """An order says that it was tried, and shows no payment: somebody reads an old copy."""
        tried = [order for order in self.orders if order.attempts or order.status != "created"]
        return bool(tried) and not self.payments


async def by_reference(wire: Wire, reference: str) -> OnOrders | Inconclusive:
    """Everything under our reference. Raises AuthenticationError."""
    params = {"receipt": reference, "count": str(PAGE_SIZE)}
    reply = await wire.look("/orders", params)
    match reply:
        case Answer():
            found = read(Page[Order], reply)
            if found is None:
                return Inconclusive("unreadable_answer")
            orders = tuple(order for order in found.items if order.receipt == reference)
            if len(orders) < len(found.items):
                return Inconclusive("answer_for_another_reference")
            return await _with_payments(wire, orders, told_at(reply))
        case Problem(code=code):
            return Inconclusive(f"refused_{spoken(code)}")
        case Inconclusive():
            return reply


async def by_id(wire: Wire, order_id: str) -> OnOrders | NotFound | Inconclusive:
    """One order with its payments. Raises AuthenticationError."""
    reply = await wire.look(f"/orders/{order_id}")
    match reply:
        case Answer():
            order = read(Order, reply)
            if order is None or order.id != order_id:
                return Inconclusive("unreadable_answer")
            return await _with_payments(wire, (order,), told_at(reply))
        case Problem():
            return unfound(reply)
        case Inconclusive():
            return reply


async def _with_payments(
    wire: Wire, orders: tuple[Order, ...], now: datetime | None
) -> OnOrders | Inconclusive:
    payments: list[tuple[Order, Payment]] = []
    for order in orders:
        reply = await wire.look(f"/orders/{order.id}/payments")
        if not isinstance(reply, Answer):
            return reply if isinstance(reply, Inconclusive) else Inconclusive("order_refused")
        found = read(Page[Payment], reply)
        if found is None or any(payment.order_id != order.id for payment in found.items):
            return Inconclusive("unreadable_answer")
        payments += [(order, payment) for payment in found.items]
        now = told_at(reply) or now
    return OnOrders(orders, tuple(payments), now)


async def create(wire: Wire, body: Mapping[str, object]) -> Order | NotExecuted | Unknown:
    """A new order: it moves no money. Raises InvalidRequestError, AuthenticationError."""
    reply = await wire.call("POST", "/orders", body)
    match reply:
        case Answer():
            order = read(Order, reply)
            if order is None:
                return Unknown("unreadable_answer")
            if (order.receipt, order.amount, order.currency) != (
                body["receipt"],
                body["amount"],
                body["currency"],
            ):
                return Unknown("answer_for_another_order", order.id)
            return order
        case Problem():
            raise refuse(reply)
        case _:
            return reply
