"""Whether a document is as an XML Schema says: as much of XSD 1.0 as exports need, and no more.

Written from the recommendation (W3C, XML Schema Part 1 and 2), and not from what writes the schema:
it reads the schema's file. What it does not know is an error, so that nothing is passed over.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

XS: Final = "{http://www.w3.org/2001/XMLSchema}"

_LEXICAL: Final[Mapping[str, Callable[[str], object]]] = {
    "xs:string": str,
    "xs:integer": int,
    "xs:int": int,
    "xs:double": float,
    "xs:date": date.fromisoformat,
    "xs:dateTime": datetime.fromisoformat,
    "xs:boolean": {"true": True, "false": False}.__getitem__,
}


def problems_of(document: Element, schema: Path) -> list[str]:
    """Everything that is not as it should be, by its place."""
    read = ET.parse(schema).getroot()  # noqa: S314 -- the package's own
    namespace = read.attrib["targetNamespace"]
    (root,) = read.findall(f"{XS}element")
    return list(_element(document, root, f"{{{namespace}}}", ""))


def _element(found: Element, declared: Element, namespace: str, place: str) -> Iterator[str]:
    place = f"{place}/{declared.attrib['name']}"
    if found.tag != namespace + declared.attrib["name"]:
        yield f"{place}: is {found.tag}"
        return
    if found.attrib:
        yield f"{place}: has attributes"
    if "type" in declared.attrib:
        yield from _simple(found, _LEXICAL[declared.attrib["type"]], place)
        return
    (kind,) = declared
    (inner,) = kind
    match kind.tag, inner.tag:
        case ("{http://www.w3.org/2001/XMLSchema}complexType", sequence):
            assert sequence == f"{XS}sequence"
            yield from _sequence(found, inner, namespace, place)
        case ("{http://www.w3.org/2001/XMLSchema}simpleType", restriction):
            assert restriction == f"{XS}restriction"
            words = {word.attrib["value"] for word in inner.findall(f"{XS}enumeration")}
            assert len(words) == len(inner)
            if words and found.text not in words:
                yield f"{place}: {found.text!r} is none of {sorted(words)}"
            yield from _simple(found, str, place)
        case other:
            raise NotImplementedError(other)


def _simple(found: Element, lexical: Callable[[str], object], place: str) -> Iterator[str]:
    if len(found):
        yield f"{place}: has elements within"
    try:
        lexical(found.text or "")
    except (ValueError, KeyError):
        yield f"{place}: {found.text!r}"


def _sequence(found: Element, sequence: Element, namespace: str, place: str) -> Iterator[str]:
    if (found.text or "").strip():
        yield f"{place}: has text"
    rest = list(found)
    for particle in sequence:
        least = int(particle.attrib.get("minOccurs", "1"))
        most = particle.attrib.get("maxOccurs", "1")
        wanted = _wanted(particle, namespace)
        count = 0
        while rest and wanted(rest[0].tag) and (most == "unbounded" or count < int(most)):
            count += 1
            child = rest.pop(0)
            if particle.tag == f"{XS}element":
                yield from _element(child, particle, namespace, place)
        if count < least:
            yield f"{place}: {count} of {particle.attrib}"
    if rest:
        yield f"{place}: {rest[0].tag} is not expected there"


def _wanted(particle: Element, namespace: str) -> Callable[[str], bool]:
    if particle.tag == f"{XS}element":
        name = namespace + particle.attrib["name"]
        return lambda tag: tag == name
    assert particle.tag == f"{XS}any"
    anything = f"{{{particle.attrib['namespace']}}}"
    return lambda tag: tag.startswith(anything)
