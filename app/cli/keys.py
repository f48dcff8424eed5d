"""The commands that make API keys, and the merchants they belong to."""

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.terminal import fail

if TYPE_CHECKING:
    from app.runtime import Runtime
    from app.services.api_keys import CreateKey
    from app.services.merchants import Mode

ACTOR = "command line"

keys = typer.Typer(help="Make API keys.", no_args_is_help=True)
commands = typer.Typer()
commands.add_typer(keys, name="keys")


@keys.callback()
def group() -> None:
    """Make API keys."""


@keys.command()
def create(  # noqa: PLR0913  the options of one command
    merchant: Annotated[str | None, typer.Option(help="Whose key it is (mer_…).")] = None,
    new_merchant: Annotated[
        str | None, typer.Option(help="Open a merchant of this name, and make its first key.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="The new merchant takes real money; else it tests.")
    ] = False,
    currency: Annotated[str, typer.Option(help="The new merchant's currency (ISO 4217).")] = "USD",
    publishable: Annotated[
        bool,
        typer.Option(
            "--publishable", help="A key for pages: the public catalogue, and offers by link."
        ),
    ] = False,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What the key may do, such as customers:read; absent: everything."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the key is for.")] = None,
) -> None:
    """Make an API key and print it, this once.

    The merchant's id goes to stderr, so that `KEY=$(perennial keys create …)` holds the key alone.
    """
    from app.cli import session
    from app.domain.currency import EXPONENTS
    from app.services.api_keys import SCOPES, CreateKey

    if (merchant is None) == (new_merchant is None):
        fail("Name a merchant with --merchant, or open one with --new-merchant.")
    if currency not in EXPONENTS:
        fail(f"{currency} is not an active ISO 4217 currency code.")
    for unknown in set(scope or ()) - set(SCOPES):
        fail(f"There is no scope {unknown}: take read, write, or a noun's, customers:read.")
    cmd = CreateKey("publishable" if publishable else "secret", name, tuple(scope or ()))
    if new_merchant is None:
        secret = session.with_runtime(lambda rt: _for_merchant(rt, str(merchant), cmd))
    else:
        mode: Mode = "live" if live else "test"
        secret = session.with_runtime(
            lambda rt: _with_merchant(rt, new_merchant, mode, currency, cmd)
        )
    typer.echo(secret)


async def _for_merchant(rt: "Runtime", merchant: str, cmd: "CreateKey") -> str:
    from app.cli import session
    from app.domain.errors import NotFound
    from app.services import merchants

    chosen = session.merchant(merchant)
    assert chosen is not None
    try:
        return await merchants.add_key(rt, chosen, cmd, ACTOR)
    except NotFound as error:
        fail(error.message)


async def _with_merchant(
    rt: "Runtime", name: str, mode: "Mode", currency: str, cmd: "CreateKey"
) -> str:
    from app.ids import show
    from app.services import merchants
    from app.services.merchants import CreateMerchant

    opened = await merchants.create(
        rt, CreateMerchant(name, mode, default_currency=currency, key=cmd), ACTOR
    )
    assert opened.secret is not None
    typer.echo(f"Opened merchant {show('mer', opened.merchant['id'])}.", err=True)
    return opened.secret
