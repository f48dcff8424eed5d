"""Webhooks, signed as the real ones are: written down, to be delivered by whoever asks for them."""

import hashlib
import hmac
import json
import uuid
from typing import Any

from tests.gateways.fakes.authorizenet.answering import number, time
from tests.gateways.fakes.authorizenet.ledger import Ledger, Transaction


class Notices:
    """The deliveries that the gateway would make."""

    def __init__(self, ledger: Ledger, signature_key: str) -> None:
        self._ledger = ledger
        self._key = signature_key
        self.deliveries: list[dict[str, Any]] = []

    def tell(self, happened: str, about: Transaction) -> None:
        """Something happened to a transaction."""
        payload = {
            "responseCode": 1,
            "avsResponse": "P",
            "authAmount": number(about.amount),
            "invoiceNumber": about.invoice,
            "entityName": "transaction",
            "id": about.id,
        }
        if about.ref_id:
            payload["merchantReferenceId"] = about.ref_id
        self._write(f"net.authorize.{happened}", payload)

    def tell_of_method(self, happened: str, customer: str, method: str) -> None:
        """Something happened to a payment profile."""
        payload = {
            "customerProfileId": int(customer),
            "entityName": "customerPaymentProfile",
            "id": method,
        }
        self._write(f"net.authorize.customer.paymentProfile.{happened}", payload)

    def _write(self, name: str, payload: dict[str, Any]) -> None:
        notification = {
            "notificationId": str(uuid.uuid4()),  # noqa: TID251  the gateway's, not ours
            "eventType": name,
            "eventDate": time(self._ledger.now()),
            "webhookId": "849eb87e-078a-4169-a34b-c0bded5019a8",
            "payload": payload,
        }
        body = json.dumps(notification, separators=(",", ":"))
        signature = hmac.new(self._key.encode(), body.encode(), hashlib.sha512).hexdigest()
        headers = {
            "x-anet-signature": f"sha512={signature.upper()}",
            "content-type": "application/json; charset=utf-8",
        }
        self.deliveries.append({"headers": headers, "body": body})
