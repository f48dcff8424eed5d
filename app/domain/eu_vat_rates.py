"""The standard VAT rates of the EU's member states, in force on 1 January 2026.

Source: Council Directive 2006/112/EC, article 96, as each state has set its rate; last changes
taken in: Finland 25.5 % (1 September 2024), Slovakia 23 % (1 January 2025), Estonia 24 % (1 July
2025), Romania 21 % (1 August 2025). Reduced rates and rates of regions are not in it.
"""

from collections.abc import Mapping
from datetime import date
from typing import Final

AS_OF: Final = date(2026, 1, 1)

STANDARD_PPM: Final[Mapping[str, int]] = {
    "AT": 200_000,
    "BE": 210_000,
    "BG": 200_000,
    "CY": 190_000,
    "CZ": 210_000,
    "DE": 190_000,
    "DK": 250_000,
    "EE": 240_000,
    "ES": 210_000,
    "FI": 255_000,
    "FR": 200_000,
    "GR": 240_000,
    "HR": 250_000,
    "HU": 270_000,
    "IE": 230_000,
    "IT": 220_000,
    "LT": 210_000,
    "LU": 170_000,
    "LV": 210_000,
    "MT": 180_000,
    "NL": 210_000,
    "PL": 230_000,
    "PT": 230_000,
    "RO": 210_000,
    "SE": 250_000,
    "SI": 220_000,
    "SK": 230_000,
}
"""In millionths, by ISO 3166-1."""
