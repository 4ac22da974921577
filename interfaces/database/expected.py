"""What the migrations have made of a database, and what is there now.

What there must be is read from the migrations themselves, which are never edited: so a trigger, a
right or a function that somebody adds tomorrow is looked for without anybody thinking of it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from psycopg import Connection

from domain.value import value
from interfaces.database.migrate import migrations

SCHEMA: Final = "ledgertwin"
PUBLIC: Final = "PUBLIC"
ALWAYS, ORDINARY, OFF = "A", "O", "D"

_COMMENT: Final = re.compile(r"--[^\n]*")
_TRIGGER: Final = re.compile(r"CREATE TRIGGER (\w+)\s[^;]*?\sON ledgertwin\.(\w+)")
_ENABLED: Final = re.compile(r"ALTER TABLE ledgertwin\.(\w+) ENABLE ALWAYS TRIGGER (\w+)")
_FUNCTION: Final = re.compile(
    r"CREATE (?:OR REPLACE )?FUNCTION ledgertwin\.(\w+)"
    r"\(.*?\)\s+RETURNS\s(.*?)\sAS \$\$(.*?)\$\$",
    re.DOTALL,
)
_SETTING: Final = re.compile(r"^SET (\w+) = (.*)$", re.MULTILINE)
_GRANT: Final = re.compile(
    r"(GRANT|REVOKE) ([A-Z, ]+?)(?: \(([\w,\s\"]+)\))? ON ((?:ledgertwin\.\w+,?\s+)+)"
    r"(?:TO|FROM) (\w+)"
)

Right = tuple[str, str, str]
"""A role, a table (with `.` and a column, if it is for that alone), and what it may do there."""


@value
class Found:
    """Triggers by table and name, with how they are enabled; rights; functions, with all that has
    them do what they do."""

    triggers: Mapping[tuple[str, str], str]
    rights: frozenset[Right]
    functions: Mapping[str, str]


def expected() -> Found:
    """As the migrations say."""
    triggers: dict[tuple[str, str], str] = {}
    rights: set[Right] = set()
    functions: dict[str, str] = {}
    for migration in migrations():
        text = migration.sql.decode()
        for name, head, body in _FUNCTION.findall(text):
            settings = ("=".join(setting) for setting in _SETTING.findall(head))
            functions[name] = _made("SECURITY DEFINER" in head, settings, body)
        said = _COMMENT.sub("", text)
        triggers |= {(table, name): ORDINARY for name, table in _TRIGGER.findall(said)}
        triggers |= dict.fromkeys(_ENABLED.findall(said), ALWAYS)
        for what, *right in _GRANT.findall(said):
            change = rights.update if what == "GRANT" else rights.difference_update
            change(_rights(*right))
    return Found(triggers=triggers, rights=frozenset(rights), functions=functions)


def found(connection: Connection[Any]) -> Found:
    """As it is in the database now."""
    triggers = connection.execute(
        "SELECT c.relname, t.tgname, t.tgenabled::text FROM pg_trigger AS t"
        " JOIN pg_class AS c ON c.oid = t.tgrelid"
        " WHERE c.relnamespace = 'ledgertwin'::regnamespace AND NOT t.tgisinternal"
    ).fetchall()
    rights = connection.execute(
        "SELECT coalesce(r.rolname, 'PUBLIC'), granted.name, granted.privilege_type FROM ("
        " SELECT c.relname::text AS name, p.* FROM pg_class AS c, aclexplode(c.relacl) AS p"
        " WHERE c.relnamespace = 'ledgertwin'::regnamespace AND p.grantee <> c.relowner"
        " UNION ALL"
        " SELECT c.relname || '.' || a.attname, p.* FROM pg_class AS c"
        " JOIN pg_attribute AS a ON a.attrelid = c.oid, aclexplode(a.attacl) AS p"
        " WHERE c.relnamespace = 'ledgertwin'::regnamespace AND p.grantee <> c.relowner"
        ") AS granted LEFT JOIN pg_roles AS r ON r.oid = granted.grantee"
    ).fetchall()
    functions: dict[str, str] = {}
    for name, *how in connection.execute(
        "SELECT proname, prosecdef, coalesce(proconfig, '{}'), prosrc FROM pg_proc"
        " WHERE pronamespace = 'ledgertwin'::regnamespace ORDER BY oid"
    ):
        # Another one of that name, with other arguments, is something else that it does.
        functions[name] = functions.get(name, "") + _made(*how)
    return Found(
        triggers={(table, name): enabled for table, name, enabled in triggers},
        rights=frozenset(rights),
        functions=functions,
    )


def _made(definer: bool, settings: Iterable[str], body: str) -> str:
    """Whose rights it has, what is set while it runs, and what it does."""
    said = sorted(re.sub(r"['\s]", "", setting) for setting in settings)
    return "\n".join(["SECURITY DEFINER" if definer else "SECURITY INVOKER", *said, body])


def _rights(privileges: str, columns: str, tables: str, role: str) -> Iterator[Right]:
    for table in re.findall(r"ledgertwin\.(\w+)", tables):
        for privilege in re.findall(r"[A-Z]+", privileges):
            if not columns:
                yield role, table, privilege
            for column in re.findall(r"\w+", columns):
                yield role, f"{table}.{column}", privilege
