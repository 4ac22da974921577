"""What is expected to go wrong is said in one line."""

import errno

import psycopg
import pytest

from application.event_log import LogUnavailable
from interfaces.cli.running import FAILED, errors_in_a_line
from interfaces.instruction import DatabaseAway


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (psycopg.errors.DiskFull("no space"), "ledgertwin: the disk is full: no space"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/home/bank"),
            "ledgertwin: the disk is full: No space left on device: /home/bank",
        ),
        (PermissionError(13, "Permission denied", "/x"), "ledgertwin: Permission denied: /x"),
        (LogUnavailable("gone"), "ledgertwin: the database does not answer: gone"),
        (ExceptionGroup("tasks", [DatabaseAway("come back")]), "ledgertwin: come back"),
    ],
)
def test_an_expected_error_is_one_line_and_an_exit_code(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, errors_in_a_line():
        raise error
    assert ended.value.code == FAILED
    assert capsys.readouterr().err.splitlines() == [said]


def test_a_defect_is_shown_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), errors_in_a_line():
        raise ZeroDivisionError


def test_a_defect_beside_an_expected_error_is_shown_as_it_is() -> None:
    both = ExceptionGroup("tasks", [DatabaseAway("away"), ZeroDivisionError()])
    with pytest.raises(ExceptionGroup), errors_in_a_line():
        raise both
