"""A small bank whose customers have gone shopping, for whoever looks at risk afterwards."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

from application.bank import Bank
from application.commands import Accepted, Origin
from application.event_log import Append, EventLog, StoredRecord, open_log
from application.record import Record
from application.risk_desk import SURROUNDING, fold
from application.vault import Vault
from domain import HANDLERS
from domain.authorizing import (
    AdviseAuthorization,
    AuthorizeCard,
    CompleteChallenge,
    RecordFraudLabel,
)
from domain.card import (
    CardEndReason,
    CardExpiry,
    CardType,
    Channel,
    EntryMode,
    IssueCard,
    ReplaceCard,
)
from domain.risk.features import FEATURES, SCHEMA_HASH
from domain.risk.model import Model, Tree, written
from domain.risk.policy import (
    JUDGED,
    Band,
    Metrics,
    ModelRole,
    PromoteModel,
    PublishRules,
    RecordTrainedModel,
    ReferenceBins,
)
from domain.risk.rules import DEFAULT_RULES
from domain.risk.surroundings import DeviceHistory, MerchantHistory, SharedHistory
from domain.spending import AuthorizationKind, Merchant
from interfaces.system import bank_codec
from tests.application.banking import KEYSTORE, deposit, open_account, to_know
from tests.examples import OPENING_DAY, eur

BEGINNING: Final = datetime(2024, 3, 1, 9, tzinfo=UTC)
MERCHANTS: Final = tuple(
    Merchant(merchant_id=f"M{n}", name=f"Shop {n}", mcc="5411", country=country)
    for n, country in enumerate(("CZ", "CZ", "DE"))
)


class Behind:
    """A process that has folded the log as far as it was told to, and no further."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._history = SharedHistory()
        self.as_of = 0
        self.degraded: str | None = None

    def read_to(self, position: int) -> None:
        if position <= self.as_of:
            return
        for record in self._log.records(self.as_of, position - self.as_of):
            if record.topic in SURROUNDING:
                fold(self._history, self._log.codec.decode(record.topic, record.state).data, record)
        self.as_of = position

    def merchant(self, merchant_id: str) -> MerchantHistory:
        return self._history.merchant(merchant_id)

    def device(self, device: str | None) -> DeviceHistory:
        return self._history.device(device)

    def model(self, sha256: str) -> Model | None:
        artefact = self._log.risk_models.find(sha256)
        return None if artefact is None else Model.parse(artefact)

    def grown_to(self, position: int) -> None:
        """It is told otherwise."""


class Shoppers:
    """Customers with cards, and two processes of the bank that serve them."""

    def __init__(self, log: EventLog, seed: int = 1) -> None:
        self.log = log
        self.random = Random(seed)  # noqa: S311 -- who buys what is no secret
        self.processes = (Behind(log), Behind(log))
        self.banks = tuple(_bank(log, surroundings) for surroundings in self.processes)
        self.cards: list[UUID] = []
        self.now = BEGINNING

    async def __aenter__(self) -> "Shoppers":
        for bank in self.banks:
            await bank.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        for bank in self.banks:
            await bank.__aexit__(*error)

    def new_id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    async def tell(self, command: Any, *, process: int = 0, id: UUID | None = None) -> Accepted:
        origin = Origin(command_id=id or self.new_id(), actor="clerk")
        outcome = await self.banks[process].execute(command, origin)
        assert isinstance(outcome, Accepted), outcome
        return outcome

    async def issue_card(self) -> UUID:
        customer, account, card = self.new_id(), self.new_id(), self.new_id()
        for command in (*to_know(customer), open_account(account, customer)):
            await self.tell(command)
        await self.tell(deposit(account, 5_000_00, self.new_id()))
        issue = IssueCard(
            card_id=card,
            account_id=account,
            customer_id=customer,
            card_type=CardType.PHYSICAL,
            token=f"tok_{card}",
            brand="VISA",
            bin="400000",
            last4="1234",
            expiry=CardExpiry(year=2027, month=1),
            issued_on=OPENING_DAY,
            activate=True,
        )
        await self.tell(issue)
        self.cards.append(card)
        return card

    async def replace_card(self, number: int) -> None:
        old, new = self.cards[number], self.new_id()
        replace = ReplaceCard(
            card_id=old,
            new_card_id=new,
            reason=CardEndReason.LOST,
            token=f"tok_{new}",
            bin="400000",
            last4="1235",
            expiry=CardExpiry(year=2027, month=1),
            replaced_on=self.now.date(),
            activate=True,
        )
        await self.tell(replace)
        self.cards[number] = new

    async def use(self, *, process: int = 0, **said: Any) -> UUID:
        """Somebody uses a card somewhere; what is not said is left to chance."""
        chance = self.random
        self.now += timedelta(seconds=chance.choice((20, 400, 4_000, 40_000)))
        used = self.new_id()
        fields: dict[str, Any] = {
            "card_id": chance.choice(self.cards),
            "amount": eur(chance.choice((0, 5_00, 12_34, 80_00, 260_00, 6_000_00))),
            "merchant": chance.choice(MERCHANTS),
            "entry_mode": EntryMode.CHIP,
            "channel": Channel.POINT_OF_SALE,
            "occurred_at": self.now,
            "kind": AuthorizationKind.FINANCIAL,
            "device": chance.choice((None, "D1", "D2")),
            "address": chance.choice((None, "A1")),
            "strong_authentication": chance.random() < 0.5,
            "latitude": chance.choice((None, 50.1)),
            "longitude": 14.4,
        }
        await self.tell(
            AuthorizeCard(authorization_id=used, **(fields | said)), process=process, id=used
        )
        return used

    async def label(self, card_id: UUID, authorization_id: UUID, *, fraudulent: bool) -> None:
        learnt = RecordFraudLabel(
            card_id=card_id,
            authorization_id=authorization_id,
            fraudulent=fraudulent,
            source="the customer",
            learnt_at=self.now,
        )
        await self.tell(learnt)

    async def publish_rules(self) -> None:
        await self.tell(PublishRules(rules=DEFAULT_RULES, publisher="an officer"))

    async def promote(self, artefact: bytes, role: ModelRole = ModelRole.CHAMPION) -> str:
        """A model that nobody has measured much."""
        sha = self.log.risk_models.keep(artefact)
        await self.tell(trained(sha))
        await self.tell(PromoteModel(artefact_sha256=sha, role=role, approver="an officer"))
        return sha

    async def go_shopping(self, uses: int) -> None:
        """Each process is behind the log now and then, and not the same stretch as the other."""
        for _ in range(uses):
            number = self.random.randrange(2)
            if self.random.random() < 0.4:
                head = self.log.head()
                self.processes[number].read_to(head - self.random.choice((0, 0, 3, 30)))
            card = self.random.choice(self.cards)
            used = await self.use(process=number, card_id=card)
            if self.random.random() < 0.2:
                await self.label(card, used, fraudulent=self.random.random() < 0.7)


