"""Recovery figures: how much of what was not paid at first dunning brought back."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.db import recovery as rows
from app.db.base import Row
from app.domain import decimals
from app.domain.errors import InvalidRequest
from app.domain.money import WHOLE_PPM, divide
from app.runtime import Runtime
from app.services.caller import Caller

PERCENT_PLACES = 4


@dataclass(frozen=True, slots=True)
class Recovery:
    """The sums by currency, and each of them by category, by attempt and by month."""

    by_currency: list[dict[str, Any]]
    by_category: list[dict[str, Any]]
    by_attempt: list[dict[str, Any]]
    by_month: list[dict[str, Any]]


async def report(rt: Runtime, caller: Caller, start: datetime, end: datetime) -> Recovery:
    """What became of the dunning that began in `[start, end)`. Raises InvalidRequest."""
    if start > end:
        raise InvalidRequest("The end is after the start.", param="end")
    async with rt.db.read(caller.merchant_id) as reader:
        found = await rows.sums(reader, caller.merchant_id, start, end)
    split = ("is_by_category", "is_by_attempt", "is_by_month")
    return Recovery(
        [_sums(row) for row in found if not any(row[name] for name in split)],
        [_sums(row, category=row["category"]) for row in found if row["is_by_category"]],
        [
            {
                "currency": row["currency"],
                "attempt": row["attempt"],
                "runs": row["recovered_runs"],
                "amount": row["recovered_amount"],
            }
            for row in found
            if row["is_by_attempt"] and row["recovered_runs"]
        ],
        [_sums(row, month=row["month"]) for row in found if row["is_by_month"]],
    )


def _sums(row: Row, **named: object) -> dict[str, Any]:
    return {"currency": row["currency"], **named, **_figures(row)}


def _figures(row: Row) -> dict[str, Any]:
    amount, recovered = row["amount"], row["recovered_amount"]
    lost_runs = row["runs"] - row["recovered_runs"] - row["open_runs"]
    return {
        "runs": row["runs"],
        "amount": amount,
        "recovered_runs": row["recovered_runs"],
        "recovered_amount": recovered,
        "open_runs": row["open_runs"],
        "open_amount": row["open_amount"],
        "lost_runs": lost_runs,
        "recovery_rate": decimals.show(divide(recovered * WHOLE_PPM, amount), PERCENT_PLACES),
    }
