"""The double-entry ledger: every entry debits one account and credits another by one amount.

An entry is balanced by its very shape, so a transaction (the entries that share a source) sums to
zero without anything having to check it, in the manner of a transfer in TigerBeetle.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID


class Account(StrEnum):
    """The chart of accounts. Cash is kept per gateway account: see `cash`."""

    RECEIVABLE = "receivable"
    DEFERRED_REVENUE = "deferred_revenue"
    REVENUE = "revenue"
    TAX_PAYABLE = "tax_payable"
    CUSTOMER_CREDIT = "customer_credit"
    CREDITS_GRANTED = "credits_granted"
    REFUNDS = "refunds"
    BAD_DEBT = "bad_debt"
    DISPUTES = "disputes"
    DISPUTE_LOSSES = "dispute_losses"
    GATEWAY_FEES = "gateway_fees"
    CASH_OUTSIDE = "cash:outside"


class Source(StrEnum):
    """What kind of thing an entry was made for."""

    INVOICE = "invoice"
    INVOICE_VOID = "invoice_void"
    INVOICE_WRITE_OFF = "invoice_write_off"
    PAYMENT = "payment"
    REFUND = "refund"
    CREDIT_NOTE = "credit_note"
    CREDIT_NOTE_VOID = "credit_note_void"
    BALANCE = "balance"
    DISPUTE = "dispute"


def cash(gateway_account: UUID | None) -> str:
    """The account of the money that lies at one gateway account; None: paid outside of any."""
    return Account.CASH_OUTSIDE if gateway_account is None else f"cash:{gateway_account}"


@dataclass(frozen=True, slots=True)
class Entry:
    """`amount` minor units, above zero, from the `credit` account to the `debit` account."""

    id: UUID
    merchant_id: UUID
    source: Source
    source_id: UUID
    debit: str
    credit: str
    currency: str
    amount: int


def swapped(entry: Entry) -> Entry:
    """The same amount the other way round."""
    return replace(entry, debit=entry.credit, credit=entry.debit)


def trial_balance(entries: Iterable[Entry]) -> dict[tuple[str, str], int]:
    """Debits less credits of each (account, currency); they add up to zero."""
    sums: dict[tuple[str, str], int] = {}
    for entry in entries:
        for account, amount in ((entry.debit, entry.amount), (entry.credit, -entry.amount)):
            key = account.partition(":")[0], entry.currency
            sums[key] = sums.get(key, 0) + amount
    return sums
