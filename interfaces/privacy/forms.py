"""The forms in which parts are written: one JSON object, lines of JSON, or XML; as they come, so
that nobody has to hold all of them.

XML is written after the same shapes that describe the JSON, which `xsd` writes down as an XML
Schema (W3C XSD 1.0): a member is an element of its name, an item of a list an `item`, null is
left out.
What has no shape (what an event says) is JSON in XML, as XPath 3.1 has it (section 17.5, XML to
JSON). A character that XML cannot have is replaced by U+FFFD: the JSON has it.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

import msgspec

from domain.disclosure import DisclosureForm

Part = tuple[str, Mapping[str, Any]]
"""A kind, and what it says."""

Shape = Mapping[str, Any]
Shapes = Mapping[str, Shape]
"""By kind, in the order in which parts come; nothing in them refers to anything else."""

Write = Callable[[AsyncIterator[Part], Shapes], AsyncIterator[bytes]]

NAMESPACE: Final = "urn:ledgertwin:export:1"
_ANYTHING: Final = "http://www.w3.org/2005/xpath-functions"

ONCE: Final = frozenset({"disclosure", "about", "customer", "end"})
"""Kinds of which there is one part; all others are listed, under their name with an s."""


def listed(kind: str) -> str:
    return kind if kind in ONCE else f"{kind}s"


async def _lines(parts: AsyncIterator[Part], _: Shapes) -> AsyncIterator[bytes]:
    async for kind, said in parts:
        yield msgspec.json.encode({kind: said}) + b"\n"


async def _json(parts: AsyncIterator[Part], shapes: Shapes) -> AsyncIterator[bytes]:
    opening = b"{"
    for_now = ""
    kinds = iter(shapes)
    async for kind, said in parts:
        while for_now != kind:
            if for_now and for_now not in ONCE:
                yield b"]"
            for_now = next(kinds)
            yield opening + b'\n"%b":' % listed(for_now).encode()
            opening = b","
            if for_now not in ONCE:
                yield b"["
            comma = b""
        yield comma + b"\n" * (kind not in ONCE) + msgspec.json.encode(said)
        comma = b","
    yield b"}\n"


async def _xml(parts: AsyncIterator[Part], shapes: Shapes) -> AsyncIterator[bytes]:
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n<export xmlns="{NAMESPACE}">\n'.encode()
    kinds = iter(shapes)
    for_now = ""
    async for kind, said in parts:
        while for_now != kind:
            if for_now and for_now not in ONCE:
                yield f"</{listed(for_now)}>\n".encode()
            for_now = next(kinds)
            if for_now not in ONCE:
                yield f"<{listed(for_now)}>\n".encode()
        yield "".join(_element(kind, said, shapes[kind])).encode() + b"\n"
    yield b"</export>\n"


FORMS: Final[Mapping[DisclosureForm, Write]] = {
    DisclosureForm.JSON: _json,
    DisclosureForm.XML: _xml,
    DisclosureForm.LINES: _lines,
}


# --- XML ------------------------------------------------------------------------------------------

_IMPOSSIBLE: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 (section 2.2) cannot have."""


def _possible(text: str) -> str:
    return _IMPOSSIBLE.sub("\ufffd", text)


def _text(said: Any) -> str:
    # A carriage return would be read as a line feed.
    return escape(_possible(str(said)), {"\r": "&#13;"})


def _element(name: str, said: Any, shape: Shape) -> Iterator[str]:
    if said is None:
        return
    shape = not_null(shape)
    yield f"<{name}>"
    if "properties" in shape:
        for member, inner in shape["properties"].items():
            yield from _element(member, said.get(member), inner)
    elif "items" in shape:
        for item in said:
            yield from _element("item", item, shape["items"])
    elif _is_anything(shape):
        yield from _anything(said, f' xmlns="{_ANYTHING}"')
    else:
        yield _text(_lexical(said))
    yield f"</{name}>"


def _anything(said: Any, more: str) -> Iterator[str]:
    """As XPath's json-to-xml writes it."""
    match said:
        case None:
            yield f"<null{more}/>"
        case dict():
            yield f"<map{more}>"
            for key, inner in said.items():
                yield from _anything(inner, f" key={quoteattr(_possible(key))}")
            yield "</map>"
        case list():
            yield f"<array{more}>"
            for inner in said:
                yield from _anything(inner, "")
            yield "</array>"
        case _:
            name = _kind_of(said)
            yield f"<{name}{more}>{_text(_lexical(said))}</{name}>"


def _kind_of(said: Any) -> str:
    if isinstance(said, bool):
        return "boolean"
    return "number" if isinstance(said, int | float) else "string"


