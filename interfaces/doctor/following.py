"""What follows the log: tree, read models, snapshots, and what the bank does by itself."""

from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from psycopg import Connection, sql

from application.bank import SNAPSHOT_EVERY
from application.keystore import KeystoreError
from application.proof.note import NoteInvalid, opened
from application.proof.policy import NONE
from application.proof.tiles import TileMissing
from application.sealing import Tree
from application.seals import Seals
from domain.erasure import ErasureStage
from domain.spending import AuthorizationStatus
from interfaces.doctor.ailments import Ailments, error, in_words, time_of, warning
from interfaces.doctor.files import KEY_LEEWAY
from interfaces.sealing import Sealed, last_checkpoint, sealed_by
from interfaces.settings import InvalidSettings, Settings
from interfaces.system import has_keys, open_keystore
from projections import PROJECTIONS
from projections.authorizations import AUTHORIZATIONS
from projections.erasures import ERASURES
from projections.projection import Projection
from projections.store import SCHEMA, table_name, tracked

SEALING_LAG: Final = timedelta(seconds=30)
WITNESS_LAG: Final = timedelta(minutes=10)
READ_MODEL_LAG: Final = timedelta(seconds=10)
SNAPSHOT_LAG: Final = 4 * SNAPSHOT_EVERY
"""Records since the last snapshot of a stream."""
EXPIRY_LAG: Final = timedelta(minutes=10)
ERASURE_LAG: Final = timedelta(hours=1)
"""For so long what is decided may wait to be carried out; see interfaces/erasing.py."""
ERASURE_ANSWERED: Final = timedelta(days=30)
"""Whoever asks to be erased is told within a month what was done (GDPR, article 12(3))."""

_WHO_HAS_CHANGED_IT: Final = (
    "ledgertwin verify, and find out who has set back or changed the database"
)


def sealing(connection: Connection[Any], settings: Settings) -> Ailments:
    """The log is sealed as far as it goes, and what was signed is in it."""
    row = connection.execute(
        "SELECT count(*), min((convert_from(e.state, 'UTF8')::json ->> 'at')::timestamptz)"
        " FROM (SELECT state FROM ledgertwin.bank_events WHERE notification_id >"
        " (SELECT coalesce(max(position), 0) FROM ledgertwin.checkpoints)"
        " ORDER BY notification_id LIMIT 1) AS e"
    ).fetchone()
    assert row is not None
    if row[0] and (lag := time_of(connection) - row[1]) > SEALING_LAG:
        yield warning(
            f"there are records that no checkpoint covers, for {lag.total_seconds():,.0f} s",
            "ledgertwin serve seals them; if it runs, see what it has logged",
        )
    (broken,) = connection.execute("SELECT broken FROM ledgertwin.merkle_log").fetchone() or (None,)
    if broken is not None:
        yield error(f"nothing is sealed any more: {broken}", _WHO_HAS_CHANGED_IT)
    if has_keys(settings):
        try:
            sealed = sealed_by(settings, open_keystore(settings))
        except KeystoreError:
            return  # the keys say so themselves
        except InvalidSettings as wrong:
            yield error(str(wrong), "put the setting right")
            return
        yield from _signed(connection, last_checkpoint(settings), sealed)
        yield from _witnessed(connection, sealed)


def _signed(connection: Connection[Any], kept: Path, sealed: Sealed) -> Ailments:
    remedy = _WHO_HAS_CHANGED_IT
    try:
        last, _ = opened(kept.read_bytes(), sealed.verifier)
        tree = Tree(lambda: nullcontext(connection))
        if tree.growth().size < last.size:
            yield error(
                f"{last.size} records were signed, and the tree has {tree.growth().size}", remedy
            )
        elif tree.root(last.size) != last.root:
            yield error(f"the tree does not begin with the {last.size} records signed", remedy)
    except FileNotFoundError:
        if connection.execute("SELECT FROM ledgertwin.checkpoints LIMIT 1").fetchone() is not None:
            yield error(
                f"checkpoints were signed, and {kept}, which keeps the last one, is gone",
                "put it back: without it anything is signed",
            )
    except NoteInvalid as wrong:
        yield error(f"{kept} is not what was written there: {wrong}", "put back a copy of it")
    except TileMissing as missing:
        yield error(f"the tree is not whole: {missing}", remedy)


def _witnessed(connection: Connection[Any], sealed: Sealed) -> Ailments:
    """Enough witnesses cosign what is signed, if any are asked to."""
    if sealed.policy.quorum == NONE:
        return
    stand = Seals(lambda: nullcontext(connection), sealed.policy).stand()
    (waiting,) = connection.execute(
        "SELECT min(signed_at) FROM ledgertwin.checkpoints WHERE position > %s", [stand.witnessed]
    ).fetchone() or (None,)
    if waiting is not None and (lag := time_of(connection) - waiting) > WITNESS_LAG:
        yield warning(
            f"not enough witnesses have cosigned what was signed, for {in_words(lag)}",
            "see what ledgertwin serve has logged of them",
        )


