"""Customers' tax ids: checked as they come; a good one makes its customer a business."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.db import customers, events, views
from app.db import tax_ids as rows
from app.db.base import Row
from app.db.views import CUSTOMER, TAX_ID
from app.domain.errors import Conflict
from app.domain.event import Type
from app.ids import new_id
from app.runtime import Runtime
from app.services import answers, lookup
from app.services.caller import Caller
from app.services.customers import check_version
from app.taxes import numbers

CUSTOMER_TAX_IDS_MAX: Final = 20
"""More numbers than any business has, and all fit on an invoice."""


@dataclass(frozen=True, slots=True)
class AddTaxId:
    """A number of a customer's, as it writes it."""

    customer_id: UUID
    type: str
    value: str


async def create(rt: Runtime, caller: Caller, cmd: AddTaxId) -> Row:
    """Add a number to a customer. Raises NotFound, InvalidRequest (`tax_id_invalid`), Conflict."""
    checked = numbers.check(cmd.type, cmd.value)
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        if not await customers.lock(tx, caller.merchant_id, cmd.customer_id):
            raise lookup.missing(CUSTOMER)
        if await rows.count(tx, caller.merchant_id, cmd.customer_id) >= CUSTOMER_TAX_IDS_MAX:
            raise Conflict(
                f"A customer has at most {CUSTOMER_TAX_IDS_MAX} tax ids.", code="too_many_tax_ids"
            )
        new = new_id()
        await rows.insert(
            tx, caller.merchant_id, new, cmd.customer_id, cmd.value.strip(), checked, now
        )
        row = await answers.present(tx, caller, TAX_ID, new)
        await events.append(tx, caller.merchant_id, Type.TAX_ID_CREATED, TAX_ID, row, now)
    return row


async def delete(
    rt: Runtime, caller: Caller, customer_id: UUID, id: UUID, expected_version: int | None = None
) -> Row:
    """Take a number from a customer. Raises NotFound, Stale."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        if not await customers.lock(tx, caller.merchant_id, customer_id):
            raise lookup.missing(CUSTOMER)
        row = await views.one(tx, TAX_ID, caller.merchant_id, id)
        if row is None or row["customer_id"] != customer_id:
            raise lookup.missing(TAX_ID)
        check_version(row, expected_version)
        await rows.delete(tx, caller.merchant_id, id)
        gone = dict(row) | {"version": row["version"] + 1}
        await events.append(tx, caller.merchant_id, Type.TAX_ID_DELETED, TAX_ID, gone, now)
    return row
