"""docs/observing.md names every metric that there is, and none besides."""

import re

from interfaces.metrics import Metrics
from tests.interfaces.cli.ledgertwin import ROOT


def test_the_page_names_every_metric() -> None:
    page = (ROOT / "docs" / "observing.md").read_text()
    said = set(re.findall(r"^\| `(ledgertwin_\w+)` \|", page, re.MULTILINE))
    assert said == {metric.name for metric in Metrics().registry.collect()}
