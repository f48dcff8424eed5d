"""Writes a migration from the metadata: `make migration NAME=why` and `make migration-refresh`.

The first writes the next revision; the second writes the newest one anew, as long as no release
has it. Both try it, up, down and up again, on a PostgreSQL server of their own, and write nothing
unless it leads exactly from the schema before to the one that `app/db/tables` describes. What is
written by hand stands beside it, in `migrations/NAME_guards.py`, and is never overwritten.
"""

import ast
import asyncio
import importlib
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import alembic.config
from alembic import command
from alembic.autogenerate import render_python_code
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, pool
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.db.tables import metadata
from app.embedded import Embedded, EmbeddedError
from migrations import operations, schema
from migrations.schema import Schema

HERE: Final = Path(__file__).parent
VERSIONS: Final = HERE / "versions"
NAME: Final = re.compile(r"[a-z][a-z0-9_]{2,40}")
USAGE: Final = "Usage: python -m migrations.autogenerate NAME | --refresh"

GUARDS: Final = '''"""What tables alone cannot say in revision {revision}, {words}: written by hand."""

from collections.abc import Iterator, Sequence
from typing import Final

from migrations import guards

APPEND_ONLY: Final[tuple[str, ...]] = ()
"""Tables of this revision whose rows never change: no UPDATE granted, and a trigger refuses."""

DELETABLE: Final[tuple[str, ...]] = ()
"""Tables from which rows may be deleted from this revision on."""

UPGRADE: Final[tuple[str, ...]] = ()
"""Functions and triggers, once the tables are as the revision wants them."""

DOWNGRADE: Final[tuple[str, ...]] = ()
"""What takes `UPGRADE` back, once the tables are as they were before. CREATE OR REPLACE restores a
changed function; the triggers of dropped tables are gone by then.
"""


def upgrade(tables: Sequence[str]) -> Iterator[str]:
    """The statements to run once `tables`, the new ones, exist and the others are changed."""
    yield from guards.protect(tables, append_only=APPEND_ONLY, deletable=DELETABLE)
    yield from UPGRADE


def downgrade() -> Iterator[str]:
    """The statements to run once the tables are as they were."""
    yield from DOWNGRADE
'''

REVISION: Final = '''"""{title}"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations import {name}_guards

revision = "{revision}"
down_revision = "{previous}"
branch_labels = None
depends_on = None

TABLES = {tables!r}


def upgrade() -> None:
    {upgrade}
    for statement in {name}_guards.upgrade(TABLES):
        op.execute(statement)


def downgrade() -> None:
    {downgrade}
    for statement in {name}_guards.downgrade():
        op.execute(statement)
'''


class Refused(Exception):
    """No migration was written; the message says why."""


class Target(NamedTuple):
    """The revision to write."""

    revision: str
    previous: str
    name: str

    @property
    def path(self) -> Path:
        return VERSIONS / f"{self.revision}_{self.name}.py"

    @property
    def guards(self) -> Path:
        return HERE / f"{self.name}_guards.py"


def main(arguments: list[str]) -> int:
    """Write one revision and say so in one line; 1 with the reason on stderr if there is none."""
    if len(arguments) != 1 or not arguments[0]:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        target = _newest() if arguments[0] == "--refresh" else _next(arguments[0])
        with _guards(target), tempfile.TemporaryDirectory(prefix="perennial-migration-") as root:
            with Embedded(Path(root)) as embedded:
                embedded.start_postgres(durable=False, settings={"shared_buffers": "64MB"})
                upgrade, text = _generate(target, embedded, Path(root))
            _replace(target.path, text)
    except (Refused, operations.Unwritable, EmbeddedError) as refused:
        print(f"No migration written. {refused}", file=sys.stderr)
        return 1
    except DBAPIError as refused:
        statement = textwrap.indent(str(refused.statement).strip(), "  ")
        print(f"No migration written. {refused.orig}, in:\n{statement}", file=sys.stderr)
        return 1
    print(f"{target.path.relative_to(HERE.parent)}: {_summary(upgrade)}")
    return 0


@contextmanager
def _guards(target: Target) -> Iterator[None]:
    """The module of what is by hand is there, from now on if the migration comes to be."""
    if target.guards.exists():
        yield
        return
    words = target.name.replace("_", " ")
    target.guards.write_text(GUARDS.format(revision=target.revision, words=words))
    importlib.invalidate_caches()
    try:
        yield
    except BaseException:
        target.guards.unlink()
        raise


