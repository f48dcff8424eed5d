"""Whether this process can do its work."""

from app.runtime import Runtime


async def check(rt: Runtime) -> None:
    """Ask the database for an answer; raises whatever keeps it from giving one."""
    async with rt.db.begin_system() as tx:
        assert await tx.fetchval("SELECT 1") == 1
