-- Two more roles, so that nobody has rights that his work does not need.
--
-- ledgertwin_reader proves the log: it reads records, hashes, tree and checkpoints, and of the vault which value is sealed
-- with which key. It reads no ciphertext, no wrapped key, no card, no client and no read model, and writes nothing. Who
-- audits is granted this role alone.
--
-- ledgertwin_worker keeps the read models: it follows the log and owns the schema readmodels. It can neither add to the
-- log nor read the vault. The application is granted the role, as it rebuilds read models, too.
DO $$
DECLARE
    may_become constant text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['ledgertwin_reader', 'ledgertwin_worker'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION
                -- Roles belong to the whole server: another database of it may be migrated at this moment.
                WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
        IF NOT pg_catalog.pg_has_role(current_user, name, may_become) THEN
            EXECUTE format('GRANT %I TO %I', name, current_user);
        END IF;
    END LOOP;
    IF NOT pg_catalog.pg_has_role('ledgertwin_application', 'ledgertwin_worker', 'USAGE') THEN
        GRANT ledgertwin_worker TO ledgertwin_application;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the roles ledgertwin_reader and ledgertwin_worker are missing or not granted to %', current_user
            USING ERRCODE = 'insufficient_privilege',
                  HINT = format(
                      'Have the database''s administrator run: CREATE ROLE ledgertwin_reader NOLOGIN; '
                      'CREATE ROLE ledgertwin_worker NOLOGIN; GRANT ledgertwin_reader, ledgertwin_worker TO %I; '
                      'GRANT ledgertwin_worker TO ledgertwin_application;', current_user);
END
$$;

GRANT USAGE ON SCHEMA ledgertwin TO ledgertwin_reader;
GRANT SELECT ON ledgertwin.migrations, ledgertwin.bank_events, ledgertwin.batch_heads, ledgertwin.snapshots,
    ledgertwin.tiles, ledgertwin.leaf_runs, ledgertwin.merkle_log, ledgertwin.checkpoints, ledgertwin.cosignatures,
    ledgertwin.destroyed_keys, ledgertwin.retired_keks TO ledgertwin_reader;
GRANT SELECT (dek_id, subject, retention, kek_id, created_at) ON ledgertwin.vault_keys TO ledgertwin_reader;
GRANT SELECT (stream_id, version, field, dek_id) ON ledgertwin.vault_values TO ledgertwin_reader;

GRANT USAGE ON SCHEMA ledgertwin TO ledgertwin_worker;
GRANT SELECT ON ledgertwin.migrations, ledgertwin.bank_events, ledgertwin.batch_heads TO ledgertwin_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON ledgertwin.projections TO ledgertwin_worker;

-- What stands there already goes over, so that the worker can replace it.
ALTER SCHEMA readmodels OWNER TO ledgertwin_worker;
DO $$
DECLARE
    standing text;
BEGIN
    FOR standing IN
        SELECT c.relname FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = 'readmodels'::regnamespace AND c.relkind IN ('r', 'p')
    LOOP
        EXECUTE format('ALTER TABLE readmodels.%I OWNER TO ledgertwin_worker', standing);
    END LOOP;
END
$$;