def _replace(path: Path, text: str) -> None:
    """All or nothing: who reads at the same time sees the old file or the new one."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def _next(name: str) -> Target:
    if not NAME.fullmatch(name):
        raise Refused(f"{name!r} is no name: lower case, digits and underscores.")
    previous = _head()
    return Target(f"{int(previous) + 1:04}", previous, name)


def _newest() -> Target:
    script = ScriptDirectory.from_config(_config()).get_revision(_head())
    if not isinstance(script.down_revision, str):
        raise Refused("The first revision is written; make migration NAME=why begins the next.")
    target = Target(script.revision, script.down_revision, Path(script.path).stem.partition("_")[2])
    released = _git("tag", "--contains", _git("log", "-1", "--format=%H", "--", str(target.path)))
    if released:
        raise Refused(
            f"Revision {target.revision} is part of {', '.join(released.split())}: "
            "make migration NAME=why begins the next."
        )
    return target


def _head() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def _git(*words: str) -> str:
    """What git answers; nothing where there is no git, or no such commit or tag."""
    if not shutil.which("git") or "" in words:
        return ""
    done = subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _generate(target: Target, embedded: Embedded, root: Path) -> tuple[ops.UpgradeOps, str]:
    """The operations and the text of the revision, which was tried."""
    before_url = embedded.create_database("before")
    wanted_url = embedded.create_database("wanted")
    trial = root / "versions"
    trial.mkdir()
    for path in VERSIONS.glob("[0-9]*.py"):
        if path != target.path:
            shutil.copy(path, trial)
    command.upgrade(_config(before_url, trial), target.previous)
    before = asyncio.run(schema.read(before_url))
    wanted = asyncio.run(_build(wanted_url))
    upgrade, text = asyncio.run(_compare(before_url, target, before, wanted))
    (trial / target.path.name).write_text(text)
    _try(_config(before_url, trial), before_url, target, before, wanted)
    return upgrade, text


def _config(url: str | None = None, versions: Path = VERSIONS) -> alembic.config.Config:
    config = alembic.config.Config(HERE.parent / "alembic.ini")
    config.attributes["url"] = url
    config.set_main_option("version_locations", str(versions).replace("%", "%%"))
    return config


def _engine(url: str) -> AsyncEngine:
    return create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"), poolclass=pool.NullPool
    )


async def _build(url: str) -> dict[schema.Part, str]:
    engine = _engine(url)
    async with engine.begin() as connection:
        await schema.build(connection)
    await engine.dispose()
    return schema.from_tables(await schema.read(url))


async def _compare(
    url: str, target: Target, before: Schema, wanted: Schema
) -> tuple[ops.UpgradeOps, str]:
    def compare(connection: Connection) -> tuple[ops.UpgradeOps, str]:
        context = MigrationContext.configure(
            connection, opts={"target_metadata": metadata, "compare_type": True}
        )
        upgrade = operations.between(context, metadata, before, wanted)
        return upgrade, _render(target, context, upgrade)

    engine = _engine(url)
    async with engine.connect() as connection:
        result = await connection.run_sync(compare)
    await engine.dispose()
    return result


def _render(target: Target, context: MigrationContext, upgrade: ops.UpgradeOps) -> str:
    def code(found: ops.UpgradeOps | ops.DowngradeOps) -> str:
        if not found.ops:
            return ""
        return render_python_code(found, migration_context=context)

    words = target.name.replace("_", " ").capitalize()
    title = f"{words}: generated from app/db/tables; what is by hand: {target.guards.name}."
    if target.path.exists():
        title = ast.get_docstring(ast.parse(target.path.read_text())) or title
    text = REVISION.format(
        **target._asdict(),
        title=title,
        tables=operations.new_tables(upgrade),
        upgrade=code(upgrade),
        downgrade=code(upgrade.reverse()),
    )
    text = re.sub(r"^ *# ### .*\n", "", text, flags=re.MULTILINE)
    text = _ruff(target, text, "check", "--fix-only", "--exit-zero")
    return _ruff(target, text, "format")


def _ruff(target: Target, text: str, *words: str) -> str:
    command_line = [sys.executable, "-m", "ruff", *words, "--stdin-filename", str(target.path), "-"]
    done = subprocess.run(command_line, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"ruff {words[0]} does not accept it: {done.stderr.strip()}")
    return done.stdout


def _try(
    config: alembic.config.Config, url: str, target: Target, before: Schema, wanted: Schema
) -> None:
    """Up, down and up again. Raises Refused with the differences."""
    for _ in range(2):
        command.upgrade(config, target.revision)
        found = asyncio.run(schema.read(url))
        _refuse("leads elsewhere", schema.differences(schema.from_tables(found), wanted))
        command.downgrade(config, target.previous)
        found = asyncio.run(schema.read(url))
        _refuse("does not lead back", schema.differences(found, before))


def _refuse(what: str, differences: list[str]) -> None:
    if differences:
        raise Refused("\n  ".join([f"What would be written {what}:", *differences]))


def _summary(upgrade: ops.UpgradeOps) -> str:
    def counted(found: list[ops.MigrateOperation]) -> Iterator[ops.MigrateOperation]:
        for op in found:
            yield from counted(op.ops) if isinstance(op, ops.OpContainer) else [op]

    every = list(counted(upgrade.ops))
    tables = sum(isinstance(op, ops.CreateTableOp) for op in every)
    columns = sum(isinstance(op, ops.AddColumnOp) for op in every)
    return (
        f"{tables} new tables, {columns} new columns, {len(every) - tables - columns} other changes"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
