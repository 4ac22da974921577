-- ledgertwin_sealer grows the tree and keeps what was signed, in a process of its own: see application/sealing.py. It reads
-- records and heads, and can neither add to the log nor read the vault. The application, which answers the world, can no
-- longer touch the tree.
DO $$
DECLARE
    may_become constant text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'ledgertwin_sealer') THEN
        BEGIN
            CREATE ROLE ledgertwin_sealer NOLOGIN;
        EXCEPTION
            -- Roles belong to the whole server: another database of it may be migrated at this moment.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
    IF NOT pg_catalog.pg_has_role(current_user, 'ledgertwin_sealer', may_become) THEN
        EXECUTE format('GRANT ledgertwin_sealer TO %I', current_user);
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role ledgertwin_sealer is missing or not granted to %', current_user
            USING ERRCODE = 'insufficient_privilege',
                  HINT = format(
                      'Have the database''s administrator run: CREATE ROLE ledgertwin_sealer NOLOGIN; '
                      'GRANT ledgertwin_sealer TO %I;', current_user);
END
$$;

-- Why nothing is sealed any more, where something is not as it was written: the sealer says so to whoever serves.
ALTER TABLE ledgertwin.merkle_log ADD COLUMN broken text;

GRANT USAGE ON SCHEMA ledgertwin TO ledgertwin_sealer;
GRANT SELECT ON ledgertwin.migrations, ledgertwin.bank_events, ledgertwin.batch_heads TO ledgertwin_sealer;
GRANT SELECT, INSERT, UPDATE ON ledgertwin.tiles TO ledgertwin_sealer;
GRANT SELECT, UPDATE ON ledgertwin.merkle_log TO ledgertwin_sealer;
GRANT SELECT, INSERT ON ledgertwin.leaf_runs, ledgertwin.checkpoints, ledgertwin.cosignatures TO ledgertwin_sealer;
REVOKE INSERT, UPDATE ON ledgertwin.tiles FROM ledgertwin_application;
REVOKE UPDATE ON ledgertwin.merkle_log FROM ledgertwin_application;
REVOKE INSERT ON ledgertwin.leaf_runs, ledgertwin.checkpoints, ledgertwin.cosignatures FROM ledgertwin_application;
