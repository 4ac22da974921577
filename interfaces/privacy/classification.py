"""Every field that the bank stores, and what kind of data it is: derived from the types themselves.

    for field in classified(): field.store, field.record, field.path, field.type, field.data_class

Events and states of aggregates are read from their classes, read models from their rows, tables
from the migrations. Nothing is listed by hand but what a type cannot say (see classes.py), so that
a field that is added tomorrow is found, and is `Unclassified` until somebody has thought about it.
"""

import re
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum, unique
from functools import cache
from typing import Any, Final, get_args, get_origin, get_type_hints

from application.erasing import Undertaking
from domain import AGGREGATES
from domain.access import AccessJournal
from domain.branch import Branch
from domain.day_end import DayEnds
from domain.key_rotation import KeyEpochs
from domain.money import Money
from domain.personal import Personal, Retention
from domain.retention import RetentionPolicy
from domain.risk.policy import RiskPolicy
from domain.value import value
from interfaces.database.migrate import MIGRATIONS_TABLE, migrations
from interfaces.logs import LINE
from interfaces.privacy.classes import NAMED, RETENTION_OF, DataClass
from interfaces.system import bank_codec
from projections import PROJECTIONS
from projections.branches import BRANCHES
from projections.ledger import LEDGER
from projections.personal_reads import UNUSUAL_READS
from projections.risk_models import RISK_MODELS
from projections.risk_policy import RISK_POLICIES


class Unclassified(Exception):
    """A field is stored and nobody has said of which kind it is. The message names it."""


@unique
class Store(StrEnum):
    """Where fields stand."""

    LOG = "log"
    SNAPSHOTS = "snapshots"
    READ_MODELS = "read models"
    DATABASE = "database"
    FILES = "files"
    LOG_LINES = "log lines"


@value
class Classified:
    """One field. `path` is where it stands in its record, `type` what it holds there, `retention`
    the class under which a personal one is kept."""

    store: Store
    record: str
    path: str
    type: str
    data_class: DataClass
    retention: Retention | None = None


_ABOUT_THE_BANK: Final = (
    RiskPolicy,
    Branch,
    RetentionPolicy,
    KeyEpochs,
    DayEnds,
    AccessJournal,
)
_ROWS_ABOUT_THE_BANK: Final = (LEDGER, RISK_POLICIES, RISK_MODELS, BRANCHES, UNUSUAL_READS)
_TABLES_ABOUT_CUSTOMERS: Final = frozenset(
    {
        "vault_keys",
        "vault_values",
        "blind_indexes",
        "destroyed_keys",
        "emptied_cards",
        "bank_events",
        "snapshots",
    }
)
_OF_A_CUSTOMER: Final = frozenset({"customer_id", "customers", "guarantor_id", "subject"})
"""Names that mean a customer, whatever the record is about."""

_OTHER_FILES: Final[Mapping[str, Mapping[str, DataClass]]] = {
    "keystore": {"keys, wrapped": DataClass.SECRET},
    "keystore.master": {"master key": DataClass.SECRET},
    "last_checkpoint": {"signed note": DataClass.PUBLIC},
    "checkpoints (LEDGERTWIN_CHECKPOINTS_TO)": {"signed notes": DataClass.PUBLIC},
    "risk/": {"figures and plots of models": DataClass.INTERNAL},
}

_OPAQUE: Final = frozenset({"str", "bytes", "Any", "bytea", "text", "text[]", "json", "jsonb"})
"""What may hold anything, and so says nothing of what it holds."""


@cache
def classified() -> tuple[Classified, ...]:
    """All of them, store by store. Unclassified."""
    return (
        *fields_of_events(),
        *_snapshots(),
        *_read_models(),
        *_database(),
        *_files(),
        *(_named_only(Store.LOG_LINES, "log_lines", name) for name in LINE),
    )


@cache
def fields_of_events() -> tuple[Classified, ...]:
    """Those of the log alone. Unclassified."""
    return tuple(_log())


@cache
def named_in(event: str, *classes: DataClass) -> frozenset[str]:
    """The fields of an event, by its permanent name, that hold something of these classes, in
    themselves or deeper. What of a card's number may be shown (PCI DSS 4.0.1, 3.4.1) is none."""
    return frozenset(
        field.path.partition(".")[0]
        for field in fields_of_events()
        if field.record == event and field.data_class in classes and field.path not in _MAY_BE_SHOWN
    )


_MAY_BE_SHOWN: Final = frozenset({"bin", "last4"})


def _log() -> Iterator[Classified]:
    for event, kind in bank_codec().kinds.items():
        yield from fields_of(Store.LOG, kind.name, event, bank=kind.aggregate in _ABOUT_THE_BANK)


def _snapshots() -> Iterator[Classified]:
    for aggregate in AGGREGATES:
        bank = aggregate in _ABOUT_THE_BANK
        yield from fields_of(Store.SNAPSHOTS, aggregate.__name__, aggregate, bank=bank)


def _read_models() -> Iterator[Classified]:
    for projection in PROJECTIONS:
        bank = projection in _ROWS_ABOUT_THE_BANK
        yield from fields_of(Store.READ_MODELS, projection.name, projection.row, bank=bank)


