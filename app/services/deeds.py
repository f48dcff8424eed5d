"""Privileged changes leave a row in the audit log, in the transaction that makes them."""

from datetime import datetime
from uuid import UUID

from app import ids
from app.db import audit_log
from app.db.audit_log import Deed
from app.db.base import Tx
from app.services.caller import Caller


async def note(
    tx: Tx, caller: Caller, action: str, object_id: UUID, now: datetime, **detail: object
) -> None:
    """Write down that `caller` did `action` (`invoice.voided`) to the object of that id."""
    actor = "system" if caller.key_id is None else ids.show("key", caller.key_id)
    deed = Deed(
        caller.merchant_id,
        actor,
        action,
        action.partition(".")[0],
        object_id,
        request_id=caller.request_id,
        detail=detail,
    )
    await audit_log.append(tx, deed, now)
