"""What tests may look at and turn, under `/_fake/`: never part of what an adapter speaks to."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

from tests.gateways.fakes.paypal.books import Books, Token, new_id, shown

if TYPE_CHECKING:
    from tests.gateways.fakes.paypal.server import Server

Turn = Callable[["Server", tuple[str, ...], dict[str, Any], Mapping[str, str]], Any]
WEBHOOK_ID = "1JE4291016473214C"


def set_faults(server: "Server", _: Any, given: Any, __: Any) -> None:
    """A list of faults in place of those in force; `duplicate` is a broken PayPal."""
    server.copies = 2 if any(one["kind"] == "duplicate" for one in given) else 1
    server.faults.set([one for one in given if one["kind"] != "duplicate"])


def set_settings(server: "Server", _: Any, given: dict[str, Any], __: Any) -> None:
    for name, value in given.items():
        assert hasattr(server.books.settings, name), name
        setattr(server.books.settings, name, value)


def pass_time(server: "Server", _: Any, given: dict[str, Any], __: Any) -> None:
    server.books.offset += timedelta(seconds=given["seconds"])


def reset(server: "Server", *_: Any) -> None:
    """Empty books, fair weather, the usual settings, and nothing heard yet."""
    server.bank.books = server.books = Books()
    server.faults.set([])
    server.copies = 1
    server.violations.clear()
    server.calls.clear()


def change_payment(server: "Server", ids: Any, given: dict[str, Any], _: Any) -> None:
    for name, value in given.items():
        setattr(server.books.payments[ids[0]], name, value)


def settle(server: "Server", *_: Any) -> None:
    """Whatever is pending is decided at once."""
    for one in server.books.payments.values():
        if one.settles_at is not None:
            one.settles_at = server.books.now()
    server.books.settle()


def new_token(server: "Server", _: Any, given: dict[str, Any], __: Any) -> dict[str, str]:
    """A payment token that behaves like a magic one."""
    one = Token(new_id().lower(), given["kind"], new_id()[:10], given.get("behaviour", {}))
    server.books.tokens[one.id] = one
    return {"id": one.id, "customer": one.customer}


def delete_token(server: "Server", ids: Any, *_: Any) -> None:
    """The customer takes back their agreement on PayPal's own pages."""
    del server.books.tokens[ids[0]]


def put_dispute(server: "Server", ids: Any, given: dict[str, Any], _: Any) -> None:
    known = server.books.disputes.get(ids[0], {"dispute_id": ids[0]})
    now = shown(server.books.now())
    server.books.disputes[ids[0]] = {"create_time": now} | known | {"update_time": now} | given


def put_certificate(server: "Server", ids: Any, given: dict[str, Any], _: Any) -> None:
    server.certificates[ids[0]] = given["pem"].encode()
    if given.get("genuine"):
        server.genuine.add(ids[0])
    server.webhook_ids |= set(given.get("webhook_ids", []))


def new_delivery(server: "Server", _: Any, given: dict[str, Any], __: Any) -> dict[str, Any]:
    """A signed delivery about one object, as PayPal would make it."""
    kind, own_id = given["kind"], given["id"]
    known = server.books.disputes.get(own_id)
    resource = known if kind == "dispute" else server.bank.shown(kind, own_id)
    event = {
        "id": f"WH-{new_id()}-{new_id()}",
        "event_version": "1.0",
        "create_time": shown(server.books.now()),
        "resource_type": kind,
        "resource_version": "2.0",
        "event_type": given["type"],
        "summary": f"Something about a {kind} for $ 12.34 USD",
        "resource": resource,
        "links": [],
    } | given.get("event", {})
    body = orjson.dumps(event)
    headers = server.authority.leaf.headers(
        body, given.get("webhook_id", WEBHOOK_ID), certificate="CERT-genuine"
    )
    return {"headers": headers, "body": body.decode()}


def set_status(objects: str, status: str | None = None) -> Turn:
    def turn(server: "Server", ids: Any, given: dict[str, Any], _: Any) -> None:
        getattr(server.books, objects)[ids[0]].status = status or given["status"]

    return turn


def lapse(server: "Server", ids: Any, *_: Any) -> None:
    """PayPal forgets an order that nobody approved."""
    del server.books.orders[ids[0]]


def clearing(*path: str) -> Turn:
    def turn(server: "Server", *_: Any) -> None:
        at: Any = server
        for name in path:
            at = getattr(at, name)
        at.clear()

    return turn


OWN = "([^/]+)"
TURNS: list[tuple[str, Turn]] = [
    ("GET livez", lambda server, *_: {"judged_by_spec": server.specs is not None}),
    ("PUT faults", set_faults),
    ("PUT settings", set_settings),
    ("GET ledger", lambda server, _, __, query: server.books.ledger(query.get("reference"))),
    ("GET violations", lambda server, *_: server.violations),
    ("GET calls", lambda server, *_: server.calls),
    ("DELETE calls", clearing("calls")),
    ("POST clock", pass_time),
    ("POST reset", reset),
    ("POST settlements", settle),
    ("DELETE access_tokens", clearing("access_tokens")),
    (f"POST orders/{OWN}/approve", set_status("orders", "APPROVED")),
    (f"POST orders/{OWN}/lapse", lapse),
    (f"POST setups/{OWN}", set_status("setups")),
    (f"POST payments/{OWN}", change_payment),
    ("POST tokens", new_token),
    (f"DELETE tokens/{OWN}", delete_token),
    ("POST rows", lambda server, _, given, __: server.books.rows.extend(given["rows"])),
    (f"PUT disputes/{OWN}", put_dispute),
    (f"GET disputes/{OWN}", lambda server, ids, *_: server.books.disputes[ids[0]]),
    (f"PUT certificates/{OWN}", put_certificate),
    ("GET trust", lambda server, *_: {"bundle": server.authority.bundle}),
    ("POST events", new_delivery),
]


def turn(server: "Server", asked: str, given: Any, query: Mapping[str, str]) -> tuple[int, Any]:
    """Do what is asked for, in the words of TURNS."""
    for pattern, handler in TURNS:
        match = re.fullmatch(pattern, asked)
        if match is not None:
            told = handler(server, match.groups(), given, query)
            return 200, {} if told is None else told
    return 404, {"unknown": asked}
