"""The run over a real list, on a small invented one of the same form: every cent is billed."""

import csv
from decimal import Decimal
from pathlib import Path

import pytest

from bench.telco import bill
from bench.telco_convert import convert
from tests.simulator import start_simulator

PAYMENTS = (
    "Electronic check",
    "Mailed check",
    "Bank transfer (automatic)",
    "Credit card (automatic)",
)
CONTRACTS = ("Month-to-month", "One year", "Two year")


def write_list(path: Path) -> None:
    """Thirty-six subscribers of 0 to 4 months, charged 18.25, 20.80, 23.35, …"""
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(
            (
                *("customerID", "tenure", "Contract", "PaymentMethod", "InternetService"),
                *("MonthlyCharges", "Churn"),
            )
        )
        for n in range(36):
            charge = f"{Decimal('18.25') + n * Decimal('2.55')}"
            churned = "Yes" if n % 4 == 1 else "No"
            row = (f"{n:04d}-ABCDE", n % 5, CONTRACTS[n % 3], PAYMENTS[n % 4], "DSL")
            lines.writerow((*row, charge, churned))


async def test_a_list_is_billed_to_the_cent(
    tmp_path: Path,
    clean_database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    source = tmp_path / "list.csv"
    write_list(source)
    expected = convert(source, tmp_path / "converted.csv")
    # tenures 0 1 2 3 4, seven times over, and one 0 more: 7 times 10
    assert expected.invoices == 70
    with start_simulator(tmp_path) as simulator:
        monkeypatch.setenv("DATABASE_URL", clean_database)
        monkeypatch.setenv("PERENNIAL_SIMULATOR_URL", simulator.url)
        assert await bill(tmp_path, source, None, 50) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"telco invoices=70 total={expected.total} audit=clean"
