"""How Hypothesis makes commands and events: from their fields, with ids out of small pools.

Because the pools are small, commands often meet something that exists, and because they hold
strangers, wrong currencies and amounts below zero, they often meet a refusal. The fields that hold
the id of an aggregate are known from `AGGREGATES` and `HANDLERS`. A new command or event needs a
line here only if it has a field of a new name whose value must look like something to be accepted,
or that holds the id of a part of an aggregate, as a restriction is one of an account.
"""

from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from hypothesis import strategies as st

from domain import AGGREGATES, HANDLERS
from domain.access import AccessJournal, reads_by
from domain.account import FORCED, Account, MovementKind
from domain.authorizing import Proof
from domain.branch import Branch
from domain.card import Card, CardExpiry, Only
from domain.customer import Customer
from domain.day_end import DAY_ENDS, DayEnds
from domain.key_rotation import KEY_EPOCHS_ID, KeyEpochs
from domain.loan import LoanCase
from domain.money import MINOR_MAX, Money
from domain.overdraft import OverdraftProposal
from domain.personal import Personal, Retention, Unsealed
from domain.postings import GL, Posting, transfer_postings
from domain.retention import RETENTION_POLICY_ID, RetentionPolicy
from domain.risk.assessment import RiskDecision
from domain.risk.features import SCHEMA_HASH
from domain.risk.policy import JUDGED, RISK_POLICY_ID, Band, Metrics, ReferenceBins, RiskPolicy
from domain.risk.rules import Rule
from domain.signals import (
    BureauScore,
    ChurnRisk,
    Contact,
    CrmChange,
    LifeEvent,
    LifeEventKind,
    Login,
    ServiceChannel,
)

Strategy = st.SearchStrategy[Any]


def ids(pool: int, number: int) -> tuple[UUID, ...]:
    """Ids that say in a failing example what they are of."""
    return tuple(UUID(int=(pool << 64) + n) for n in range(1, number + 1))


POOLS: dict[Any, tuple[UUID, ...]] = {
    **{aggregate: ids(0xA0 + n, 4) for n, aggregate in enumerate(AGGREGATES)},
    RiskPolicy: (RISK_POLICY_ID,),
    AccessJournal: (reads_by("reader"),),
    RetentionPolicy: (RETENTION_POLICY_ID,),
    KeyEpochs: (KEY_EPOCHS_ID,),
    DayEnds: (DAY_ENDS,),
}
"""The ids of each aggregate."""

CUSTOMERS = POOLS[Customer]
ACCOUNTS = POOLS[Account]
CARDS = POOLS[Card]
BRANCHES = POOLS[Branch]
LOANS = POOLS[LoanCase]
PROPOSALS = POOLS[OverdraftProposal]
RESTRICTIONS = ids(0xB, 2)
CONTROLS = ids(0xE, 1)
WALLET_TOKENS = ids(0xD, 3)
LEGAL_HOLDS = ids(0xC, 2)
ROTATIONS = ids(0xF, 2)
STRANGER = UUID(int=0xBAD)

FIRST_DAY = date(2024, 1, 2)
DAYS = tuple(FIRST_DAY + timedelta(days=n) for n in (0, 1, 30, 31, 400, 401, 800, -1))
INSTANTS = tuple(datetime(2024, 1, 2, 12, tzinfo=UTC) + timedelta(days=n) for n in (0, 7, 31))
CURRENCIES = (*["EUR"] * 8, "USD", "JPY")

days = st.sampled_from(DAYS)
kinds = st.sampled_from(
    [*[MovementKind.PAYMENT, MovementKind.CARD] * 8, *sorted(FORCED) * 2, *MovementKind]
)
minors = st.one_of(
    st.integers(1, 10),
    *[st.integers(1, 100_00)] * 5,
    st.sampled_from([1, 10, 100_00, MINOR_MAX, 0, -1, -5]),
)
monies = st.builds(Money, minor=minors, currency=st.sampled_from(CURRENCIES))
texts = st.text(max_size=8)
uuids = st.uuids()


@st.composite
def balanced_postings(draw: st.DrawFn) -> tuple[Posting, ...]:
    pairs = draw(st.integers(1, 2))
    return tuple(
        leg
        for _ in range(pairs)
        for leg in transfer_postings(
            draw(st.sampled_from(GL)),
            draw(st.sampled_from(GL)),
            draw(st.integers(1, MINOR_MAX)),
            draw(st.sampled_from(CURRENCIES)),
        )
    )


def _one_of(pool: tuple[UUID, ...]) -> Strategy:
    """The first most often, so that something becomes of it; now and then one that is unknown."""
    return st.sampled_from([*pool[:1] * 8, *pool[:2] * 3, *pool * 2, STRANGER])


finite = st.floats(allow_nan=False, allow_infinity=False)
places = st.sampled_from([None, None, 50.08, 40.71, -33.87])

