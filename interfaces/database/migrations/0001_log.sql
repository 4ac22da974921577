-- The log, the vault and what the engine keeps beside them.
--
-- Two parties use this schema. The user who migrates owns everything. The application runs as the role
-- ledgertwin_application, which reads the log and adds to it through ledgertwin.append, and has no right to
-- change or remove a record; that no one else did either is what the hash chains prove.

DO $$
DECLARE
    may_become constant text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'ledgertwin_application') THEN
        BEGIN
            CREATE ROLE ledgertwin_application NOLOGIN;
        EXCEPTION
            -- Roles belong to the whole server: another database of it may be migrated at this moment.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
    IF NOT pg_catalog.pg_has_role(current_user, 'ledgertwin_application', may_become) THEN
        EXECUTE format('GRANT ledgertwin_application TO %I', current_user);
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role ledgertwin_application is missing or not granted to %', current_user
            USING ERRCODE = 'insufficient_privilege',
                  HINT = format(
                      'Have the database''s administrator run: CREATE ROLE ledgertwin_application NOLOGIN; '
                      'GRANT ledgertwin_application TO %I;', current_user);
END
$$;

GRANT USAGE ON SCHEMA ledgertwin TO ledgertwin_application;
GRANT SELECT ON ledgertwin.migrations TO ledgertwin_application;

-- The layout is that of the eventsourcing library's application recorder, which reads and follows this table.
-- Vacuum has nothing to clean in a table that only grows; analysing it keeps the planner honest.
CREATE TABLE ledgertwin.bank_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL CHECK (originator_version > 0),
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigserial NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    autovacuum_enabled = true,
    autovacuum_vacuum_threshold = 100000000,
    autovacuum_vacuum_scale_factor = 0.5,
    autovacuum_analyze_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.01
);
CREATE UNIQUE INDEX bank_events_notification_id_idx ON ledgertwin.bank_events (notification_id ASC);

CREATE TYPE ledgertwin.stored_event_uuid AS (
    originator_id uuid,
    originator_version bigint,
    topic text,
    state bytea
);

-- Grants do not bind the owner, nor does a trigger bind replication unless it is enabled ALWAYS. Per statement,
-- so that a change which happens to match no row is refused like any other.
CREATE FUNCTION ledgertwin.refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'the log is only ever added to: % on ledgertwin.% is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'LT002';
END
$$;
CREATE TRIGGER bank_events_never_change
    BEFORE UPDATE OR DELETE OR TRUNCATE ON ledgertwin.bank_events
    FOR EACH STATEMENT EXECUTE FUNCTION ledgertwin.refuse_change();
ALTER TABLE ledgertwin.bank_events ENABLE ALWAYS TRIGGER bank_events_never_change;

-- One row for each append. A record's place and bytes are committed to by its hash in `leaves` (32 bytes for each
-- record, in the order of positions, which are `first_position` and those that follow), all leaves and all batches
-- before by `head`:
--     head = SHA-256(0x02 || head of the batch before (32; zeros for the first) || first_position (i64 BE) || leaves)
-- So nothing in the log can be changed without changing every later head; see application/verification.py.
CREATE TABLE ledgertwin.batch_heads (
    first_position bigint PRIMARY KEY,
    leaves bytea NOT NULL,
    head bytea NOT NULL
) WITH (
    autovacuum_enabled = true,
    autovacuum_vacuum_threshold = 100000000,
    autovacuum_vacuum_scale_factor = 0.5,
    autovacuum_analyze_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.01
);
-- Hashes cannot be compressed, so nobody should try.
ALTER TABLE ledgertwin.batch_heads ALTER COLUMN leaves SET STORAGE EXTERNAL;
CREATE TRIGGER batch_heads_never_change
    BEFORE UPDATE OR DELETE OR TRUNCATE ON ledgertwin.batch_heads
    FOR EACH STATEMENT EXECUTE FUNCTION ledgertwin.refuse_change();
ALTER TABLE ledgertwin.batch_heads ENABLE ALWAYS TRIGGER batch_heads_never_change;
GRANT SELECT ON ledgertwin.bank_events, ledgertwin.batch_heads TO ledgertwin_application;

-- A data subject's keys, one per retention class, each wrapped by the keystore's key kek_id.
CREATE TABLE ledgertwin.vault_keys (
    dek_id uuid PRIMARY KEY,
    subject uuid NOT NULL,
    retention text NOT NULL,
    kek_id text NOT NULL,
    wrapped bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (subject, retention)
);
-- Personal values, sealed; found by the record and the field that hold their commitment. There is no foreign key
-- to vault_keys, because erasing a person destroys the key's row while its ciphertexts may stay in backups and here.
CREATE TABLE ledgertwin.vault_values (
    stream_id uuid NOT NULL,
    version bigint NOT NULL,
    field text NOT NULL,
    dek_id uuid NOT NULL,
    nonce bytea NOT NULL,
    ciphertext bytea NOT NULL,
    PRIMARY KEY (stream_id, version, field)
);
GRANT SELECT ON ledgertwin.vault_keys, ledgertwin.vault_values TO ledgertwin_application;

