"""What a piece of work costs: how long it took, and CPU time on both sides of the connection."""

import resource
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

TICKS: Final = 100
"""Kernel ticks a second, in which /proc counts CPU time: 100 on every Linux of today."""


def server_seconds(pids: Iterable[int]) -> float:
    """CPU time so far of the server's processes that serve us; 0 where /proc does not tell."""
    spent = 0
    for pid in pids:
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists():
            fields = stat.read_text().rpartition(")")[2].split()
            spent += int(fields[11]) + int(fields[12])
    return spent / TICKS


def rss_mb() -> float:
    """What this process holds in memory at this moment; its most where /proc does not tell."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Meter:
    """Started when it is made; `read` says what has been spent since, as JSON can hold it."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._server = server_seconds(pids)
        self._python = time.process_time()
        self._start = time.perf_counter()

    def read(self) -> dict[str, float]:
        return {
            "seconds": time.perf_counter() - self._start,
            "python_seconds": time.process_time() - self._python,
            "server_seconds": server_seconds(self._pids) - self._server,
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


class Machine:
    """How busy the whole machine has been since this was made; on a quiet one figures mean most."""

    def __init__(self) -> None:
        self._busy, self._whole = _ticks()

    def elsewhere(self, ours: float) -> float:
        """The share of all CPU time that was spent, but not in our `ours` seconds."""
        busy, whole = _ticks()
        spent = (busy - self._busy) / TICKS - ours
        return max(0.0, spent / ((whole - self._whole) / TICKS)) if whole > self._whole else 0.0


def _ticks() -> tuple[int, int]:
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0, 0
    user, nice, system, idle, wait, *rest = map(int, stat.read_text().split("\n")[0].split()[1:9])
    busy = user + nice + system + sum(rest)
    return busy, busy + idle + wait