RULES = tuple(
    Rule(code=code, words="by amount alone", when=when, floor=floor, owner="risk")
    for code, when, floor in (
        ("LOOKED_AT", "amount > 2000", 0.6),
        ("ALERTED", "amount > 3000", 0.72),
        ("ASKED", "amount > 5000", 0.8),
        ("BLOCKED", "amount > 9000 and amount <= 10000", 0.96),
    )
)
"""Most large amounts are asked about; few are too much altogether."""

rules = st.one_of(
    st.just(RULES),
    st.sampled_from([(), RULES[:2], RULES[3:], (Rule(code="no", words="", when="?", owner=""),)]),
)
bands = st.sampled_from(
    [
        *[tuple(Band(decision=d, count=10, precision=0.5) for d in JUDGED)] * 4,
        (Band(decision=RiskDecision.REVIEW, count=0),),
        (Band(decision=RiskDecision.BLOCK, count=1),),
    ]
)
MEASURED = Metrics(auc=0.9, average_precision=0.5, recall_at_0_1_percent_fpr=0.4)
HALVES = ReferenceBins(feature="amount", edges=(20_00.0,), shares=(0.5, 0.5))
ARTEFACTS = ("a1" * 32, "a2" * 32)

_BY_NAME: dict[str, Strategy] = {
    **{aggregate.identity: _one_of(pool) for aggregate, pool in POOLS.items()},
    **{
        name: _one_of(POOLS[aggregate])
        for handler in HANDLERS.values()
        for name, aggregate in handler.reads
    },
    "new_card_id": st.sampled_from([CARDS[2], CARDS[2], CARDS[1]]),
    "restriction_id": _one_of(RESTRICTIONS),
    "control_id": _one_of(CONTROLS),
    "legal_hold_id": _one_of(LEGAL_HOLDS),
    "rotation_id": _one_of(ROTATIONS),
    "years": st.sampled_from([0, 0, 1, 7, -1]),
    "ground": st.sampled_from([*["the law"] * 4, " "]),
    "currency": st.sampled_from(["EUR", "EUR", "EUR", "JPY", "XAU", "eur"]),
    "country": st.sampled_from(["CZ", "CZ", "DE", "cz"]),
    "tax_residence": st.sampled_from(["CZ", "CZ", "DE", ""]),
    "issuer_country": st.sampled_from(["CZ", "CZ", "Bohemia"]),
    "maker": st.sampled_from(["clerk", "officer"]),
    "reviewer": st.sampled_from(["clerk", "officer", "chief"]),
    "doc_hash": st.sampled_from(["ab" * 32, "ab" * 32, "passport"]),
    "purpose": st.sampled_from(["MARKETING", "MARKETING", "MARKETING", "PROFILING"]),
    "version": st.sampled_from(["1", "1", "1", "2"]),
    "tier": st.sampled_from([1, 2, 3, 3, 0, 4]),
    "token": st.sampled_from(["tok_1", "tok_2", "tok_3", "4111 1111 1111 1111"]),
    "bin": st.sampled_from(["411111", "411111", "41111122", "4"]),
    "last4": st.sampled_from(["1234", "1234", "123"]),
    "token_id": _one_of(WALLET_TOKENS),
    "correct": st.sampled_from([False, False, False, False, True]),
    "trailing_seconds": st.sampled_from([None, None, None, None, None, 60, 5]),
    "count": st.sampled_from([None, 0, 5, 5, -1]),
    "postings": balanced_postings(),
    "merchant_id": st.sampled_from(["T1", "T1", "T2"]),
    "mcc": st.sampled_from(["5411", "5411", "6011"]),
    "latitude": places,
    "longitude": places,
    "pin": st.sampled_from([None] * 8 + [*Proof]),
    "security_code": st.sampled_from([None] * 8 + [*Proof]),
    "increments": st.none(),
    "strong_authentication": st.sampled_from([False, False, False, True]),
    "network_reference": st.sampled_from([None] * 8 + ["1", "2"]),
    "analyst": st.sampled_from(["analyst", "chief"]),
    "artefact_sha256": st.sampled_from([*ARTEFACTS[:1] * 3, *ARTEFACTS]),
    "feature_schema": st.sampled_from([*[SCHEMA_HASH] * 4, "ab" * 32]),
    "training_set_sha256": st.sampled_from([*["cd" * 32] * 4, "cd"]),
    "from_position": st.integers(0, 10),
    "to_position": st.integers(10, 20),
    "label_cutoff_position": st.integers(20, 30),
    "trainer": st.sampled_from(["trainer", "trainer", "chief", ""]),
    "approver": st.sampled_from(["chief", "chief", "chief", "trainer"]),
    "publisher": st.sampled_from(["chief", "chief", "chief", " "]),
    "value": st.sampled_from([0.05, 0.2, 0.3]),
    "source": st.sampled_from([*["mobile-app", "crm"] * 4, "", "The Web"]),
    "source_event_id": st.sampled_from([*map(str, range(12)), "one more"]),
    "confidence": st.sampled_from([1.0, 1.0, 0.8, 1.5]),
    "kinds": st.sampled_from([*[("PAYSLIP",), ("PAYSLIP", "LEASE")] * 3, (), ("payslip",)]),
    "term_months": st.sampled_from([*[60] * 8, 0]),
    "rate_basis_points": st.sampled_from([*[590] * 8, 10_001]),
    "underwriter": st.sampled_from([*["underwriter"] * 4, "chief", ""]),
    "services": st.sampled_from([*[("CASH", "ADVICE")] * 4, ("CASH",), (), ("cash",)]),
    "service": st.sampled_from(["CASH", "CASH", "ADVICE", "CARDS"]),
    "counter": st.sampled_from(["1", "1", "2", ""]),
    "employee": st.sampled_from(["teller-1", "teller-1", "teller-2", " "]),
    "capacity": st.sampled_from([20, 40, 0]),
    "entered": st.sampled_from([0, 1, 3, -1]),
    "left": st.sampled_from([0, 0, 1, -1]),
    "reader": st.sampled_from(["reader", "reader", "another"]),
    "few": st.sampled_from([0, 1, 100]),
}

