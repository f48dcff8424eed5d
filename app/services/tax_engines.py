"""A merchant's outside tax engine: which it is, and whether it answers.

To set the same again makes no difference, so a request sent twice needs no mark.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app import addresses, signing
from app.db import tax_engine_rates, taxes
from app.db import tax_engines as rows
from app.db.base import Row
from app.db.tax_engine_rates import Asking
from app.db.tax_engines import NewTaxEngine
from app.domain.errors import Conflict, InvalidRequest, Stale
from app.domain.places import locate
from app.domain.tax_engine import Answer, FailPolicy, Failure, Question
from app.ids import new_id
from app.runtime import Runtime
from app.services import deeds
from app.services.caller import Caller
from app.services.tax import BuyerAsked, numbers_of
from app.taxes.engine import TaxEngine
from app.taxes.http_engine import HttpTaxEngine, secret_of

KIND: Final = HttpTaxEngine.kind
TTL_SECONDS: Final = HttpTaxEngine.capabilities.ttl_seconds


@dataclass(frozen=True, slots=True)
class PutTaxEngine:
    """Where the engine answers, what happens while it does not, and how long its word is good."""

    url: str
    fail_policy: FailPolicy = FailPolicy.BLOCK
    ttl_seconds: int = TTL_SECONDS
    kind: str = KIND
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Tested:
    """What an engine said to a question that nothing was billed by."""

    question: Question
    said: Answer | Failure


async def get(rt: Runtime, caller: Caller) -> Row | None:
    """The merchant's engine, if it has one."""
    async with rt.db.begin(caller.merchant_id) as tx:
        return await rows.of_merchant(tx, caller.merchant_id)


async def put(rt: Runtime, caller: Caller, cmd: PutTaxEngine) -> tuple[Row, str]:
    """Set the engine, with the secret that our calls are signed by. What another one said is
    forgotten. Raises InvalidRequest, Stale, Conflict where the deployment has no such engines.
    """
    master = _master(rt)
    try:
        addresses.check(cmd.url, private=rt.settings.private_addresses_allowed)
    except addresses.AddressRefused as refused:
        raise InvalidRequest(str(refused), code="address_not_allowed", param="url") from None
    new = NewTaxEngine(
        id=new_id(),
        kind=cmd.kind,
        url=cmd.url,
        fail_policy=cmd.fail_policy,
        ttl_seconds=cmd.ttl_seconds,
    )
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        before = await rows.of_merchant(tx, caller.merchant_id, lock=True)
        _check_version(before, cmd.expected_version)
        row = await rows.put(tx, caller.merchant_id, new, now)
        await tax_engine_rates.forget(tx, caller.merchant_id)
        await deeds.note(tx, caller, "tax_engine.set", row["id"], now, url=cmd.url)
    return row, secret_of(master, caller.merchant_id, row["id"])


async def delete(rt: Runtime, caller: Caller, expected_version: int | None = None) -> None:
    """Go back to the merchant's own table of rates. Raises Stale."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        row = await rows.of_merchant(tx, caller.merchant_id, lock=True)
        _check_version(row, expected_version)
        if row is not None:
            await rows.delete(tx, caller.merchant_id)
            await tax_engine_rates.forget(tx, caller.merchant_id)
            await deeds.note(tx, caller, "tax_engine.deleted", row["id"], now)


async def test(rt: Runtime, caller: Caller, buyer: BuyerAsked, tax_code: str | None) -> Tested:
    """Ask the engine about a buyer, now and past everything that is kept. Nothing is kept.

    Raises Conflict where there is none, InvalidRequest.
    """
    now, usable = rt.clock.now(), numbers_of(buyer)
    async with rt.db.begin(caller.merchant_id) as tx:
        row = await rows.of_merchant(tx, caller.merchant_id)
        if row is None:
            raise Conflict("There is no tax engine: set one first.", code="tax_engine_not_set")
        place = locate(buyer.country, buyer.state, buyer.postal_code)
        books = await taxes.books(tx, [caller.merchant_id], {place.country})
        table = books.taxation(caller.merchant_id, place, buyer.tax_exempt, usable.countries)
        asking = Asking(caller.merchant_id, table, place, FailPolicy.BLOCK, usable.values)
        [taxation] = await tax_engine_rates.taxations(tx, [asking])
    question = Question(taxation.subject, *taxation.topic(tax_code, now))
    engine = opened(rt, caller.merchant_id, row)
    try:
        [said] = await engine.rates([question])
    finally:
        await engine.aclose()
    return Tested(question, said)


def opened(rt: Runtime, merchant_id: UUID, row: Row) -> TaxEngine:
    """The engine of a row, without any I/O yet; whoever opens it closes it."""
    assert row["kind"] == KIND
    secret = secret_of(_master(rt), merchant_id, row["id"])
    private = rt.settings.private_addresses_allowed
    return HttpTaxEngine(row["url"], signing.key_of(secret), rt.clock, private=private)


def _master(rt: Runtime) -> bytes:
    secret = rt.settings.tax_engine_secret
    if secret is None:
        raise Conflict(
            "This deployment has no secret to sign calls to tax engines by.",
            code="tax_engines_off",
        )
    return secret.get_secret_value().encode()


def _check_version(row: Row | None, expected: int | None) -> None:
    version = 0 if row is None else row["version"]
    if expected is not None and expected != version:
        raise Stale(f"It has changed meanwhile: the present version is {version}.")
