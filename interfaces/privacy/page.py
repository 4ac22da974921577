"""docs/data-classification.md, written from the classification itself."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Final

from interfaces.privacy.classes import HANDLING, DataClass
from interfaces.privacy.classification import Classified, Store, classified

_STORES: Final[Mapping[Store, str]] = {
    Store.LOG: "Events, by their permanent names, as they stand in `ledgertwin.bank_events`. They "
    "are never changed. Commands are not stored: their record says who sent which, and a keyed "
    "digest of it.",
    Store.SNAPSHOTS: "States of aggregates, in `ledgertwin.snapshots` and in the memory of the "
    "bank. They are made again from the log; an erasure drops its customer's.",
    Store.READ_MODELS: "Rows of the schema `readmodels`. They are made again from the log, and "
    "refer to personal values where they show some; nothing personal stands in them.",
    Store.DATABASE: "Tables of the schema `ledgertwin`, as the migrations make them. What "
    "`bank_events.state` holds is told above.",
    Store.FILES: "In the bank's home (`LEDGERTWIN_HOME`), beside the database's own folder.",
    Store.LOG_LINES: "What a line of the program's log may have, and nothing else gets in: its "
    "words are cleaned of what exceptions quote (interfaces/logs.py).",
}

_ABOUT: Final = """\
# Data classification

Every field that is stored, and what kind of data it is. Written by `make classification` from the
types of events, states and rows and from the migrations; a test fails when it is stale, and when a
new field has no class. `interfaces/privacy/classes.py` says of texts what a type cannot say.
"""


def page() -> str:
    """All of it, in Markdown. Unclassified."""
    return "\n".join([_ABOUT, *_classes(), *_stores()]) + "\n"


def _classes() -> Iterator[str]:
    counts = {each: sum(f.data_class is each for f in classified()) for each in DataClass}
    yield "| class | fields | what it is | kept | an erasure | told its subject |"
    yield "|---|---|---|---|---|---|"
    for each, h in HANDLING.items():
        yield f"| {each} | {counts[each]} | {h.what} | {h.kept} | {h.erased} | {h.told} |"
    yield ""


def _stores() -> Iterator[str]:
    for store, found in groupby(classified(), key=lambda field: field.store):
        yield f"## {store.capitalize()}\n\n{_STORES[store]}\n"
        yield "| record | class | fields |"
        yield "|---|---|---|"
        for record, of_record in groupby(found, key=lambda field: field.record):
            told = list(of_record)
            for each in DataClass:
                of_class = [_shown(f) for f in told if f.data_class is each]
                if of_class:
                    yield f"| `{record}` | {each} | {', '.join(of_class)} |"
        yield ""


def _shown(field: Classified) -> str:
    kept = f" ({field.retention})" if field.retention else ""
    return f"`{field.path}`{kept}"
