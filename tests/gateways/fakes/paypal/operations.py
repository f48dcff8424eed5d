"""Which part of the bank does what: one line an operation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.gateways.fakes.paypal import report
from tests.gateways.fakes.paypal.bank import Answer, Bank


@dataclass(frozen=True)
class Asked:
    """A request, taken apart."""

    bank: Bank
    ids: tuple[str, ...]
    body: Any
    key: str | None
    query: Mapping[str, str]
    copies: int
    """How often an order is really executed: two is a broken PayPal."""


def payment(kind: str) -> Callable[[Asked], Answer]:
    return lambda asked: asked.bank.get_payment(kind, *asked.ids)


TABLE: dict[str, Callable[[Asked], Answer]] = {
    "orders.create": lambda a: a.bank.create_order(a.body, a.key, a.copies),
    "orders.get": lambda a: a.bank.get_order(*a.ids),
    "orders.patch": lambda a: a.bank.patch_order(*a.ids, a.body),
    "orders.capture": lambda a: a.bank.take_order(*a.ids, a.key, "CAPTURE"),
    "orders.authorize": lambda a: a.bank.take_order(*a.ids, a.key, "AUTHORIZE"),
    "captures.get": payment("capture"),
    "authorizations.get": payment("authorization"),
    "refunds.get": payment("refund"),
    "captures.refund": lambda a: a.bank.refund(*a.ids, a.body, a.key),
    "authorizations.capture": lambda a: a.bank.capture_held(*a.ids, a.body, a.key),
    "authorizations.reauthorize": lambda a: a.bank.reauthorize(*a.ids, a.body, a.key),
    "authorizations.void": lambda a: a.bank.void(*a.ids),
    "setup_tokens.create": lambda a: a.bank.create_setup(a.body, a.key),
    "setup_tokens.get": lambda a: a.bank.get_setup(*a.ids),
    "payment_tokens.create": lambda a: a.bank.create_token(a.body, a.key),
    "payment_tokens.get": lambda a: a.bank.get_token(*a.ids),
    "payment_tokens.list": lambda a: a.bank.list_tokens(a.query["customer_id"]),
    "payment_tokens.delete": lambda a: a.bank.delete_token(*a.ids),
    "reporting.transactions": lambda a: report.transactions(a.bank.books, a.query),
    "disputes.list": lambda a: report.disputes(a.bank.books, a.query),
    "disputes.get": lambda a: report.dispute(a.bank.books, *a.ids),
}


def answer(verb: str, asked: Asked) -> tuple[int, Any]:
    return TABLE[verb](asked)