codes = st.sampled_from([*["ONE", "OTHER"] * 4, "in words"])

_BY_TYPE: dict[Any, Strategy] = {
    Login: st.builds(
        Login,
        channel=st.sampled_from(ServiceChannel),
        succeeded=st.booleans(),
        device=st.sampled_from([None, "d1" * 16, "d1" * 16, "my telephone"]),
        country=st.sampled_from([None, "CZ", "CZ", "cz"]),
    ),
    Contact: st.builds(Contact, channel=st.sampled_from(ServiceChannel), topic=st.none() | codes),
    BureauScore: st.builds(
        BureauScore,
        bureau=codes,
        score=st.sampled_from([300, 500, 850, 900]),
        lowest=st.just(300),
        highest=st.sampled_from([850, 850, 850, 300]),
        as_of=st.just(FIRST_DAY),
    ),
    CrmChange: st.builds(CrmChange, topic=codes, code=codes),
    LifeEvent: st.builds(LifeEvent, kind=st.sampled_from(LifeEventKind)),
    ChurnRisk: st.builds(
        ChurnRisk,
        probability=st.sampled_from([0.0, 0.4, 0.9, 2.0]),
        horizon_days=st.sampled_from([90, 90, 365, 0]),
        model=codes,
    ),
    UUID: uuids,
    bool: st.booleans(),
    int: st.integers(0, 100),
    float: finite,
    str: texts,
    date: days,
    datetime: st.sampled_from(INSTANTS),
    Money: monies,
    MovementKind: kinds,
    Only: st.sampled_from([*[Only()] * 8, Only(include=("5411",)), Only(exclude=("KP",))]),
    Metrics: st.sampled_from([*[MEASURED] * 4, replace(MEASURED, auc=2.0)]),
    tuple[Band, ...]: bands,
    tuple[ReferenceBins, ...]: st.sampled_from([(HALVES,), (HALVES,), (), (HALVES, HALVES)]),
    tuple[Rule, ...]: rules,
    CardExpiry: st.builds(CardExpiry, year=st.integers(2024, 2026), month=st.integers(1, 12)),
}

_sealed: Strategy = st.builds(
    Personal,
    subject=uuids,
    retention=st.sampled_from(Retention),
    commitment=st.binary(min_size=32, max_size=32).map(bytes.hex),
)
_in_clear: Strategy = st.builds(Unsealed, clear=texts)
numbers: Strategy = st.builds(
    Unsealed,
    clear=st.sampled_from(
        ["CZ65 0800 0000 1920 0014 5399", "MT84MALT011000012345MTLCAST001S", "CZ1"]
    ),
)
"""IBANs: the last one is none."""


def commands(cls: type[Any]) -> Strategy:
    """Commands of one class, valid and invalid; personal values are in clear."""
    return _built(cls, _in_clear)


def events(cls: type[Any]) -> Strategy:
    """Events of one class as they stand in the log; personal values are commitments."""
    return _built(cls, _sealed)


def _built(cls: type[Any], personal: Strategy) -> Strategy:
    hints = get_type_hints(cls)
    return st.builds(
        cls,
        **{field.name: _field(field.name, hints[field.name], personal) for field in fields(cls)},
    )


def _field(name: str, hint: Any, personal: Strategy) -> Strategy:
    if name == "iban":
        return st.one_of(st.none(), numbers if personal is _in_clear else _sealed)
    is_enum = isinstance(hint, type) and issubclass(hint, Enum)
    if name in _BY_NAME and not is_dataclass(hint) and not is_enum:
        return _BY_NAME[name]
    return _of(hint, personal)


def _of(hint: Any, personal: Strategy) -> Strategy:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Personal:
        return personal
    if origin in (Union, UnionType):
        return st.one_of([st.none() if a is type(None) else _of(a, personal) for a in args])
    if hint in _BY_TYPE:
        return _BY_TYPE[hint]
    if origin is tuple:
        return st.lists(_of(args[0], personal), max_size=2).map(tuple)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    return _built(hint, personal)
