"""The audit: every invariant of the books as a query, run at any time, on all or one merchant."""

from dataclasses import dataclass
from uuid import UUID

from app.db import audit as queries
from app.db.base import Row
from app.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Finding:
    """How many exceptions a promise has, with the first few as (merchant, what)."""

    name: str
    promise: str
    exceptions: int
    samples: tuple[tuple[UUID, str], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All findings; clean when none has an exception."""

    findings: tuple[Finding, ...]

    @property
    def is_clean(self) -> bool:
        return not any(finding.exceptions for finding in self.findings)


async def run(rt: Runtime, merchant_id: UUID | None = None) -> Report:
    """Check every invariant, each on its own snapshot, for one merchant or for all."""
    findings = []
    for check in queries.CHECKS:
        async with rt.db.begin_system() as tx:
            count, rows = await queries.exceptions(tx, check, merchant_id, rt.clock.now())
        samples = tuple((row["merchant_id"], row["what"]) for row in rows)
        findings.append(Finding(check.name, check.promise, count, samples))
    return Report(tuple(findings))


async def trial_balance(rt: Runtime, merchant_id: UUID | None = None) -> list[Row]:
    """Per currency and account: debits, credits and balance; the balances sum to zero."""
    async with rt.db.begin_system() as tx:
        return await queries.trial_balance(tx, merchant_id)
