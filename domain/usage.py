"""What cards have spent, as far as spend controls may ask for it.

Calendar windows are of UTC, by the time of the authorization. What is younger than 62 days is kept
one by one, as a trailing window may begin at any second of them; older spending is only summed, by
what a filter can tell apart: so the cost does not grow with the age of a card.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final, Self, assert_never
from uuid import UUID

from domain.card import Only, SpendControl, SpendScope, SpendWindow
from domain.value import changed, value

KEPT_SINGLY: Final = timedelta(days=62)
"""As long as the longest trailing window, and as the longest month; and as long again, as more for
what a hotel holds is judged by the time of its authorization, which may be 31 days ago."""

FIRST: Final = datetime.min.replace(tzinfo=UTC)
LAST: Final = datetime.max.replace(tzinfo=UTC)


@value
class Kind:
    """What filters tell apart. `line` is the first card of a chain of replacements: a new card
    inherits what the old one has spent."""

    line: UUID
    mcc: str
    country: str
    entry_mode: str
    channel: str


@value
class Spent:
    """One authorization, or one clearing without any: what it counts for now."""

    authorization_id: UUID
    at: datetime
    minor: int
    kind: Kind


@value
class Older:
    """What was spent before everything that is kept singly: in `year`, and ever."""

    kind: Kind
    year: int
    minor_in_year: int
    count_in_year: int
    minor: int
    count: int


@value
class Usage:
    """Of one account: `recent` in the order of being counted."""

    recent: tuple[Spent, ...] = ()
    older: tuple[Older, ...] = ()

    def counting(self, spent: Spent) -> Self:
        """With one more authorization."""
        horizon, recent, older = spent.at - KEPT_SINGLY, self.recent, self.older
        leaving = 0
        while leaving < len(recent) and recent[leaving].at < horizon:
            left = recent[leaving]
            older = _summed(older, left.kind, left.at.year, left.minor, 1)
            leaving += 1
        return changed(self, recent=(*recent[leaving:], spent), older=older)

    def restating(self, spent: Spent, was: int) -> Self:
        """What counted for `was` counts for another amount now; for nothing (0) it never was.

        `spent.at` and `spent.kind` are those it was counted with."""
        found = next((s for s in self.recent if s.authorization_id == spent.authorization_id), None)
        if found is None:
            gone = -1 if spent.minor == 0 else 0
            more = spent.minor - was
            return changed(self, older=_summed(self.older, spent.kind, spent.at.year, more, gone))
        if spent.minor == 0:
            return changed(self, recent=tuple(s for s in self.recent if s is not found))
        return changed(self, recent=tuple(spent if s is found else s for s in self.recent))

    def of(self, control: SpendControl, line: UUID, at: datetime) -> tuple[int, int]:
        """Minor units and count that stand against a control at a time, so far."""
        since, until = _bounds(control, at)
        counts = _counted_by(control, line)
        minor = count = 0
        for spent in self.recent:
            if since <= spent.at < until and counts(spent.kind):
                minor += spent.minor
                count += 1
        if control.window in (SpendWindow.YEAR, SpendWindow.ALL_TIME):
            for older in self.older:
                if not counts(older.kind):
                    continue
                if control.window is SpendWindow.ALL_TIME:
                    minor, count = minor + older.minor, count + older.count
                elif older.year == at.year:
                    minor, count = minor + older.minor_in_year, count + older.count_in_year
        return minor, count


def matches(control: SpendControl, kind: Kind) -> bool:
    """Whether a control is about spending of that kind."""
    return (
        _lets(control.mcc, kind.mcc)
        and _lets(control.country, kind.country)
        and _lets(control.entry_mode, kind.entry_mode)
        and _lets(control.channel, kind.channel)
    )


def _lets(only: Only, item: str) -> bool:
    return (not only.include or item in only.include) and item not in only.exclude


def _counted_by(control: SpendControl, line: UUID) -> Callable[[Kind], bool]:
    if control.scope is SpendScope.ACCOUNT:
        return lambda kind: matches(control, kind)
    return lambda kind: kind.line == line and matches(control, kind)


def _bounds(control: SpendControl, at: datetime) -> tuple[datetime, datetime]:
    """From when on, and before when, spending counts.

    A calendar window ends: what comes late belongs to its own day. A trailing window is half open,
    what is exactly as old as it counts no more; and it also counts what was so little later and
    came first, or two messages in the wrong order would pass where the right one lets one pass."""
    day = at.astimezone(UTC).date()
    match control.window:
        case SpendWindow.AUTHORIZATION:
            return LAST, LAST
        case SpendWindow.DAY:
            return _midnight(day), _midnight(day + timedelta(days=1))
        case SpendWindow.WEEK:
            monday = day - timedelta(days=day.weekday())
            return _midnight(monday), _midnight(monday + timedelta(days=7))
        case SpendWindow.MONTH:
            first = day.replace(day=1)
            next_month = (first + timedelta(days=31)).replace(day=1)
            return _midnight(first), _midnight(next_month)
        case SpendWindow.YEAR:
            return _midnight(date(day.year, 1, 1)), _midnight(date(day.year + 1, 1, 1))
        case SpendWindow.ALL_TIME:
            return FIRST, LAST
        case SpendWindow.TRAILING:
            assert control.trailing_seconds is not None
            length = timedelta(seconds=control.trailing_seconds)
            return at - length + timedelta.resolution, at + length
        case _:
            assert_never(control.window)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _summed(
    older: tuple[Older, ...], kind: Kind, year: int, minor: int, count: int
) -> tuple[Older, ...]:
    """With so much more. A year that is over is summed into what was spent ever alone."""
    before = next((o for o in older if o.kind == kind), None)
    if before is None:
        new = Older(
            kind=kind,
            year=year,
            minor_in_year=minor,
            count_in_year=count,
            minor=minor,
            count=count,
        )
        return (*older, new)
    same = year == before.year
    in_year = year >= before.year
    new = Older(
        kind=kind,
        year=max(year, before.year),
        minor_in_year=(before.minor_in_year if same or not in_year else 0)
        + (minor if in_year else 0),
        count_in_year=(before.count_in_year if same or not in_year else 0)
        + (count if in_year else 0),
        minor=before.minor + minor,
        count=before.count + count,
    )
    return tuple(new if o is before else o for o in older)
