"""What the bank proves, whoever has its key can verify; and nothing that is not so."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from http import HTTPStatus
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from application.bank import Bank
from application.proof.__main__ import main
from application.proof.evidence import (
    Completeness,
    Consistency,
    Inclusion,
    ProofUnreadable,
    Proves,
    prove,
)
from application.proof.note import Note, NoteInvalid, cosignature_of
from application.proof.policy import Policy
from application.proof.verify import Problem
from application.proof.witness import Answer, Witness, WitnessKey
from application.proving import NotProvable, Prover
from application.record import record_hash
from application.seals import RecordState, Seals
from application.vault import Vault
from application.witnessing import Witnessing
from domain import HANDLERS
from domain.day_end import DAY_ENDS, CloseDay
from tests.application.banking import KEYSTORE, clerk, opened_account, records
from tests.application.proof.test_witness import KEY, answering
from tests.application.test_sealing import Bench, bench_on

MONDAY = date(2025, 3, 3)


class Proving(Bench):
    """A bench whose bank's clock can be set, and that proves."""

    prover: Prover
    policy: Policy

    @classmethod
    def over(cls, bench: Bench) -> "Proving":
        bench.__class__ = cls
        assert isinstance(bench, cls)
        bench.policy = Policy(bench.signer.verifier)
        bench.prover = bench.proving(bench.policy)[0]
        return bench

    def proving(self, policy: Policy) -> tuple[Prover, Seals]:
        seals = Seals(self.connect, policy)
        return Prover(self.log, self.connect, self.tree, seals), seals

    def account(self, day: date) -> UUID:
        return asyncio.run(self._account(day))

    async def _account(self, day: date) -> UUID:
        async with self._bank(day) as bank:
            return await opened_account(bank)

    def close(self, day: date, on: date) -> None:
        end = self.prover.day_end(day)
        assert end is not None
        command = CloseDay(
            day_ends_id=DAY_ENDS,
            day=day,
            position=end.position,
            streams=end.streams,
            root=end.root.hex(),
        )

        async def closing() -> None:
            async with self._bank(on) as bank:
                await bank.execute(command, clerk())

        asyncio.run(closing())

    def _bank(self, day: date) -> Bank:
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        return Bank(
            self.log,
            Vault(KEYSTORE, self.log.vault_reader),
            HANDLERS,
            fingerprint_key=b"k" * 32,
            clock=lambda: noon,
        )


@pytest.fixture(scope="module")
def proving(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proving]:
    """A log of two days, of which the first is closed, with checkpoints along the way."""
    with bench_on(module_database, tmp_path_factory.mktemp("proving")) as bench:
        proving = Proving.over(bench)
        for _ in range(4):
            proving.account(MONDAY)
        proving.seal()
        proving.account(MONDAY.replace(day=4))
        proving.seal()
        proving.close(MONDAY, MONDAY.replace(day=4))
        proving.seal()
        yield proving


def accounts(proving: Proving, day: int) -> list[UUID]:
    return [
        r.stream_id
        for r in records(proving.log)
        if r.topic.startswith("account.opened") and f"2025-03-0{day}T".encode() in r.state
    ]


def test_every_record_is_proven_with_the_key_alone(proving: Proving) -> None:
    for record in records(proving.log):
        proof = proving.prover.inclusion(record.position, with_record=True)
        proven = prove(str(proof).encode(), proving.policy)
        assert proven.proves is Proves.INCLUSION
        assert proven.told["record"]["state"] == record.state.decode()
        assert proven.told["leaf"] == record_hash(*record[1:])


def test_a_proof_tells_nothing_of_a_record_that_is_not_to_be_told(proving: Proving) -> None:
    (record, *_) = records(proving.log)
    text = str(proving.prover.inclusion(record.position, with_record=False))
    proof = Inclusion.parse(text)
    assert proof.entry is None
    assert proof.leaf.hex() == record_hash(*record[1:])
    assert proof.check(proving.policy).size == proving.tree.growth().size
    assert len(text) < 1200


@pytest.mark.parametrize("position", [0, -1, 10**9])
def test_what_is_not_there_is_not_proven(proving: Proving, position: int) -> None:
    with pytest.raises(NotProvable):
        proving.prover.inclusion(position, with_record=True)


def test_a_record_that_was_changed_is_not_proven(proving: Proving) -> None:
    proof = proving.prover.inclusion(5, with_record=True)
    assert proof.entry is not None
    forged = replace(proof, entry=proof.entry._replace(state=proof.entry.state + b" "))
    with pytest.raises(Problem, match="that is not record"):
        forged.check(proving.policy)


def test_every_byte_of_a_proof_matters(proving: Proving) -> None:
    content = str(proving.prover.inclusion(5, with_record=False)).encode()
    told = prove(content, proving.policy).told
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        try:
            proven = prove(bytes(changed), proving.policy)
        except (Problem, ProofUnreadable, NoteInvalid):
            continue
        assert proven.told == told


