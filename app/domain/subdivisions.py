"""States and provinces that addresses write out, by name: their codes in ISO 3166-2."""

from collections.abc import Mapping
from typing import Final


def _read(country: str, text: str) -> dict[str, str]:
    pairs = (line.strip().partition(" ") for line in text.strip().splitlines())
    return {name.upper(): f"{country}-{code}" for code, _, name in pairs}


CODES: Final[Mapping[str, Mapping[str, str]]] = {
    "AU": _read(
        "AU",
        """
        ACT Australian Capital Territory
        NSW New South Wales
        NT Northern Territory
        QLD Queensland
        SA South Australia
        TAS Tasmania
        VIC Victoria
        WA Western Australia
        """,
    ),
    "CA": _read(
        "CA",
        """
        AB Alberta
        BC British Columbia
        MB Manitoba
        NB New Brunswick
        NL Newfoundland and Labrador
        NS Nova Scotia
        NT Northwest Territories
        NU Nunavut
        ON Ontario
        PE Prince Edward Island
        QC Quebec
        QC Québec
        SK Saskatchewan
        YT Yukon
        """,
    ),
    "US": _read(
        "US",
        """
        AL Alabama
        AK Alaska
        AZ Arizona
        AR Arkansas
        CA California
        CO Colorado
        CT Connecticut
        DE Delaware
        DC District of Columbia
        FL Florida
        GA Georgia
        HI Hawaii
        ID Idaho
        IL Illinois
        IN Indiana
        IA Iowa
        KS Kansas
        KY Kentucky
        LA Louisiana
        ME Maine
        MD Maryland
        MA Massachusetts
        MI Michigan
        MN Minnesota
        MS Mississippi
        MO Missouri
        MT Montana
        NE Nebraska
        NV Nevada
        NH New Hampshire
        NJ New Jersey
        NM New Mexico
        NY New York
        NC North Carolina
        ND North Dakota
        OH Ohio
        OK Oklahoma
        OR Oregon
        PA Pennsylvania
        RI Rhode Island
        SC South Carolina
        SD South Dakota
        TN Tennessee
        TX Texas
        UT Utah
        VT Vermont
        VA Virginia
        WA Washington
        WV West Virginia
        WI Wisconsin
        WY Wyoming
        """,
    ),
}
