"""Secrets at rest: only the right ring opens them, and only where they belong."""

import os
import subprocess
import sys
from base64 import b64decode, b64encode
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli import servers
from app.db.sealed import COLUMNS
from app.ids import new_id
from app.secrets import BadKeys, NoKeys, Place, Secrets, Unreadable, new_key, read_ring

OLD, NEW = new_key(), new_key()
HERE = Place(new_id(), new_id(), "webhook_endpoints.secret_ciphertext")


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_what_is_sealed_opens_again_and_shows_nothing(secret: str) -> None:
    ring = Secrets.parse(NEW)
    sealed = ring.seal(secret, HERE)
    assert ring.open(sealed, HERE) == secret
    assert sealed != ring.seal(secret, HERE), "equal secrets look different"
    if len(secret) > 3:
        assert secret not in sealed


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(HERE, merchant_id=new_id()),
        replace(HERE, row_id=new_id()),
        replace(HERE, field="webhook_endpoints.previous_secret_ciphertext"),
    ],
)
def test_a_sealed_secret_does_not_open_in_another_place(elsewhere: Place) -> None:
    ring = Secrets.parse(NEW)
    with pytest.raises(Unreadable):
        ring.open(ring.seal("hush", HERE), elsewhere)


def test_the_newest_key_seals_and_every_key_of_the_ring_opens() -> None:
    before = Secrets.parse(OLD).seal("hush", HERE)
    both = Secrets.parse(f"{NEW},{OLD}")
    assert both.open(before, HERE) == "hush"
    assert not both.is_newest(before)
    after = both.seal("hush", HERE)
    assert both.is_newest(after)
    assert Secrets.parse(NEW).open(after, HERE) == "hush"
    with pytest.raises(Unreadable, match="not in the ring"):
        Secrets.parse(NEW).open(before, HERE)


def test_a_changed_text_does_not_open_however_it_was_changed() -> None:
    ring = Secrets.parse(NEW)
    sealed = ring.seal("hush", HERE)
    mark, _, data = sealed.rpartition(".")
    raw = b64decode(data, altchars=b"-_")
    for place in range(len(raw)):
        bent = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises(Unreadable):
            ring.open(f"{mark}.{b64encode(bent, altchars=b'-_').decode()}", HERE)
    for other in ("", "hush", sealed[:-4], sealed + "AAAA", "s2" + sealed[2:], f"{mark}.é", mark):
        with pytest.raises(Unreadable):
            ring.open(other, HERE)


def test_without_keys_nothing_is_sealed_and_nothing_opens() -> None:
    for nothing in (None, "", " , "):
        ring = Secrets.parse(nothing)
        assert not ring.is_ready
        with pytest.raises(NoKeys):
            ring.seal("hush", HERE)
        with pytest.raises(Unreadable):
            ring.open(Secrets.parse(NEW).seal("hush", HERE), HERE)


@pytest.mark.parametrize(
    "bad",
    ["short", b64encode(b"x" * 31).decode(), f"{NEW};{OLD}", "é" * 44],
    ids=["short", "31 bytes", "two without a comma", "not ASCII"],
)
def test_a_ring_that_makes_no_sense_is_refused_without_being_shown(bad: str) -> None:
    with pytest.raises(BadKeys) as refused:
        Secrets.parse(f"{NEW} {bad}")
    assert bad not in str(refused.value)
    assert NEW not in str(refused.value)


def test_the_ring_comes_from_the_variable_or_from_a_file(tmp_path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{NEW}\n{OLD}\n")
    assert read_ring(None, file).open(Secrets.parse(OLD).seal("hush", HERE), HERE) == "hush"
    assert not read_ring(None, None).is_ready
    with pytest.raises(BadKeys, match="not both"):
        read_ring(NEW, file)
    with pytest.raises(BadKeys, match="cannot be read"):
        read_ring(None, tmp_path / "none")


def test_a_ring_shows_no_key() -> None:
    ring = Secrets.parse(NEW)
    assert NEW not in repr(ring) + str(ring) + repr(vars(ring))


def test_perennial_dev_keeps_a_key_of_its_own_for_the_owners_eyes(tmp_path) -> None:
    file = servers.key_file(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_ring(None, file).is_ready
    before = file.read_text()
    assert servers.key_file(tmp_path).read_text() == before


def test_the_command_makes_a_key_that_the_ring_takes() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "app.cli", "secrets", "key"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert Secrets.parse(made.stdout).is_ready


def test_every_sealed_column_is_known() -> None:
    assert {"webhook_endpoints.secret_ciphertext", "gateway_accounts.credentials_ciphertext"} <= {
        column.field for column in COLUMNS
    }
