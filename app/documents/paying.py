"""The page behind a payment link: an invoice, and what to do about it. No script, no other host."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup

from app.documents import figures, html, sheet, text, words
from app.documents.html import Page
from app.documents.model import Document


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to pay: what the button sends, and the words on it."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Panel:
    """What can be done now; addresses are of this host, or the gateway's own page."""

    remaining: int
    said: str | None = None
    """The key of a word that says how it stands."""
    is_failure: bool = False
    pay_url: str | None = None
    methods: Sequence[Choice] = ()
    setup_url: str | None = None
    others: Sequence[Choice] = ()
    action_url: str | None = None
    pdf_url: str | None = None
    return_url: str | None = None


def render(document: Document, panel: Panel) -> Page:
    """The invoice with what to do about it, in the document's language."""
    document = text.clean(document)
    data = sheet.build(document)
    style = html.style(document.branding.accent_color) + _style()
    body = html.template("paying.html").render(
        d=data,
        w=data["words"],
        p=panel,
        remaining=figures.money(panel.remaining, document.currency, document.language),
        style=Markup(style),  # noqa: S704  ours; the colour in it is six hexadecimal digits
        logo=html.data_url(document.branding.logo),
    )
    return Page(body.encode(), html.policy(style, form_action="'self'"))


def render_ended(said: str, language: str) -> Page:
    """What is shown for a link that does not work (any more): nothing of any invoice."""
    style = html.style("#1f2937")
    body = html.template("ended.html").render(
        language=language,
        said=words.of(language)[said],
        style=Markup(style),  # noqa: S704  ours
    )
    return Page(body.encode(), html.policy(style))


@lru_cache(maxsize=1)
def _style() -> str:
    return (html.TEMPLATES / "paying.css").read_text("utf-8")
