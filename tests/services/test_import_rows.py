"""Rows of an import, read or refused: each cell has a meaning, and each refusal a reason."""

import csv
import io
from datetime import UTC, datetime

import pytest

from app.domain.calendar import Interval, Unit
from app.domain.errors import InvalidRequest
from app.domain.invoice import Collection
from app.domain.pricing import SCALE
from app.services.import_rows import Broken, Wanted, header, holds_card_number, parse

GOOD = {
    "customer_external_id": "ada",
    "subscription_external_id": "ada-pro",
    "plan": "pro",
    "unit_amount": "29.85",
    "currency": "EUR",
    "started_at": "2026-01-31T09:00:00Z",
}


def read(**cells: str) -> Wanted | Broken:
    row = GOOD | cells
    return parse(header(list(row)), 7, list(row.values()))


def codes(**cells: str) -> list[tuple[str, str]]:
    """(column, code) of every fault of the good row with these cells."""
    row = read(**cells)
    assert isinstance(row, Broken), row
    assert row.number == 7
    return [(fault.column, fault.code) for fault in row.faults]


def test_a_short_row_means_one_unit_a_month_charged_automatically():
    row = read()
    assert isinstance(row, Wanted)
    assert row.price.interval == Interval(Unit.MONTH)
    assert row.price.unit_amount_scaled == 2985 * SCALE
    assert (row.quantity, row.net_days, row.method) == (1, 0, None)
    assert row.collection is Collection.CHARGE_AUTOMATICALLY
    assert row.started_at == datetime(2026, 1, 31, 9, tzinfo=UTC)


def test_a_full_row_is_read_to_the_last_cell():
    row = read(
        email="ada@example.com",
        name="Ada, Countess",
        country="GB",
        time_zone="Europe/Berlin",
        interval="week",
        interval_count="2",
        quantity="3",
        started_at="2026-07-01T00:00",
        trial_end="2026-07-15",
        cancel_at="2027-01-01T00:00:00+02:00",
        cancel_at_period_end="true",
        collection_method="send_invoice",
        net_days="30",
        payment_token="pm_sim_ok_ada",
        payment_brand="visa",
        payment_last4="0042",
        payment_exp_month="09",
        payment_exp_year="2031",
        coupon="WELCOME",
        **{"metadata.team": "blue"},
    )
    assert isinstance(row, Wanted)
    assert row.price.interval == Interval(Unit.WEEK, 2)
    # Without an offset the customer's own clocks are meant: Berlin is at +02:00 in July.
    assert row.started_at == datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert row.trial_end == datetime(2026, 7, 14, 22, tzinfo=UTC)
    assert row.cancel_at == datetime(2026, 12, 31, 22, tzinfo=UTC)
    assert row.cancel_at_period_end
    assert row.method is not None
    assert (row.method.last_four, row.method.expiry_month) == ("0042", 9)
    assert row.metadata == {"team": "blue"}


@pytest.mark.parametrize(
    ("amount", "currency", "scaled"),
    [
        ("1500", "JPY", 1500 * SCALE),
        ("1.234", "KWD", 1234 * SCALE),
        ("0.000125", "EUR", SCALE * 125 // 10_000),
        ("0", "EUR", 0),
    ],
)
def test_amounts_are_major_units_of_their_currency(amount, currency, scaled):
    row = read(unit_amount=amount, currency=currency)
    assert isinstance(row, Wanted)
    assert row.price.unit_amount_scaled == scaled


@pytest.mark.parametrize(
    ("column", "cell", "code"),
    [
        ("customer_external_id", "", "missing"),
        ("started_at", "", "missing"),
        ("started_at", "31.1.2026", "invalid_instant"),
        ("started_at", "1999-01-01", "out_of_range"),
        ("trial_end", "0001-01-01T00:00+14:00", "out_of_range"),
        ("unit_amount", "1e5", "invalid_decimal"),
        ("unit_amount", "-1", "negative_amount"),
        ("unit_amount", "99999999999999", "too_large"),
        ("unit_amount", "12,50", "invalid_decimal"),
        ("unit_amount", "", "missing"),
        ("currency", "EURO", "unknown_currency"),
        ("currency", "eur", "unknown_currency"),
        ("interval", "fortnight", "invalid_value"),
        ("interval_count", "0", "invalid_value"),
        ("quantity", "-1", "invalid_value"),
        ("quantity", "²", "invalid_value"),
        ("country", "Germany", "invalid_value"),
        ("time_zone", "Mars/Base", "unknown_time_zone"),
        ("email", "not an address", "invalid_value"),
        ("cancel_at_period_end", "yes", "invalid_value"),
        ("collection_method", "cash", "invalid_value"),
        ("net_days", "366", "invalid_value"),
        ("payment_last4", "42", "invalid_value"),
        ("payment_brand", "visa", "missing"),
        ("plan", "no spaces please", "invalid_value"),
        ("lookup_key", "pro-monthly", "ambiguous_price"),
        ("name", "n" * 201, "too_long"),
        ("metadata.note", "n" * 501, "too_long"),
        ("metadata.note", "a\x00b", "control_character"),
        ("metadata.note", "caf\udce9", "not_utf8"),
        ("payment_token", "4111 1111 1111 1111", "card_number"),
        ("metadata.note", "card 4242-4242-4242-4242, 12/30", "card_number"),
    ],
)
def test_a_cell_that_cannot_be_is_refused_with_its_column(column, cell, code):
    [(where, why)] = codes(**{column: cell})
    assert why == code
    assert where == (column if code != "ambiguous_price" else "unit_amount")


def test_every_fault_of_a_row_is_told_at_once():
    assert codes(country="X", quantity="many") == [
        ("country", "invalid_value"),
        ("quantity", "invalid_value"),
    ]


def test_a_row_of_the_wrong_length_is_refused_whole():
    row = parse(header(list(GOOD)), 2, ["only", "two"])
    assert isinstance(row, Broken)
    assert row.faults[0].code == "wrong_number_of_cells"


def test_no_refusal_repeats_a_card_number():
    row = read(quantity="4111111111111111")
    assert isinstance(row, Broken)
    assert "4111" not in "".join(fault.message for fault in row.faults)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("4111111111111111", True),
        ("2026-01-01 4111 1111 1111 1111", True),  # the date joins the digits, and changes nothing
        ("4111 1111 1111 1111 12/30", True),
        ("tok_378282246310005", True),
        ("4111111111111112", False),
        ("0000000000000000", False),
        ("2026-01-01 00:00:00", False),
        ("01a20b18-42d8-7627-a798-18f012844a0a", False),
    ],
)
def test_card_numbers_are_known_by_their_check_digit(text, held):
    assert holds_card_number(text) is held


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["customer_external_id", "subscription_external_id", "started_at", "shoe_size"], "shoe"),
        (["customer_external_id", "subscription_external_id"], "started_at"),
        ([*GOOD, "plan"], "twice"),
        ([*GOOD, "metadata."], "metadata"),
        ([*GOOD, *(f"metadata.{n}" for n in range(51))], "metadata"),
    ],
)
def test_a_first_row_that_cannot_be_right_ends_the_import(columns, said):
    with pytest.raises(InvalidRequest, match=said):
        header(columns)


def test_columns_may_stand_in_any_order():
    file = io.StringIO("started_at,customer_external_id,subscription_external_id,lookup_key\n")
    columns = header(next(csv.reader(file)))
    row = parse(columns, 2, ["2026-01-01", "a", "b", "pro-monthly"])
    assert isinstance(row, Wanted)
    assert row.price.lookup_key == "pro-monthly"