async def a_shopping_year(log: EventLog) -> None:
    """All kinds of things that risk is assessed in: without rules, with them, with a model, with a
    challenger; far behind, near, or without anybody who follows; by replaced cards and challenged
    customers, and with advice that nobody assessed."""
    async with Shoppers(log) as shoppers:
        for _ in range(3):
            await shoppers.issue_card()
        await shoppers.go_shopping(6)
        await shoppers.publish_rules()
        shoppers.processes[1].degraded = "the risk desk is behind the log"
        await shoppers.go_shopping(8)
        shoppers.processes[1].degraded = None
        await shoppers.promote(a_model(500.0))
        await shoppers.go_shopping(15)
        await shoppers.replace_card(0)
        await _challenged(shoppers)
        await _advised(shoppers)
        await shoppers.promote(a_model(5_000.0), ModelRole.CHALLENGER)
        await shoppers.go_shopping(25)


async def _challenged(shoppers: Shoppers) -> None:
    card = shoppers.cards[1]
    asked = await shoppers.use(card_id=card, amount=eur(300_00), strong_authentication=False)
    completion = shoppers.new_id()
    passed = CompleteChallenge(
        card_id=card,
        completion_id=completion,
        authorization_id=asked,
        passed=True,
        at=shoppers.now + timedelta(seconds=30),
    )
    await shoppers.tell(passed, id=completion)


async def _advised(shoppers: Shoppers) -> None:
    advice = shoppers.new_id()
    advised = AdviseAuthorization(
        card_id=shoppers.cards[2],
        advice_id=advice,
        amount=eur(7_00),
        merchant=MERCHANTS[0],
        entry_mode=EntryMode.CHIP,
        channel=Channel.POINT_OF_SALE,
        occurred_at=shoppers.now,
        kind=AuthorizationKind.FINANCIAL,
    )
    await shoppers.tell(advised, id=advice)


def a_model(threshold: float) -> bytes:
    """Two splits: an amount above the threshold is suspect, and one at a bad merchant."""

    def stump(feature: str, at: float, low: float, high: float) -> Tree:
        return Tree(
            features=(FEATURES.index(feature),),
            thresholds=(at,),
            left=(-1,),
            right=(-2,),
            values=(low, high),
            cover=(10, 5),
        )

    trees = [stump("amount", threshold, -2.0, 0.4), stump("merchant_fraud_7d", 0.05, -0.3, 1.7)]
    return written(features=FEATURES, schema_hash=SCHEMA_HASH, trees=trees)


def trained(sha: str, trainer: str = "a scientist") -> RecordTrainedModel:
    return RecordTrainedModel(
        model_id=UUID(sha[:32]),
        artefact_sha256=sha,
        feature_schema=SCHEMA_HASH,
        from_position=1,
        to_position=1,
        label_cutoff_position=1,
        rows=1,
        training_set_sha256="ab" * 32,
        params="{}",
        seed=1,
        library_versions="none",
        metrics=Metrics(auc=0.9, average_precision=0.5, recall_at_0_1_percent_fpr=0.5),
        bands=tuple(Band(decision=band, count=1, precision=1.0) for band in JUDGED),
        reference=(ReferenceBins(feature="score", edges=(0.5,), shares=(0.5, 0.5)),),
        trainer=trainer,
    )


def retold(log: EventLog, retell: Callable[[StoredRecord], bytes | None]) -> EventLog:
    """Another log, in which each record says what `retell` makes of it; those it drops are gone."""
    other = open_log(bank_codec())
    told = [(record, retell(record)) for record in every_record(log)]
    records = [Record(r.stream_id, r.version, r.topic, said) for r, said in told if said]
    with other.session() as session:
        session.append(Append(records))
    return other


def every_record(log: EventLog) -> Sequence[StoredRecord]:
    return log.records(0, 1_000_000)


def _bank(log: EventLog, surroundings: Behind) -> Bank:
    vault, key = Vault(KEYSTORE, log.vault_reader), KEYSTORE.mac("command fingerprint", b"")
    return Bank(log, vault, HANDLERS, fingerprint_key=key, surroundings=surroundings)