def test_the_log_is_proven_to_begin_with_what_was_signed(proving: Proving) -> None:
    for size, note in proving.tree.checkpoints():
        proof = str(proving.prover.consistency(size)).encode()
        proven = prove(proof, proving.policy, [str(note).encode()])
        assert (proven.proves, proven.told["since"]) == (Proves.CONSISTENCY, size)


def test_a_log_is_not_proven_to_begin_with_another(proving: Proving) -> None:
    (size, note), *_, (latest, _) = proving.tree.checkpoints()
    proof = proving.prover.consistency(size)
    forged = replace(proof, path=(bytes(32), *proof.path[1:]))
    with pytest.raises(Problem, match="does not begin with"):
        prove(str(forged).encode(), proving.policy, [str(note).encode()])
    with pytest.raises(Problem, match="it is about"):
        prove(
            str(Consistency(latest, (), proof.note)).encode(), proving.policy, [str(note).encode()]
        )
    with pytest.raises(ProofUnreadable):
        prove(str(proof).encode(), proving.policy)


def test_all_of_a_stream_is_proven_at_the_end_of_a_day(proving: Proving) -> None:
    for stream in accounts(proving, 3):
        proven = prove(str(proving.prover.completeness(stream, MONDAY)).encode(), proving.policy)
        (*_, last) = proving.log.stream(stream)
        assert proven.told == {
            "stream": str(stream),
            "day": "2025-03-03",
            "position": proven.told["position"],
            "version": last.version,
            "hash": record_hash(*last[1:]),
        }
        assert proven.told["position"] >= last.position


def test_a_stream_that_was_not_there_is_proven_not_to_have_been(proving: Proving) -> None:
    strangers = [UUID(int=0), UUID(int=2**128 - 1), *(uuid4() for _ in range(10))]
    for stream in (*accounts(proving, 4), *strangers):
        proven = prove(str(proving.prover.completeness(stream)).encode(), proving.policy)
        assert proven.told["version"] == 0


def test_a_stream_that_was_there_is_not_proven_away(proving: Proving) -> None:
    (stream, *_) = accounts(proving, 3)
    absent = proving.prover.completeness(UUID(int=stream.int ^ 1))
    others = tuple(placed for placed in absent.ends if placed.end.stream != stream.bytes)
    with pytest.raises(Problem):
        replace(absent, stream=stream, ends=others).check(proving.policy)
    there = proving.prover.completeness(stream)
    (placed,) = there.ends
    short = placed._replace(end=placed.end._replace(version=placed.end.version - 1))
    with pytest.raises(Problem):
        replace(there, ends=(short,)).check(proving.policy)
    with pytest.raises(Problem):
        replace(there, ends=()).check(proving.policy)


def test_another_record_is_no_end_of_a_day(proving: Proving) -> None:
    (stream, *_) = accounts(proving, 3)
    proof = replace(
        proving.prover.completeness(stream), closed=proving.prover.inclusion(1, with_record=True)
    )
    with pytest.raises(Problem, match=r"no log\.day_closed"):
        Completeness.parse(str(proof)).check(proving.policy)


def test_a_day_that_is_not_over_is_not_closed(proving: Proving) -> None:
    assert proving.prover.day_end(MONDAY.replace(day=4)) is None
    assert proving.prover.day_end(MONDAY.replace(day=2)) is None
    with pytest.raises(NotProvable):
        proving.prover.completeness(uuid4(), MONDAY.replace(day=4))


