"""Identifiers: the TypeID specification's own examples, and back again for any."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ids import InvalidId, new_id, parse, show

# From the specification's valid.yml (version 0.3).
SPECIFIED = {
    "prefix_00000000000000000000000000": "00000000-0000-0000-0000-000000000000",
    "prefix_00000000000000000000000001": "00000000-0000-0000-0000-000000000001",
    "prefix_0000000000000000000000000a": "00000000-0000-0000-0000-00000000000a",
    "prefix_0000000000000000000000000g": "00000000-0000-0000-0000-000000000010",
    "prefix_00000000000000000000000010": "00000000-0000-0000-0000-000000000020",
    "prefix_7zzzzzzzzzzzzzzzzzzzzzzzzz": "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "prefix_0123456789abcdefghjkmnpqrs": "0110c853-1d09-52d8-d73e-1194e95b5f19",
    "prefix_01h455vb4pex5vsknk084sn02q": "01890a5d-ac96-774b-bcce-b302099a8057",
}


@pytest.mark.parametrize("text", SPECIFIED)
def test_the_specifications_examples(text: str) -> None:
    assert show("prefix", UUID(SPECIFIED[text])) == text
    assert parse("prefix", text) == UUID(SPECIFIED[text])


@given(st.uuids())
def test_what_is_shown_is_read_back(id: UUID) -> None:
    assert parse("cus", show("cus", id)) == id


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        assert show("cus", parse("cus", text)) == text
    except InvalidId:
        assert True


def test_identifiers_sort_as_they_were_made() -> None:
    made = [show("cus", new_id()) for _ in range(1_000)]
    assert made == sorted(made)
