"""A new key joins the ring, everything is sealed anew, and the old one may leave."""

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from app.db import sealed
from app.db.sealed import Sealed
from app.db.tables import metadata
from app.domain.errors import Conflict
from app.ids import new_id
from app.secrets import Secrets, new_key
from app.services import sealing
from tests.world import START, World

pytestmark = pytest.mark.anyio
ROWS = 450
"""More than two chunks."""


def plain(row: Any) -> str:
    return f"secret of {row['id']}"


def also_set(column: Sealed) -> str:
    """What a previous secret needs beside it: until when it counts."""
    expires = column.column.replace(sealed.SUFFIX, "_expires_at")
    has_end = expires in metadata.tables[column.table].columns
    return f", {expires} = '2030-01-01Z'" if has_end else ""


async def fill(world: World) -> None:
    """Rows with a secret in every column there is for one."""
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        for number in range(ROWS):
            await tx.run(
                "INSERT INTO webhook_endpoints (merchant_id, id, url, event_types, "
                "secret_ciphertext, created_at) VALUES ($1, $2, $3, '{}', '', $4)",
                world.caller.merchant_id,
                new_id(),
                f"https://example.com/{number}",
                START,
            )
        for column in sealed.COLUMNS:
            for row in await tx.fetch(f"SELECT merchant_id, id FROM {column.table}"):
                text = world.rt.secrets.seal(plain(row), column.place(row))
                also = also_set(column)
                await tx.run(
                    f"UPDATE {column.table} SET {column.column} = $2{also} WHERE id = $1",
                    row["id"],
                    text,
                )


async def opened(world: World, ring: Secrets) -> int:
    """How many secrets the ring opens; each must be the row's own."""
    found = 0
    for column in sealed.COLUMNS:
        for row in await world.fetch(
            f"SELECT merchant_id, id, {column.column} AS text FROM {column.table}"
        ):
            assert ring.open(row["text"], column.place(row)) == plain(row)
            found += 1
    return found


async def test_everything_is_sealed_anew_in_chunks_and_told_on_the_way(world: World) -> None:
    await fill(world)
    everything = await sealing.count(world.rt)
    assert everything > 2 * ROWS
    key = new_key()
    before = world.rt.settings.secret_keys.get_secret_value()
    rt = replace(world.rt, secrets=Secrets.parse(f"{key},{before}"))
    told: list[int] = []
    done = await sealing.rotate(rt, lambda sofar: told.append(sofar.looked))
    assert (done.renewed, done.current, done.unreadable) == (everything, 0, ())
    assert told == sorted(told)
    assert len(told) > 4
    assert await opened(world, Secrets.parse(key)) == everything
    again = await sealing.rotate(rt)
    assert (again.renewed, again.current) == (0, everything)


async def test_what_no_key_opens_is_named_and_left_as_it_is(world: World) -> None:
    await fill(world)
    key = new_key()
    rt = replace(world.rt, secrets=Secrets.parse(key))
    done = await sealing.rotate(rt)
    assert (done.renewed, done.current) == (0, 0)
    assert len(done.unreadable) == await sealing.count(rt)
    assert await opened(world, world.rt.secrets) == len(done.unreadable)


async def test_without_keys_there_is_nothing_to_seal_with(world: World) -> None:
    rt = replace(world.rt, secrets=Secrets.parse(None))
    with pytest.raises(Conflict, match="key"):
        await sealing.rotate(rt)
    with pytest.raises(Conflict, match="PERENNIAL_SECRET_KEYS"):
        sealing.seal(rt, "hush", sealed.COLUMNS[0].place({"merchant_id": new_id(), "id": new_id()}))


async def test_the_command_rotates_and_says_what_it_did(world: World, clean_database: str) -> None:
    await fill(world)
    key = new_key()
    before = world.rt.settings.secret_keys.get_secret_value()

    def run(ring: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"DATABASE_URL": clean_database, "PERENNIAL_SECRET_KEYS": ring}
        command = [sys.executable, "-m", "app.cli", "secrets", "rotate"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    everything = await sealing.count(world.rt)
    done = run(f"{key},{before}")
    assert done.stdout == f"{everything} sealed anew, 0 were already, 0 do not open.\n"
    assert not done.returncode
    lost = run(new_key())
    assert lost.returncode == 1
    assert f"{everything} do not open." in lost.stdout
    assert "Does not open: gateway_accounts.credentials_ciphertext" in lost.stderr
    nothing = run("nonsense")
    assert nothing.returncode == 1
    assert "Key 1 of the ring" in nothing.stderr
