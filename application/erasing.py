"""Destroys keys: those of people who are erased, and key-encryption keys whose time is over.

Both are decided in the log before, by domain/erasure.py and domain/key_rotation.py; the database's
functions do no more than what stands there. All methods block, may be called again after whatever
interrupted them, and may be called by several processes at once.
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Self
from uuid import UUID

from psycopg import Connection
from psycopg.rows import tuple_row

from application.card_vault import CardVault
from application.keystore import Custodian, UnknownKey
from application.vault import Vault, VaultKey
from domain.erasure import DestroyedKey, ErasureGround
from domain.personal import Retention
from domain.value import value

PURGED_AT_ONCE: Final = 1_000
REWRAPPED_AT_ONCE: Final = 500

_PRESENT: Final = """
    SELECT dek_id FROM ledgertwin.vault_keys WHERE dek_id = ANY(%(gone)s)
    UNION
    SELECT e.originator_id FROM ledgertwin.bank_events AS e
    CROSS JOIN LATERAL (SELECT (convert_from(e.state, 'UTF8')::json ->> 'by')::uuid) AS made (by)
    WHERE e.originator_id = ANY(%(gone)s) AND e.topic IN ('card.issued.v1', 'card.pin_set.v1')
        AND (EXISTS (SELECT FROM ledgertwin.card_vault AS v WHERE v.made_by = made.by)
            OR EXISTS (SELECT FROM ledgertwin.card_pins AS p WHERE p.made_by = made.by))
"""

Connect = Callable[[], AbstractContextManager[Connection[Any]]]


@value
class Destroyed:
    """A key that an erasure has destroyed, and how much it had sealed."""

    key: DestroyedKey
    values: int
    terms: int


@value
class Undone:
    """All that an erasure has ever destroyed. `cards` are those that the card vault has forgotten:
    their numbers, and what their PINs were verified with."""

    keys: Sequence[Destroyed]
    cards: Sequence[UUID]


class Eraser:
    """Destroys what an erasure is about. `connect` lends connections in the application's role."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def destroy(self, erasure_id: UUID) -> Undone:
        """Destroy the keys, and what they had sealed, of an erasure that the log has as started; of
        one that has ended, what of it has come back. All that it has ever destroyed is returned."""
        with self._connect() as connection:
            connection.execute("SELECT ledgertwin.destroy_keys(%s)", [erasure_id])
        while self._purged(erasure_id):
            pass
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT dek_id, retention, sealed_values, terms FROM ledgertwin.destroyed_keys"
                " WHERE erasure_id = %s ORDER BY retention, dek_id",
                [erasure_id],
            ).fetchall()
            cards = connection.execute(
                "SELECT DISTINCT card_id FROM ledgertwin.emptied_cards"
                " WHERE erasure_id = %s ORDER BY card_id",
                [erasure_id],
            ).fetchall()
        keys = [
            Destroyed(
                key=DestroyedKey(dek=dek_id, retention=Retention(retention)),
                values=values,
                terms=terms,
            )
            for dek_id, retention, values, terms in rows
        ]
        return Undone(keys=keys, cards=[card_id for (card_id,) in cards])

    def present(self, gone: Iterable[UUID]) -> frozenset[UUID]:
        """Those of these keys, and of these cards, that are there though they were destroyed: a
        backup brought them."""
        with self._connect() as connection:
            rows = connection.execute(_PRESENT, {"gone": list(gone)}).fetchall()
        return frozenset(row[0] for row in rows)

    def _purged(self, erasure_id: UUID) -> int:
        with self._connect() as connection:
            row = connection.execute(
                "SELECT ledgertwin.purge_values(%s, %s)", [erasure_id, PURGED_AT_ONCE]
            ).fetchone()
        assert row is not None
        return int(row[0])


class Undertaking(NamedTuple):
    """An erasure as it is noted outside the database. Nothing of it is personal."""

    erasure_id: UUID
    customer_id: UUID
    classes: tuple[Retention, ...]
    ground: ErasureGround
    maker: str
    on: str


