"""Proofs over GraphQL: how well a record is proven, and what proves it, for whoever asks."""

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, Final, Self, TypeVar
from uuid import UUID

import strawberry

from application.proof.evidence import Completeness, Consistency, Inclusion
from application.proof.note import Checkpoint, Note
from application.proving import NotProvable
from application.seals import RecordState, Stand
from interfaces.access.caller import Scope
from interfaces.graphql_api.context import WAIT_MAX_MS, Context, Info
from interfaces.graphql_api.errors import BadUserInput
from interfaces.graphql_api.fields import field
from interfaces.graphql_api.part import Part
from interfaces.graphql_api.scalars import Position

T = TypeVar("T")

COST_OF_A_PROOF: Final = 10
COST_OF_COMPLETENESS: Final = 1_000
"""All streams are walked over."""

strawberry.enum(
    RecordState,
    description="How well a record is proven. `RECORDED`: it is committed, and linked to the one "
    "before in its stream. `SEALED`: a checkpoint covers it that the bank has signed. `WITNESSED`: "
    "enough others have cosigned one that does. Each includes the ones before.",
)

At = Annotated[Position, strawberry.argument(description="The record's position in the log.")]


@strawberry.type(description="How far a record has come, and all before it.")
class RecordStanding:
    position: Position = strawberry.field(description="Where the record stands in the log.")
    state: RecordState = strawberry.field(description="How well it is proven.")
    sealed_up_to: Position = strawberry.field(description="Every record up to here is sealed.")
    witnessed_up_to: Position = strawberry.field(
        description="Every record up to here is witnessed."
    )

    @classmethod
    def of(cls, position: int, stand: Stand) -> Self:
        return cls(
            position=Position(position),
            state=stand.state_of(position),
            sealed_up_to=Position(stand.sealed),
            witnessed_up_to=Position(stand.witnessed),
        )


@strawberry.type(
    description="What the bank has signed of its log: how many records, and the root of the Merkle "
    "tree over them (C2SP tlog-checkpoint)."
)
class SignedCheckpoint:
    origin: str = strawberry.field(description="Which log it is of.")
    size: Position = strawberry.field(
        description="How many records it covers. Positions may skip numbers, so this is none."
    )
    root: str = strawberry.field(description="The root of the tree over them, in hexadecimal.")
    text: str = strawberry.field(
        description="All of it, with its signatures: to be kept as it is, elsewhere."
    )
    signatures: list[str] = strawberry.field(
        description="The names that it bears: the log's, and those of witnesses."
    )

    @classmethod
    def of(cls, note: Note) -> Self:
        said = Checkpoint.parse(note.text)
        return cls(
            origin=said.origin,
            size=Position(said.size),
            root=said.root.hex(),
            text=str(note),
            signatures=[signature.name for signature in note.signatures],
        )


@strawberry.type(description="That a record is in the log (RFC 6962, section 2.1.1).")
class InclusionProof:
    index: Position = strawberry.field(description="Its leaf's index in the tree.")
    leaf_hash: str = strawberry.field(
        description="Its own hash, in hexadecimal: what its successor names as the one before."
    )
    path: list[str] = strawberry.field(
        description="The hashes from beside the leaf up to the root, in hexadecimal."
    )
    checkpoint: SignedCheckpoint = strawberry.field(description="Whose root that is.")
    proof: strawberry.Private[Inclusion]

    @classmethod
    def of(cls, proof: Inclusion) -> Self:
        return cls(
            index=Position(proof.index),
            leaf_hash=proof.leaf.hex(),
            path=[step.hex() for step in proof.path],
            checkpoint=SignedCheckpoint.of(proof.note),
            proof=proof,
        )

    @field("The same as a C2SP tlog-proof, to be kept in a file and verified by itself.")
    def file(self) -> str:
        return str(
            Inclusion(
                self.proof.index, self.proof.path, self.proof.note, leaf_alone=self.proof.leaf
            )
        )

    @field("The same with the record itself.", needs=Scope.ADMIN)
    def file_with_record(self) -> str:
        return str(self.proof)


@strawberry.type(
    description="That the log begins with what was signed before (RFC 6962, section 2.1.2)."
)
class ConsistencyProof:
    since: Position = strawberry.field(description="How many records were signed before.")
    path: list[str] = strawberry.field(description="The hashes that show it, in hexadecimal.")
    checkpoint: SignedCheckpoint = strawberry.field(description="Which log begins with them.")
    file: str = strawberry.field(
        description="The same to be kept in a file, and verified with the earlier checkpoint."
    )

    @classmethod
    def of(cls, proof: Consistency) -> Self:
        return cls(
            since=Position(proof.old),
            path=[step.hex() for step in proof.path],
            checkpoint=SignedCheckpoint.of(proof.note),
            file=str(proof),
        )


