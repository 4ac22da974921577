"""Training: what is served says what LightGBM says, and is the same bytes when made again."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.risk.assessment import RiskDecision
from domain.risk.model import Model, ModelMalformed, sigmoid, written
from domain.risk.policy import SCORE

# LightGBM's wheel leaves the OpenMP runtime to the system. Who lacks it is told so; but where a
# change is judged, nothing is skipped.
if TYPE_CHECKING or "CI" in os.environ:
    import lightgbm
    import numpy as np

    from interfaces.risk_lab import training
else:
    training = pytest.importorskip("interfaces.risk_lab.training", exc_type=ImportError)
    lightgbm, np = training.lightgbm, training.np

NAMES = ("amount", "hour", "new_merchant", "fraud_share")
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
SMALL = training.Parameters(trees=12, leaves=8, depth=4, smallest_leaf=20, learning_rate=0.2)


def made_up(count: int, seed: int = 7) -> list[tuple[datetime, tuple[float, ...], bool]]:
    """One use in ten minutes. Large amounts, the night and bad merchants are where fraud is."""
    random = Random(seed)  # noqa: S311 -- made up
    rows: list[tuple[datetime, tuple[float, ...], bool]] = []
    for n in range(count):
        at = FIRST + timedelta(minutes=10 * n)
        amount, new = float(random.randrange(100, 30_000)), float(random.random() < 0.3)
        share = random.choice((0.0, 0.0, 0.0, 0.25, random.random()))
        odds = -5 + 4 * (amount > 22_000) + 1.5 * new * (at.hour < 6) + 5 * share
        rows.append((at, (amount, float(at.hour), new, share), random.random() < sigmoid(odds)))
    return rows


@lru_cache
def training_set(count: int = 3000) -> "training.TrainingSet":
    rows = training.TrainingSet(features=NAMES, schema_hash="5c")
    for at, features, fraud in made_up(count):
        rows.add(at, features, fraud=fraud)
    return rows


def days(first: int, last: int) -> "training.Period":
    return training.Period(start=FIRST + timedelta(days=first), end=FIRST + timedelta(days=last))


PERIODS = training.Periods(fitting=days(0, 12), calibrating=days(12, 16), testing=days(16, 21))


@lru_cache
def trained() -> "training.Trained":
    return training.train(training_set(), PERIODS, SMALL)


# --- what is served is what was trained -----------------------------------------------------------


def boosted(
    seed: int, count: int = 400, categories: Sequence[int] = (), **params: Any
) -> "lightgbm.Booster":
    """By LightGBM itself, with parameters of all kinds."""
    rows = made_up(count, seed)
    return lightgbm.train(
        {
            "objective": "binary",
            "num_threads": 1,
            "deterministic": True,
            "verbosity": -1,
            "use_missing": False,
            "seed": seed,
            **params,
        },
        lightgbm.Dataset(
            np.array([features for _, features, _ in rows]),
            [fraud for _, _, fraud in rows],
            categorical_feature=list(categories),
        ),
        num_boost_round=8,
    )


def served(booster: "lightgbm.Booster") -> Model:
    trees = training.trees_of(booster.dump_model())
    return Model.parse(written(features=NAMES, schema_hash="", trees=trees))


boosters = st.builds(
    boosted,
    st.integers(0, 1000),
    num_leaves=st.integers(2, 40),
    max_depth=st.sampled_from((-1, 1, 3, 9)),
    min_data_in_leaf=st.integers(1, 60),
    learning_rate=st.sampled_from((0.05, 0.5)),
    bagging_fraction=st.sampled_from((0.5, 1.0)),
    bagging_freq=st.just(1),
)
asked = st.lists(
    st.tuples(
        st.floats(-1e6, 1e6),
        st.integers(0, 23).map(float),
        st.sampled_from((0.0, 1.0)),
        st.sampled_from((0.0, -0.0, 1e-36, 0.25)) | st.floats(0, 1),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=40, deadline=None)
@given(boosters, asked)
def test_the_bank_says_what_lightgbm_says(
    booster: "lightgbm.Booster", rows: list[tuple[float, ...]]
) -> None:
    model = served(booster)
    log_odds = np.asarray(booster.predict(np.array(rows), raw_score=True)).tolist()
    assert [model.log_odds(row) for row in rows] == log_odds
    probabilities = np.asarray(booster.predict(np.array(rows))).tolist()
    assert [model.probability(row) for row in rows] == pytest.approx(probabilities, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(boosters, asked)
def test_the_bank_explains_as_lightgbm_explains(
    booster: "lightgbm.Booster", rows: list[tuple[float, ...]]
) -> None:
    model = served(booster)
    for row, wanted in zip(
        rows, np.asarray(booster.predict(np.array(rows), pred_contrib=True)), strict=True
    ):
        assert (*model.contributions(row), model.expected) == pytest.approx(
            wanted.tolist(), abs=1e-9
        )


def test_features_that_lead_nowhere_make_trees_without_splits() -> None:
    model = served(boosted(1, count=40, min_data_in_leaf=39))
    assert model.trees[0].features == ()
    assert model.contributions((1.0, 2.0, 0.0, 0.0)) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"categories": [2], "min_data_per_group": 1, "cat_smooth": 0}, "split by =="),
        ({"use_missing": True, "zero_as_missing": True}, "with Zero for missing"),
        ({"objective": "regression"}, "log-odds of one class"),
        ({"sigmoid": 0.5}, "log-odds of one class"),
        ({"objective": "multiclass", "num_class": 2}, "log-odds of one class"),
        ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "log-odds of one class"),
    ],
)
def test_what_the_bank_does_not_serve_is_not_written(params: dict[str, Any], why: str) -> None:
    with pytest.raises(training.TrainingImpossible, match=why):
        training.trees_of(boosted(3, count=1500, **params).dump_model())


def python(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """In a process of its own."""
    return subprocess.run(  # noqa: S603 -- code of this file
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


# --- the same again -------------------------------------------------------------------------------


def test_training_again_makes_the_same_bytes() -> None:
    assert training.train(training_set(), PERIODS, SMALL).artefact == trained().artefact


def test_training_again_in_another_process_makes_the_same_bytes() -> None:
    """Another process has other addresses, and another order of what is hashed."""
    code = (
        f"import importlib.util as u; s = u.spec_from_file_location('again', {__file__!r}); "
        "again = u.module_from_spec(s); s.loader.exec_module(again); print(again.trained().sha256)"
    )
    done = python(code, PYTHONHASHSEED="3", OMP_NUM_THREADS="2")
    assert done.stdout.strip() == trained().sha256, done.stderr


def test_another_seed_is_kept_in_the_record() -> None:
    assert json.loads(training.Parameters(seed=9).canonical()) == {
        "calibrating": "NONE",
        "depth": 5,
        "leaves": 31,
        "learning_rate": 0.05,
        "patience": 20,
        "seed": 9,
        "smallest_leaf": 100,
        "trees": 120,
    }


def test_the_record_says_which_libraries_made_it() -> None:
    assert json.loads(trained().versions).keys() == {"lightgbm", "numpy"}


def test_a_training_set_is_named_by_the_bytes_of_its_rows() -> None:
    rows = training.TrainingSet(features=("a", "b"), schema_hash="5c")
    rows.add(FIRST, (1.5, -2.0), fraud=True)
    rows.add(FIRST + timedelta(microseconds=1), (0.0, 3.0), fraud=False)
    second = 1_704_067_200
    wanted = (
        b'{"features":["a","b"],"rows":2,"schema_hash":"5c"}\n'
        + struct.pack("<2q4d", second * 10**6, second * 10**6 + 1, 1.5, -2.0, 0.0, 3.0)
        + b"\1\0"
    )
    assert rows.sha256() == sha256(wanted).hexdigest()


# --- what is trained ------------------------------------------------------------------------------


def test_a_model_is_named_by_its_bytes_and_of_the_rows_features() -> None:
    model = trained().model()
    assert (model.sha256, model.features, model.schema_hash) == (trained().sha256, NAMES, "5c")


def test_it_finds_what_is_there_to_be_found() -> None:
    assert trained().evaluation.auc > 0.85


def test_it_is_measured_on_the_last_period_by_the_model_that_is_served() -> None:
    last = [
        (features, fraud) for at, features, fraud in made_up(3000) if at >= PERIODS.testing.start
    ]
    model = trained().model()
    blocked = [fraud for features, fraud in last if model.probability(features) > 0.95]
    found = {band.decision: band for band in trained().evaluation.bands}
    assert trained().evaluation.rows == len(last)
    assert found[RiskDecision.BLOCK].count == len(blocked)


def test_it_learns_from_the_first_period_only() -> None:
    """What comes later may be anything: the trees stay, as long as none is one too many."""
    rows = training.TrainingSet(features=NAMES, schema_hash="5c")
    for at, features, fraud in made_up(3000):
        later = at >= PERIODS.testing.start
        rows.add(at, (0.0, 0.0, 0.0, 0.0) if later else features, fraud=fraud)
    assert training.train(rows, PERIODS, SMALL).sha256 == trained().sha256


def test_it_stops_when_more_trees_are_no_better() -> None:
    patient = training.Parameters(trees=400, leaves=8, smallest_leaf=20, patience=5)
    found = training.train(training_set(), PERIODS, patient)
    assert found.trees == len(found.model().trees) < 400


def test_the_record_keeps_how_features_and_scores_were_spread() -> None:
    bins = {each.feature: each for each in trained().reference}
    assert set(bins) == {*NAMES, SCORE}
    assert bins["new_merchant"].edges == (0.0, 1.0)


@pytest.mark.parametrize("how", list(training.Calibrating))
def test_a_model_is_served_as_it_was_calibrated(how: "training.Calibrating") -> None:
    parameters = training.Parameters(trees=12, leaves=8, smallest_leaf=20, calibrating=how)
    found = training.train(training_set(), PERIODS, parameters)
    kind = json.loads(found.artefact)["calibration"]
    assert (kind and kind["kind"].upper()) == (None if how.value == "NONE" else how.value)
    assert (
        found.evaluation.brier < 0.1
    )  # to say 0.155 of everything, which is the truth, would be 0.13


@pytest.mark.parametrize("name", ["fitting", "calibrating", "testing"])
def test_a_period_without_fraud_cannot_be_used(name: str) -> None:
    rows = training.TrainingSet(features=NAMES, schema_hash="5c")
    period = getattr(PERIODS, name)
    for at, features, fraud in made_up(3000):
        rows.add(at, features, fraud=fraud and not period.start <= at < period.end)
    with pytest.raises(training.TrainingImpossible, match=f"the {name} period has 0 frauds"):
        training.train(rows, PERIODS, SMALL)


def test_without_rows_there_is_no_model() -> None:
    empty = training.TrainingSet(features=NAMES, schema_hash="5c")
    with pytest.raises(training.TrainingImpossible, match="0 frauds in 0 rows"):
        training.train(empty, PERIODS, SMALL)


def test_periods_that_overlap_would_ask_a_model_about_what_it_knows() -> None:
    with pytest.raises(ValueError, match="follow each other"):
        training.Periods(fitting=days(0, 12), calibrating=days(11, 16), testing=days(16, 21))


def test_a_period_ends_after_it_starts() -> None:
    with pytest.raises(ValueError, match="ends after"):
        training.Periods(fitting=days(0, 12), calibrating=days(12, 12), testing=days(16, 21))


@pytest.mark.parametrize(
    ("at", "features", "why"),
    [
        (FIRST - timedelta(seconds=1), (1.0, 2.0), "before the row before it"),
        (FIRST, (1.0,), "2 features, not 1"),
        (FIRST, (1.0, float("nan")), "finite"),
        (FIRST, (float("inf"), 0.0), "finite"),
    ],
)
def test_a_row_that_makes_no_sense_is_not_added(
    at: datetime, features: Sequence[float], why: str
) -> None:
    rows = training.TrainingSet(features=("a", "b"), schema_hash="5c")
    rows.add(FIRST, (1e308, 1e308), fraud=False)
    with pytest.raises(ValueError, match=why):
        rows.add(at, features, fraud=False)
    assert len(rows) == 1


def test_an_artefact_that_was_kept_badly_is_not_the_model() -> None:
    damaged = trained().artefact.replace(b"amount", b"abount")
    with pytest.raises(ModelMalformed):
        Model.parse(damaged, sha256=trained().sha256)


# --- calibration ----------------------------------------------------------------------------------

outcomes = st.lists(
    st.tuples(st.integers(-4, 4).map(float), st.integers(0, 1)), min_size=1, max_size=40
)


@given(outcomes)
def test_isotonic_steps_are_the_greatest_of_the_least_means(
    rows: list[tuple[float, int]],
) -> None:
    """The min-max formula of isotonic regression, over groups of equal scores."""
    found = training.isotonic([x for x, _ in rows], [fraud for _, fraud in rows])
    places = sorted({x for x, _ in rows})

    def mean(start: float, end: float) -> float:
        inside = [fraud for x, fraud in rows if start <= x <= end]
        return sum(inside) / len(inside)

    for x in places:
        wanted = max(
            min(mean(start, end) for end in places if end >= x) for start in places if start <= x
        )
        assert found.probability(x) == pytest.approx(wanted)


def test_platt_finds_the_line_that_the_outcomes_came_from() -> None:
    random = Random(5)  # noqa: S311 -- made up
    log_odds = [random.uniform(-5, 5) for _ in range(20_000)]
    frauds = [int(random.random() < sigmoid(0.5 * x - 1.0)) for x in log_odds]
    found = training.platt(log_odds, frauds)
    assert (found.slope, found.intercept) == pytest.approx((0.5, -1.0), abs=0.05)


def test_scores_that_are_the_wrong_way_round_cannot_be_calibrated() -> None:
    with pytest.raises(training.TrainingImpossible, match="less fraud"):
        training.platt([-2.0, -1.0, 1.0, 2.0] * 20, [1, 1, 0, 0] * 20)


# --- without the lab ------------------------------------------------------------------------------


def complaint(code: str) -> str:
    done = python(code)
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("missing", "module"),
    [("lightgbm", "training"), ("numpy", "training"), ("matplotlib", "plots")],
)
def test_what_is_not_installed_is_named_with_its_remedy(missing: str, module: str) -> None:
    said = complaint(
        f"import sys; sys.modules[{missing!r}] = None; import interfaces.risk_lab.{module}"
    )
    assert missing in said
    assert "pip install 'ledgertwin[lab]'" in said


def test_a_missing_openmp_runtime_is_named_with_its_remedy(tmp_path: Path) -> None:
    """As LightGBM's own import fails where the library is not: with an OSError of the loader."""
    (tmp_path / "lightgbm.py").write_text(
        "import ctypes\nctypes.CDLL('libgomp.so.1-which-is-not-here')\n"
    )
    said = complaint(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import interfaces.risk_lab.training"
    )
    assert said.startswith("ImportError: LightGBM needs the OpenMP runtime: apt install libgomp1")


@pytest.mark.parametrize("module", ["drift", "evaluation"])
def test_measuring_needs_no_library(module: str) -> None:
    code = (
        "import sys\n"
        "for name in ('lightgbm', 'numpy', 'matplotlib', 'duckdb'): sys.modules[name] = None\n"
        f"import interfaces.risk_lab.{module}\n"
    )
    assert python(code).returncode == 0