class ErasureJournal:
    """Erasures that were begun, in a file that is not the database's to set back: whoever restores
    a backup from before an erasure has it carried out again. One line of JSON each, mode 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def beside(cls, home: Path) -> Self:
        return cls(home / "erasures.jsonl")

    def note(self, undertaking: Undertaking) -> None:
        """Have it on the disk, once."""
        if undertaking in self.all():
            return
        line = json.dumps(
            {
                "erasure_id": str(undertaking.erasure_id),
                "customer_id": str(undertaking.customer_id),
                "classes": [retention.value for retention in undertaking.classes],
                "ground": undertaking.ground.value,
                "maker": undertaking.maker,
                "on": undertaking.on,
            }
        )
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def all(self) -> Sequence[Undertaking]:
        """In the order of their beginnings. A last line that was cut off was never relied on."""
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return ()
        return [_undertaking(json.loads(line)) for line in lines[:-1] if line]


def _undertaking(noted: dict[str, Any]) -> Undertaking:
    return Undertaking(
        erasure_id=UUID(noted["erasure_id"]),
        customer_id=UUID(noted["customer_id"]),
        classes=tuple(Retention(each) for each in noted["classes"]),
        ground=ErasureGround(noted["ground"]),
        maker=noted["maker"],
        on=noted["on"],
    )


@value
class Rewrapped:
    """How many data keys were wrapped anew: those of people, and those of card numbers."""

    data_keys: int
    card_keys: int


class KeyEpochsKeeper:
    """Changes the key-encryption key. Data keys that live outlast it; what only backups hold dies.

    `connect` lends connections in the application's role.
    """

    def __init__(
        self, custodian: Custodian, vault: Vault, card_vault: CardVault, connect: Connect
    ) -> None:
        self._custodian = custodian
        self._vault = vault
        self._card_vault = card_vault
        self._connect = connect

    def held(self) -> tuple[str, ...]:
        """The key-encryption keys there are; the last one is current."""
        return self._custodian.held()

    def begin(self) -> tuple[tuple[str, ...], str]:
        """Make a new key: those that are to be retired by it, and its id. If the last attempt came
        no further than that, its key is taken."""
        held = self._custodian.held()
        if len(held) == 1:
            self._custodian.create()
            held = self._custodian.held()
        return held[:-1], held[-1]

    def retire(self) -> None:
        """Nothing is wrapped under the keys of the rotation under way from now on."""
        with self._connect() as connection:
            connection.execute("SELECT ledgertwin.retire_keks()")

    def rewrap(self, retired: Sequence[str]) -> Rewrapped:
        """Wrap anew whatever is wrapped under these; until nothing is. Raises VaultTampered or
        CardVaultTampered if a key was changed: then nothing is destroyed before somebody looked."""
        data_keys = card_keys = 0
        while count := self._rewrap(retired):
            data_keys += count
        while count := self._card_vault.rewrap(retired, REWRAPPED_AT_ONCE):
            card_keys += count
        return Rewrapped(data_keys=data_keys, card_keys=card_keys)

    def destroy(self, retired: Iterable[str]) -> None:
        """Destroy those of these that are still there."""
        for kek_id in retired:
            with suppress(UnknownKey):
                self._custodian.destroy(kek_id)

    def _rewrap(self, retired: Sequence[str]) -> int:
        with self._connect() as connection:
            rows = [
                VaultKey.of(row)
                for row in connection.cursor(binary=True, row_factory=tuple_row).execute(
                    "SELECT dek_id, subject, retention, kek_id, wrapped FROM ledgertwin.vault_keys"
                    " WHERE kek_id = ANY(%s) LIMIT %s",
                    [list(retired), REWRAPPED_AT_ONCE],
                )
            ]
            if rows:
                anew = [self._vault.rewrapped(row) for row in rows]
                connection.execute(
                    "SELECT ledgertwin.rewrap_keys(%s, %s, %s, %s)",
                    [
                        [row.dek_id for row in rows],
                        [row.wrapped for row in rows],
                        [row.kek_id for row in anew],
                        [row.wrapped for row in anew],
                    ],
                )
        return len(rows)
