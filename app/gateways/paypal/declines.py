"""Why PayPal declined, in our words: issues, processor codes, and the card schemes' advice.

The advice of a card scheme wins over everything else: charging against it costs the merchant
fines. Sources: the issues of the official OpenAPI files, the processor and advice codes of the
official SDK; which of them are hard is our own judgement, in docs/gateways-paypal.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, TypeAlias

from app.domain.outcome import DeclineAdvice, DeclineCategory, DeclineInfo, DeclineReason

Verdict: TypeAlias = tuple[DeclineCategory, DeclineReason, DeclineAdvice]

_HARD, _SOFT, _FRAUD = DeclineCategory.HARD, DeclineCategory.SOFT, DeclineCategory.FRAUD
_STOP, _LATER = DeclineAdvice.DO_NOT_RETRY, DeclineAdvice.RETRY_LATER
_UPDATE = DeclineAdvice.UPDATE_PAYMENT_METHOD
HOUR: Final = 3_600
DAY: Final = 24 * HOUR

UNLISTED: Final[Verdict] = (_SOFT, DeclineReason.GENERIC, _LATER)
NO_FUNDS: Final[Verdict] = (_SOFT, DeclineReason.INSUFFICIENT_FUNDS, _LATER)
NOT_HONORED: Final[Verdict] = (_SOFT, DeclineReason.DO_NOT_HONOR, _LATER)
AWAY: Final[Verdict] = (_SOFT, DeclineReason.ISSUER_UNAVAILABLE, _LATER)
TROUBLE: Final[Verdict] = (_SOFT, DeclineReason.PROCESSING_ERROR, _LATER)
TOO_MUCH: Final[Verdict] = (_SOFT, DeclineReason.LIMIT_EXCEEDED, _LATER)
EXPIRED: Final[Verdict] = (_HARD, DeclineReason.EXPIRED_CARD, _UPDATE)
STOLEN: Final[Verdict] = (_HARD, DeclineReason.LOST_OR_STOLEN, _STOP)
UNUSABLE: Final[Verdict] = (_HARD, DeclineReason.INVALID_PAYMENT_METHOD, _UPDATE)
REVOKED: Final[Verdict] = (_HARD, DeclineReason.MANDATE_REVOKED, _UPDATE)
FORBIDDEN: Final[Verdict] = (_HARD, DeclineReason.GENERIC, _STOP)
SUSPECTED: Final[Verdict] = (_FRAUD, DeclineReason.GENERIC, _STOP)
PRESENCE: Final[Verdict] = (
    DeclineCategory.ACTION_REQUIRED,
    DeclineReason.AUTHENTICATION_REQUIRED,
    _UPDATE,
)
NOT_ALLOWED: Final[Verdict] = (DeclineCategory.CONFIGURATION, DeclineReason.GENERIC, _STOP)


def _table(words: Mapping[Verdict, str]) -> Mapping[str, Verdict]:
    return MappingProxyType(
        {code: verdict for verdict, codes in words.items() for code in codes.split()}
    )


ISSUES: Final = _table(
    {
        UNLISTED: """
            INSTRUMENT_DECLINED TRANSACTION_REFUSED PAYMENT_SOURCE_DECLINED_BY_PROCESSOR
            DECLINED_DUE_TO_RELATED_TXN PAYER_CANNOT_PAY PAYMENT_DENIED AUTHORIZATION_DENIED
            AUTHORIZATION_EXPIRED
        """,
        TOO_MUCH: """
            TRANSACTION_LIMIT_EXCEEDED MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED
            AUTHORIZATION_AMOUNT_EXCEEDED
        """,
        EXPIRED: "CARD_EXPIRED REFERENCED_CARD_EXPIRED",
        UNUSABLE: """
            TOKEN_ID_NOT_FOUND TOKEN_EXPIRED PAYMENT_SOURCE_CANNOT_BE_USED RESOURCE_NOT_FOUND
            PAYMENT_SOURCE_INFO_CANNOT_BE_VERIFIED PAYER_ACCOUNT_LOCKED_OR_CLOSED
            PAYER_ACCOUNT_RESTRICTED MISMATCHED_VAULT_ID_TO_PAYMENT_SOURCE INVALID_RESOURCE_ID
            CARD_BRAND_NOT_SUPPORTED CARD_TYPE_NOT_SUPPORTED
            CURRENCY_NOT_SUPPORTED_FOR_CARD_TYPE BILLING_AGREEMENT_NOT_FOUND CARD_CLOSED
        """,
        REVOKED: "AGREEMENT_ALREADY_CANCELLED",
        PRESENCE: "PAYER_ACTION_REQUIRED REDIRECT_PAYER_FOR_ALTERNATE_FUNDING",
        SUSPECTED: """
            TRANSACTION_BLOCKED_BY_PAYEE PAYEE_BLOCKED_TRANSACTION COMPLIANCE_VIOLATION
            DECLINED_BY_RISK_FRAUD_FILTERS
        """,
        NOT_ALLOWED: """
            PERMISSION_DENIED NOT_AUTHORIZED CONSENT_NEEDED AUTH_CAPTURE_NOT_ENABLED
            NOT_ENABLED_FOR_CARD_PROCESSING NOT_ENABLED_TO_VAULT_PAYMENT_SOURCE
            NOT_ELIGIBLE_FOR_TOKEN_PROCESSING TRANSACTION_RECEIVING_LIMIT_EXCEEDED
            PAYEE_ACCOUNT_INVALID PAYEE_ACCOUNT_LOCKED_OR_CLOSED PAYEE_ACCOUNT_NOT_VERIFIED
            PAYEE_ACCOUNT_RESTRICTED PAYEE_COUNTRY_NOT_SUPPORTED_FOR_PAYMENT_SOURCE
            PAYEE_NOT_ENABLED_FOR_CARD_PROCESSING DOMESTIC_TRANSACTION_REQUIRED
            CURRENCY_NOT_SUPPORTED_FOR_COUNTRY
        """,
    }
)
"""`details[].issue` of a refused request, and the reason of a declined capture."""

PROCESSOR_CODES: Final = _table(
    {
        NO_FUNDS: "5120",
        NOT_HONORED: "0500 0100 9530 9540",
        UNLISTED: "5100 9100 5900 9600 10BR",
        AWAY: "5920 8100 8110 8220",
        TROUBLE: "0800 0880 0960 1393 8000 8010 PPER PPNT PPIF",
        TOO_MUCH: "5710 PPAX PPDT PPEL PPNL",
        EXPIRED: "5400 1380 PPEF PPEX",
        STOLEN: "9520 5150",
        UNUSABLE: """
            0390 1330 1335 1352 5140 5160 5180 5930 5950 6300 7800 PP06 PPAB PPAE PPCT PPFI PPFR
            PPMC PPPM PPSE
        """,
        FORBIDDEN: "5910 PPRN",
        REVOKED: "0580 PPTR PPTE PPTV",
        PRESENCE: "5650 7700 7710 00N7 PPD3 PCNR",
        SUSPECTED: "9500 9510",
        NOT_ALLOWED: "1340 1350 1370 5700 8020 8030 PPMB PPNM PPRR PPUA PPUC PPUE",
    }
)
"""`processor_response.response_code` of a card."""

ADVICE_CODES: Final[Mapping[str, DeclineInfo]] = MappingProxyType(
    {
        "01": DeclineInfo(*EXPIRED[:2], "01", _UPDATE),
        "03": DeclineInfo(*FORBIDDEN[:2], "03", _STOP),
        "21": DeclineInfo(*REVOKED[:2], "21", _STOP),
        "40": DeclineInfo(*UNUSABLE[:2], "40", _UPDATE),
        "43": DeclineInfo(*UNUSABLE[:2], "43", _UPDATE),
    }
)
"""Advice that says what it was as well: this card will not do. Others only say when."""
RETRY_AFTER_SECONDS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "02": 3 * DAY,
        "24": HOUR,
        "25": DAY,
        "26": 2 * DAY,
        "27": 4 * DAY,
        "28": 6 * DAY,
        "29": 8 * DAY,
        "30": 10 * DAY,
    }
)


def by_issue(issues: Iterable[str]) -> DeclineInfo | None:
    """The decline that one of these issues stands for; None when none of them is one."""
    for issue in issues:
        verdict = ISSUES.get(issue)
        if verdict is not None:
            category, reason, advice = verdict
            return DeclineInfo(category, reason, issue, advice)
    return None


def unlisted(issue: str) -> DeclineInfo:
    """A decline with a word that is new to us: it may work another day."""
    category, reason, advice = UNLISTED
    return DeclineInfo(category, reason, issue, advice)


def by_processor(code: str | None, advice_code: str | None, otherwise: str) -> DeclineInfo:
    """The decline of a card by its processor's code and its scheme's advice.

    `otherwise` is what PayPal calls a decline without either.
    """
    category, reason, advice = PROCESSOR_CODES.get(code or "", UNLISTED)
    info = DeclineInfo(category, reason, code or otherwise, advice)
    if advice_code is None:
        return info
    final = ADVICE_CODES.get(advice_code)
    if final is not None:
        known = code in PROCESSOR_CODES and category is _HARD
        return replace(
            final, gateway_code=info.gateway_code, reason=reason if known else final.reason
        )
    return replace(info, retry_after_seconds=RETRY_AFTER_SECONDS.get(advice_code))
