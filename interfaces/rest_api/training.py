"""Training a model over HTTP: `ledgertwin risk train` in a process of its own, as a job.

A model that was trained is on record, and decides nothing until somebody else promotes it. What is
known of a job is kept in this process only, and the latest jobs at that: what it has made is in the
log.
"""

import asyncio
import os
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from importlib.util import find_spec
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

import msgspec
from fastapi import APIRouter, Body, Header, Path
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from starlette.requests import Request
from starlette.responses import Response

from interfaces.access.caller import Scope
from interfaces.rest_api import examples
from interfaces.rest_api.answering import Asked, require, shown
from interfaces.rest_api.asking import Problem, found
from interfaces.rest_api.described import describes, needs
from interfaces.system import System

router = APIRouter(tags=["administration"])

ACCEPTED: Final = 202
JOBS: Final = 100
"""How many are remembered."""

_WORDS: Final = 500
"""How much is told of why a job has failed."""


class JobState(StrEnum):
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class Training(BaseModel):
    """What to train on, and to measure on."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True
    )

    until: date = Field(description="Learn from uses before that day, measure on later ones.")
    since: date | None = Field(default=None, description="Learn from uses since that day.")
    tested_until: date | None = Field(
        default=None, description="Measure on uses before that day only."
    )
    label_days: int = Field(
        default=7,
        ge=0,
        le=365,
        description="So many days before `until` teach nothing, as nobody knew yet what was fraud.",
    )

    def arguments(self) -> Sequence[str]:
        said: dict[str, object] = {
            "--until": self.until,
            "--since": self.since,
            "--tested-until": self.tested_until,
            "--label-days": self.label_days,
        }
        return [str(part) for given in said.items() if given[1] is not None for part in given]


@dataclass
class Job:
    """One training, and what has come of it."""

    id: UUID
    training: Training
    trainer: str
    started_at: datetime
    state: JobState = JobState.RUNNING
    ended_at: datetime | None = None
    model: Mapping[str, Any] | None = None
    problem: str | None = None
    task: "asyncio.Task[None] | None" = field(default=None, repr=False)

    def shown(self) -> Mapping[str, Any]:
        return {
            "id": self.id,
            "state": self.state,
            "training": self.training.model_dump(mode="json", by_alias=True),
            "trainer": self.trainer,
            "startedAt": self.started_at,
            "endedAt": self.ended_at,
            "model": self.model,
            "problem": self.problem,
        }


class Jobs:
    """The trainings of this process, of which one runs at a time: it takes a processor for itself,
    and memory for all that it learns from."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._jobs: OrderedDict[UUID, Job] = OrderedDict()

    def find(self, id: UUID) -> Job | None:
        return self._jobs.get(id)

    def start(self, id: UUID, training: Training, trainer: str) -> Job:
        """The job of that id: begun, unless it was before."""
        known = self._jobs.get(id)
        if known is not None:
            if (known.training, known.trainer) != (training, trainer):
                raise Problem("COMMAND_ID_REUSED", "that key was used for another training")
            return known
        if find_spec("lightgbm") is None:
            raise Problem("NOT_INSTALLED", "training needs the extra `ledgertwin[lab]`")
        for job in self._jobs.values():
            if job.state is JobState.RUNNING:
                raise Problem("TRAINING_UNDER_WAY", "a model is being trained", job=str(job.id))
        job = Job(id, training, trainer, started_at=datetime.now(UTC))
        job.task = asyncio.create_task(self._run(job), name=f"training {id}")
        self._jobs[id] = job
        while len(self._jobs) > JOBS:
            self._jobs.popitem(last=False)
        return job

    async def _run(self, job: Job) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "interfaces.cli", "risk", "train", "--json"),
            *job.training.arguments(),
            *("--trainer", job.trainer),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                "LEDGERTWIN_DATABASE_URL": self._system.url,
                "LEDGERTWIN_HOME": str(self._system.settings.home),
            },
        )
        try:
            said, wrong = await process.communicate()
        finally:
            if process.returncode is None:  # the bank stops: what it has begun ends with it
                process.kill()
                await process.wait()
        self._ended(job, process.returncode, said, wrong)

    def _ended(self, job: Job, code: int | None, said: bytes, wrong: bytes) -> None:
        job.ended_at = datetime.now(UTC)
        if code != 0:
            job.state = JobState.FAILED
            words = wrong.decode(errors="replace").strip().splitlines()[-1:]
            job.problem = (words[0] if words else f"it ended with {code}")[:_WORDS]
            return
        made = msgspec.json.decode(said.splitlines()[-1])
        job.state = JobState.SUCCEEDED
        job.model = {
            "artefactSha256": made["artefact_sha256"],
            "rows": made["rows"],
            "metrics": {
                "auc": made["metrics"]["auc"],
                "averagePrecision": made["metrics"]["average_precision"],
                "recallAt01PercentFpr": made["metrics"]["recall_at_0_1_percent_fpr"],
            },
            "knownBefore": made["known_before"],
        }


