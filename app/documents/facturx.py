"""Factur-X (ZUGFeRD): the invoice for people and for machines in one PDF/A-3.

Typst embeds the XML; what it cannot write is Factur-X's own part of the metadata. That is added as
an incremental update (ISO 32000-1, 7.5.6): the file as it was, and after it one new version of the
metadata stream. Nothing in it depends on the clock, so the same document gives the same bytes.
"""

import re
from typing import Final

from app.documents import einvoice, pdf
from app.documents.model import Document

NAMESPACE: Final = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
PROPERTIES: Final = {
    "DocumentFileName": "The name of the embedded XML document",
    "DocumentType": "The type of the hybrid document in capital letters",
    "Version": "The version of the standard that the embedded XML document follows",
    "ConformanceLevel": "The conformance level of the embedded XML document",
}
VALUES: Final = {
    "DocumentType": "INVOICE",
    "DocumentFileName": "factur-x.xml",
    "Version": "1.0",
    "ConformanceLevel": "EN 16931",
}
BAG: Final = b"<pdfaExtension:schemas><rdf:Bag>"
END: Final = b"</rdf:RDF>"
METADATA: Final = re.compile(
    rb"(\d+) 0 obj\n<</Length \d+/Type/Metadata/Subtype/XML>>\nstream\n(.*?)\nendstream", re.DOTALL
)
TRAILER: Final = re.compile(rb"trailer\n<<(.*)>>\nstartxref\n(\d+)\n%%EOF\s*\Z", re.DOTALL)


def render(document: Document) -> bytes:
    """The document as PDF with its CII inside. Raises InvalidRequest as `einvoice.cii` does.

    Blocks for some milliseconds: call it in a thread.
    """
    return _declared(pdf.render(document, einvoice.cii(document)))


def _declared(file: bytes) -> bytes:
    """The PDF with metadata that says which e-invoice is inside."""
    metadata, trailer = METADATA.search(file), TRAILER.search(file)
    assert metadata is not None, "the PDF has no plain metadata"
    assert trailer is not None, "the PDF has no plain trailer"
    number, xmp = metadata.groups()
    assert BAG in xmp
    assert END in xmp
    xmp = xmp.replace(BAG, BAG + _schema(), 1).replace(END, _values() + END, 1)
    added = b"%b 0 obj\n<</Length %d/Type/Metadata/Subtype/XML>>\nstream\n%b\nendstream\nendobj\n"
    grown = file.rstrip(b"\n") + b"\n"
    at = len(grown)
    grown += added % (number, len(xmp), xmp)
    entries, former = trailer.groups()
    table = b"xref\n%b 1\n%010d 00000 n \ntrailer\n<<%b/Prev %b>>\nstartxref\n%d\n%%%%EOF\n"
    return grown + table % (number, at, entries, former, len(grown))


def _schema() -> bytes:
    """The properties below, described as PDF/A asks of what is not its own."""
    properties = "".join(
        '<rdf:li rdf:parseType="Resource">'
        f"<pdfaProperty:name>{name}</pdfaProperty:name>"
        "<pdfaProperty:valueType>Text</pdfaProperty:valueType>"
        "<pdfaProperty:category>external</pdfaProperty:category>"
        f"<pdfaProperty:description>{said}</pdfaProperty:description></rdf:li>"
        for name, said in PROPERTIES.items()
    )
    return (
        '<rdf:li rdf:parseType="Resource">'
        "<pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>"
        f"<pdfaSchema:namespaceURI>{NAMESPACE}</pdfaSchema:namespaceURI>"
        "<pdfaSchema:prefix>fx</pdfaSchema:prefix>"
        f"<pdfaSchema:property><rdf:Seq>{properties}</rdf:Seq></pdfaSchema:property></rdf:li>"
    ).encode()


def _values() -> bytes:
    values = "".join(f"<fx:{name}>{value}</fx:{name}>" for name, value in VALUES.items())
    return (
        f'<rdf:Description rdf:about="" xmlns:fx="{NAMESPACE}">{values}</rdf:Description>'
    ).encode()
