"""What a write answers with: the object as it is now, tied to the request's idempotency key."""

from uuid import UUID

from app.db import views
from app.db.base import Row, Tx
from app.db.views import View
from app.ids import show
from app.services import idempotency
from app.services.caller import Caller


async def present(tx: Tx, caller: Caller, view: View, id: UUID) -> Row:
    """The object of that id, which is there, as the answer to the caller's request."""
    await idempotency.answered(tx, caller, show(view.prefix, id))
    row = await views.one(tx, view, caller.merchant_id, id)
    assert row is not None
    return row
