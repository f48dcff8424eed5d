"""PDF: every language, nothing read as markup, archival, the same bytes each time."""

import io
import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from facturx import get_facturx_xml_from_pdf
from pypdf import PdfReader

from app.documents import einvoice, facturx, logo, pdf, text
from app.documents.model import Branding, Kind, Logo
from app.documents.words import LANGUAGES
from app.domain.errors import InvalidRequest
from tests.documents.samples import BUYER, DUE, credit_note, document, line

HOSTILE = '#panic("x") *bold* $x^2$ @ref <label> \\ ` // /* [#eval("1")] {{ d }} {% x %} <script>'


def png(width: int = 8, height: int = 8) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * min(height, 64))
    return logo.PNG + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 10"><defs>
<linearGradient id="g"><stop offset="0" stop-color="#1d4ed8"/></linearGradient></defs>
<rect width="40" height="10" fill="url(#g)"/></svg>"""
LOGOS = {"png": Logo("image/png", png()), "svg": Logo("image/svg+xml", SVG)}


def read(file: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(file)).pages)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_rendered_without_a_missing_glyph(language) -> None:
    said = replace(document(), language=language, payment_link="https://pay.example.com/1")
    for made in (
        said,
        replace(said, kind=Kind.DRAFT, number=None),
        replace(said, voided_at=DUE),
        credit_note(language=language),
    ):
        found = read(pdf.render(made))
        assert text.UNKNOWN not in found
        assert "Muster Software GmbH" in found


def test_the_same_document_gives_the_same_bytes() -> None:
    assert pdf.render(document()) == pdf.render(document())
    assert facturx.render(document()) == facturx.render(document())
    assert pdf.render(document()) != pdf.render(document(number="INV-2026-0043"))


def test_what_callers_wrote_is_never_markup() -> None:
    found = read(pdf.render(document(line(description=HOSTILE), buyer=replace(BUYER, name="#x"))))
    for word in ('#panic("x")', "*bold*", "$x^2$", '[#eval("1")]', "<script>"):
        assert word in found
    assert "#x" in found


def test_letters_of_many_scripts_are_shown_and_unknown_ones_are_boxes() -> None:
    found = read(pdf.render(document(line(description="Łódź Ωμέγα Київ नमस्ते 請求書 \u0639"))))
    for word in ("Łódź", "Ωμέγα", "Київ", "請求書", text.UNKNOWN):
        assert word in found


@pytest.mark.parametrize(
    "odd",
    [
        "a\u093c\u0300\u20d0b",
        "\u202eevil\u2066",
        "\x07bell\x1b[2J",
        "zero\u200dwidth\u200b",
        "\ud800",
        "\U0001f600\ufe0f",
        "e\u0301" * 50,
        "\u0300lonely",
    ],
)
def test_odd_text_is_printed_all_the_same(odd) -> None:
    made = document(line(description=f"Odd {odd}"), buyer=replace(BUYER, name=odd))
    assert "Odd" in read(pdf.render(made))
    facturx.render(made if text.clean(odd) else replace(made, buyer=BUYER))


def test_many_lines_go_over_several_pages() -> None:
    file = pdf.render(document(*[line(100, description=f"Line {n}") for n in range(120)]))
    pages = PdfReader(io.BytesIO(file)).pages
    assert len(pages) > 2
    assert f"Page 2 of {len(pages)}" in pages[1].extract_text()


@pytest.mark.parametrize("picture", LOGOS.values(), ids=LOGOS)
def test_the_logo_is_printed(picture) -> None:
    logo.check(picture)
    branded = document(branding=Branding(picture, "#1d4ed8", "Footer & more"))
    plain = document(branding=Branding(None, "#1d4ed8", "Footer & more"))
    assert len(pdf.render(branded)) != len(pdf.render(plain))
    assert "Footer & more" in read(pdf.render(branded))


@pytest.mark.parametrize(
    ("media_type", "data"),
    [
        ("image/png", b""),
        ("image/png", b"GIF89a"),
        ("image/png", png()[:40]),
        ("image/png", png(60_000, 60_000)),
        ("image/png", b"x" * (logo.BYTES_MAX + 1)),
        ("image/svg+xml", b"<svg"),
        ("image/svg+xml", b"<html/>"),
        ("image/svg+xml", SVG.replace(b"<defs>", b"<script>x()</script><defs>")),
        ("image/svg+xml", SVG.replace(b"<rect", b"<rect onload='x()'")),
        ("image/svg+xml", SVG.replace(b"url(#g)", b"url(https://example.com/x)")),
        ("image/svg+xml", SVG.replace(b"<defs>", b'<image href="/etc/passwd"/><defs>')),
        ("image/svg+xml", SVG.replace(b"<defs>", b'<use href="#g"/><defs>')),
        ("image/svg+xml", SVG.replace(b"<defs>", b"<style>@import 'x'</style><defs>")),
        ("image/svg+xml", b'<!DOCTYPE svg [<!ENTITY a "b">]>' + SVG),
    ],
)
def test_a_picture_that_does_more_than_draw_is_refused(media_type, data) -> None:
    with pytest.raises(InvalidRequest) as refused:
        logo.check(Logo(media_type, data))
    assert refused.value.code == "invalid_logo"


def test_the_einvoice_lies_inside_as_the_standard_wants_it() -> None:
    made = document()
    file = facturx.render(made)
    name, xml = get_facturx_xml_from_pdf(file, check_xsd=True, check_schematron=False)
    assert (name, xml) == ("factur-x.xml", einvoice.cii(made))
    root = PdfReader(io.BytesIO(file)).trailer["/Root"]
    [attached] = root["/AF"]
    assert attached.get_object()["/AFRelationship"] == "/Alternative"
    embedded = attached.get_object()["/EF"]["/F"].get_object()
    assert embedded["/Subtype"] == "/text/xml"
    xmp = root["/Metadata"].get_object().get_data().decode()
    assert "<pdfaid:part>3</pdfaid:part>" in xmp
    assert "<pdfaid:conformance>B</pdfaid:conformance>" in xmp
    assert "<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel>" in xmp
    assert facturx.NAMESPACE in xmp


def test_the_file_is_tagged_and_speaks_its_language() -> None:
    root = PdfReader(io.BytesIO(pdf.render(document(language="nl")))).trailer["/Root"]
    assert root["/Lang"] == "nl"
    assert root["/MarkInfo"]["/Marked"]


VERAPDF = shutil.which("verapdf")


def verdict(file: bytes, folder: Path) -> str:
    """What veraPDF says of a file; where it is not installed, what the structure itself says."""
    path = folder / "document.pdf"
    path.write_bytes(file)
    if VERAPDF is None:
        reader = PdfReader(path, strict=True)
        fonts = [
            font.get_object()
            for page in reader.pages
            for font in page["/Resources"]["/Font"].values()
        ]
        embedded = all("/DescendantFonts" in font for font in fonts)
        intents = [each.get_object()["/S"] for each in reader.trailer["/Root"]["/OutputIntents"]]
        sound = embedded and intents == ["/GTS_PDFA1"] and "/ID" in reader.trailer
        return "PASS" if sound else "FAIL"
    command = [VERAPDF, "--flavour", "3b", "--format", "text", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    return done.stdout.split()[0]


@pytest.mark.parametrize("language", ["en", "hi", "ja"])
def test_it_is_pdf_a_3b(language, tmp_path) -> None:
    picture = LOGOS["svg"]
    made = document(language=language, branding=Branding(picture))
    assert verdict(pdf.render(made), tmp_path) == "PASS"
    assert verdict(facturx.render(made), tmp_path) == "PASS"


def test_the_coverage_is_that_of_the_bundled_fonts() -> None:
    from fontTools.ttLib import TTFont

    there: set[int] = set()
    for path in text.FONTS.glob("Noto*"):
        there |= set(TTFont(path).getBestCmap())
    assert {code for code in range(0x20, 0x30000) if text.covered(code)} == {
        code for code in there if 0x20 <= code < 0x30000
    }
