"""The fake's transaction report and disputes."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tests.gateways.fakes.paypal.bank import Answer, parsed
from tests.gateways.fakes.paypal.books import Books, Payment, Refused, money, shown
from tests.gateways.fakes.paypal.show import API, present

STATUSES = {
    "COMPLETED": "S",
    "PARTIALLY_REFUNDED": "S",
    "REFUNDED": "V",
    "PENDING": "P",
    "DECLINED": "D",
    "FAILED": "D",
    "CREATED": "S",
    "CAPTURED": "S",
    "PARTIALLY_CAPTURED": "S",
    "VOIDED": "V",
    "DENIED": "D",
    "CANCELLED": "D",
}
CODES = {"capture": "T0006", "authorization": "T1300", "refund": "T1107"}


def row_of(books: Books, one: Payment) -> dict[str, Any]:
    value = -one.amount if one.kind == "refund" else one.amount
    parent = one.of or (one.order if one.kind == "capture" else None)
    fee = money(-one.fee, one.currency) if one.fee and one.status != "DECLINED" else None
    return present(
        transaction_id=one.id,
        paypal_reference_id=parent,
        paypal_reference_id_type=("TXN" if one.of else "ODR") if parent else None,
        transaction_event_code=CODES[one.kind],
        transaction_initiation_date=shown(one.created),
        transaction_updated_date=shown(one.created),
        transaction_amount=money(value, one.currency),
        fee_amount=fee,
        transaction_status=STATUSES[one.status],
        invoice_id=one.invoice_id,
        custom_field=one.custom_id,
        protection_eligibility="02",
    )


def transactions(books: Books, query: Mapping[str, str]) -> Answer:
    """GET /v1/reporting/transactions: hours behind, in windows and pages of limited size."""
    settings = books.settings
    if not settings.reporting_permitted:
        raise Refused(403, None)
    books.settle()
    start, end = parsed(query["start_date"]), parsed(query["end_date"])
    if not timedelta(0) <= end - start <= timedelta(days=31):
        raise Refused(400, None)
    until = books.now() - timedelta(seconds=settings.reporting_delay_seconds)
    rows = [row_of(books, one) for one in books.payments.values()] + books.rows
    found = [row for row in rows if start <= _moment(row) <= min(end, until)]
    if len(found) > settings.result_max:
        raise Refused(400, "RESULTSET_TOO_LARGE")
    found.sort(key=_moment)
    size = min(int(query.get("page_size", "100")), settings.page_max)
    page = int(query.get("page", "1"))
    rows = found[(page - 1) * size : page * size]
    details = [{"transaction_info": row} for row in rows]
    return 200, present(
        transaction_details=details or None,
        account_number="XZXSPECPDZHZU",
        start_date=shown(start),
        end_date=shown(min(end, until)),
        last_refreshed_datetime=shown(until),
        page=page,
        total_items=len(found),
        total_pages=-(-len(found) // size),
        links=[{"href": f"{API}/v1/reporting/transactions", "rel": "self", "method": "GET"}],
    )


def _moment(row: dict[str, Any]) -> datetime:
    return parsed(row["transaction_initiation_date"])


def disputes(books: Books, query: Mapping[str, str]) -> Answer:
    """GET /v1/customer/disputes: pages by tokens, newest first."""
    after = parsed(query["update_time_after"])
    before = parsed(query["update_time_before"])
    if after < books.now() - timedelta(days=180):
        raise Refused(400, None)
    found = [d for d in books.disputes.values() if after <= parsed(d["update_time"]) <= before]
    found.sort(key=lambda one: one["create_time"], reverse=True)
    start = int(query.get("next_page_token", "0"))
    size = min(int(query.get("page_size", "10")), 2)  # small, so that tests turn pages
    names = ("dispute_id", "create_time", "update_time", "reason", "status", "dispute_amount")
    items = [{name: one[name] for name in names} for one in found[start : start + size]]
    path = f"{API}/v1/customer/disputes"
    links = [{"href": path, "rel": "self", "method": "GET"}]
    if start + size < len(found):
        more = f"{path}?next_page_token={start + size}&page_size={size}"
        links.append({"href": more, "rel": "next", "method": "GET"})
    return 200, present(items=items or None, links=links)


def dispute(books: Books, own_id: str) -> Answer:
    known = books.disputes.get(own_id)
    if known is None:
        raise Refused(404, "INVALID_RESOURCE_ID")
    return 200, known
