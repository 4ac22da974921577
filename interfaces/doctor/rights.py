"""Who may do what in the database, and what else is done there by itself."""

from typing import Any, Final

from psycopg import Connection

from application.event_log import APPLICATION_ROLE, WORKER_ROLE
from interfaces.database.expected import ALWAYS, OFF, PUBLIC, Found
from interfaces.doctor.ailments import Ailments, error, warning

_OWN_ROLES: Final = "ledgertwin_"


def roles(connection: Connection[Any], *, external: bool) -> Ailments:
    """The roles that the bank works in can do no more than they were granted."""
    powerful = connection.execute(
        "SELECT rolname, concat_ws(', ', CASE WHEN rolsuper THEN 'superuser' END,"
        " CASE WHEN rolcreaterole THEN 'may make roles' END,"
        " CASE WHEN rolbypassrls THEN 'bypasses row security' END,"
        " CASE WHEN rolreplication THEN 'may replicate' END,"
        " CASE WHEN rolcanlogin THEN 'may log in' END)"
        " FROM pg_roles WHERE rolname LIKE 'ledgertwin\\_%' AND (rolsuper OR rolcreaterole"
        " OR rolbypassrls OR rolreplication OR rolcanlogin)"
    ).fetchall()
    for role, what in powerful:
        yield error(
            f"the role {role}: {what}",
            f"ALTER ROLE {role} NOSUPERUSER NOCREATEROLE NOBYPASSRLS NOREPLICATION NOLOGIN",
        )
    members = connection.execute(
        "SELECT member.rolname, held.rolname FROM pg_auth_members AS m"
        " JOIN pg_roles AS member ON member.oid = m.member"
        " JOIN pg_roles AS held ON held.oid = m.roleid"
        " WHERE starts_with(member.rolname, %s) AND (member.rolname, held.rolname) <> (%s, %s)",
        [_OWN_ROLES, APPLICATION_ROLE, WORKER_ROLE],
    ).fetchall()
    for role, held in members:
        yield error(f"{role} has all that {held} may do", f"REVOKE {held} FROM {role}")
    owned = connection.execute(
        "SELECT owned.kind, owned.name, r.rolname FROM ("
        " SELECT CASE WHEN relkind = 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,"
        "  'ledgertwin.' || relname AS name, relowner AS owner FROM pg_class"
        "  WHERE relnamespace = 'ledgertwin'::regnamespace AND relkind IN ('r', 'S')"
        " UNION ALL SELECT 'FUNCTION', 'ledgertwin.' || proname, proowner FROM pg_proc"
        "  WHERE pronamespace = 'ledgertwin'::regnamespace"
        " UNION ALL SELECT 'SCHEMA', nspname, nspowner FROM pg_namespace"
        "  WHERE nspname = 'ledgertwin'"
        ") AS owned JOIN pg_roles AS r ON r.oid = owned.owner"
        " WHERE starts_with(r.rolname, %s) ORDER BY 1, 2",
        [_OWN_ROLES],
    ).fetchall()
    for kind, name, role in owned:
        yield error(
            f"{name} belongs to {role}, which may therefore do anything to it",
            f"ALTER {kind} {name} OWNER TO the user who migrates",
        )
    makers = connection.execute(
        "SELECT coalesce(r.rolname, %s) FROM pg_namespace AS n, aclexplode(n.nspacl) AS p"
        " LEFT JOIN pg_roles AS r ON r.oid = p.grantee WHERE n.nspname = 'ledgertwin'"
        " AND p.privilege_type = 'CREATE' AND p.grantee <> n.nspowner ORDER BY 1",
        [PUBLIC],
    ).fetchall()
    for (role,) in makers:
        who = "everybody" if role == PUBLIC else role
        yield error(
            f"{who} may make tables and functions in ledgertwin",
            f"REVOKE CREATE ON SCHEMA ledgertwin FROM {role}",
        )
    (is_super, user) = connection.execute(
        "SELECT rolsuper, rolname FROM pg_roles WHERE rolname = session_user"
    ).fetchone() or (False, "")
    # The embedded server answers nobody but its user, who has its files anyway.
    if external and is_super:
        yield warning(
            f"the bank logs in as {user}, a superuser",
            f"have it log in as a user who owns the schema, and is granted {APPLICATION_ROLE}",
        )


