"""One run of everything, as small as it can be, for all that is asked of a run."""

from collections.abc import Iterator

import pytest

from bench.place import Place, open_place
from bench.run import PARTS, Run, measure
from bench.sizes import TINY


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("measured")
    return measure(lambda: open_place(folder), TINY, PARTS, lambda _: None)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with open_place(tmp_path_factory.mktemp("place")) as place:
        yield place
