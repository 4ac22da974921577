"""Proofs, and the tree that they are made of: a checkpoint and tiles, as C2SP has them."""

import asyncio
from datetime import date
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from application.proof.tiles import Tile, TileMissing
from application.seals import RecordState
from interfaces.access.caller import Scope
from interfaces.access.limits import Kind
from interfaces.graphql_api.context import WAIT_MAX_MS
from interfaces.rest_api import examples
from interfaces.rest_api.answering import KEPT_BY_NOBODY, Asked, shown
from interfaces.rest_api.asking import Asking, Problem, found
from interfaces.rest_api.described import describes, needs
from interfaces.rest_api.shapes import Shape, reference

router = APIRouter(tags=["proofs"])

PLAIN: Final = "text/plain; charset=utf-8"
TILE: Final = "application/octet-stream"

_TEXT: Final[Shape] = {"type": "string"}

At = Annotated[str, Path(description="The record's position in the log.", pattern=r"^\d{1,18}$")]


@router.get(
    "/records/{position}/state",
    operation_id="recordState",
    summary="How well a record is proven",
    description="As soon as it has come to the state that is waited for, or time is up.",
    **describes(reference("RecordStanding"), examples.RECORD_STANDING),
    **needs(Scope.READ),
)
async def record_state(
    asking: Asked,
    position: At,
    wait_for: Annotated[
        RecordState | None, Query(alias="waitFor", description="The state to wait for.")
    ] = None,
    timeout_ms: Annotated[
        int, Query(alias="timeoutMs", ge=0, le=WAIT_MAX_MS, description="How long to wait.")
    ] = 5_000,
) -> Response:
    wanted = {"waitFor": wait_for, "timeoutMs": timeout_ms}
    data = await asking.ask("RecordStanding", position=position, **wanted)
    return shown(asking, found(data["recordState"], "record"))


@router.get(
    "/proofs/inclusion/{position}",
    operation_id="inclusionProof",
    summary="That a record is in the log",
    description="`file` is a C2SP tlog-proof. Nothing is found for a record that no checkpoint "
    "covers yet: its state says so, and can be waited for.",
    **describes(reference("InclusionProof"), examples.INCLUSION_PROOF),
    **needs(Scope.READ),
)
async def inclusion(asking: Asked, position: At) -> Response:
    data = await asking.ask("InclusionProof", position=position)
    return shown(asking, found(data["inclusionProof"], "sealed record"))


@router.get(
    "/proofs/consistency/{since}",
    operation_id="consistencyProof",
    summary="That the log begins with what was signed before",
    description="To be verified with the checkpoint that was kept.",
    **describes(reference("ConsistencyProof"), examples.CONSISTENCY_PROOF),
    **needs(Scope.READ),
)
async def consistency(
    asking: Asked,
    since: Annotated[
        str, Path(description="The size of the checkpoint that was kept.", pattern=r"^\d{1,18}$")
    ],
) -> Response:
    data = await asking.ask("ConsistencyProof", since=since)
    return shown(asking, found(data["consistencyProof"], "sealed log"))


@router.get(
    "/proofs/completeness/{stream}",
    operation_id="completenessProof",
    summary="How far a stream had come at the end of a day",
    description="Whoever has its records up to there has all of them.",
    **describes(reference("CompletenessProof"), examples.COMPLETENESS_PROOF),
    **needs(Scope.ADMIN),
)
async def completeness(
    asking: Asked,
    stream: Annotated[UUID, Path(description="The stream: the id of an account, say.")],
    day: Annotated[
        date | None, Query(description="The day, in UTC; else the last one that was closed.")
    ] = None,
) -> Response:
    data = await asking.ask(
        "CompletenessProof", stream=str(stream), day=day.isoformat() if day else None
    )
    return shown(asking, found(data["completenessProof"], "end of that day"))


@router.get(
    "/log/checkpoint",
    operation_id="checkpoint",
    summary="What the bank has signed of its log",
    description="The latest checkpoint (C2SP tlog-checkpoint), with its cosignatures.",
    **describes(_TEXT, examples.CHECKPOINT_TEXT, media_type=PLAIN),
    **needs(Scope.READ),
)
async def checkpoint(asking: Asked) -> Response:
    data = await asking.ask("Checkpoint")
    return _as(asking, found(data["checkpoint"], "checkpoint")["text"].encode(), PLAIN)


@router.get(
    "/log/tile/{level}/{place:path}",
    operation_id="tile",
    summary="A tile of the tree over the log",
    description="256 hashes, or as many as the end of the path says (C2SP tlog-tiles). A whole "
    "tile never changes.",
    **describes({"type": "string", "format": "binary"}, "", media_type=TILE),
    **needs(Scope.READ),
)
async def tile(
    asking: Asked,
    level: Annotated[int, Path(description="0 are the records' own hashes.", ge=0, le=7)],
    place: Annotated[str, Path(description="Such as `x001/234` or `000.p/17`.", max_length=40)],
) -> Response:
    if not asking.caller.may(Scope.READ):
        raise Problem("FORBIDDEN", "the scope is needed", missingScope=Scope.READ.value)
    asking.take(Kind.READ)
    tree = asking.serving.system.tree
    try:
        hashes = await asyncio.to_thread(tree.read, Tile.parse(f"tile/{level}/{place}"))
    except TileMissing:
        raise Problem("NOT_FOUND", "the tree has no such tile") from None
    return _as(asking, hashes, TILE)


def _as(asking: Asking, content: bytes, media_type: str) -> Response:
    headers = {**KEPT_BY_NOBODY, **asking.headers}
    return Response(content, headers=headers, media_type=media_type)
