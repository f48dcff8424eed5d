"""Importing subscribers who were billed elsewhere: a chunk of rows in one transaction, in bulk.

External ids make it repeatable: what is there already is left alone, so a run that was cut short is
simply run again. A row that cannot be imported is told why and harms no other; a chunk the database
refuses is halved down to the row at fault.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import audit_log, decisions, imports, payment_methods, views
from app.db.audit_log import Deed
from app.db.base import Tx
from app.db.errors import Refused
from app.db.imports import AmountKey, Home
from app.domain.calendar import Interval
from app.domain.errors import BillingError, Conflict, InvalidRequest
from app.domain.event import Type
from app.domain.money import Money
from app.ids import show
from app.runtime import Runtime
from app.services import import_draft
from app.services.caller import Caller
from app.services.import_draft import Catalogue, Draft, Known
from app.services.import_rows import Broken, Fault, Wanted

CHUNK: Final = 500
"""Rows in one transaction: enough for bulk statements, few to do again after a crash."""
ANALYZE_FACTOR: Final = 8


@dataclass(frozen=True, slots=True)
class Options:
    """How to import: onto which test clock, and what may be made on the way."""

    test_clock_id: UUID | None = None
    create_plans: bool = False
    dry_run: bool = False
    """Do everything but write."""


@dataclass(slots=True)
class Tally:
    """What became of rows: `per_period` is what the imported ones pay, and how many they are."""

    imported: int = 0
    existing: int = 0
    plans: int = 0
    prices: int = 0
    customers: int = 0
    broken: list[Broken] = field(default_factory=list)
    per_period: dict[tuple[str, Interval], tuple[Money, int]] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        """Count `other` in, but for its broken rows, which are its reader's to keep."""
        self.imported += other.imported
        self.existing += other.existing
        self.plans += other.plans
        self.prices += other.prices
        self.customers += other.customers
        for key, (amount, count) in other.per_period.items():
            held, before = self.per_period.get(key, (Money.zero(key[0]), 0))
            self.per_period[key] = (held + amount, before + count)


@dataclass(slots=True)
class Run:
    """One import under way; the catalogue remembers what earlier chunks read or made."""

    rt: Runtime
    caller: Caller
    options: Options
    account_id: UUID | None
    catalogue: Catalogue
    written: int = 0
    analyze_after: int = CHUNK
    """So many rows written call for new statistics; then ANALYZE_FACTOR times as many."""


async def begin(rt: Runtime, caller: Caller, options: Options, source: str) -> Run:
    """Get ready to import `source`, a name for the audit log. Raises InvalidRequest, Conflict."""
    async with rt.db.begin(caller.merchant_id) as tx:
        await _time(rt, tx, caller.merchant_id, options)
        account = await payment_methods.default_gateway_account(tx, caller.merchant_id)
        if not options.dry_run:
            deed = Deed(
                caller.merchant_id,
                "command line",
                "import.started",
                "merchant",
                caller.merchant_id,
                caller.request_id,
                {"source": source},
            )
            await audit_log.append(tx, deed, rt.clock.now())
    return Run(rt, caller, options, account, Catalogue(create_plans=options.create_plans))


async def put(run: Run, rows: Sequence[Wanted], *, again: bool = False) -> Tally:
    """Import `rows`, at most a chunk of them, or only say what would become of them.

    A single row that met with somebody else's change is tried once more (`again`).
    """
    try:
        async with run.rt.db.begin(run.caller.merchant_id) as tx:
            now = await _time(run.rt, tx, run.caller.merchant_id, run.options)
            draft = import_draft.draft(await _load(run, tx, rows), rows, now)
            if not run.options.dry_run:
                await _write(run, tx, draft, now)
    except (Conflict, InvalidRequest, Refused) as error:
        if len(rows) == 1 and isinstance(error, Conflict) and not again:
            return await put(run, rows, again=True)
        if len(rows) == 1:
            return Tally(broken=[Broken(rows[0].number, [_fault(error)])])
        middle = len(rows) // 2
        tally = await put(run, rows[:middle])
        rest = await put(run, rows[middle:])
        tally.add(rest)
        tally.broken += rest.broken
        return tally
    run.catalogue.remember(draft)
    if not run.options.dry_run:
        await _keep_planning_well(run, len(draft.decisions))
    return _tally(draft)


async def _keep_planning_well(run: Run, written: int) -> None:
    run.written += written
    if run.written >= run.analyze_after:
        await imports.analyze(run.rt.db)
        run.analyze_after *= ANALYZE_FACTOR


