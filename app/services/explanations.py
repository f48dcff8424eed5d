"""Why a line of an invoice is what it is: read, reckoned again, told."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.db import explanations
from app.db.base import Row
from app.domain.explain import Explanation, Facts, explain
from app.runtime import Runtime
from app.services.caller import Caller


@dataclass(frozen=True, slots=True)
class Explained:
    """What a line was made from, the steps to its amounts, and the events it came with."""

    facts: Facts
    explanation: Explanation
    causes: Sequence[Row]


async def of_line(rt: Runtime, caller: Caller, invoice_id: UUID, line_id: UUID) -> Explained:
    """The explanation of a line. Raises NotFound."""
    async with rt.db.look(caller.merchant_id) as tx:
        facts = await explanations.load(tx, invoice_id, line_id)
        causes = await explanations.causes(tx, facts.invoice)
    return Explained(facts, explain(facts), causes)
