"""Two books side by side: every seeded difference is found as what it is, and none besides."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest

from app.domain.payment import AttemptStatus
from app.domain.reconciling import (
    CAUSES,
    REPAIRS,
    Books,
    Difference,
    Ended,
    Kind,
    OurCharge,
    OurRefund,
    Theirs,
    compare,
)
from app.domain.refund import Status as RefundStatus

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=1)


def agreeing(random: Random, charges: int, refunds: int) -> Books:
    """Books that say the same, with what is still under way on either side."""
    ours, theirs, back_here, back_there = [], [], [], []
    for n in range(charges):
        at = START + timedelta(seconds=random.randrange(80_000))
        amount, currency = random.randint(1, 9_999), random.choice(("EUR", "JPY", "KWD"))
        fee = random.choice((None, 3))
        status, ended = random.choice(
            (
                (AttemptStatus.SUCCEEDED, Ended.SUCCEEDED),
                (AttemptStatus.FAILED, Ended.NOT),
                (AttemptStatus.PROCESSING, Ended.OPEN),
                (AttemptStatus.CANCELED, None),
            )
        )
        knows = status is AttemptStatus.SUCCEEDED
        ours.append(
            OurCharge(
                UUID(int=n + 1),
                UUID(int=10_000 + n),
                status,
                amount,
                currency,
                f"ours{n}",
                f"ch{n}" if knows else None,
                at,
                fee,
            )
        )
        if ended is not None:
            named = random.choice((f"ours{n}", None)) if knows else f"ours{n}"
            theirs.append(Theirs(f"ch{n}", ended, amount, currency, at, named, None, fee))
    paid = [charge for charge in ours if charge.status is AttemptStatus.SUCCEEDED]
    for n, charge in enumerate(random.sample(paid, min(refunds, len(paid)))):
        back_here.append(
            OurRefund(
                UUID(int=50_000 + n),
                charge.payment_id,
                RefundStatus.SUCCEEDED,
                charge.amount,
                charge.currency,
                f"back{n}",
                f"re{n}",
                charge.created_at,
            )
        )
        back_there.append(
            Theirs(
                f"re{n}",
                Ended.SUCCEEDED,
                charge.amount,
                charge.currency,
                charge.created_at,
                f"back{n}",
                charge.gateway_reference,
            )
        )
    random.shuffle(theirs)
    return Books(START, END, ours, back_here, theirs, back_there)


def paid(books: Books, random: Random) -> OurCharge:
    """A payment that both books have, and that was not touched yet."""
    there = {t.reference: t for t in books.charges_there}
    return random.choice(
        [
            c
            for c in books.charges
            if c.status is AttemptStatus.SUCCEEDED
            and c.gateway_reference in there
            and there[c.gateway_reference].ended is Ended.SUCCEEDED
            and there[c.gateway_reference].amount == c.amount
            and there[c.gateway_reference].fee == c.fee
            and not any(r.payment_id == c.payment_id for r in books.refunds)
            and not any(
                t.our_reference == c.reference and t.reference != c.gateway_reference
                for t in books.charges_there
            )
        ]
    )


def changed(books: Books, charge: OurCharge, **other: object) -> Books:
    return replace(
        books,
        charges_there=[
            replace(t, **other) if t.reference == charge.gateway_reference else t  # type: ignore[arg-type]
            for t in books.charges_there
        ],
    )


def ours(books: Books, charge: OurCharge, **other: object) -> Books:
    return replace(
        books,
        charges=[
            replace(c, **other) if c.id == charge.id else c  # type: ignore[arg-type]
            for c in books.charges
        ],
    )


def unknown_here(books: Books, random: Random) -> tuple[Books, set[str]]:
    n = random.randrange(10**9)
    new = Theirs(f"orphan{n}", Ended.SUCCEEDED, 77, "EUR", START)
    return replace(books, charges_there=[*books.charges_there, new]), {
        f"charge_unknown_here:orphan{n}"
    }


def twice(books: Books, random: Random) -> tuple[Books, set[str]]:
    charge, n = paid(books, random), random.randrange(10**9)
    money = charge.amount, charge.currency
    new = Theirs(f"again{n}", Ended.SUCCEEDED, *money, END, charge.reference)
    return replace(books, charges_there=[*books.charges_there, new]), {f"charged_twice:again{n}"}


def after_closing(books: Books, random: Random) -> tuple[Books, set[str]]:
    charge = paid(books, random)
    named = changed(books, charge, our_reference=charge.reference)
    closed = ours(named, charge, status=AttemptStatus.CANCELED, gateway_reference=None)
    return closed, {f"charge_after_closing:{charge.gateway_reference}"}


def not_settled(books: Books, random: Random) -> tuple[Books, set[str]]:
    charge = paid(books, random)
    open_ = ours(books, charge, status=AttemptStatus.UNKNOWN)
    return open_, {f"charge_not_settled_here:{charge.gateway_reference}"}


def missing_there(books: Books, random: Random) -> tuple[Books, set[str]]:
    charge = paid(books, random)
    rest = [t for t in books.charges_there if t.reference != charge.gateway_reference]
    return replace(books, charges_there=rest), {f"charge_missing_there:{charge.gateway_reference}"}


def undone_there(books: Books, random: Random) -> tuple[Books, set[str]]:
    charge = paid(books, random)
    return changed(books, charge, ended=Ended.NOT), {
        f"charge_undone_there:{charge.gateway_reference}"
    }


def amount(books: Books, random: Random) -> tuple[Books, set[str]]:
    charge = paid(books, random)
    return changed(books, charge, amount=charge.amount + 1), {
        f"charge_amount_differs:{charge.gateway_reference}"
    }


def fee(books: Books, random: Random) -> tuple[Books, set[str]]:
    charge = paid(books, random)
    return changed(books, charge, fee=(charge.fee or 0) + 1), {
        f"fee_differs:{charge.gateway_reference}"
    }


def refunded_there(books: Books, random: Random) -> tuple[Books, set[str]]:
    charge, n = paid(books, random), random.randrange(10**9)
    new = Theirs(
        f"back{n}", Ended.SUCCEEDED, 1, charge.currency, END, None, charge.gateway_reference
    )
    return replace(books, refunds_there=[*books.refunds_there, new]), {
        f"refund_unknown_here:back{n}"
    }


def refunded_twice(books: Books, random: Random) -> tuple[Books, set[str]]:
    """Money went back a second time under the same reference of ours."""
    named = [t for t in books.refunds_there if t.our_reference is not None]
    if not named:
        return books, set()
    n = random.randrange(10**9)
    new = replace(random.choice(named), reference=f"again{n}")
    return replace(books, refunds_there=[*books.refunds_there, new]), {
        f"refund_unknown_here:again{n}"
    }


SEEDS: tuple[Callable[[Books, Random], tuple[Books, set[str]]], ...] = (
    *(unknown_here, twice, after_closing, not_settled, missing_there, undone_there),
    *(amount, fee, refunded_there, refunded_twice),
)


@pytest.mark.parametrize("seed", range(200))
def test_every_seeded_difference_is_found_and_no_other(seed: int) -> None:
    random = Random(seed)
    books = agreeing(random, random.randint(100, 160), random.randint(0, 10))
    assert compare(books) == []
    expected: set[str] = set()
    for _ in range(random.randint(1, 8)):
        books, new = random.choice(SEEDS)(books, random)
        expected |= new
    assert {difference.key for difference in compare(books)} == expected


def refund(status: RefundStatus, ended: Ended, amount_there: int = 100) -> list[Difference]:
    here = OurRefund(
        UUID(int=1), UUID(int=2), status, 100, "EUR", "back", "re_1", START + timedelta(hours=1)
    )
    there = Theirs("re_1", ended, amount_there, "EUR", START, "back", "ch_1")
    return compare(Books(START, END, refunds=[here], refunds_there=[there]))


@pytest.mark.parametrize(
    ("status", "ended", "amount_there", "kind"),
    [
        (RefundStatus.SUCCEEDED, Ended.SUCCEEDED, 100, None),
        (RefundStatus.SUCCEEDED, Ended.SUCCEEDED, 99, Kind.REFUND_AMOUNT_DIFFERS),
        (RefundStatus.SUCCEEDED, Ended.NOT, 100, Kind.REFUND_UNDONE_THERE),
        (RefundStatus.SUCCEEDED, Ended.OPEN, 100, None),
        (RefundStatus.UNKNOWN, Ended.SUCCEEDED, 100, Kind.REFUND_NOT_SETTLED_HERE),
        (RefundStatus.PROCESSING, Ended.NOT, 100, Kind.REFUND_NOT_SETTLED_HERE),
        (RefundStatus.PROCESSING, Ended.OPEN, 100, None),
        (RefundStatus.FAILED, Ended.SUCCEEDED, 100, Kind.REFUND_AFTER_CLOSING),
        (RefundStatus.FAILED, Ended.NOT, 100, None),
    ],
)
def test_refunds_are_compared_in_every_state(
    status: RefundStatus, ended: Ended, amount_there: int, kind: Kind | None
) -> None:
    found = refund(status, ended, amount_there)
    assert [difference.kind for difference in found] == ([] if kind is None else [kind])


def test_what_lies_outside_the_window_need_not_be_on_the_list() -> None:
    charge = OurCharge(
        UUID(int=1), UUID(int=2), AttemptStatus.SUCCEEDED, 1, "EUR", "a", "ch", END, None
    )
    assert compare(Books(START, END, charges=[charge])) == []


def test_every_kind_has_a_cause_and_says_what_mends_it() -> None:
    assert set(CAUSES) == set(REPAIRS) == set(Kind)
