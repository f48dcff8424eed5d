"""Programs run side by side, restart, and stop in good order."""

import fcntl
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.embedded import die_with_parent

SUPERVISOR = """
import sys
from app.cli.supervise import Program, run
sys.exit(run([{programs}]))
"""
STEADY = """
import signal, sys, time
def finish(*_):
    print("finished", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, finish)
print("ready", flush=True)
while True:
    signal.pause()
"""
STUBBORN = """
import signal
signal.signal(signal.SIGTERM, lambda *_: print("no", flush=True))
print("ready", flush=True)
while True:
    signal.pause()
"""


def program(name: str, code: str, **options: object) -> str:
    extra = "".join(f", {key}={value!r}" for key, value in options.items())
    return f"Program({name!r}, [sys.executable, '-c', {textwrap.dedent(code)!r}]{extra})"


@contextmanager
def supervising(*programs: str) -> Iterator[subprocess.Popen[str]]:
    script = SUPERVISOR.format(programs=", ".join(programs))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as supervisor:
        try:
            yield supervisor
        finally:
            supervisor.kill()


def until(supervisor: subprocess.Popen[str], *lines: str) -> list[str]:
    """Read until all of `lines` have been printed; pytest's time-out is the deadline."""
    assert supervisor.stdout is not None
    seen: list[str] = []
    while not set(lines) <= set(seen):
        line = supervisor.stdout.readline()
        assert line, f"ended after {seen}"
        seen.append(line.rstrip("\n"))
    return seen


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_every_program_finish_and_is_no_failure(asked: signal.Signals) -> None:
    with supervising(program("a", STEADY), program("long", STEADY)) as supervisor:
        until(supervisor, "a    | ready", "long | ready")
        supervisor.send_signal(asked)
        until(supervisor, "a    | finished", "long | finished")
        assert supervisor.wait() == 0


def test_the_end_of_one_program_ends_all_with_its_code() -> None:
    with supervising(
        program("broken", "raise SystemExit(7)"), program("steady", STEADY)
    ) as supervisor:
        assert supervisor.wait() == 7


def test_a_program_that_restarts_is_started_again() -> None:
    code = "print('up', flush=True); raise SystemExit(3)"
    with supervising(program("worker", code, restarts=True)) as supervisor:
        until(supervisor, "up", "ended with code 3; starts again in 0.5 s")
        until(supervisor, "up", "ended with code 3; starts again in 1 s")
        supervisor.terminate()
        assert supervisor.wait() == 0


def test_a_second_signal_kills_what_does_not_finish() -> None:
    with supervising(program("stubborn", STUBBORN)) as supervisor:
        until(supervisor, "ready")
        supervisor.terminate()
        until(supervisor, "no")
        supervisor.terminate()
        assert supervisor.wait() == 0


def test_no_program_survives_a_killed_supervisor_where_the_system_can_do_it(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    hold = f"import fcntl; held = open({str(lock)!r}, 'w'); fcntl.flock(held, fcntl.LOCK_EX)"
    with supervising(program("steady", hold + STEADY)) as supervisor:
        until(supervisor, "ready")
        supervisor.kill()
        if die_with_parent(signal.SIGTERM):
            with lock.open() as waiting:
                fcntl.flock(waiting, fcntl.LOCK_EX)  # given when the holder is dead


def test_a_line_without_end_is_passed_on_in_pieces() -> None:
    with supervising(program("wordy", "print('x' * 200_000)")) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.read().count("x") == 200_000