def rights(there_must_be: Found, there_is: Found) -> Ailments:
    for role, table, right in sorted(there_must_be.rights - there_is.rights):
        yield error(
            f"{role} has not the right to {right} on ledgertwin.{table}",
            f"GRANT {right} ON ledgertwin.{table} TO {role}",
        )
    for role, table, right in sorted(there_is.rights - there_must_be.rights):
        said = f"{'everybody' if role == PUBLIC else role} may {right} on ledgertwin.{table}"
        remedy = f"REVOKE {right} ON ledgertwin.{table} FROM {role}"
        harmless = right == "SELECT" and role != PUBLIC and not role.startswith(_OWN_ROLES)
        yield (warning if harmless else error)(said, remedy)


def triggers(there_must_be: Found, there_is: Found) -> Ailments:
    """What refuses a change of the log is there, and switched on."""
    for (table, name), enabled in sorted(there_must_be.triggers.items()):
        now = there_is.triggers.get((table, name))
        if now is None:
            yield error(
                f"the trigger {name} of ledgertwin.{table} is gone",
                "make it again, as the migration did, and verify the log",
            )
        elif now == OFF or (enabled == ALWAYS and now != ALWAYS):
            always = "ALWAYS " if enabled == ALWAYS else ""
            yield error(
                f"the trigger {name} of ledgertwin.{table} is switched off"
                + ("" if now == OFF else " for replication"),
                f"ALTER TABLE ledgertwin.{table} ENABLE {always}TRIGGER {name}, and verify the log",
            )
    for table, name in sorted(there_is.triggers.keys() - there_must_be.triggers.keys()):
        yield error(
            f"ledgertwin.{table} has a trigger {name} that is not Ledgertwin's",
            f"DROP TRIGGER {name} ON ledgertwin.{table}, unless you know what it is for",
        )


def functions(connection: Connection[Any], there_must_be: Found, there_is: Found) -> Ailments:
    """What runs with the owner's rights is what was shipped, and not for everybody."""
    for name, body in sorted(there_must_be.functions.items()):
        if there_is.functions.get(name) != body:
            gone = name not in there_is.functions
            yield error(
                f"the function ledgertwin.{name} {'is gone' if gone else 'is another one'}",
                "make it again, as the migration did, and verify the log",
            )
    for name in sorted(there_is.functions.keys() - there_must_be.functions.keys()):
        yield error(
            f"there is a function ledgertwin.{name} that is not Ledgertwin's",
            "drop it, unless you know what it is for",
        )
    for (name,) in connection.execute(
        "SELECT DISTINCT f.proname FROM pg_proc AS f,"
        " aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) AS p"
        " WHERE f.pronamespace = 'ledgertwin'::regnamespace AND f.prosecdef AND p.grantee = 0"
        " ORDER BY 1"
    ).fetchall():
        yield error(
            f"everybody may call ledgertwin.{name}, which has its owner's rights",
            f"REVOKE ALL ON FUNCTION ledgertwin.{name} FROM PUBLIC",
        )


def tables(connection: Connection[Any]) -> Ailments:
    """Whoever reads or writes a table does that and nothing else."""
    for table, how, remedy in connection.execute(
        "SELECT c.relname, 'has a rule ' || w.rulename || ', by which other things are done to it',"
        " 'DROP RULE ' || w.rulename || ' ON ledgertwin.' || c.relname FROM pg_rewrite AS w"
        " JOIN pg_class AS c ON c.oid = w.ev_class"
        " WHERE c.relnamespace = 'ledgertwin'::regnamespace"
        " UNION ALL"
        " SELECT c.relname, 'shows some of its rows to some only',"
        " 'ALTER TABLE ledgertwin.' || c.relname || ' DISABLE ROW LEVEL SECURITY'"
        " FROM pg_class AS c WHERE c.relnamespace = 'ledgertwin'::regnamespace AND c.relrowsecurity"
        " UNION ALL"
        " SELECT c.relname, 'shows the rows of ' || i.inhrelid::regclass || ' as its own',"
        " 'DROP TABLE ' || i.inhrelid::regclass FROM pg_inherits AS i"
        " JOIN pg_class AS c ON c.oid = i.inhparent"
        " WHERE c.relnamespace = 'ledgertwin'::regnamespace AND c.relkind = 'r' ORDER BY 1, 2"
    ).fetchall():
        yield error(f"ledgertwin.{table} {how}", f"{remedy}, and verify the log")
