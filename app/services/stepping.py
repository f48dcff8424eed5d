"""One step of what is due: of a subscription, or of all that a customer is billed for together."""

from collections.abc import Sequence
from datetime import datetime

from app.domain import consolidating, lifecycle
from app.domain.billing import Account
from app.domain.decision import Decision
from app.domain.sharing import Shared
from app.ids import new_id


class TooFarBehind(ValueError):
    """More periods are due than a run may catch up by itself."""

    def __init__(self, period_index: int) -> None:
        super().__init__(
            f"more than {lifecycle.CATCH_UP_PERIODS_MAX} periods behind, after {period_index}"
        )


def step(account: Account, now: datetime) -> Decision:
    """What is due next on a subscription that is billed alone. Raises TooFarBehind."""
    if lifecycle.is_hopelessly_behind(account.subscription, now):
        raise TooFarBehind(account.subscription.period_index)
    return lifecycle.step(account, now, new_id)


def together(accounts: Sequence[Account], now: datetime) -> list[Decision]:
    """What is due at one instant on a customer's subscriptions, those bills put together that
    become one invoice. Raises TooFarBehind.
    """
    return consolidating.step(accounts, lambda one: step(one, now), Shared(), now, new_id)
