"""Authorize.net's words in ours: reasons of declines, statuses of transactions, codes of errors.

From the vendor's list of response codes (developer.authorize.net/api/reference/responseCodes.html)
and its schema's enumeration of statuses. What is on no list is a soft decline of no particular
reason: trying it again later can do no harm, and a person can look the code up.
"""

from types import MappingProxyType
from typing import Final

from app.domain.outcome import DeclineAdvice, DeclineCategory, DeclineInfo, DeclineReason

_HARD, _SOFT = DeclineCategory.HARD, DeclineCategory.SOFT
_FRAUD, _CONFIGURATION = DeclineCategory.FRAUD, DeclineCategory.CONFIGURATION
_STOP, _LATER = DeclineAdvice.DO_NOT_RETRY, DeclineAdvice.RETRY_LATER
_UPDATE = DeclineAdvice.UPDATE_PAYMENT_METHOD

_REFUSED = (_SOFT, DeclineReason.DO_NOT_HONOR, _LATER)
_LOST = (_HARD, DeclineReason.LOST_OR_STOLEN, _STOP)
_EXPIRED = (_HARD, DeclineReason.EXPIRED_CARD, _UPDATE)
_INVALID = (_HARD, DeclineReason.INVALID_PAYMENT_METHOD, _UPDATE)
_SUSPICIOUS = (_FRAUD, DeclineReason.GENERIC, _STOP)
_LIMIT = (_SOFT, DeclineReason.LIMIT_EXCEEDED, _LATER)
_PROCESSING = (_SOFT, DeclineReason.PROCESSING_ERROR, _LATER)
_UNREACHABLE = (_SOFT, DeclineReason.ISSUER_UNAVAILABLE, _LATER)
_ACCOUNT = (_CONFIGURATION, DeclineReason.GENERIC, _STOP)
_UNLISTED = (_SOFT, DeclineReason.GENERIC, _LATER)

Verdict = tuple[DeclineCategory, DeclineReason, DeclineAdvice]
_CODES: Final[tuple[tuple[str, Verdict], ...]] = (
    ("2 3", _REFUSED),  # by the bank; 3 asks for a telephone call that nobody is there to make
    ("4", _LOST),
    ("8 201 316 317", _EXPIRED),
    ("6 7 9 10 37 200 211 315 E00040 E00051", _INVALID),
    ("128", _INVALID),  # the customer's bank does not allow transactions of this kind
    ("27 127 217", _INVALID),  # the address is not the card's, and the merchant insists on it
    ("44 45 65 78 165", _INVALID),  # likewise the security code
    ("141 145 250 251 254 295", _SUSPICIOUS),
    ("49", _LIMIT),
    ("19 20 21 22 23 25 26 57 58 59 60 61 62 63 66 120 121 122 180 181", _PROCESSING),
    ("209", _UNREACHABLE),
    ("17 28", _INVALID),  # the merchant does not take cards of this brand; another may do
    ("5 13 18 24 29 30 31 34 35 38 39 43 47 103 152 170 171 172 173 174 185", _ACCOUNT),
    ("205 206 207 208 210 212 test_mode", _ACCOUNT),
)
DECLINES: Final = MappingProxyType(
    {code: verdict for codes, verdict in _CODES for code in codes.split()}
)

DUPLICATE: Final = frozenset({"11", "318"})
"""A lookalike was refused. With our own unique reference in it, the lookalike is this very charge:
it must be looked up, and is never a decline."""
NOT_FOUND: Final = frozenset({"16", "319"})
DONE_BEFORE: Final = frozenset({"310", "311"})
"""It was voided or captured before. This comes as an approval, although this call did nothing."""
NOT_REFUNDABLE: Final = "54"
"""The charge is not settled, or was longer ago than refunds are taken for."""
EXCEEDS_CAPTURED: Final = frozenset({"55", "47"})
HELD: Final = "4"
"""The response code of what waits for the merchant's review."""

UNANSWERED: Final = frozenset({"E00001", "E00049", "E00053", "E00062", "E00063", "E00104"})
"""Busy, in maintenance, timed out, failed inside. Transactions have been found executed after such
answers, so for money they say nothing."""
CREDENTIALS: Final = frozenset({"E00005", "E00006", "E00007", "E00008", "E00010"})
NO_ACCESS: Final = "E00011"
"""The account may not call this: for look-ups, the Transaction Details API is not switched on."""
OURS: Final = frozenset(
    """
    E00002 E00003 E00004 E00009 E00013 E00014 E00015 E00016 E00019 E00020 E00021 E00029 E00041
    E00042 E00044 E00045 E00052 E00059 E00060 E00066 E00067 E00068 E00071 E00072 E00073 E00075
    E00076 E00077 E00082 E00085 E00088 E00089 E00090 E00091 E00092 E00093 E00094 E00095 E00098
    """.split()  # noqa: SIM905  one word each, read at a glance
)
"""Refused when it was read, or for what the account is: nothing was executed."""
NO_RECORDS: Final = "I00004"
DUPLICATE_RECORD: Final = "E00039"
RECORD_NOT_FOUND: Final = "E00040"

# The statuses of a charge.
CAPTURED: Final = frozenset(
    """
    capturedPendingSettlement pendingSettlement pendingFinalSettlement updatingSettlement
    settledSuccessfully chargeback chargebackReversal returnedItem
    """.split()  # noqa: SIM905
)
"""What the bank took back afterwards was captured first: that is a dispute, told elsewhere."""
SETTLED: Final = frozenset(
    "settledSuccessfully chargeback chargebackReversal returnedItem".split()  # noqa: SIM905
)
AUTHORIZED: Final = frozenset({"authorizedPendingCapture"})
UNDER_REVIEW: Final = frozenset({"FDSPendingReview", "FDSAuthorizedPendingReview"})
PENDING: Final = UNDER_REVIEW | {"underReview", "approvedReview", "authorizedPendingRelease"}
DECLINED: Final = frozenset({"declined", "failedReview", "communicationError", "generalError"})
GIVEN_UP: Final = frozenset({"voided", "expired"})
UNSETTLED: Final = "settlementError"
"""The batch failed and moved no money. Nothing follows by itself: the merchant has Authorize.net
reset the batch, within 30 days, and its transactions settle with the next one; so it is no decline
after which the customer may be charged anew.
"""
# And of a refund.
REFUNDED: Final = frozenset({"refundPendingSettlement", "refundSettledSuccessfully"})
DISPUTED: Final = frozenset({"chargeback", "chargebackReversal", "returnedItem"})

REFUND: Final = "refundTransaction"
HOLD: Final = "authOnlyTransaction"


def decline_of(code: str) -> DeclineInfo:
    """A reason code in our words."""
    category, reason, advice = DECLINES.get(code, _UNLISTED)
    return DeclineInfo(category, reason, code, advice)
