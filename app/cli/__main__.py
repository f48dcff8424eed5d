"""`python -m app.cli` is `perennial`."""

from app.cli import app

app(prog_name="perennial")
