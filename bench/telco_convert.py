"""A list of telephone subscribers as a file that `perennial import` reads.

A subscriber of tenure n is given n monthly periods before a common end: each starts on a day of its
own, so that anchors spread over the month. What that must come to is added up from the list alone.
"""

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

END = datetime(2026, 1, 1, tzinfo=UTC)
"""The first of a month: boundary n of a subscriber who starts after the first lies beyond it."""
NET_DAYS = 30
ZERO = Decimal(0)
COLUMNS = (
    *("customer_external_id", "subscription_external_id", "plan", "unit_amount", "currency"),
    *("interval", "started_at", "cancel_at", "collection_method", "net_days", "payment_token"),
    *("payment_brand", "metadata.payment_method", "metadata.contract", "metadata.internet"),
)


@dataclass(frozen=True)
class Expected:
    """What billing the list must come to; `total` is in dollars."""

    start: datetime
    end: datetime
    subscribers: int
    invoices: int
    total: Decimal


def convert(source: Path, target: Path, rows_max: int | None = None) -> Expected:
    """Write `target` for import; `rows_max` takes only so many subscribers."""
    with source.open(encoding="utf-8-sig", newline="") as file:
        subscribers = list(csv.DictReader(file))[:rows_max]
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows(subscribers))
    tenures = [int(row["tenure"]) for row in subscribers]
    return Expected(
        start=months_before(END, max(tenures)),
        end=END,
        subscribers=len(subscribers),
        invoices=sum(tenures),
        total=sum((Decimal(r["MonthlyCharges"]) * int(r["tenure"]) for r in subscribers), ZERO),
    )


def rows(subscribers: list[dict[str, str]]) -> Iterator[tuple[str | int, ...]]:
    for row in subscribers:
        customer = row["customerID"]
        start = months_before(END, int(row["tenure"])) + timedelta(days=day(customer))
        automatic = row["PaymentMethod"].endswith("(automatic)")
        churned = row["Churn"] == "Yes" and start < END
        yield (
            customer,
            f"line-{customer}",
            "-".join(row["Contract"].lower().split()),
            row["MonthlyCharges"],
            "USD",
            "month",
            start.isoformat(),
            END.isoformat() if churned else "",
            "charge_automatically" if automatic else "send_invoice",
            0 if automatic else NET_DAYS,
            f"pm_sim_ok_{customer}" if automatic else "",
            row["PaymentMethod"].split()[0].lower() if automatic else "",
            row["PaymentMethod"],
            row["Contract"],
            row["InternetService"],
        )


def day(customer: str) -> int:
    """1 to 27, the same for the same customer every time."""
    return hashlib.sha256(customer.encode()).digest()[0] % 27 + 1


def months_before(end: datetime, months: int) -> datetime:
    """The first of the month that lies `months` before the first `end`."""
    index = end.year * 12 + end.month - 1 - months
    return end.replace(year=index // 12, month=index % 12 + 1)
