"""Tax ids: the numbers by which tax offices know businesses, as they stand on invoices."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """What is known of a number."""

    VALID_FORMAT = "valid_format"
    """Its form and its check digits are right; whether it was ever given out was not asked."""
    VERIFIED = "verified"
    """The office that gives such numbers out knows it."""
    INVALID = "invalid"
    """That office does not know it, or no longer."""
    UNVERIFIED = "unverified"
    """Numbers of this type have no form that could be checked."""


EU_VAT: Final = "eu_vat"
"""The type of the member states' VAT numbers, each with its prefix."""
USABLE: Final = frozenset({Status.VALID_FORMAT, Status.VERIFIED})
"""What makes its bearer a business: numbers that could be checked and passed."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A number in its compact form, and where it is from (ISO 3166-1; None: it does not say)."""

    type: str
    normalized: str
    country: str | None
    status: Status
