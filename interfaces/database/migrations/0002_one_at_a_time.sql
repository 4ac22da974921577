-- One writer at a time, without the lock that the log's own maintenance needs.
--
-- Until now a writer held back the others by locking the log itself, in a mode that excludes VACUUM and ANALYZE as
-- well. Each of these held up every append until the server sent it away (after deadlock_timeout, a second), and on a
-- log that is written to all day none ever came to its end: at ten million records autovacuum tried once a minute, and
-- in vain. An autovacuum that is to prevent a wraparound is never sent away: it would have shut out every writer for as
-- long as it takes to read the whole log (43 s for ten million records from the system's cache).
--
-- Now the lock is that of a table made for it. Whoever adds to the log by any other way than ledgertwin.append, its
-- owner included, takes the same lock by a trigger: the order of positions is the order of commits, as before.
CREATE TABLE ledgertwin.writing ();

CREATE OR REPLACE FUNCTION ledgertwin.lock_log() RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10s'
AS $$
BEGIN
    LOCK TABLE ledgertwin.writing IN EXCLUSIVE MODE;
END
$$;

-- Per statement, so before the first position is drawn.
CREATE FUNCTION ledgertwin.one_at_a_time() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOCK TABLE ledgertwin.writing IN EXCLUSIVE MODE;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION ledgertwin.one_at_a_time() FROM PUBLIC;
CREATE TRIGGER bank_events_one_at_a_time
    BEFORE INSERT ON ledgertwin.bank_events
    FOR EACH STATEMENT EXECUTE FUNCTION ledgertwin.one_at_a_time();
ALTER TABLE ledgertwin.bank_events ENABLE ALWAYS TRIGGER bank_events_one_at_a_time;

-- As before, but for the lock: see 0001_log.sql for what it promises and why.
CREATE OR REPLACE FUNCTION ledgertwin.append(
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
    LOCK TABLE ledgertwin.writing IN EXCLUSIVE MODE;

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

-- A record never changes, so what vacuum does to its page (mark it visible to all, and frozen) it does once and for
-- ever, and best soon: while the page is still in memory, and was written to the write-ahead log since the last
-- checkpoint. The defaults wait until a fifth of the log is new. Then all of that is read again, and nearly every page
-- logged as a whole: 3.7 GB for ten million records, a kilobyte for each transfer.
ALTER TABLE ledgertwin.bank_events SET (
    autovacuum_vacuum_insert_threshold = 50000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_freeze_min_age = 0,
    vacuum_truncate = false,
    toast.autovacuum_vacuum_insert_threshold = 50000,
    toast.autovacuum_vacuum_insert_scale_factor = 0,
    toast.autovacuum_freeze_min_age = 0
);
ALTER TABLE ledgertwin.batch_heads SET (
    autovacuum_vacuum_insert_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_freeze_min_age = 0,
    vacuum_truncate = false,
    toast.autovacuum_vacuum_insert_threshold = 10000,
    toast.autovacuum_vacuum_insert_scale_factor = 0,
    toast.autovacuum_freeze_min_age = 0
);

-- Nobody asks for records by topic or content. To know what they are like, 30,000 pages were read each time, which took
-- 3.4 s with ten million records; streams and positions are told well enough from 3,000, in 0.5 s.
ALTER TABLE ledgertwin.bank_events
    ALTER COLUMN state SET STATISTICS 0,
    ALTER COLUMN topic SET STATISTICS 0,
    ALTER COLUMN originator_id SET STATISTICS 10,
    ALTER COLUMN originator_version SET STATISTICS 10,
    ALTER COLUMN notification_id SET STATISTICS 10;
