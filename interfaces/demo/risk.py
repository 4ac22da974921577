"""How the demo bank comes by its risk policy, and by a model that was trained elsewhere.

The model is shipped: training one takes labelled transactions of half a year. It was trained on
those of the Fraud Detection Handbook, which are simulated, and beside every log; its record says
how. `python -m interfaces.risk_lab.evaluate` makes both files again.
"""

import gzip
from importlib.resources import files
from typing import Final

import msgspec

from domain.risk.features import SCHEMA_HASH
from domain.risk.policy import ModelRole, PromoteModel, PublishRules, RecordTrainedModel
from domain.risk.rules import DEFAULT_RULES
from interfaces.demo.teller import Teller

RISK_OFFICER: Final = "demo:risk-officer"
HEAD_OF_RISK: Final = "demo:head-of-risk"


class ModelDoesNotFit(Exception):
    """The shipped model was trained on features that this version does not compute."""


def shipped_artefact() -> bytes:
    """The model: to be kept where the bank finds artefacts, before it is promoted."""
    return gzip.decompress(files(__package__).joinpath("risk_model.json.gz").read_bytes())


def shipped_record() -> RecordTrainedModel:
    """What its trainer says of it; ModelDoesNotFit if the bank would not promote it."""
    return record_in(files(__package__).joinpath("risk_model.record.json").read_bytes())


def record_in(text: bytes) -> RecordTrainedModel:
    """The record in JSON. A defect of whoever changed the features, and no refusal: it says so
    before half of the story is told."""
    record = msgspec.json.decode(text, type=RecordTrainedModel)
    if record.feature_schema != SCHEMA_HASH:
        raise ModelDoesNotFit(
            "the risk model that comes with the demo was trained on other features than are "
            "computed today: see interfaces/demo/risk.py for how to train it again"
        )
    return record


def adopt_policy(teller: Teller) -> str:
    """Rules and a champion, whose hash it answers. Whoever approves it has not trained it."""
    record = shipped_record()
    teller.give(PublishRules(rules=DEFAULT_RULES, publisher=RISK_OFFICER), RISK_OFFICER)
    teller.give(record, record.trainer)
    teller.give(
        PromoteModel(
            artefact_sha256=record.artefact_sha256,
            role=ModelRole.CHAMPION,
            approver=HEAD_OF_RISK,
        ),
        HEAD_OF_RISK,
    )
    return record.artefact_sha256
