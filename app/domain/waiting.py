"""Charges that wait for the next invoice: kept, and cut short where what they are for ends."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from app.domain import proration
from app.domain.billing import Account, Lines
from app.domain.calendar import Period
from app.domain.ids import NewId
from app.domain.invoice import Charge, LineKind
from app.domain.invoicing import Credit
from app.domain.money import divide
from app.domain.pending import PendingItem
from app.domain.subscription import Subscription


def keep(sub: Subscription, lines: Lines, now: datetime, new_id: NewId) -> tuple[PendingItem, ...]:
    """The lines, to be billed with the subscription's next invoice."""
    credited = [_item(sub, line, now, new_id) for line in lines.credits]
    charged = [_item(sub, line, now, new_id) for line in lines.charges]
    return (*credited, *charged)


def _item(sub: Subscription, line: Charge | Credit, now: datetime, new_id: NewId) -> PendingItem:
    return PendingItem(new_id(), sub.merchant_id, sub.customer_id, sub.id, sub.currency, line, now)


@dataclass(frozen=True, slots=True)
class Cut:
    """What waits after a cut (`kept`, some of it `fresh`), and what was deleted for it."""

    kept: tuple[PendingItem, ...]
    deleted: tuple[PendingItem, ...] = ()
    fresh: tuple[PendingItem, ...] = ()

    @property
    def written(self) -> tuple[PendingItem, ...]:
        """The rows, where nothing takes what is kept."""
        return (*self.deleted, *self.fresh)

    def with_taken(self, taken: tuple[PendingItem, ...]) -> tuple[PendingItem, ...]:
        """The rows once an invoice took what was kept; what is fresh is written with it at once."""
        new = {item.id for item in self.fresh}
        return (
            *self.deleted,
            *(replace(item, version=1) if item.id in new else item for item in taken),
        )


def cut(
    account: Account,
    which: set[UUID] | None,
    at: datetime,
    now: datetime,
    new_id: NewId,
    used_to: datetime | None = None,
) -> Cut:
    """End what the items (None: all) are charged for at `at`; what ended by `used_to` (None: by
    then) was used, and stays.

    A charge that still waits needs no credit: what is left of it is its amount less the unused
    part, so that both add up to it.
    """
    sub, policy = account.subscription, account.policy
    kept, deleted, fresh = [], [], []
    for item in account.pending:
        charge = item.line
        if not isinstance(charge, Charge) or not _is_about(charge, which, used_to or at):
            kept.append(item)
            continue
        deleted.append(replace(item, deleted_at=now, version=item.version + 1))
        if charge.period.start < at:
            rest = proration.share(Period(at, charge.period.end), charge.period, policy, sub.zone)
            unused = divide(charge.amount * rest.part, rest.whole, policy.rounding)
            used = replace(
                charge, period=Period(charge.period.start, at), amount=charge.amount - unused
            )
            fresh.append(_item(sub, used, now, new_id))
    return Cut((*kept, *fresh), tuple(deleted), tuple(fresh))


def _is_about(charge: Charge, which: set[UUID] | None, at: datetime) -> bool:
    if charge.kind is not LineKind.PERIOD or charge.item_id is None or charge.period.end <= at:
        return False
    return which is None or charge.item_id in which
