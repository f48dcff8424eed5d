"""A customer's credit: money that is theirs and pays their next invoices, one amount a currency."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.domain.errors import InvalidRequest
from app.domain.ids import NewId
from app.domain.ledger import Account, Entry, Source, cash


class Type(StrEnum):
    """Why a balance moved."""

    ADJUSTMENT = "adjustment"
    APPLIED = "applied_to_invoice"
    UNAPPLIED = "unapplied_from_invoice"
    CREDITED = "credited_by_invoice"
    """An invoice below zero gave it."""
    CREDIT_NOTE = "credit_note"
    LATE_PAYMENT = "late_payment"
    """Money that a gateway took when nothing was owed for it any more."""
    OVERPAYMENT = "overpayment"
    """What came by hand was more than remained; below zero: that payment was reversed."""
    REFUND = "refund"
    """A payment was refunded to the balance."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What stands to a customer's credit in one currency, in minor units; never below zero."""

    merchant_id: UUID
    customer_id: UUID
    currency: str
    amount: int


@dataclass(frozen=True, slots=True)
class BalanceEntry:
    """One movement: `amount` is signed, `ending` is the balance after it."""

    id: UUID
    merchant_id: UUID
    customer_id: UUID
    currency: str
    type: Type
    amount: int
    ending: int
    invoice_id: UUID | None = None
    description: str | None = None


def receive(
    balance: Balance, amount: int, account_id: UUID, description: str, new_id: NewId
) -> tuple[BalanceEntry, Entry]:
    """Money at a gateway account that no invoice waits for becomes the customer's credit."""
    assert amount > 0
    entry = BalanceEntry(
        new_id(),
        balance.merchant_id,
        balance.customer_id,
        balance.currency,
        Type.LATE_PAYMENT,
        amount,
        balance.amount + amount,
        description=description,
    )
    posting = Entry(
        new_id(),
        balance.merchant_id,
        Source.BALANCE,
        entry.id,
        cash(account_id),
        Account.CUSTOMER_CREDIT,
        balance.currency,
        amount,
    )
    return entry, posting


def apply(balance: Balance, amount: int, invoice_id: UUID, new_id: NewId) -> BalanceEntry:
    """Use `amount` of the credit for an invoice."""
    assert 0 < amount <= balance.amount
    return BalanceEntry(
        new_id(),
        balance.merchant_id,
        balance.customer_id,
        balance.currency,
        Type.APPLIED,
        -amount,
        balance.amount - amount,
        invoice_id,
    )


def unapply(balance: Balance, amount: int, invoice_id: UUID, new_id: NewId) -> BalanceEntry:
    """Give back the credit that an invoice had used."""
    assert amount > 0
    return BalanceEntry(
        new_id(),
        balance.merchant_id,
        balance.customer_id,
        balance.currency,
        Type.UNAPPLIED,
        amount,
        balance.amount + amount,
        invoice_id,
    )


def credit(
    balance: Balance, amount: int, invoice_id: UUID, new_id: NewId, type_: Type = Type.CREDITED
) -> BalanceEntry:
    """What an invoice gives back, or a credit note on it, becomes credit; posted by its maker."""
    assert amount > 0
    return BalanceEntry(
        new_id(),
        balance.merchant_id,
        balance.customer_id,
        balance.currency,
        type_,
        amount,
        balance.amount + amount,
        invoice_id,
    )


def take_back(balance: Balance, amount: int, invoice_id: UUID, new_id: NewId) -> BalanceEntry:
    """What a credit note had given is taken back with it; posted by its maker."""
    assert 0 < amount <= balance.amount
    return BalanceEntry(
        new_id(),
        balance.merchant_id,
        balance.customer_id,
        balance.currency,
        Type.CREDIT_NOTE,
        -amount,
        balance.amount - amount,
        invoice_id,
    )


def move(
    balance: Balance, amount: int, invoice_id: UUID, type_: Type, new_id: NewId
) -> BalanceEntry:
    """Give credit (above zero) or take it back (below); posted by its maker."""
    assert amount
    assert balance.amount + amount >= 0
    return BalanceEntry(
        new_id(),
        balance.merchant_id,
        balance.customer_id,
        balance.currency,
        type_,
        amount,
        balance.amount + amount,
        invoice_id,
    )


def adjust(
    balance: Balance, amount: int, description: str | None, new_id: NewId
) -> tuple[BalanceEntry, Entry]:
    """Grant credit (above zero) or take it back (below), with its posting."""
    if amount == 0:
        raise InvalidRequest("An adjustment moves something.", param="amount")
    if balance.amount + amount < 0:
        raise InvalidRequest(
            f"The balance is {balance.amount}; it cannot go below zero.", param="amount"
        )
    entry = BalanceEntry(
        new_id(),
        balance.merchant_id,
        balance.customer_id,
        balance.currency,
        Type.ADJUSTMENT,
        amount,
        balance.amount + amount,
        description=description,
    )
    debit, credit = Account.CREDITS_GRANTED, Account.CUSTOMER_CREDIT
    if amount < 0:
        debit, credit = credit, debit
    posting = Entry(
        new_id(),
        balance.merchant_id,
        Source.BALANCE,
        entry.id,
        debit,
        credit,
        balance.currency,
        abs(amount),
    )
    return entry, posting
