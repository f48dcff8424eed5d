"""The API's entry point: `uvicorn app.main:app`."""

from app import log
from app.api.application import Service
from app.api.application import create_app as assemble
from app.runtime import Runtime
from app.settings import settings


def create_app(runtime: Runtime) -> Service:
    """The application on a runtime that is open already; whoever opened it closes it."""
    return assemble(runtime.settings, runtime)


def _served() -> Service:
    chosen = settings()
    log.configure(chosen.log_level, chosen.log_format, chosen.secrets)
    return assemble(chosen)


app = _served()
