"""What a worker does when the bell or the sweep wakes it: call a service, log what it did."""

import asyncio
from typing import Any, Final

from app import log
from app.runtime import Runtime
from app.services import (
    disputes,
    dunning,
    fan_out,
    finalizing,
    idempotency,
    inbox,
    inbox_settling,
    kept_methods,
    look_ups,
    payments,
    price_moves,
    reconciliation,
    reconciliation_repairs,
    refunds,
    renewals,
    setup_calls,
    tax_prefetch,
    test_clocks,
    webhook_calls,
    webhook_upkeep,
)

logger = log.get(__name__)
Context = dict[str, Any]
DELIVERING: Final = asyncio.Lock()


async def renew(context: Context) -> None:
    """Whatever is due on subscriptions happens."""
    ran = await renewals.renew_due(_runtime(context))
    if ran.steps or ran.parked:
        logger.info(
            "clock.ran",
            steps=ran.steps,
            invoices=ran.invoices,
            payments=ran.payments,
            parked=ran.parked,
        )
        await _tell(context)


async def finalize(context: Context) -> None:
    """Drafts whose grace is over become final."""
    ran = await finalizing.finalize_due(_runtime(context))
    if ran.finalized or ran.parked:
        logger.info(
            "finalize.ran", finalized=ran.finalized, payments=ran.payments, parked=ran.parked
        )
        await _tell(context)


async def collect(context: Context) -> None:
    """Payments that are due are attempted."""
    collected = await payments.collect_due(_runtime(context))
    if collected.attempts:
        logger.info("collect.ran", attempts=collected.attempts, succeeded=collected.succeeded)
        await _tell(context)


async def resolve(context: Context) -> None:
    """Attempts and refunds whose outcome is not known are looked up."""
    rt = _runtime(context)
    looked = await look_ups.resolve_due(rt) + await refunds.resolve_due(rt)
    if looked:
        logger.info("resolve.ran", looked_up=looked)
        await _tell(context)


async def dun(context: Context) -> None:
    """Invoices that are not paid are looked at: reminders, methods that changed, the end of it."""
    rt = _runtime(context)
    ran = await dunning.look_due(rt) + await dunning.look_on_test_clocks(rt)
    if ran.looked or ran.parked:
        logger.info("dunning.ran", looked=ran.looked, exhausted=ran.exhausted, parked=ran.parked)
        await _tell(context)


async def advance_clocks(context: Context) -> None:
    """Test clocks that were sent forward go there."""
    arrived = await test_clocks.advance_all(_runtime(context))
    if arrived:
        logger.info("test_clocks.ran", arrived=arrived)
        await _tell(context)


async def migrate_prices(context: Context) -> None:
    """Price migrations are worked out, and carried out where that was asked for."""
    ran = await price_moves.run_due(_runtime(context))
    if ran.looked:
        logger.info("price_migrations.ran", looked=ran.looked, moved=ran.moved, failed=ran.failed)
        await _tell(context)


async def prefetch_taxes(context: Context) -> None:
    """Tax engines are asked for the taxes of renewals to come."""
    missing = await tax_prefetch.prefetch_due(_runtime(context))
    if missing:
        logger.info("tax_engine.asked", questions=missing)


async def settle_inbound(context: Context) -> None:
    """What gateways told is settled."""
    ran = await inbox_settling.settle_due(_runtime(context))
    if ran.looked:
        logger.info(
            "inbox.ran",
            settled=ran.settled,
            ignored=ran.ignored,
            orphaned=ran.orphaned,
            parked=ran.parked,
            waiting=ran.waiting,
        )


async def reconcile(context: Context) -> None:
    """Our books are compared with gateways' own where that was asked for, and every night."""
    rt = _runtime(context)
    await reconciliation.schedule_due(rt)
    ran = await reconciliation.run_due(rt)
    mended = await reconciliation_repairs.by_policy(rt)
    waited = await reconciliation_repairs.go_on(rt)
    if ran or mended or waited:
        logger.info("reconcile.ran", compared=ran, mended=mended, waited=waited)


async def settle_setups(context: Context) -> None:
    """Set-ups that nobody told of are asked about; gateways let go of what was detached."""
    rt = _runtime(context)
    looked, detached = await setup_calls.settle_due(rt), await kept_methods.detach_due(rt)
    if looked or detached:
        logger.info("setups.ran", looked_up=looked, detached=detached)


async def tend_methods(context: Context) -> None:
    """Methods at gateways that tell nothing are asked about; those that expire soon are told of."""
    rt = _runtime(context)
    asked, told = await kept_methods.refresh_due(rt), await kept_methods.tell_expiring(rt)
    if asked or told:
        logger.info("methods.ran", asked=asked, expiring=told)


async def number_events(context: Context) -> None:
    """What happened is numbered, and whom it is told is written down."""
    told = await fan_out.fan_out_due(_runtime(context))
    if told.events:
        logger.info("events.numbered", events=told.events, deliveries=told.deliveries)


async def deliver(context: Context) -> None:
    """Webhook endpoints are told what is due; by one run in each process, which looks around."""
    if DELIVERING.locked():
        return
    async with DELIVERING:
        told = await webhook_calls.deliver_due(_runtime(context))
    if told.attempts:
        logger.info("webhooks.ran", attempts=told.attempts, delivered=told.delivered)


async def tidy_webhooks(context: Context) -> None:
    """Deliveries of long ago are forgotten, and those that nobody waits for canceled."""
    tidied = await webhook_upkeep.tidy(_runtime(context))
    if tidied.canceled or tidied.forgotten:
        logger.info("webhooks.tidied", canceled=tidied.canceled, forgotten=tidied.forgotten)


async def poll_disputes(context: Context) -> None:
    """Gateways that tell nothing of disputes are asked for them."""
    seen = await disputes.poll_due(_runtime(context))
    if seen:
        logger.info("disputes.ran", seen=seen)


async def forget(context: Context) -> None:
    """Idempotency keys past their life are deleted, and gateways' events that are long settled."""
    rt = _runtime(context)
    forgotten = await idempotency.forget_expired(rt)
    if forgotten:
        logger.info("idempotency.ran", forgotten=forgotten)
    forgotten = await inbox.forget_old(rt)
    if forgotten:
        logger.info("inbox.forgotten", events=forgotten)


async def _tell(context: Context) -> None:
    """Something happened: what it was is numbered and told without waiting for the sweep."""
    await _runtime(context).bell.ring(number_events.__name__)


def _runtime(context: Context) -> Runtime:
    rt = context["rt"]
    assert isinstance(rt, Runtime)
    return rt


ALL: Final = (
    renew,
    finalize,
    collect,
    resolve,
    dun,
    advance_clocks,
    migrate_prices,
    prefetch_taxes,
    settle_inbound,
    reconcile,
    settle_setups,
    tend_methods,
    number_events,
    deliver,
    tidy_webhooks,
    poll_disputes,
    forget,
)
