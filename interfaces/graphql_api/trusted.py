"""Documents that were registered when the bank was deployed.

Where some were, a client asks by a document's SHA-256 and sends no text, and what was not
registered is only answered to who may ask anything (`digitaltwin.adhoc`): whoever steals a client's
token can then ask what that client asks, and nothing else.

They stand in a JSON file, `{"<sha256>": "<document>"}`, as persisted queries do with other servers
and as the compilers of GraphQL clients write them. It is made by `ledgertwin documents register`,
and read once, when the bank starts: a document in it that is not valid stops the start.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self


class InvalidDocuments(Exception):
    """The file of registered documents cannot be used; the message says why, a line for each
    document that is at fault."""


class TrustedDocuments:
    """Texts by their SHA-256, in hexadecimal."""

    def __init__(self, documents: Mapping[str, str]) -> None:
        self._documents = dict(documents)
        self._texts = frozenset(documents.values())

    def __contains__(self, text: str) -> bool:
        """Whether this is the text of one of them."""
        return text in self._texts

    def __iter__(self) -> Iterator[str]:
        return iter(self._documents.values())

    def __len__(self) -> int:
        return len(self._documents)

    def get(self, sha256: str) -> str | None:
        return self._documents.get(sha256)

    def with_(self, text: str) -> "TrustedDocuments":
        return TrustedDocuments({**self._documents, sha256_of(text): text})

    @classmethod
    def read(cls, file: Path) -> Self:
        """What stands in a file, which is not checked against any schema yet. Raises
        `InvalidDocuments`."""
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise InvalidDocuments(f"{file} cannot be read: {error.strerror}") from None
        except ValueError:
            raise InvalidDocuments(f"{file} is not JSON in UTF-8") from None
        if not isinstance(found, dict) or not all(isinstance(t, str) for t in found.values()):
            raise InvalidDocuments(f"{file} is not an object of texts by their SHA-256")
        wrong = [
            f"{file}: {i} is not the SHA-256 of its text" for i in found if i != sha256_of(found[i])
        ]
        if wrong:
            raise InvalidDocuments("\n".join(wrong))
        return cls(found)

    def write(self, file: Path) -> None:
        """Replace a file in one step, in an order that does not depend on how it came about."""
        text = json.dumps(self._documents, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        new = file.with_name(f"{file.name}.new")
        new.write_text(text, encoding="utf-8")
        new.replace(file)


def sha256_of(text: str) -> str:
    # JSON can spell half of a surrogate pair; no document that is valid has one.
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
