"""The log: every event ever recorded, each linked by hash to the one before it in its stream.

This is the only package that knows the eventsourcing library. Its recorders give storage,
optimistic concurrency and one global order; a persistence module of another database can be put in
by configuration.
"""

from application.event_log.log import (
    Append,
    Batch,
    ChainBroken,
    Conflict,
    EventLog,
    KeyGone,
    LogUnavailable,
    RawRecord,
    Session,
    Snapshot,
    StoredRecord,
    StoredSnapshot,
    Stream,
    Writer,
)
from application.event_log.postgres import (
    APPLICATION_ROLE,
    READER_ROLE,
    SEALER_ROLE,
    WORKER_ROLE,
    open_log,
)

__all__ = [
    "APPLICATION_ROLE",
    "READER_ROLE",
    "SEALER_ROLE",
    "WORKER_ROLE",
    "Append",
    "Batch",
    "ChainBroken",
    "Conflict",
    "EventLog",
    "KeyGone",
    "LogUnavailable",
    "RawRecord",
    "Session",
    "Snapshot",
    "StoredRecord",
    "StoredSnapshot",
    "Stream",
    "Writer",
    "open_log",
]