-- Everything below can be made again from the log, so the application may do with it as it likes.
CREATE TABLE ledgertwin.snapshots (
    stream_id uuid PRIMARY KEY,
    version bigint NOT NULL,
    head bytea NOT NULL,
    fingerprint text NOT NULL,
    state bytea NOT NULL
);
CREATE TABLE ledgertwin.projections (
    name text PRIMARY KEY,
    position bigint NOT NULL DEFAULT 0,
    generation bigint NOT NULL DEFAULT 1,
    fingerprint text NOT NULL,
    recorded_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE, DELETE ON ledgertwin.snapshots, ledgertwin.projections TO ledgertwin_application;
CREATE SCHEMA readmodels AUTHORIZATION ledgertwin_application;

-- Holds back every other writer until the caller's transaction ends. A position is drawn from a sequence before its
-- transaction commits; only because writers come one after the other is the order of positions the order of commits,
-- and only then can a reader that follows the log never pass a record by.
CREATE FUNCTION ledgertwin.lock_log() RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10s'
AS $$
BEGIN
    LOCK TABLE ledgertwin.bank_events IN EXCLUSIVE MODE;
END
$$;

-- The only way into the log: all of it or nothing, in the caller's transaction. Returns the records' positions in the
-- order in which they were given. Raises LT001 where a guarded stream is not at the version the caller decided on
-- (0: it does not exist), with the stream in the error's detail; 23505 where a (stream, version) is taken; 55P03
-- where the log was locked for longer than ten seconds; LT003 where somebody else draws positions from the sequence.
--
-- The records' hashes are computed here, from what is stored, and not taken from the caller: the application computes
-- them too, when it links its next record, so that a mistake of either side is found by whoever verifies.
--
-- The plan of a guard's look-up may be kept from the days when the table was empty, when reading all of it was the
-- cheapest way; hence enable_seqscan is off.
CREATE FUNCTION ledgertwin.append(
    streams uuid[], versions bigint[], topics text[], states bytea[],
    guard_streams uuid[], guard_versions bigint[],
    key_ids uuid[], key_subjects uuid[], key_retentions text[], key_keks text[], key_wrapped bytea[],
    value_streams uuid[], value_versions bigint[], value_fields text[], value_keys uuid[],
    value_nonces bytea[], value_ciphertexts bytea[]
) RETURNS SETOF bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10s'
SET enable_seqscan = off
AS $$
DECLARE
    moved record;
    added record;
    head_before bytea;
BEGIN
    LOCK TABLE ledgertwin.bank_events IN EXCLUSIVE MODE;

    SELECT guard.stream_id, guard.version AS expected, coalesce(latest.version, 0) AS found
    INTO moved
    FROM unnest(guard_streams, guard_versions) AS guard (stream_id, version)
    CROSS JOIN LATERAL (
        SELECT max(e.originator_version) AS version
        FROM ledgertwin.bank_events AS e
        WHERE e.originator_id = guard.stream_id
    ) AS latest
    WHERE coalesce(latest.version, 0) IS DISTINCT FROM guard.version
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the stream is at version %, not %', moved.found, moved.expected
            USING ERRCODE = 'LT001', DETAIL = moved.stream_id::text;
    END IF;

    INSERT INTO ledgertwin.vault_keys (dek_id, subject, retention, kek_id, wrapped)
    SELECT * FROM unnest(key_ids, key_subjects, key_retentions, key_keks, key_wrapped);

    INSERT INTO ledgertwin.vault_values (stream_id, version, field, dek_id, nonce, ciphertext)
    SELECT * FROM unnest(value_streams, value_versions, value_fields, value_keys, value_nonces, value_ciphertexts);

    PERFORM pg_notify('bank_events', '');

    WITH inserted AS (
        INSERT INTO ledgertwin.bank_events AS e (originator_id, originator_version, topic, state)
        SELECT given.stream_id, given.version, given.topic, given.state
        FROM unnest(streams, versions, topics, states) WITH ORDINALITY
            AS given (stream_id, version, topic, state, place)
        ORDER BY given.place
        RETURNING
            e.notification_id AS position,
            sha256(
                '\x00'::bytea || uuid_send(e.originator_id) || int8send(e.originator_version)
                || int2send(octet_length(convert_to(e.topic, 'UTF8'))::smallint) || convert_to(e.topic, 'UTF8')
                || e.state
            ) AS leaf
    )
    SELECT min(position) AS first, max(position) AS last, count(*) AS records,
           string_agg(leaf, ''::bytea ORDER BY position) AS leaves
    INTO added
    FROM inserted;
    IF added.records = 0 THEN
        RETURN;
    END IF;
    IF added.last - added.first + 1 <> added.records THEN
        RAISE EXCEPTION 'positions were drawn from the sequence by somebody else' USING ERRCODE = 'LT003';
    END IF;

    SELECT b.head INTO head_before FROM ledgertwin.batch_heads AS b ORDER BY b.first_position DESC LIMIT 1;
    INSERT INTO ledgertwin.batch_heads (first_position, leaves, head)
    VALUES (
        added.first,
        added.leaves,
        sha256(
            '\x02'::bytea || coalesce(head_before, decode(repeat('00', 32), 'hex')) || int8send(added.first)
            || added.leaves
        )
    );
    RETURN QUERY SELECT generate_series(added.first, added.last);
END
$$;

REVOKE ALL ON FUNCTION ledgertwin.refuse_change(), ledgertwin.lock_log(), ledgertwin.append(
    uuid[], bigint[], text[], bytea[], uuid[], bigint[], uuid[], uuid[], text[], text[], bytea[],
    uuid[], bigint[], text[], uuid[], bytea[], bytea[]
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledgertwin.lock_log(), ledgertwin.append(
    uuid[], bigint[], text[], bytea[], uuid[], bigint[], uuid[], uuid[], text[], text[], bytea[],
    uuid[], bigint[], text[], uuid[], bytea[], bytea[]
) TO ledgertwin_application;