def _lexical(said: Any) -> Any:
    return str(said).lower() if isinstance(said, bool) else said


# --- shapes ---------------------------------------------------------------------------------------


def resolved(shape: Any, schemas: Mapping[str, Any]) -> Any:
    """A JSON Schema without references, and with all that it is made of in one."""
    if isinstance(shape, list):
        return [resolved(each, schemas) for each in shape]
    if not isinstance(shape, dict):
        return shape
    if "$ref" in shape:
        return resolved(schemas[shape["$ref"].rpartition("/")[2]], schemas)
    own = {name: resolved(inner, schemas) for name, inner in shape.items() if name != "allOf"}
    whole: dict[str, Any] = {}
    for part in (*resolved(shape.get("allOf", []), schemas), own):
        members = whole.get("properties", {}) | part.get("properties", {})
        whole |= part | ({"properties": members} if members else {})
    return whole


def not_null(shape: Shape) -> Shape:
    """What it is if it is something."""
    for way in shape.get("anyOf", ()):
        if way.get("type") != "null":
            return not_null(way)
    type_ = shape.get("type")
    if isinstance(type_, list):
        (type_,) = (each for each in type_ if each != "null")
    return {**shape, "type": type_} if type_ else shape


def _may_be_null(shape: Shape) -> bool:
    type_ = shape.get("type")
    ways = shape.get("anyOf", ())
    return (
        "null" in (type_ or ())
        if isinstance(type_, list)
        else any(way.get("type") == "null" for way in ways) or _is_anything(shape)
    )


def _is_anything(shape: Shape) -> bool:
    return not shape.keys() & {"type", "anyOf", "enum", "properties"}


# --- XML Schema -----------------------------------------------------------------------------------

_SIMPLE: Final[Mapping[tuple[str, str | None], str]] = {
    ("string", None): "string",
    ("string", "date"): "date",
    ("string", "date-time"): "dateTime",
    ("string", "uuid"): "string",
    ("integer", None): "integer",
    ("integer", "int32"): "int",
    ("number", None): "double",
    ("boolean", None): "boolean",
}


def xsd(shapes: Shapes) -> str:
    """The XML Schema of what is written."""
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            "<!-- Written by `make schema`, from the shapes that the OpenAPI description has. -->",
            '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"',
            f'    targetNamespace="{NAMESPACE}" elementFormDefault="qualified">',
            '  <xs:element name="export"><xs:complexType><xs:sequence>',
            *(line for kind in shapes for line in _declared_part(kind, shapes[kind])),
            "  </xs:sequence></xs:complexType></xs:element>",
            "</xs:schema>",
            "",
        ]
    )


def _declared_part(kind: str, shape: Shape) -> Iterator[str]:
    if kind in ONCE:
        yield from _declared(kind, shape, "    ")
        return
    yield f'    <xs:element name="{listed(kind)}"><xs:complexType><xs:sequence>'
    yield from _declared(kind, shape, "      ", ' minOccurs="0" maxOccurs="unbounded"')
    yield "    </xs:sequence></xs:complexType></xs:element>"


def _declared(name: str, shape: Shape, indent: str, occurs: str | None = None) -> Iterator[str]:
    if occurs is None:
        occurs = ' minOccurs="0"' if _may_be_null(shape) else ""
    shape = not_null(shape)
    begin = f'{indent}<xs:element name="{name}"{occurs}'
    if "properties" in shape:
        yield f"{begin}><xs:complexType><xs:sequence>"
        for member, inner in shape["properties"].items():
            yield from _declared(member, inner, indent + "  ")
        yield f"{indent}</xs:sequence></xs:complexType></xs:element>"
    elif "items" in shape:
        yield f"{begin}><xs:complexType><xs:sequence>"
        many = ' minOccurs="0" maxOccurs="unbounded"'
        yield from _declared("item", shape["items"], indent + "  ", many)
        yield f"{indent}</xs:sequence></xs:complexType></xs:element>"
    elif _is_anything(shape):
        yield f"{begin}><xs:complexType><xs:sequence>"
        yield f'{indent}  <xs:any namespace="{_ANYTHING}" processContents="lax"/>'
        yield f"{indent}</xs:sequence></xs:complexType></xs:element>"
    elif "enum" in shape or "pattern" in shape:
        yield f'{begin}><xs:simpleType><xs:restriction base="xs:string">'
        for word in shape.get("enum", ()):
            yield f'{indent}  <xs:enumeration value="{word}"/>'
        yield f"{indent}</xs:restriction></xs:simpleType></xs:element>"
    else:
        yield f'{begin} type="xs:{_SIMPLE[shape["type"], shape.get("format")]}"/>'