def _database() -> Iterator[Classified]:
    for table, columns in sorted(tables().items()):
        for column, type_ in columns.items():
            yield Classified(
                store=Store.DATABASE,
                record=table,
                path=column,
                type=type_,
                data_class=_class_of(
                    table, column, type_, bank=table not in _TABLES_ABOUT_CUSTOMERS
                ),
            )


def _files() -> Iterator[Classified]:
    yield from fields_of(Store.FILES, "erasures.jsonl", Undertaking, bank=False)
    for file, held in _OTHER_FILES.items():
        for what, data_class in held.items():
            yield Classified(
                store=Store.FILES, record=file, path=what, type="bytes", data_class=data_class
            )


def _named_only(store: Store, record: str, name: str) -> Classified:
    data_class = _class_of(record, name, "str", bank=True)
    return Classified(store=store, record=record, path=name, type="str", data_class=data_class)


# --- types ----------------------------------------------------------------------------------------


def fields_of(store: Store, record: str, cls: Any, *, bank: bool) -> Iterator[Classified]:
    for path, type_ in dict.fromkeys(_leaves(cls)):
        personal = type_ == _PERSONAL
        yield Classified(
            store=store,
            record=record,
            path=path,
            type=type_,
            data_class=_class_of(record, path, type_, bank=bank),
            retention=_retention_of(record, path) if personal else None,
        )


_PERSONAL: Final = Personal.__name__
_NOTHING: Final = (types.NoneType, Ellipsis)


def _leaves(cls: Any, prefix: str = "", within: tuple[Any, ...] = ()) -> Iterator[tuple[str, str]]:
    hints = get_type_hints(cls, include_extras=False)
    names = cls._fields if issubclass(cls, tuple) else [f.name for f in fields(cls)]
    for name in names:
        yield from _leaves_of(hints[name], f"{prefix}{name}", (*within, cls))


def _leaves_of(hint: Any, path: str, within: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
    """The fields that hold something themselves, with the names of their types. The keys of a
    mapping are at `path.key`."""
    origin, parts = get_origin(hint), get_args(hint)
    if Personal in (origin, hint):
        yield path, _PERSONAL
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield from _leaves_of(parts[0], f"{path}.key", within)
        yield from _leaves_of(parts[1], path, within)
    elif origin is not None:  # of whatever may stand there
        for part in parts:
            yield from _leaves_of(part, path, within)
    elif is_dataclass(hint) and hint is not Money:
        if hint not in within:  # a rule may hold rules
            yield from _leaves(hint, f"{path}.", within)
    elif hint not in _NOTHING:
        yield path, getattr(hint, "__name__", str(hint))


def _class_of(record: str, path: str, type_: str, *, bank: bool) -> DataClass:
    if type_ == _PERSONAL:
        return DataClass.PERSONAL
    known = places(record, path) if type_ in _OPAQUE else (f"{record}:{path}",)
    named = next((place for place in known if place in NAMED), None)
    data_class = None if named is None else NAMED[named]
    if data_class is not None:
        return data_class
    if named is None and type_ in _OPAQUE:
        raise Unclassified(
            f"{path} of {record} holds {type_}: say in interfaces/privacy/classes.py what it is"
        )
    if path.rpartition(".")[2] in _OF_A_CUSTOMER:
        return DataClass.PSEUDONYMOUS
    return DataClass.INTERNAL if bank else DataClass.PSEUDONYMOUS


def places(record: str, path: str) -> Iterable[str]:
    """What a field may be named by, the narrowest first."""
    parts = path.split(".")
    return (f"{record}:{path}", *(".".join(parts[n:]) for n in range(len(parts))))


def _retention_of(record: str, path: str) -> Retention:
    retention = RETENTION_OF.get(path)
    if retention is None:
        raise Unclassified(f"{path} of {record} is personal: say how long it is kept")
    return retention


# --- tables ---------------------------------------------------------------------------------------

_COMMENT: Final = re.compile(r"--[^\n]*")
_TABLE: Final = re.compile(
    r"CREATE TABLE (?:IF NOT EXISTS )?ledgertwin\.(\w+) \(\n(.*?)^\)", re.DOTALL | re.MULTILINE
)
_COLUMN: Final = re.compile(r'^\s*"?(\w+)"? (\w+(?:\[\])?)', re.MULTILINE)
_ADDED: Final = re.compile(r'ALTER TABLE ledgertwin\.(\w+) ADD COLUMN "?(\w+)"? (\w+(?:\[\])?)')
_NO_COLUMN: Final = frozenset({"PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "CONSTRAINT"})


@cache
def tables() -> Mapping[str, Mapping[str, str]]:
    """The columns of every table that the migrations make, with the types they are given there."""
    found: dict[str, dict[str, str]] = {}
    for said in (MIGRATIONS_TABLE, *(migration.sql.decode() for migration in migrations())):
        text = _COMMENT.sub("", said)
        for table, body in _TABLE.findall(text):
            found[table] = {
                name: type_ for name, type_ in _COLUMN.findall(body) if name not in _NO_COLUMN
            }
        for table, name, type_ in _ADDED.findall(text):
            found[table][name] = type_
    return found