@strawberry.type(
    description="How far a stream had come at the end of a day: whoever has its records up to "
    "there has all of them."
)
class CompletenessProof:
    stream_id: UUID = strawberry.field(description="The stream: that of an account, say.")
    day: date = strawberry.field(description="The day, in UTC.")
    position: Position = strawberry.field(description="Where the log had come at its end.")
    version: int = strawberry.field(
        description="Of the stream's last record; 0 if there was no such stream."
    )
    hash: str | None = strawberry.field(description="That record's hash, in hexadecimal.")
    checkpoint: SignedCheckpoint = strawberry.field(description="What covers the end of the day.")
    file: str = strawberry.field(
        description="The proof, in JSON, to be kept in a file and verified by itself."
    )

    @classmethod
    def of(cls, proof: Completeness) -> Self:
        end = proof.end
        return cls(
            stream_id=proof.stream,
            day=date.fromisoformat(proof.day["day"]),
            position=Position(proof.day["position"]),
            version=end.version if end is not None else 0,
            hash=end.hash_.hex() if end is not None else None,
            checkpoint=SignedCheckpoint.of(proof.closed.note),
            file=str(proof),
        )


@strawberry.type
class ProofQueries:
    @field(
        "How well a record is proven, as soon as it has come to the state that is waited for, or "
        "time is up. Null if there is no record at that position."
    )
    async def record_state(
        self,
        info: Info,
        position: At,
        wait_for: Annotated[
            RecordState | None, strawberry.argument(description="The state to wait for.")
        ] = None,
        timeout_ms: Annotated[
            int, strawberry.argument(description="How long to wait, at most 10000.")
        ] = 5_000,
    ) -> RecordStanding | None:
        context = info.context
        if not 0 <= timeout_ms <= WAIT_MAX_MS:
            raise BadUserInput(f"timeoutMs is between 0 and {WAIT_MAX_MS}")
        if not await asyncio.to_thread(_is_record, context, position):
            return None
        sealing = context.system.sealing
        wanted = wait_for or RecordState.RECORDED
        stand = await sealing.reaches(position, wanted, timeout_ms / 1000)
        return RecordStanding.of(position, stand)

    @field(
        "The name and key that the log is signed with (a C2SP verifier key). Whoever verifies it "
        "has this from somebody he trusts, and not from here."
    )
    async def log_key(self, info: Info) -> str:
        return str(info.context.system.sealed.verifier)

    @field("The latest checkpoint, or the one of a size; null if there is none.")
    async def checkpoint(
        self,
        info: Info,
        size: Annotated[
            Position | None, strawberry.argument(description="Of so many records.")
        ] = None,
    ) -> SignedCheckpoint | None:
        system = info.context.system
        if size is None:
            note = await asyncio.to_thread(system.tree.latest)
        else:
            note = await asyncio.to_thread(system.prover.checkpoint_of, size)
        return SignedCheckpoint.of(note) if note is not None else None

    @field(
        "That the record at a position is in the log. Null if there is none, or no checkpoint "
        "covers it yet: `recordState` waits for one.",
        costs=COST_OF_A_PROOF,
    )
    async def inclusion_proof(self, info: Info, position: At) -> InclusionProof | None:
        prover = info.context.system.prover
        proof = await _proven(lambda: prover.inclusion(position, with_record=True))
        return InclusionProof.of(proof) if proof is not None else None

    @field(
        "That the log begins with what was signed before. Null if no log of that size was.",
        costs=COST_OF_A_PROOF,
    )
    async def consistency_proof(
        self,
        info: Info,
        since: Annotated[
            Position, strawberry.argument(description="The size of the checkpoint that was kept.")
        ],
    ) -> ConsistencyProof | None:
        prover = info.context.system.prover
        proof = await _proven(lambda: prover.consistency(since))
        return ConsistencyProof.of(proof) if proof is not None else None

    @field(
        "How far a stream had come at the end of a day. Null if that day is not closed.",
        needs=Scope.ADMIN,
        costs=COST_OF_COMPLETENESS,
    )
    async def completeness_proof(
        self,
        info: Info,
        stream_id: Annotated[
            UUID, strawberry.argument(description="The stream: the id of an account, say.")
        ],
        day: Annotated[
            date | None,
            strawberry.argument(description="The day, in UTC; else the last one that was closed."),
        ] = None,
    ) -> CompletenessProof | None:
        prover = info.context.system.prover
        proof = await _proven(lambda: prover.completeness(stream_id, day))
        return CompletenessProof.of(proof) if proof is not None else None


async def _proven(prove: Callable[[], T]) -> T | None:
    try:
        return await asyncio.to_thread(prove)
    except NotProvable:
        return None


def _is_record(context: Context, position: int) -> bool:
    found: Any = context.system.log.records(position - 1, 1) if position > 0 else ()
    return bool(found) and found[0].position == position


PART = Part(queries=ProofQueries)