_METRICS: Final = {
    "type": "object",
    "description": "How good it is on uses later than all it was trained on, from 0 to 1.",
    "properties": {
        "auc": {"type": "number"},
        "averagePrecision": {"type": "number"},
        "recallAt01PercentFpr": {"type": "number"},
    },
    "required": ["auc", "averagePrecision", "recallAt01PercentFpr"],
}
_JOB: Final = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid", "description": "The job's id."},
        "state": {"type": "string", "enum": list(JobState)},
        "training": {"type": "object", "description": "What was asked for."},
        "trainer": {"type": "string", "description": "Who asked: somebody else promotes it."},
        "startedAt": {"type": "string", "format": "date-time"},
        "endedAt": {"type": ["string", "null"], "format": "date-time"},
        "model": {
            "type": ["object", "null"],
            "description": "What was trained, and is on record: `riskPolicy` shows all of it.",
            "properties": {
                "artefactSha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                "rows": {"type": "integer", "description": "How many uses it learnt from."},
                "metrics": _METRICS,
                "knownBefore": {
                    "type": "boolean",
                    "description": "Whether the very same model was on record already.",
                },
            },
            "required": ["artefactSha256", "rows", "metrics", "knownBefore"],
        },
        "problem": {"type": ["string", "null"], "description": "Why it has failed."},
    },
    "required": ["id", "state", "training", "trainer", "startedAt", "endedAt", "model", "problem"],
}

Key = Annotated[
    UUID | None,
    Header(
        alias="Idempotency-Key",
        description="The job's id, which is yours to choose: asked for again with it, it is the "
        "same job.",
    ),
]


@router.post(
    "/admin/retrain",
    operation_id="retrain",
    summary="Train a risk model",
    description="As `ledgertwin risk train` does, on what the log says was known that day. It "
    "decides nothing until somebody else promotes it.",
    **describes(
        _JOB,
        examples.JOB,
        status=ACCEPTED,
        words="It is being trained; `Location` says where to look.",
        headers={
            "Location": {"description": "Where the job is.", "schema": {"type": "string"}},
        },
        problems={
            409: "Another model is being trained.",
            422: "That key was used for another training.",
            501: "What trains models is not installed.",
        },
    ),
    **needs(Scope.ADMIN),
)
async def retrain(
    request: Request,
    asking: Asked,
    training: Annotated[Training, Body(examples=[{"until": "2026-01-01"}])],
    key: Key = None,
) -> Response:
    require(asking, Scope.ADMIN)
    jobs: Jobs = request.app.state.jobs
    job = jobs.start(key or uuid4(), training, asking.caller.subject)
    return shown(
        asking,
        job.shown(),
        status=ACCEPTED,
        headers={"Location": f"/v1/admin/jobs/{job.id}"},
    )


@router.get(
    "/admin/jobs/{id}",
    operation_id="job",
    summary="How a training stands",
    description="Jobs are known to the process that runs them, and for as long as it runs.",
    **describes(_JOB, examples.JOB),
    **needs(Scope.ADMIN),
)
async def job(
    request: Request, asking: Asked, id: Annotated[UUID, Path(description="The job's id.")]
) -> Response:
    require(asking, Scope.ADMIN)
    jobs: Jobs = request.app.state.jobs
    return shown(asking, found(jobs.find(id), "job").shown())
