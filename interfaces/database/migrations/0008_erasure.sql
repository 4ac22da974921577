-- Erasing people, and epochs of the key-encryption key. The application has no right to delete from the vault or to change
-- it: it asks these functions, and they do only what the log says was decided; see domain/erasure.py and
-- domain/key_rotation.py.

-- An erasure finds what a key has sealed. It costs one small index entry for each personal value.
CREATE INDEX vault_values_of_key ON ledgertwin.vault_values (dek_id);

-- Keys that were destroyed, and how much they had sealed: what the record of an erasure is made from. It tells nothing of
-- whoever was erased but his pseudonym.
CREATE TABLE ledgertwin.destroyed_keys (
    dek_id uuid PRIMARY KEY,
    erasure_id uuid NOT NULL,
    subject uuid NOT NULL,
    retention text NOT NULL,
    sealed_values bigint NOT NULL DEFAULT 0,
    terms bigint NOT NULL DEFAULT 0,
    destroyed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX destroyed_keys_of_erasure ON ledgertwin.destroyed_keys (erasure_id);
CREATE TRIGGER destroyed_keys_never_go BEFORE DELETE OR TRUNCATE ON ledgertwin.destroyed_keys
    FOR EACH STATEMENT EXECUTE FUNCTION ledgertwin.refuse_change();
ALTER TABLE ledgertwin.destroyed_keys ENABLE ALWAYS TRIGGER destroyed_keys_never_go;
GRANT SELECT ON ledgertwin.destroyed_keys TO ledgertwin_application;

-- Key-encryption keys under which nothing new may be wrapped, as they are destroyed or about to be.
CREATE TABLE ledgertwin.retired_keks (
    kek_id text PRIMARY KEY,
    retired_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER retired_keks_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledgertwin.retired_keks
    FOR EACH STATEMENT EXECUTE FUNCTION ledgertwin.refuse_change();
ALTER TABLE ledgertwin.retired_keks ENABLE ALWAYS TRIGGER retired_keks_never_change;
GRANT SELECT ON ledgertwin.retired_keks TO ledgertwin_application;

-- As before (see 0001_log.sql and 0002_one_at_a_time.sql), and: raises LT004 where a value is sealed with a key that is
-- not there, or a new key is wrapped under one that is retired. Processes remember keys, and another one may have erased
-- somebody since.
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

    IF EXISTS (SELECT FROM unnest(key_keks) AS given (kek_id) JOIN ledgertwin.retired_keks USING (kek_id))
        OR EXISTS (
            SELECT FROM unnest(value_keys) AS given (dek_id)
            WHERE NOT EXISTS (SELECT FROM ledgertwin.vault_keys AS k WHERE k.dek_id = given.dek_id)
        )
    THEN
        RAISE EXCEPTION 'a key that this is sealed with was destroyed or retired' USING ERRCODE = 'LT004';
    END IF;

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

-- Destroys what an erasure that the log has as started is about: the keys of its classes, and the terms by which these
-- values were found. Whoever adds to the log waits for it, so that no value is sealed with a key that goes. Of an erasure
-- that has ended, its keys are destroyed again if they have come back with a backup, and no others: what the customer has
-- said since has a key of its own. Returns how many keys were there. Raises LT005 where nothing was decided.
CREATE FUNCTION ledgertwin.destroy_keys(of_erasure uuid) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10s'
AS $$
DECLARE
    latest record;
    doomed uuid[];
    destroyed bigint;
BEGIN
    -- Who makes the terms works from what it has opened: it is waited for, before anybody waits for this.
    PERFORM FROM ledgertwin.blind_index_position FOR UPDATE;
    LOCK TABLE ledgertwin.writing IN EXCLUSIVE MODE;

    SELECT e.topic, convert_from(e.state, 'UTF8')::json -> 'data' AS said INTO latest
    FROM ledgertwin.bank_events AS e
    WHERE e.originator_id = of_erasure AND e.topic IN ('erasure.started.v1', 'erasure.subject_erased.v1')
    ORDER BY e.originator_version DESC LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the log knows of no such erasure' USING ERRCODE = 'LT005', DETAIL = of_erasure::text;
    END IF;

    doomed := array(
        SELECT (key ->> 'dek')::uuid
        FROM ledgertwin.bank_events AS e,
            json_array_elements(convert_from(e.state, 'UTF8')::json -> 'data' -> 'keys') AS key
        WHERE e.originator_id = of_erasure AND e.topic = 'erasure.subject_erased.v1'
    );
    IF latest.topic = 'erasure.started.v1' THEN
        doomed := doomed || array(
            SELECT k.dek_id FROM ledgertwin.vault_keys AS k
            WHERE k.subject = (latest.said ->> 'customer_id')::uuid
                AND k.retention IN (SELECT json_array_elements_text(latest.said -> 'classes'))
        );
    END IF;

    INSERT INTO ledgertwin.destroyed_keys (dek_id, erasure_id, subject, retention)
    SELECT k.dek_id, of_erasure, k.subject, k.retention
    FROM ledgertwin.vault_keys AS k WHERE k.dek_id = ANY (doomed)
    ON CONFLICT (dek_id) DO NOTHING;

    WITH gone AS (
        DELETE FROM ledgertwin.blind_indexes AS b
        USING ledgertwin.vault_keys AS k
        WHERE k.dek_id = ANY (doomed) AND b.subject = k.subject AND EXISTS (
            SELECT FROM ledgertwin.vault_values AS v
            WHERE v.stream_id = b.stream_id AND v.field = b.field AND v.dek_id = k.dek_id
        )
        RETURNING k.dek_id
    ), counted AS (
        SELECT dek_id, count(*) AS terms FROM gone GROUP BY dek_id
    )
    UPDATE ledgertwin.destroyed_keys AS d SET terms = d.terms + counted.terms
    FROM counted WHERE counted.dek_id = d.dek_id;

    DELETE FROM ledgertwin.snapshots AS s USING ledgertwin.vault_keys AS k
    WHERE k.dek_id = ANY (doomed) AND s.stream_id = k.subject;
    DELETE FROM ledgertwin.vault_keys AS k WHERE k.dek_id = ANY (doomed);
    GET DIAGNOSTICS destroyed = ROW_COUNT;
    RETURN destroyed;
END
$$;

-- Removes up to so many values that a destroyed key of this erasure had sealed; nobody waits for it, as nobody can read
-- them any more. Returns how many were removed.
CREATE FUNCTION ledgertwin.purge_values(of_erasure uuid, most integer) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    purged bigint;
BEGIN
    WITH doomed AS (
        SELECT v.stream_id, v.version, v.field
        FROM ledgertwin.destroyed_keys AS d JOIN ledgertwin.vault_values AS v USING (dek_id)
        WHERE d.erasure_id = of_erasure LIMIT most FOR UPDATE OF v
    ), gone AS (
        DELETE FROM ledgertwin.vault_values AS v USING doomed
        WHERE (v.stream_id, v.version, v.field) = (doomed.stream_id, doomed.version, doomed.field)
        RETURNING v.dek_id
    ), counted AS (
        SELECT dek_id, count(*) AS removed FROM gone GROUP BY dek_id
    ), noted AS (
        UPDATE ledgertwin.destroyed_keys AS d SET sealed_values = d.sealed_values + counted.removed
        FROM counted WHERE counted.dek_id = d.dek_id
    )
    SELECT count(*) INTO purged FROM gone;
    RETURN purged;
END
$$;

-- Retires the key-encryption keys that the rotation under way says: nothing is wrapped under them from now on. Whoever is
-- putting something into a vault is waited for. Raises LT005 where no rotation is under way.
CREATE FUNCTION ledgertwin.retire_keks() RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10s'
AS $$
DECLARE
    latest record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ledgertwin.retired_keks'));
    LOCK TABLE ledgertwin.writing IN EXCLUSIVE MODE;
    SELECT e.topic, convert_from(e.state, 'UTF8')::json -> 'data' -> 'retired' AS retired INTO latest
    FROM ledgertwin.bank_events AS e
    WHERE e.originator_id = 'f3b64d9c-dbb9-5985-b662-27dc92a1e8c1' -- domain/key_rotation.py, KEY_EPOCHS_ID
    ORDER BY e.originator_version DESC LIMIT 1;
    IF NOT FOUND OR latest.topic <> 'keys.rotation_started.v1' THEN
        RAISE EXCEPTION 'no rotation of keys is under way' USING ERRCODE = 'LT005';
    END IF;
    INSERT INTO ledgertwin.retired_keks (kek_id) SELECT json_array_elements_text(latest.retired)
    ON CONFLICT (kek_id) DO NOTHING;
END
$$;

CREATE FUNCTION ledgertwin.refuse_retired_kek() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('ledgertwin.retired_keks'));
    IF EXISTS (SELECT FROM ledgertwin.retired_keks AS r WHERE r.kek_id = NEW.kek_id) THEN
        RAISE EXCEPTION 'the key-encryption key is retired' USING ERRCODE = 'LT004';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER card_vault_takes_no_retired_kek BEFORE INSERT ON ledgertwin.card_vault
    FOR EACH ROW EXECUTE FUNCTION ledgertwin.refuse_retired_kek();

-- Puts keys in place that were wrapped anew, where the old ones are those that were read and their key-encryption key is
-- retired. Returns how many were.
CREATE FUNCTION ledgertwin.rewrap_keys(deks uuid[], before bytea[], keks text[], anew bytea[]) RETURNS bigint
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH changed AS (
        UPDATE ledgertwin.vault_keys AS k SET kek_id = given.kek_id, wrapped = given.anew
        FROM unnest(deks, before, keks, anew) AS given (dek_id, before, kek_id, anew)
        WHERE k.dek_id = given.dek_id AND k.wrapped = given.before
            AND k.kek_id IN (SELECT r.kek_id FROM ledgertwin.retired_keks AS r)
        RETURNING k.dek_id
    )
    SELECT count(*) FROM changed
$$;
CREATE FUNCTION ledgertwin.rewrap_card_keys(deks uuid[], before bytea[], keks text[], anew bytea[]) RETURNS bigint
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH changed AS (
        UPDATE ledgertwin.card_vault AS k SET kek_id = given.kek_id, wrapped = given.anew
        FROM unnest(deks, before, keks, anew) AS given (dek_id, before, kek_id, anew)
        WHERE k.dek_id = given.dek_id AND k.wrapped = given.before
            AND k.kek_id IN (SELECT r.kek_id FROM ledgertwin.retired_keks AS r)
        RETURNING k.dek_id
    )
    SELECT count(*) FROM changed
$$;

-- Old pages would hold what was erased for longer than need be.
ALTER TABLE ledgertwin.vault_keys SET (autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0.01);
ALTER TABLE ledgertwin.vault_values SET (autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0.01);

REVOKE ALL ON FUNCTION ledgertwin.destroy_keys(uuid), ledgertwin.purge_values(uuid, integer), ledgertwin.retire_keks(),
    ledgertwin.refuse_retired_kek(), ledgertwin.rewrap_keys(uuid[], bytea[], text[], bytea[]),
    ledgertwin.rewrap_card_keys(uuid[], bytea[], text[], bytea[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledgertwin.destroy_keys(uuid), ledgertwin.purge_values(uuid, integer), ledgertwin.retire_keks(),
    ledgertwin.rewrap_keys(uuid[], bytea[], text[], bytea[]),
    ledgertwin.rewrap_card_keys(uuid[], bytea[], text[], bytea[]) TO ledgertwin_application;
