"""Turns what the database refuses into the caller's mistake it stands for, by constraint name."""

from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.domain.errors import Conflict, InvalidRequest

# constraint -> (code, message, param)
DUPLICATES: Final = {
    "uq_customers_external_id": (
        "external_id_taken",
        "Another customer already has this external_id.",
        "external_id",
    ),
    "uq_subscriptions_external_id": (
        "external_id_taken",
        "Another subscription already has this external_id.",
        "external_id",
    ),
    "uq_plans_code": ("code_taken", "Another plan already has this code.", "code"),
    "uq_features_key": ("key_taken", "Another feature already has this key.", "key"),
    "uq_prices_lookup_key": (
        "lookup_key_taken",
        "Another price already has this lookup_key.",
        "lookup_key",
    ),
    "uq_meters_event_name": (
        "event_name_taken",
        "Another active meter already takes events of this event_name.",
        "event_name",
    ),
    "uq_customer_tax_ids_value": (
        "tax_id_taken",
        "The customer already has this tax id.",
        "value",
    ),
    "uq_coupons_code": ("code_taken", "Another coupon already has this code.", "code"),
    "uq_dunning_policies_code": (
        "code_taken",
        "Another dunning policy already has this code.",
        "code",
    ),
    "uq_dunning_policies_segment": (
        "segment_taken",
        "Another dunning policy is for this segment already.",
        "segment",
    ),
    "uq_dunning_policies_default": (
        "lock_timeout",
        "Another request is choosing the default policy; try again.",
        None,
    ),
    "uq_promotion_codes_code": (
        "code_taken",
        "Another active promotion code already has this code.",
        "code",
    ),
    "uq_invoices_cycle": (
        "period_already_billed",
        "This period of the subscription already has an invoice.",
        None,
    ),
    "uq_document_settings_version": (
        "lock_timeout",
        "Another request is changing the same object; try again.",
        None,
    ),
    "uq_gateway_accounts_default": (
        "lock_timeout",
        "Another request is choosing the default gateway account; try again.",
        None,
    ),
    "uq_payments_reference": (
        "payment_reference_taken",
        "A payment with this reference is recorded already.",
        "reference",
    ),
    "uq_payment_attempts_in_flight": (
        "payment_in_flight",
        "A payment of this invoice is in flight or its outcome is not known yet.",
        None,
    ),
}


class Refused(Exception):
    """The database refused what we wrote: a constraint, a guard or a value out of range."""


def is_unreachable(error: BaseException) -> bool:
    """Whether the database could not be asked, or broke off: the same may work a moment later."""
    match error:
        case OSError() | PoolTimeoutError() | asyncpg.PostgresConnectionError():
            return True
        case asyncpg.OperatorInterventionError() | asyncpg.TooManyConnectionsError():
            return True  # shutting down, starting up, canceled after statement_timeout, full
        case asyncpg.InterfaceError():
            return not isinstance(error, ValueError)  # that would be a wrong argument of ours
        case DBAPIError():
            return error.connection_invalidated
        case _:
            return False


def translate(error: BaseException) -> BaseException:
    """The BillingError that `error` stands for, or `error` itself where it is ours to mend."""
    match error:
        case asyncpg.UniqueViolationError() if error.constraint_name in DUPLICATES:
            code, message, param = DUPLICATES[error.constraint_name]
            return Conflict(message, code=code, param=param)
        case asyncpg.ForeignKeyViolationError():
            column = (error.detail or "").partition("(")[2].partition(")")[0].split(", ")[-1]
            return InvalidRequest(
                "It refers to something that does not exist.",
                code="reference_not_found",
                param=column or None,
            )
        case (
            asyncpg.LockNotAvailableError()
            | asyncpg.DeadlockDetectedError()
            | asyncpg.SerializationError()
        ):
            return Conflict(
                "Another request is changing the same object; try again.", code="lock_timeout"
            )
        case (
            asyncpg.IntegrityConstraintViolationError() | asyncpg.DataError() | asyncpg.RaiseError()
        ):
            return Refused(str(error))
        case _:
            return error
