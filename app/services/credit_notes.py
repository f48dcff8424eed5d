"""Credit notes through the API: issued, looked at before, and taken back while that is possible."""

from datetime import datetime
from uuid import UUID

from app import ids
from app.db import credit_notes, decisions
from app.db.base import Tx
from app.domain import issuing
from app.domain.credit_note import CreditNote
from app.domain.decision import Decision
from app.domain.issuing import Wanted
from app.ids import new_id
from app.runtime import Runtime
from app.services import deeds, idempotency, refund_calls
from app.services.caller import Caller
from app.services.payments import reference
from app.services.subscriptions import now_of_customer


async def create(rt: Runtime, caller: Caller, invoice_id: UUID, wanted: Wanted) -> UUID:
    """Credit an invoice: less is due, and of what was paid so much goes where it is said to go.

    Raises NotFound, InvalidRequest, and Conflict while a payment of it is in flight.
    """
    async with rt.db.begin(caller.merchant_id) as tx:
        decision, now = await _decide(rt, tx, invoice_id, wanted)
        await decisions.record(tx, [decision], now)
        note = decision.credit_notes[0]
        await deeds.note(tx, caller, "credit_note.created", note.id, now, total=note.total)
        await idempotency.answered(tx, caller, ids.show("cn", note.id))
    await refund_calls.carry_out(rt, decision.refunds, now)
    return note.id


async def preview(rt: Runtime, caller: Caller, invoice_id: UUID, wanted: Wanted) -> CreditNote:
    """The credit note as it would be; nothing is written."""
    async with rt.db.begin(caller.merchant_id) as tx:
        decision, _ = await _decide(rt, tx, invoice_id, wanted)
    return decision.credit_notes[0]


async def void(rt: Runtime, caller: Caller, note_id: UUID) -> UUID:
    """Take a credit note back. Raises Conflict once something of it was given away."""
    async with rt.db.begin(caller.merchant_id) as tx:
        note, about = await credit_notes.lock(tx, note_id)
        now = await now_of_customer(rt, tx, note.customer_id)
        decision = issuing.void(note, about, now, new_id)
        await decisions.record(tx, [decision], now)
        await deeds.note(tx, caller, "credit_note.voided", note.id, now)
        await idempotency.answered(tx, caller, ids.show("cn", note.id))
    return note_id


async def _decide(
    rt: Runtime, tx: Tx, invoice_id: UUID, wanted: Wanted
) -> tuple[Decision, datetime]:
    about = await credit_notes.lock_invoice(tx, invoice_id)
    now = await now_of_customer(rt, tx, about.invoice.order.customer_id)
    return issuing.issue(about, wanted, now, new_id, reference), now
