"""Magic payment-method tokens: which token makes a charge end how. Also kept in docs/simulator.md.

A token behaves like the longest stem it begins with: `pm_sim_ok_4711` is `pm_sim_ok` for a
customer of its own.
"""

import re
from dataclasses import dataclass
from typing import Final

DECLINE_CODES: Final = frozenset(
    {
        "insufficient_funds",
        "expired",
        "lost_or_stolen",
        "do_not_honor",
        "fraud",
        "invalid_payment_method",
        "authentication_required",
        "mandate_revoked",
        "limit_exceeded",
        "issuer_unavailable",
        "processing_error",
        "account_not_enabled",
        "generic",
    }
)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How charges on a token end, and refunds of them."""

    decline_code: str | None = None
    declines: int | None = None
    """How many charges are declined before they succeed; None means all of them."""
    requires_action: bool = False
    is_held: bool = False
    """The money is only held, whatever was asked for."""
    settles_to: str | None = None
    """A charge is `pending` first, then this."""
    fault: str | None = None
    """The kind of fault that every charge meets."""
    refund: str = "succeeded"
    """`succeeded`, `pending` (then succeeded) or `failed`."""


DECLINED: Final = "pm_sim_declined_"
AFTER_DECLINES: Final = re.compile(r"pm_sim_succeeds_after_(\d{1,3})_declines(?:_|$)")
STEMS: Final = {
    "pm_sim_ok": Behaviour(),
    "pm_sim_requires_action": Behaviour(requires_action=True),
    "pm_sim_authorized": Behaviour(is_held=True),
    "pm_sim_pending_forever": Behaviour(settles_to="pending"),
    "pm_sim_pending_then_succeeds": Behaviour(settles_to="succeeded"),
    "pm_sim_pending_then_fails": Behaviour(settles_to="declined"),
    "pm_sim_timeout": Behaviour(fault="timeout_after_effect"),
    "pm_sim_error": Behaviour(fault="error_500_before"),
    "pm_sim_refund_pending": Behaviour(refund="pending"),
    "pm_sim_refund_fails": Behaviour(refund="failed"),
} | {DECLINED + code: Behaviour(decline_code=code) for code in DECLINE_CODES}
UNKNOWN_TOKEN: Final = Behaviour(decline_code="invalid_payment_method")
LONGEST_FIRST: Final = sorted(STEMS, key=len, reverse=True)


def magic(token: str) -> Behaviour | None:
    """The behaviour of a magic token; None when the token is not one."""
    exact = STEMS.get(token)
    if exact is not None:
        return exact
    after = AFTER_DECLINES.match(token)
    if after:
        return Behaviour(decline_code="insufficient_funds", declines=int(after[1]))
    for stem in LONGEST_FIRST:
        if token.startswith(stem + "_"):
            return STEMS[stem]
    return None
