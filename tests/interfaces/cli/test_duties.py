"""`ledgertwin duties` says who may not do what alone."""

from typer.testing import CliRunner

from domain.aggregate import permanent_name
from domain.duties import ALONE, DUTIES
from interfaces.cli import app


def test_every_duty_is_told_and_every_command_that_is_none() -> None:
    told = CliRunner().invoke(app, ["duties"], env={"COLUMNS": "400"})
    assert told.exit_code == 0
    lines = [line.split() for line in told.output.splitlines() if line.strip()]
    first = [words[0] for words in lines]
    assert [name for name in first if name in {duty.name for duty in DUTIES}] == [
        duty.name for duty in DUTIES
    ]
    assert {permanent_name(command) for command in ALONE} <= {*first}