def _fault(error: Exception) -> Fault:
    if isinstance(error, BillingError):
        return Fault(error.param or "", error.code, error.message)
    return Fault("", "refused", "The database refuses the row.")


def _tally(draft: Draft) -> Tally:
    tally = Tally(
        imported=len(draft.decisions),
        existing=draft.existing,
        plans=len(draft.plans),
        prices=len(draft.prices),
        customers=len(draft.customers),
        broken=draft.broken,
    )
    for key, amounts in draft.per_period.items():
        tally.per_period[key] = (Money.sum(amounts, key[0]), len(amounts))
    return tally


async def _time(rt: Runtime, tx: Tx, merchant_id: UUID, options: Options) -> datetime:
    """What time it is for the imported: the wall clock's, or that of a test clock that stands."""
    if options.test_clock_id is None:
        return rt.clock.now()
    clock = await imports.hold_clock(tx, merchant_id, options.test_clock_id)
    if clock is None:
        name = show("clock", options.test_clock_id)
        raise InvalidRequest(f"There is no test clock {name}.", code="test_clock_not_found")
    if clock["status"] != "ready":
        raise Conflict("The test clock is advancing.", code="test_clock_advancing")
    now: datetime = clock["frozen_at"]
    return now


async def _load(run: Run, tx: Tx, rows: Sequence[Wanted]) -> Known:
    """Everything that the rows refer to, in a fixed number of queries."""
    merchant = run.caller.merchant_id
    catalogue = run.catalogue
    await _load_catalogue(catalogue, tx, merchant, rows)
    customers = await imports.customers(tx, merchant, sorted({row.customer for row in rows}))
    subs = await imports.subscriptions(tx, merchant, sorted({row.subscription for row in rows}))
    methods: dict[tuple[UUID, str], UUID] = {}
    tokens = {
        (customers[row.customer]["id"], row.method.reference)
        for row in rows
        if row.method is not None and row.customer in customers
    }
    if tokens and run.account_id is not None:
        methods = await imports.payment_methods(tx, merchant, run.account_id, sorted(tokens))
    return Known(
        merchant,
        run.options.test_clock_id,
        run.account_id is not None,
        catalogue,
        {name: import_draft.customer(row) for name, row in customers.items()},
        {name: import_draft.facts_of(row) for name, row in subs.items()},
        methods,
    )


async def _load_catalogue(
    catalogue: Catalogue, tx: Tx, merchant: UUID, rows: Sequence[Wanted]
) -> None:
    """What of the catalogue these rows name, and earlier ones did not."""
    plans = {row.price.plan for row in rows if row.price.plan} - catalogue.plans.keys()
    if plans:
        catalogue.plans |= await imports.plans(tx, merchant, sorted(plans))
    lookup_keys = {r.price.lookup_key for r in rows if r.price.lookup_key}
    if wanted := lookup_keys - catalogue.by_lookup_key.keys():
        found = await imports.prices_by_lookup_key(tx, merchant, sorted(wanted))
        catalogue.by_lookup_key |= found
    amounts: dict[AmountKey, None] = {}
    for row in rows:
        key = catalogue.amount_key(row.price)
        if key is not None and key not in catalogue.by_amount:
            amounts[key] = None
    if amounts:
        catalogue.by_amount |= await imports.prices_by_amount(tx, merchant, list(amounts))
    coupons = {row.coupon for row in rows if row.coupon} - catalogue.coupons.keys()
    if coupons:
        catalogue.coupons |= await imports.coupons(tx, merchant, sorted(coupons))


async def _write(run: Run, tx: Tx, draft: Draft, now: datetime) -> None:
    merchant = run.caller.merchant_id
    await imports.insert_plans(tx, merchant, draft.plans, now)
    priced = [(price.id, key) for key, price in draft.prices]
    await imports.insert_prices(tx, merchant, priced, now)
    home = Home(run.account_id, run.options.test_clock_id)
    await imports.insert_customers(tx, merchant, draft.customers, draft.methods, home, now)
    customers = [customer.id for customer in draft.customers]
    methods = [method.id for method in draft.methods]
    await imports.tell(tx, merchant, Type.CUSTOMER_CREATED, views.CUSTOMER, customers, now)
    attached = Type.PAYMENT_METHOD_ATTACHED
    await imports.tell(tx, merchant, attached, views.PAYMENT_METHOD, methods, now)
    await decisions.record(tx, draft.decisions, now)