def read_models(connection: Connection[Any]) -> Ailments:
    stands = dict(
        connection.execute(
            "SELECT p.name, (SELECT (convert_from(e.state, 'UTF8')::json ->> 'at')::timestamptz"
            " FROM ledgertwin.bank_events AS e WHERE e.notification_id > p.position"
            " ORDER BY e.notification_id LIMIT 1) FROM ledgertwin.projections AS p"
        ).fetchall()
    )
    now = time_of(connection)
    for projection in PROJECTIONS:
        if projection.name not in stands:
            yield warning(f"the read model {projection.name} is not built", "ledgertwin worker")
        elif (waiting := stands[projection.name]) and (lag := now - waiting) > READ_MODEL_LAG:
            yield warning(
                f"the read model {projection.name} is {lag.total_seconds():,.0f} s behind",
                "ledgertwin worker, or see what it has logged",
            )


def snapshots(connection: Connection[Any]) -> Ailments:
    """A snapshot of what is not in the log any more says that the log was set back."""
    row = connection.execute(
        "SELECT count(*) FROM ledgertwin.snapshots AS s WHERE NOT EXISTS ("
        " SELECT FROM ledgertwin.bank_events AS e"
        " WHERE e.originator_id = s.stream_id AND e.originator_version = s.version)"
    ).fetchone()
    assert row is not None
    if row[0]:
        yield error(
            f"{row[0]} snapshots are of records that are not in the log",
            "ledgertwin verify, with a head or a checkpoint that you have kept",
        )
    row = connection.execute(
        "SELECT count(*) FROM ledgertwin.snapshots AS s CROSS JOIN LATERAL ("
        " SELECT max(e.originator_version) AS version FROM ledgertwin.bank_events AS e"
        " WHERE e.originator_id = s.stream_id"
        ") AS latest WHERE latest.version - s.version > %s",
        [SNAPSHOT_LAG],
    ).fetchone()
    assert row is not None
    if row[0]:
        yield warning(
            f"{row[0]} snapshots are more than {SNAPSHOT_LAG} records behind their streams",
            "see what ledgertwin serve has logged: it takes one each time a stream has grown",
        )


def expiry(connection: Connection[Any]) -> Ailments:
    """What was held for a time is let go when that is over."""
    table = _table_of(connection, AUTHORIZATIONS)
    if table is None:
        return
    now = time_of(connection)
    waiting = [AuthorizationStatus.CHALLENGED.value, AuthorizationStatus.PENDING.value]
    row = connection.execute(
        sql.SQL(
            "SELECT count(*), min(expires_at) FROM {} WHERE status = ANY(%s) AND expires_at < %s"
        ).format(table),
        [waiting, now - EXPIRY_LAG],
    ).fetchone()
    assert row is not None
    if row[0]:
        yield warning(
            f"{row[0]} authorizations have expired and were not ended, the first for"
            f" {in_words(now - row[1])}",
            "ledgertwin serve ends them each minute; if it runs, see what it has logged",
        )


def erasures(connection: Connection[Any], settings: Settings) -> Ailments:
    """Whoever has asked to be erased is answered, and what was decided is carried out."""
    table = _table_of(connection, ERASURES)
    if table is None:
        return
    keys = timedelta(days=settings.key_days) + KEY_LEEWAY
    rows = connection.execute(
        sql.SQL(
            "SELECT r.erasure_id, r.stage, clock_timestamp()"
            " - (convert_from(e.state, 'UTF8')::json ->> 'at')::timestamptz"
            " FROM {} AS r JOIN ledgertwin.bank_events AS e ON e.notification_id = r.last_position"
            " WHERE r.stage = ANY(%s) ORDER BY 1"
        ).format(table),
        [[ErasureStage.REQUESTED.value, ErasureStage.STARTED.value, ErasureStage.ERASED.value]],
    ).fetchall()
    for erasure_id, stage, since in rows:
        lag = in_words(since)
        match ErasureStage(stage):
            case ErasureStage.REQUESTED if since > ERASURE_ANSWERED:
                yield warning(
                    f"nobody has answered the request for erasure {erasure_id} for {lag}",
                    "have it approved or declined: the customer is told within a month",
                )
            case ErasureStage.STARTED if since > ERASURE_LAG:
                yield error(
                    f"erasure {erasure_id} is decided on and not carried out, for {lag}",
                    "ledgertwin serve carries it out; if it runs, see what it has logged",
                )
            case ErasureStage.ERASED if since > keys:
                yield warning(
                    f"erasure {erasure_id} is not final for {lag}: backups from before"
                    " it can be opened",
                    "rotate the keys",
                )
            case _:
                pass


def _table_of(connection: Connection[Any], projection: Projection[Any]) -> sql.Identifier | None:
    """Of a read model, once it is built."""
    stands = tracked(connection, [projection.name], lock=False)
    if projection.name not in stands:
        return None
    return sql.Identifier(SCHEMA, table_name(projection.name, stands[projection.name].generation))
