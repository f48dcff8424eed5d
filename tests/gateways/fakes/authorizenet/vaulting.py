"""The Customer Information Manager: customer profiles and their payment profiles."""

from typing import Any

from tests.gateways.fakes.authorizenet.answering import messages
from tests.gateways.fakes.authorizenet.ledger import Card, Customer, Ledger, Method
from tests.gateways.fakes.authorizenet.notices import Notices

METHODS_MAX = 10


class Vault:
    """The vault; what is not a test of a card has no effect on money."""

    def __init__(self, ledger: Ledger, notices: Notices) -> None:
        self._ledger = ledger
        self._notices = notices

    def create_customer(self, body: dict[str, Any]) -> dict[str, Any]:
        asked = body["profile"]
        code, description = asked.get("merchantCustomerId", ""), asked.get("description", "")
        email = asked.get("email", "")
        nothing = {
            "customerPaymentProfileIdList": [],
            "customerShippingAddressIdList": [],
            "validationDirectResponseList": [],
        }
        for known in self._ledger.customers.values():
            if (known.code, known.description, known.email) == (code, description, email):
                said = f"A duplicate record with ID {known.id} already exists."
                return nothing | messages("E00039", said)
        wanted = asked.get("paymentProfiles")
        entered = None
        if wanted is not None:
            entered, problem = self._entered(wanted, body["validationMode"])
            if problem:
                return nothing | problem
        customer = self._ledger.customer(code, description, email)
        answer = {"customerProfileId": customer.id} | nothing
        if entered is not None:
            method = self._ledger.method(customer, entered, wanted.get("billTo"))
            self._notices.tell_of_method("created", customer.id, method.id)
            answer["customerPaymentProfileIdList"] = [method.id]
            answer["validationDirectResponseList"] = [validation("1", "1")]
        return answer | messages()

    def _entered(
        self, wanted: dict[str, Any], mode: str
    ) -> tuple[Card | None, dict[str, Any] | None]:
        """The card of a token, tried as the mode says; or why not."""
        opaque = wanted["payment"].get("opaqueData")
        assert opaque, "cards come as tokens"
        card = self._ledger.redeem(opaque["dataValue"])
        if card is None:
            return None, messages("E00114")
        if card.behaves == "setup_invalid":
            return None, messages("E00013")
        if mode == "liveMode" and card.behaves.startswith("setup_declined_"):
            code = card.behaves.removeprefix("setup_declined_")
            tried = {"validationDirectResponseList": [validation("2", code)]}
            return None, tried | messages("E00027")
        return card, None

    def customer(self, body: dict[str, Any]) -> dict[str, Any]:
        found = self._ledger.customers.get(body.get("customerProfileId", ""))
        if "merchantCustomerId" in body:
            code = body["merchantCustomerId"]
            found = next((c for c in self._ledger.customers.values() if c.code == code), None)
        if found is None:
            return messages("E00040")
        profile = {
            "merchantCustomerId": found.code,
            "description": found.description,
            "email": found.email,
            "customerProfileId": found.id,
            "profileType": "regular",
        }
        if found.methods:
            shown = body.get("unmaskExpirationDate", False)
            profile["paymentProfiles"] = [told(m, shown) for m in found.methods.values()]
        return {"profile": profile} | messages()

    def method(self, body: dict[str, Any]) -> dict[str, Any]:
        found = self._method(body)
        if found is None:
            return messages("E00040")
        shown = body.get("unmaskExpirationDate", False)
        whole = {"customerProfileId": found.customer} | told(found, shown)
        return {"paymentProfile": whole} | messages()

    def delete_method(self, body: dict[str, Any]) -> dict[str, Any]:
        found = self._method(body)
        if found is None:
            return messages("E00040")
        if found.card.behaves == "subscribed":
            return messages("E00105")
        del self._ledger.customers[found.customer].methods[found.id]
        self._notices.tell_of_method("deleted", found.customer, found.id)
        return messages()

    def _method(self, body: dict[str, Any]) -> Method | None:
        customer: Customer | None = self._ledger.customers.get(body["customerProfileId"])
        return customer.methods.get(body["customerPaymentProfileId"]) if customer else None


def told(method: Method, shown: bool) -> dict[str, Any]:
    card = {
        "cardNumber": f"XXXX{method.card.number[-4:]}",
        "expirationDate": method.card.expiry if shown else "XXXX",
        "cardType": method.card.brand,
    }
    answer: dict[str, Any] = {
        "customerPaymentProfileId": method.id,
        "payment": {"creditCard": card},
        "customerType": "individual",
    }
    return answer | ({"billTo": method.bill_to} if method.bill_to else {})


def validation(response: str, code: str) -> str:
    """A validation's answer: comma-separated, the reason third."""
    return f"{response},1,{code},Reason {code}.,1VQHEI,Y,0,none,Test transaction.,0.00,CC"
