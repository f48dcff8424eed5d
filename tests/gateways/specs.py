"""Where the gateways' official fixtures and vectors lie: `PERENNIAL_SPECS`, else beside this one.

They are other people's files and no part of this repository; without them the tests that compare
with them say so and are not run.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("PERENNIAL_SPECS") or Path(__file__).parents[3] / "shared" / "specs")


def have(*parts: str) -> bool:
    return FOLDER.joinpath(*parts).exists()


def load(*parts: str) -> Any:
    """One file, as JSON; skips the test, loudly, where it is absent."""
    path = FOLDER.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"NOT CHECKED: {path} is absent; set PERENNIAL_SPECS to the specs' folder")
    return json.loads(path.read_text())
