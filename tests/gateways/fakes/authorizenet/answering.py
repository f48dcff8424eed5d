"""The shapes of answers: as the real server words them, its oddities kept."""

from datetime import datetime
from decimal import Decimal
from typing import Any

TEXTS = {
    "I00001": "Successful.",
    "I00003": "The record has already been deleted.",
    "I00004": "No records found.",
    "E00001": "An error occurred during processing. Please try again.",
    "E00003": "An error occurred while parsing the XML request.",
    "E00007": "User authentication failed due to invalid authentication values.",
    "E00009": "The payment gateway account is in Test Mode. The request cannot be processed.",
    "E00011": "Access denied. You do not have permissions to call the Transaction Details API.",
    "E00013": "Card Number is invalid.",
    "E00027": "The transaction was unsuccessful.",
    "E00040": "The record cannot be found.",
    "E00053": "The server is currently too busy, please try again later.",
    "E00104": "The server is in maintenance, so the requested method is unavailable.",
    "E00105": "The specified payment profile is associated with an active subscription.",
    "E00114": "Invalid OTS Token.",
}
REASONS = {
    "1": "This transaction has been approved.",
    "2": "This transaction has been declined.",
    "8": "The credit card has expired.",
    "11": "A duplicate transaction has been submitted.",
    "16": "The transaction cannot be found.",
    "47": "The amount requested for settlement cannot be greater than the original amount.",
    "54": "The referenced transaction does not meet the criteria for issuing a credit.",
    "55": "The sum of credits against the referenced transaction would exceed the original.",
    "252": "Your order has been received. Thank you for your business!",
    "253": "Your order has been received. Thank you for your business!",
    "310": "This transaction has already been voided.",
    "311": "This transaction has already been captured.",
}


def messages(code: str = "I00001", text: str | None = None) -> dict[str, Any]:
    result = "Error" if code.startswith("E") else "Ok"
    said = {"code": code, "text": text or TEXTS[code]}
    return {"messages": {"resultCode": result, "message": [said]}}


def number(amount: Decimal) -> float:
    """Amounts come as bare numbers."""
    return float(amount)


def time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 10_000:02d}Z"


def times(moment: datetime) -> dict[str, str]:
    return {"submitTimeUTC": time(moment), "submitTimeLocal": time(moment)[:-1]}


def transacted(
    response: str,
    code: str,
    *,
    id: str = "0",
    origin: str = "",
    network_id: str = "",
    profile: tuple[str, str] | None = None,
    number: str = "",
    brand: str = "",
) -> dict[str, Any]:
    """`transactionResponse`: notes of what was approved or held, errors of what was not."""
    answer: dict[str, Any] = {
        "responseCode": response,
        "authCode": "QWX20S" if response == "1" else "",
        "avsResultCode": "P",
        "cvvResultCode": "",
        "cavvResultCode": "",
        "transId": id,
        "refTransID": origin,
        "transHash": "",
        "testRequest": "0",
        "accountNumber": f"XXXX{number[-4:]}" if number else "",
        "accountType": brand,
    }
    said = REASONS.get(code, f"Reason {code}.")
    if response in ("1", "4"):
        answer["messages"] = [{"code": code, "description": said}]
    else:
        answer["errors"] = [{"errorCode": code, "errorText": said}]
    if profile is not None:
        answer["profile"] = dict(
            zip(("customerProfileId", "customerPaymentProfileId"), profile, strict=True)
        )
    if network_id:
        answer["networkTransId"] = network_id
    return answer
