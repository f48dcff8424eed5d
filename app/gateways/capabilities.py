"""What the engine must know about a gateway, as data: it never asks for a gateway's name."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from app.domain.vault import SetupFlow


@dataclass(frozen=True, slots=True)
class NativeKey:
    """The gateway answers a repeated key with the first answer, while it remembers the key."""

    ttl_seconds: int
    margin_seconds: int
    """How long before the end of that life we stop trusting it."""

    def covers(self, age_seconds: int) -> bool:
        """Whether a request first sent `age_seconds` ago may be sent again, byte for byte."""
        return 0 <= age_seconds < self.ttl_seconds - self.margin_seconds


@dataclass(frozen=True, slots=True)
class PerOrder:
    """One success per order object: look the order up, then repeat only on that same order, once
    look-ups show what there is.
    """


@dataclass(frozen=True, slots=True)
class FuzzyWindow:
    """The gateway may refuse a lookalike within the window: a belt, never a licence to repeat."""

    window_seconds: int


@dataclass(frozen=True, slots=True)
class NoKey:
    """A repetition is a second execution: look up only, never send again."""


Repeatability: TypeAlias = NativeKey | PerOrder | FuzzyWindow | NoKey


class AmountFormat(StrEnum):
    """How amounts travel to the gateway."""

    MINOR_INTEGER = "minor_integer"
    DECIMAL_STRING = "decimal_string"


class News(StrEnum):
    """How one learns what happened at the gateway without our doing."""

    WEBHOOK = "webhook"
    POLL = "poll"
    """It tells nothing by itself: ask regularly."""
    NONE = "none"
    """There is no such thing there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the engine may rely on."""

    charge_repeatability: Repeatability
    refund_repeatability: Repeatability
    lookup_freshness_seconds: int
    """A payment this old is visible to a look-up, if it exists."""
    effect_latest_seconds: int
    """A request sent this long ago has had its effect by now, or never will."""
    absence_gap_seconds: int = 0
    """Absence is proof only once two look-ups so far apart found nothing; 0: one is enough."""
    reference_length_max: int
    amount_format: AmountFormat
    setup_flow: SetupFlow
    setup_repeatability: Repeatability = NoKey()
    """Of customers, set-ups and what completes them: a second one costs nothing but tidiness."""
    capture_repeatability: Repeatability = NoKey()
    """Of captures and voids."""
    currencies: frozenset[str] | None = None
    """None means whatever ISO 4217 knows."""
    requires_lead_time_seconds: int = 0
    """How long before the due moment a charge must be submitted."""
    announced_methods: frozenset[str] | None = None
    """The types of payment methods whose charges need that lead; None: all."""
    announced_currencies: frozenset[str] | None = None
    """The currencies in which they need it; None: all."""
    pending_seconds_max: int = 7 * 86_400
    """A charge that was taken is decided after this long, or a person has to look."""
    manual_capture: bool = True
    partial_capture: bool = True
    void: bool = True
    """Money that is held can be given up. Without it, it goes back by itself once nobody captured
    it, and `void` only says whether it has.
    """
    partial_refund: bool = True
    multiple_refunds: bool = True
    disputes: News = News.WEBHOOK
    method_updates: News = News.WEBHOOK
    in_flight_max: int = 50
    """Calls at once on one account."""
    requests_per_second: int | None = None
    moves_real_money: bool = True
    """False for a gateway that only pretends: it is refused for live accounts."""

    def lead_time_seconds(self, method_type: str, currency: str) -> int:
        """How long before the due moment a charge on such a method must be submitted."""
        methods, currencies = self.announced_methods, self.announced_currencies
        if methods is not None and method_type not in methods:
            return 0
        if currencies is not None and currency not in currencies:
            return 0
        return self.requires_lead_time_seconds

    def absence_is_proof(self, age_seconds: int, absent_seconds: int | None = None) -> bool:
        """Whether a definitive "not found" of a request this old means it was never executed; it
        was found missing `absent_seconds` ago for the first time. None: whatever there is to it.
        """
        if absent_seconds is not None and absent_seconds < self.absence_gap_seconds:
            return False
        return age_seconds > max(self.lookup_freshness_seconds, self.effect_latest_seconds)
