"""Stripe's objects, whole, as its API of the pinned version shows them."""

from typing import Any

from tests.gateways.fakes.stripe.cards import Card

Object = dict[str, Any]


def no_address() -> Object:
    names = ("city", "country", "line1", "line2", "postal_code", "state")
    return dict.fromkeys(names)


def billing_details(customer: Object | None = None) -> Object:
    known = customer or {}
    return {
        "address": no_address(),
        "email": known.get("email"),
        "name": known.get("name"),
        "phone": known.get("phone"),
        "tax_id": None,
    }


def ways(said: Object) -> Object:
    given = said.get("automatic_payment_methods", {})
    return {"allow_redirects": given.get("allow_redirects", "always"), "enabled": True}


def card_details(card: Card) -> Object:
    checks = {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"}
    return {
        "brand": card.brand,
        "checks": checks,
        "country": "US",
        "exp_month": 8,
        "exp_year": 2030,
        "fingerprint": f"fp{card.brand}{card.last4}",
        "funding": "credit",
        "last4": card.last4,
        "wallet": None,
    }


def customer(id: str, created: int, said: Object) -> Object:
    return {
        "id": id,
        "object": "customer",
        "address": said.get("address") and no_address() | said["address"],
        "balance": 0,
        "created": created,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": said.get("description"),
        "discount": None,
        "email": said.get("email"),
        "invoice_prefix": "7FE1103",
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "metadata": said.get("metadata", {}),
        "name": said.get("name"),
        "next_invoice_sequence": 1,
        "phone": said.get("phone"),
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def payment_method(id: str, created: int, card: Card, owner: Object | None) -> Object:
    if card.kind == "card":
        details: Object = card_details(card) | {
            "display_brand": card.brand,
            "generated_from": None,
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": None,
            "three_d_secure_usage": {"supported": True},
        }
    else:
        details = {
            "account_holder_type": "individual",
            "account_type": "checking",
            "bank_name": "STRIPE TEST BANK",
            "financial_connections_account": None,
            "fingerprint": "fpbank6789",
            "last4": card.last4,
            "networks": None,
            "routing_number": "110000000",
            "status_details": None,
        }
    return {
        "id": id,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing_details(owner),
        card.kind: details,
        "created": created,
        "customer": owner["id"] if owner else None,
        "customer_account": None,
        "metadata": {},
        "type": card.kind,
    }


def payment_intent(id: str, created: int, said: Object) -> Object:
    return {
        "id": id,
        "object": "payment_intent",
        "amount": said["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": ways(said),
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": said.get("capture_method", "automatic_async"),
        "client_secret": f"{id}_secret_Dm43xiq1k0ywrRRjDoi8y1gkM",
        "confirmation_method": "automatic",
        "created": created,
        "currency": said["currency"],
        "customer": said.get("customer"),
        "customer_account": None,
        "description": said.get("description"),
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "managed_payments": {"enabled": False},
        "metadata": said.get("metadata", {}),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": said.get("payment_method"),
        "payment_method_configuration_details": {"id": "pmc_fake", "parent": None},
        "payment_method_options": {},
        "payment_method_types": ["card", "us_bank_account"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


def charge(id: str, created: int, intent: Object, card: Card) -> Object:
    details: Object = {"type": card.kind, card.kind: {"last4": card.last4}}
    if card.kind == "card":
        more = {
            "amount_authorized": intent["amount"],
            "authorization_code": "123456",
            "extended_authorization": {"status": "disabled"},
            "incremental_authorization": {"status": "unavailable"},
            "installments": None,
            "mandate": None,
            "multicapture": {"status": "unavailable"},
            "network": card.brand,
            "network_token": {"used": False},
            "network_transaction_id": f"nti{id[-12:]}",
            "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
            "regulated_status": None,
            "three_d_secure": None,
            "transaction_link_id": None,
        }
        details["card"] = card_details(card) | more
    return {
        "id": id,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": billing_details(),
        "calculated_statement_descriptor": "PERENNIAL",
        "captured": False,
        "created": created,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": None,
        "outcome": {
            "advice_code": None,
            "network_advice_code": None,
            "network_decline_code": None,
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "seller_message": "Payment complete.",
            "type": "authorized",
        },
        "paid": True,
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
        "payment_method_details": details,
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "succeeded",
        "transfer_data": None,
        "transfer_group": None,
    }


def balance_transaction(id: str, created: int, source: Object, amount: int, fee: int) -> Object:
    kind = source["object"]
    reporting = {"dispute": "dispute", "refund": "refund"}.get(kind, "charge")
    # This merchant has no account in francs: they are changed to euros on arrival.
    changed = source["currency"] == "chf"
    return {
        "id": id,
        "object": "balance_transaction",
        "amount": amount,
        "available_on": created,
        "balance_type": "payments",
        "created": created,
        "currency": "eur" if changed else source["currency"],
        "description": None,
        "exchange_rate": 1.0 if changed else None,
        "fee": fee,
        "fee_details": [],
        "net": amount - fee,
        "reporting_category": reporting,
        "source": source["id"],
        "status": "available",
        "type": "adjustment" if kind == "dispute" else reporting,
    }


def refund(id: str, created: int, taken: Object, said: Object) -> Object:
    return {
        "id": id,
        "object": "refund",
        "amount": said["amount"],
        "balance_transaction": None,
        "charge": taken["id"],
        "created": created,
        "currency": taken["currency"],
        "customer": taken["customer"],
        "customer_account": None,
        "destination_details": {"card": {"type": "reversal"}, "type": "card"},
        "metadata": said.get("metadata", {}),
        "payment_intent": taken["payment_intent"],
        "payment_method": taken["payment_method"],
        "reason": said.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "pending",
        "transfer_reversal": None,
    }


def setup_intent(id: str, created: int, said: Object) -> Object:
    return {
        "id": id,
        "object": "setup_intent",
        "application": None,
        "automatic_payment_methods": ways(said),
        "cancellation_reason": None,
        "client_secret": f"{id}_secret_QXg2AQLdBxJwtY51IkwvUaBVsnCqPSp",
        "created": created,
        "customer": said.get("customer"),
        "description": said.get("description"),
        "excluded_payment_method_types": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "mandate": None,
        "metadata": said.get("metadata", {}),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": {"id": "pmc_fake", "parent": None},
        "payment_method_options": {},
        "payment_method_types": ["card", "us_bank_account"],
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": said.get("usage", "off_session"),
    }


def setup_attempt(id: str, created: int, intent: Object, details: Object, status: str) -> Object:
    return {
        "id": id,
        "object": "setup_attempt",
        "application": None,
        "created": created,
        "customer": intent["customer"],
        "customer_account": None,
        "flow_directions": None,
        "on_behalf_of": None,
        "payment_method": intent["payment_method"],
        "payment_method_details": details,
        "setup_error": None,
        "setup_intent": intent["id"],
        "status": status,
        "usage": intent["usage"],
    }


def mandate(id: str, method: Object) -> Object:
    return {
        "id": id,
        "object": "mandate",
        "customer_acceptance": {
            "accepted_at": method["created"],
            "online": {"ip_address": "127.0.0.1", "user_agent": "a browser"},
            "type": "online",
        },
        "multi_use": {},
        "payment_method": method["id"],
        "payment_method_details": {
            "type": method["type"],
            method["type"]: {"collection_method": "paper"},
        },
        "status": "active",
        "type": "multi_use",
    }


def dispute(id: str, created: int, taken: Object, status: str) -> Object:
    is_inquiry = status.startswith("warning_")
    return {
        "id": id,
        "object": "dispute",
        "amount": taken["amount_captured"],
        "balance_transactions": [],
        "charge": taken["id"],
        "created": created,
        "currency": taken["currency"],
        "enhanced_eligibility_types": [],
        "evidence": EVIDENCE | {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": created + 7 * 86_400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": is_inquiry,
        "metadata": {},
        "payment_intent": taken["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": "visa",
                "case_type": "inquiry" if is_inquiry else "chargeback",
                "network": "visa",
                "network_reason_code": "10.4",
            },
            "type": "card",
        },
        "reason": "fraudulent",
        "status": status,
    }


EVIDENCE = dict.fromkeys(
    """
    access_activity_log billing_address cancellation_policy cancellation_policy_disclosure
    cancellation_rebuttal customer_communication customer_email_address customer_name
    customer_purchase_ip customer_signature duplicate_charge_documentation
    duplicate_charge_explanation duplicate_charge_id product_description receipt refund_policy
    refund_policy_disclosure refund_refusal_explanation service_date service_documentation
    shipping_address shipping_carrier shipping_date shipping_documentation
    shipping_tracking_number uncategorized_file uncategorized_text
    """.split()  # noqa: SIM905
)
