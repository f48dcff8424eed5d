"""/v1/ledger: the books, entry by entry and in sum."""

from collections import defaultdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer
from app.api.common import ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.objects import LedgerEntry, TrialBalance
from app.api.pages import Listing
from app.db.views import LEDGER_ENTRY
from app.domain.ledger import Source
from app.services import audit
from app.services.public import account, account_code

router = APIRouter(prefix="/v1/ledger", tags=["ledger"], route_class=Endpoint)


class LedgerEntryList(ListOf[LedgerEntry]):
    pass


class LedgerEntriesQuery(Listing):
    source: Source | None = None
    account: Annotated[str, Field(max_length=64, examples=["receivable"])] | None = None
    currency: c.Currency | None = None
    effective_gte: c.Instant | None = None
    effective_gt: c.Instant | None = None
    effective_lte: c.Instant | None = None
    effective_lt: c.Instant | None = None

    def filters(self) -> dict[str, Any]:
        found = super().filters()
        if self.account is not None:
            found["account"] = account_code(self.account)
        return found


@router.get("/entries", operation_id="list_ledger_entries", response_model=LedgerEntryList)
async def list_ledger_entries(
    ask: Asked, query: Annotated[LedgerEntriesQuery, Query()]
) -> Response:
    """List ledger entries, the newest first: each moves one amount from credit to debit."""
    return await ask.page(LEDGER_ENTRY, query)


@router.get("/trial_balance", operation_id="get_trial_balance", response_model=TrialBalance)
async def get_trial_balance(ask: Asked) -> Response:
    """Every account's debits and credits; per currency they are equal, or the books are wrong."""
    rows = await audit.trial_balance(ask.rt, ask.caller.merchant_id)
    totals: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        totals[row["currency"]] += row["balance"]
    accounts = [
        {
            "account": account(row["account"]),
            "currency": row["currency"],
            "debits": row["debit"],
            "credits": row["credit"],
            "balance": row["balance"],
        }
        for row in rows
    ]
    return answer(
        {
            "object": "trial_balance",
            "accounts": accounts,
            "totals": [{"currency": name, "amount": total} for name, total in totals.items()],
            "balanced": not any(totals.values()),
        }
    )
