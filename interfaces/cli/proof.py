"""`ledgertwin verify`."""

import json
from typing import Annotated, Any, Final

import typer

from application.event_log import READER_ROLE, open_log
from application.verification import (
    Finding,
    Kind,
    LogHead,
    MalformedLogHead,
    Snapshots,
    Verification,
    verify_snapshots,
)
from application.verification import verify as verify_log
from interfaces.cli.running import FOUND, MISUSED, err, out, progress, settings_of_a_bank
from interfaces.database import open_database
from interfaces.settings import Settings
from interfaces.system import bank_codec, has_keys, open_keystore, snapshot_key

EXIT_CODES: Final = {kind: code for code, kind in enumerate(Kind, start=10)}
"""What scripts go by. A new kind is added at the end."""


def verify(
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    expect: Annotated[
        str | None,
        typer.Option(help="A head that an earlier run printed and that you kept elsewhere."),
    ] = None,
) -> None:
    """Prove that nobody changed the log, or name the first record that is not as it was written.

    The exit code is 0 if all is as it was written. Otherwise it says what the first bad record is:
    10 payload_mismatch, 11 link_broken, 12 gap, 13 reordered, 14 missing, 15 unaccounted,
    16 malformed, 17 unknown_event, 18 batch_broken, 19 tail_truncated, 20 checkpoint_mismatch; or 3
    if the log is intact, but the vault lost a value or a snapshot is wrong.
    """
    head = _head(expect)
    settings = settings_of_a_bank()
    with open_database(settings) as url:
        key = _snapshot_key(settings)
        log = open_log(bank_codec(), url=url, snapshot_key=key or b"", role=READER_ROLE)
        try:
            with progress() as bar:
                walk = bar.add_task("verifying", total=None)
                found = verify_log(
                    log,
                    expect=head,
                    progress=lambda position, end: bar.update(walk, completed=position, total=end),
                )
                cached = Snapshots(checked=0, ignored=0, wrong=())
                if found.intact and key is not None:
                    again = bar.add_task("snapshots", total=None)
                    cached = verify_snapshots(
                        log, progress=lambda n, total: bar.update(again, completed=n, total=total)
                    )
        finally:
            log.close()
    out.out(json.dumps(_as_json(found, cached))) if as_json else _print(found, cached)
    if found.first_bad is not None:
        raise typer.Exit(EXIT_CODES[found.first_bad.kind])
    if found.lost or cached.wrong:
        raise typer.Exit(FOUND)


def _snapshot_key(settings: Settings) -> bytes | None:
    """None on a machine that has not the bank's keys: it can check the log, but no snapshots."""
    if not has_keys(settings):
        return None
    return snapshot_key(open_keystore(settings))


def _head(text: str | None) -> LogHead | None:
    try:
        return None if text is None else LogHead.parse(text)
    except MalformedLogHead:
        err.print("ledgertwin: --expect takes what verify prints as the head", style="red")
        raise typer.Exit(MISUSED) from None


def _as_json(found: Verification, cached: Snapshots) -> dict[str, Any]:
    return {
        "intact": found.intact,
        "first_bad": None if found.first_bad is None else _finding(found.first_bad),
        "records": found.records,
        "streams": found.streams,
        "commands": found.commands,
        "batches": found.batches,
        "head": None if found.head is None else str(found.head),
        "personal_values": {
            "sealed": found.sealed,
            "erased": found.erased,
            "lost": [f"{v.stream_id}:{v.version}:{v.field}" for v in found.lost],
        },
        "snapshots": {
            "checked": cached.checked,
            "ignored": cached.ignored,
            "wrong": [f"{s.stream_id}:{s.version}" for s in cached.wrong],
        },
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind.value,
        "position": finding.position,
        "stream": None if finding.stream_id is None else str(finding.stream_id),
        "version": finding.version,
        "detail": finding.detail,
    }


def _print(found: Verification, cached: Snapshots) -> None:
    walked = (
        f"{found.records:,} records of {found.streams:,} streams, "
        f"{found.commands:,} of them of commands"
    )
    if found.first_bad is not None:
        bad = found.first_bad
        where = "" if bad.stream_id is None else f", stream {bad.stream_id} version {bad.version}"
        out.print(f"NOT INTACT: {bad.kind.value} at position {bad.position}{where}", style="red")
        out.print(f"{bad.detail}\nBefore it, {walked} are as they were written.", markup=False)
        return
    out.print(f"intact: {walked}", style="green")
    if found.head is not None:
        out.print(f"head: {found.head}  (keep it elsewhere, and hand it to --expect)")
    out.print(f"personal values: {found.sealed:,} sealed, {found.erased:,} erased")
    for lost in found.lost:
        out.print(
            f"the vault lost {lost.field} of stream {lost.stream_id} version {lost.version}",
            style="red",
        )
    for wrong in cached.wrong:
        out.print(f"snapshot of stream {wrong.stream_id}: {wrong.detail}", style="red")
