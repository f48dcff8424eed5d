"""Magic payment tokens: `card-…` and `wallet-…`, each with what happens when it is charged."""

from typing import Any

NAMES: dict[str, dict[str, Any]] = {
    "ok": {},
    "requires-action": {"requires_action": True},
    "pending-then-succeeds": {"pending": "ECHECK", "settles_to": "COMPLETED"},
    "pending-then-fails": {"pending": "PENDING_REVIEW", "settles_to": "DECLINED"},
    "pending": {"pending": "PENDING_REVIEW"},
    "refund-pending": {"refund": "PENDING"},
    "refund-fails": {"refund": "FAILED"},
    "refund-no-funds": {"refund_issue": "REFUND_FAILED_INSUFFICIENT_FUNDS"},
    "declined": {"declined": True},
    "fraud": {"declined": True, "reason": "DECLINED_BY_RISK_FRAUD_FILTERS"},
    "capture-lapses": {"capture_issue": "TRANSACTION_REFUSED"},
    "hold-lapses": {"capture_issue": "TRANSACTION_REFUSED", "renewable": False},
    "hold-pending": {"hold_pending": True},
    "hold-denied": {"hold_denied": True},
}


def behaviour_of(token: str) -> dict[str, Any] | None:
    """What a magic token does; None for others.

    `card-5120` is declined by its processor with 5120, `card-5120-03` with the advice 03 as well;
    `card-issue-CARD_EXPIRED` is refused with that issue.
    """
    kind, dash, name = token.partition("-")
    if kind not in {"card", "wallet"} or not dash:
        return None
    name = name.partition("--")[0]  # `card-ok--4711` is `card-ok` for somebody
    if name in NAMES:
        return NAMES[name]
    if name.startswith("issue-"):
        return {"issue": name.removeprefix("issue-")}
    code, _, advice = name.partition("-")
    if len(code) != 4 or not code.isalnum():
        return None
    said = {"response_code": code} | ({"payment_advice_code": advice} if advice else {})
    return {"declined": True, "processor": said}
