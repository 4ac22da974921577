"""Lets authorizations expire when their time has come, and challenges that nobody answered.

What is held too long is found in a read model and ended by a command, as anybody might: so history
says it, and it does no harm if several processes do it, or one of them twice.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

from domain.authorizing import ExpireAuthorization
from domain.spending import AuthorizationStatus
from interfaces.instruction import Instruction, carry_out
from interfaces.repeating import repeating
from interfaces.system import System
from projections.authorizations import AUTHORIZATIONS, AuthorizationRow

logger = logging.getLogger(__name__)

ACTOR: Final = "authorization expiry"
EVERY_SECONDS: Final = 60.0
AT_ONCE: Final = 500

_DUE: Final = """
SELECT {columns} FROM {table} WHERE status = ANY(%s) AND expires_at <= %s
ORDER BY status, expires_at LIMIT %s
"""
_WAITING: Final = [AuthorizationStatus.CHALLENGED.value, AuthorizationStatus.PENDING.value]


def expiring(
    system: System, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> AbstractAsyncContextManager[None]:
    """Look each minute, until the block ends."""

    async def look() -> bool:
        if ended := await expire_due(system, clock()):
            logger.info("%d authorizations have expired", ended)
        return False

    return repeating("expiry of authorizations", look, EVERY_SECONDS)


async def expire_due(system: System, now: datetime) -> int:
    """End all that has expired by `now`; how many that were.

    The command says when its time had come, and not when somebody looked: so it is the same command
    whoever sends it, and takes effect once.
    """
    ended = 0
    seen: set[UUID] = set()
    while True:
        async with system.read_models.snapshot() as snapshot:
            rows = await snapshot.select(AUTHORIZATIONS, _DUE, [_WAITING, now, AT_ONCE])
        due = [row for row in rows if row.authorization_id not in seen]
        outcomes = await asyncio.gather(
            *(carry_out(_instruction(row), system.bank.execute) for row in due)
        )
        ended += sum(outcome is not None and not outcome.replayed for outcome in outcomes)
        seen.update(row.authorization_id for row in due)
        if len(rows) < AT_ONCE or not due:
            return ended


def _instruction(row: AuthorizationRow) -> Instruction:
    assert row.expires_at is not None
    command = ExpireAuthorization(
        card_id=row.card_id, authorization_id=row.authorization_id, at=row.expires_at
    )
    # Anew if its expiry was moved: what was refused once stays refused.
    command_id = uuid5(row.authorization_id, f"expire {row.expires_at.isoformat()}")
    return Instruction(command=command, command_id=command_id, actor=ACTOR)