def test_a_file_is_verified_by_a_command(
    proving: Proving, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "record.tlog-proof"
    file.write_text(str(proving.prover.inclusion(3, with_record=True)))
    key = str(proving.signer.verifier)
    assert main(["--proof", str(file), "--key", key, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["proves"] == "inclusion"
    assert main(["--proof", str(file)]) == 2
    file.write_text(file.read_text().replace("index 2", "index 3"))
    assert main(["--proof", str(file), "--key", key]) == 10
    assert "NOT VERIFIED" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"old x\n\n",
        b"c2sp.org/tlog-proof@v1\nindex 0\n",
        b'{"format": "ledgertwin-completeness/1"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_proof_is_said_to_be_none(proving: Proving, content: bytes) -> None:
    with pytest.raises((ProofUnreadable, NoteInvalid)):
        prove(content, proving.policy)


@contextmanager
def witnessed(bench: Bench, folder: Path) -> Iterator[tuple[Policy, Witnessing]]:
    with answering(Witness(KEY, [bench.signer.verifier], folder)) as address:
        policy = Policy.parse(
            f"witness w {KEY.verifier} {address}\nquorum w\n", log=bench.signer.verifier
        )
        yield policy, Witnessing(bench.connect, bench.tree, policy)


def test_a_record_goes_through_three_states(database: str, tmp_path: Path) -> None:
    with bench_on(database, tmp_path) as bench, witnessed(bench, tmp_path) as (policy, witnessing):
        proving = Proving.over(bench)
        prover, seals = proving.proving(policy)
        proving.deposits(3)
        head = proving.log.head()
        states = [seals.stand().state_of(head)]
        proving.seal()
        states.append(seals.stand().state_of(head))
        assert witnessing.ask("w")
        states.append(seals.stand().state_of(head))
        assert states == list(RecordState)
        assert not witnessing.ask("w")
        proof = str(prover.inclusion(1, with_record=True)).encode()
        assert prove(proof, policy).told["index"] == 0
        seals.put(proving.tree.latest(), tmp_path / "put")
        names = {path.name for path in (tmp_path / "put").iterdir()}
        assert names == {str(proving.tree.growth().size), f"{proving.tree.growth().size}.witnessed"}


def test_a_witness_sees_the_log_grow(database: str, tmp_path: Path) -> None:
    with bench_on(database, tmp_path) as bench, witnessed(bench, tmp_path) as (_, witnessing):
        for _ in range(3):
            bench.deposits(3)
            bench.seal()
            assert witnessing.ask("w")


def test_the_bank_learns_from_a_witness_what_it_has_seen(database: str, tmp_path: Path) -> None:
    with bench_on(database, tmp_path) as bench, witnessed(bench, tmp_path) as (_, witnessing):
        bench.deposits(3)
        bench.seal()
        assert witnessing.ask("w")
        bench.tamper("ALTER TABLE ledgertwin.cosignatures DISABLE TRIGGER ALL")
        bench.tamper("DELETE FROM ledgertwin.cosignatures")
        bench.deposits(3)
        bench.seal()
        assert witnessing.ask("w")


def test_a_witness_that_is_away_stops_nothing(database: str, tmp_path: Path) -> None:
    with bench_on(database, tmp_path) as bench:
        with witnessed(bench, tmp_path) as (_, witnessing):
            bench.deposits(1)
            bench.seal()
        assert not witnessing.ask("w")


def test_somebody_elses_cosignature_is_not_kept(database: str, tmp_path: Path) -> None:
    with bench_on(database, tmp_path) as bench:
        other = WitnessKey.make("witness.example")
        with answering(Witness(other, [bench.signer.verifier], tmp_path / "x")) as address:
            policy = Policy.parse(
                f"witness w {KEY.verifier} {address}\nquorum w\n", log=bench.signer.verifier
            )
            bench.deposits(1)
            bench.seal()
            assert not Witnessing(bench.connect, bench.tree, policy).ask("w")
            assert Seals(bench.connect, policy).stand().witnessed == 0


class Liar(Witness):
    """A witness that has the bank keep what is no cosignature of its checkpoint."""

    def __init__(self, folder: Path, say: Callable[[Note], str]) -> None:
        super().__init__(KEY, [], folder)
        self._say = say

    def add_checkpoint(self, body: bytes) -> Answer:
        return Answer(HTTPStatus.OK, self._say(Consistency.parse(body.decode()).note))


def of_more(note: Note) -> str:
    """Its own signature, of a text that begins as the bank's does."""
    more = f"{note.text}\nand more\n"
    return f"and more\n\n{cosignature_of(KEY.verifier, more, 1, KEY.private.sign)}"


def of_no_time(note: Note) -> str:
    return str(cosignature_of(KEY.verifier, note.text, 2**64 - 1, KEY.private.sign))


@pytest.mark.parametrize(
    "say", [of_more, of_no_time, lambda _: "", lambda _: "\n\n", lambda _: "x" * 100_000]
)
def test_what_is_no_cosignature_of_the_checkpoint_is_not_kept(
    database: str, tmp_path: Path, say: Callable[[Note], str]
) -> None:
    with bench_on(database, tmp_path) as bench, answering(Liar(tmp_path / "x", say)) as address:
        policy = Policy.parse(
            f"witness w {KEY.verifier} {address}\nquorum w\n", log=bench.signer.verifier
        )
        bench.deposits(1)
        bench.seal()
        assert not Witnessing(bench.connect, bench.tree, policy).ask("w")
        assert Seals(bench.connect, policy).stand().witnessed == 0
        note = bench.tree.latest()
        assert note is not None
        assert len(note.signatures) == 1, "nothing was kept"


def test_a_cosignature_that_is_wrong_is_none(database: str, tmp_path: Path) -> None:
    with bench_on(database, tmp_path) as bench, witnessed(bench, tmp_path) as (policy, witnessing):
        bench.deposits(1)
        bench.seal()
        assert witnessing.ask("w")
        bench.tamper("ALTER TABLE ledgertwin.cosignatures DISABLE TRIGGER ALL")
        bench.tamper("UPDATE ledgertwin.cosignatures SET line = reverse(rtrim(line, E'\n'))")
        assert Seals(bench.connect, policy).stand().witnessed == 0
