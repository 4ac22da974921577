"""An event as the log holds it: the fact, where it stands, and who caused it when."""

from datetime import datetime
from typing import Any
from uuid import UUID

from domain.value import value


@value
class Recorded:
    """One record of the log, decoded.

    `position` orders the whole log (it may have gaps), `version` the stream (it has none).
    `at` is the time of recording (UTC); `by` is the id of the command that caused it.
    """

    position: int
    stream_id: UUID
    version: int
    event: Any
    at: datetime
    by: UUID
