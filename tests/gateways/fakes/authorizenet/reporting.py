"""The Transaction Details API: one transaction, and the lists."""

from datetime import datetime
from typing import Any

from tests.gateways.fakes.authorizenet.answering import messages, number, time, times
from tests.gateways.fakes.authorizenet.ledger import REFUNDED, Batch, Ledger, Transaction

DISPUTES = {"chargeback": "chargebackCount", "returnedItem": "returnedItemCount"}


class Reports:
    """Reads the ledger; changes nothing."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def details(self, body: dict[str, Any]) -> dict[str, Any]:
        found = self._ledger.find(body["transId"])
        if found is None:
            return messages("E00040")
        answer = {"transaction": self._told(found)} | messages()
        return answer | ({"transrefId": found.ref_id} if found.ref_id else {})

    def _told(self, found: Transaction) -> dict[str, Any]:
        told = {"transId": found.id} | times(found.submitted_at)
        if found.origin:
            told["refTransId"] = found.origin
        approved = found.reason == "1"
        told |= {
            "transactionType": found.type,
            "transactionStatus": self._status(found),
            "responseCode": 1 if approved else 2,
            "responseReasonCode": int(found.reason),
            "responseReasonDescription": "Approval" if approved else "Declined",
            "AVSResponse": "P",
            "order": {
                "invoiceNumber": found.invoice,
                "description": found.description,
                "discountAmount": 0.0,
                "taxIsAfterDiscount": False,
            },
            "authAmount": number(found.amount),
            "settleAmount": number(found.settling or found.amount),
            "taxExempt": False,
            "payment": {
                "creditCard": {
                    "cardNumber": f"XXXX{found.card.number[-4:]}",
                    "expirationDate": "XXXX",
                    "cardType": found.card.brand,
                }
            },
            "recurringBilling": False,
            "product": "Card Not Present",
            "marketType": "eCommerce",
        }
        if found.batch:
            told["batch"] = self._batch(self._ledger.batches[found.batch])
        if found.customer:
            told["profile"] = {
                "customerProfileId": found.customer,
                "customerPaymentProfileId": found.method,
            }
        if found.returned:
            told["returnedItems"] = [found.returned]
        if found.network_id:
            told["networkTransId"] = found.network_id
        return told

    def _status(self, found: Transaction) -> str:
        is_hidden = self._ledger.hides_captures and found.type == "authOnlyTransaction"
        return "authorizedPendingCapture" if is_hidden else found.status

    def _batch(self, batch: Batch) -> dict[str, Any]:
        return {
            "batchId": batch.id,
            "settlementTimeUTC": time(batch.settled_at),
            "settlementTimeUTCSpecified": True,
            "settlementTimeLocal": time(batch.settled_at)[:-1],
            "settlementTimeLocalSpecified": True,
            "settlementState": "settledSuccessfully",
        }

    def unsettled(self, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._page([t for t in self._ledger.all() if not t.batch], body)
        if self._ledger.settles_after_listing:
            self._ledger.settle()
        return answer

    def of_batch(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["batchId"] not in self._ledger.batches:
            return messages("E00040")
        return self._page([t for t in self._ledger.all() if t.batch == body["batchId"]], body)

    def of_customer(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["customerProfileId"] not in self._ledger.customers:
            return messages("E00040")
        mine = [t for t in self._ledger.all() if t.customer == body["customerProfileId"]]
        return self._page(mine, body)

    def _page(self, entries: list[Transaction], body: dict[str, Any]) -> dict[str, Any]:
        if body.get("sorting", {}).get("orderDescending"):
            entries.reverse()
        paging = body.get("paging", {"limit": 1000, "offset": 1})
        limit, page = int(paging["limit"]), int(paging["offset"])
        shown = entries[(page - 1) * limit : page * limit]
        hidden = self._ledger.hides_from_page
        if not shown:
            return messages("I00004")
        if hidden and page >= hidden:
            return {"transactions": [], "totalNumInResultSet": len(entries)} | messages()
        return {
            "transactions": [self._summary(t) for t in shown],
            "totalNumInResultSet": len(entries),
        } | messages()

    def _summary(self, found: Transaction) -> dict[str, Any]:
        summary = {"transId": found.id} | times(found.submitted_at)
        summary |= {
            "transactionStatus": found.status,
            "invoiceNumber": found.invoice,
            "firstName": "Ellen",
            "lastName": "Johnson",
            "accountType": found.card.brand,
            "accountNumber": f"XXXX{found.card.number[-4:]}",
            "settleAmount": number(found.settling or found.amount),
            "marketType": "eCommerce",
            "product": "Card Not Present",
            "hasReturnedItemsSpecified": found.returned is not None,
        }
        if found.returned is not None:
            summary["hasReturnedItems"] = True
        if found.customer:
            summary["profile"] = {
                "customerProfileId": found.customer,
                "customerPaymentProfileId": found.method,
            }
        return summary

    def batches(self, body: dict[str, Any]) -> dict[str, Any]:
        first, last = body.get("firstSettlementDate"), body.get("lastSettlementDate")
        assert first, "the real server wants both dates or none"
        start, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
        if (end - start).days > 31:
            return messages("E00013", "The date range must be 31 days or less.")
        listed = []
        for batch in self._ledger.batches.values():
            if start <= batch.settled_at.replace(microsecond=0) <= end:
                told = self._batch(batch)
                if body.get("includeStatistics"):
                    told["statistics"] = [self._statistics(batch)]
                listed.append(told)
        return ({"batchList": listed} | messages()) if listed else messages("I00004")

    def _statistics(self, batch: Batch) -> dict[str, Any]:
        mine = [t for t in self._ledger.all() if t.batch == batch.id]
        counts = dict.fromkeys(("chargebackCount", "returnedItemCount"), 0)
        for transaction in mine:
            if transaction.status in ("chargeback", "chargebackReversal"):
                counts["chargebackCount"] += 1
            if transaction.returned is not None or transaction.status == "returnedItem":
                counts["returnedItemCount"] += 1
        refunds = [t for t in mine if t.status in REFUNDED]
        charges = [t for t in mine if t.was_captured]
        return {
            "accountType": "Visa",
            "chargeAmount": number(sum((t.settling for t in charges), start=0)),
            "chargeCount": len(charges),
            "refundAmount": number(sum((t.amount for t in refunds), start=0)),
            "refundCount": len(refunds),
            "voidCount": sum(t.status == "voided" for t in mine),
            "declineCount": sum(t.status == "declined" for t in mine),
            "errorCount": sum(t.status == "generalError" for t in mine),
            **counts,
        }
