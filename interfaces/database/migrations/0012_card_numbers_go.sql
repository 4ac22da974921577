-- What the card vault has of somebody's cards goes with the retention class `payment`; see docs/adr/0021.

-- Which cards are a customer's is said by the log alone: an erasure finds them by this. It reads the record as a text, as
-- a record that somebody has damaged must not stop the log.
CREATE INDEX bank_events_cards_of_customer ON ledgertwin.bank_events (
    substring(encode(state, 'escape') FROM '"customer_id":"([0-9a-f-]{36})"')
) WHERE topic = 'card.issued.v1';

-- What an erasure has taken out of the card vault, by the command for which it had been put there: so that it is not put
-- there again when that command is repeated. It tells nothing but whose card it was.
CREATE TABLE ledgertwin.emptied_cards (
    made_by uuid PRIMARY KEY,
    card_id uuid NOT NULL,
    erasure_id uuid NOT NULL,
    emptied_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX emptied_cards_of_erasure ON ledgertwin.emptied_cards (erasure_id);
CREATE TRIGGER emptied_cards_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledgertwin.emptied_cards
    FOR EACH STATEMENT EXECUTE FUNCTION ledgertwin.refuse_change();
ALTER TABLE ledgertwin.emptied_cards ENABLE ALWAYS TRIGGER emptied_cards_never_change;
GRANT SELECT ON ledgertwin.emptied_cards TO ledgertwin_application;

-- As before (see 0008_erasure.sql), and: with the class `payment`, the numbers of the customer's cards and what their PINs
-- were verified with. A number is the card's for which the log says that the very command was accepted that had it taken
-- in: a token that somebody else has put on a card of his own leads nowhere. Of an erasure that has ended, these are the
-- cards that it names; what was issued since has a number of its own.
CREATE OR REPLACE FUNCTION ledgertwin.destroy_keys(of_erasure uuid) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10s'
AS $$
DECLARE
    latest record;
    doomed uuid[];
    cards uuid[];
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
    cards := array(
        SELECT card::uuid
        FROM ledgertwin.bank_events AS e,
            json_array_elements_text(convert_from(e.state, 'UTF8')::json -> 'data' -> 'cards') AS card
        WHERE e.originator_id = of_erasure AND e.topic = 'erasure.subject_erased.v1'
    );
    IF latest.topic = 'erasure.started.v1' THEN
        doomed := doomed || array(
            SELECT k.dek_id FROM ledgertwin.vault_keys AS k
            WHERE k.subject = (latest.said ->> 'customer_id')::uuid
                AND k.retention IN (SELECT json_array_elements_text(latest.said -> 'classes'))
        );
        IF 'payment' IN (SELECT json_array_elements_text(latest.said -> 'classes')) THEN
            cards := cards || array(
                SELECT e.originator_id FROM ledgertwin.bank_events AS e
                WHERE e.topic = 'card.issued.v1'
                    AND substring(encode(e.state, 'escape') FROM '"customer_id":"([0-9a-f-]{36})"')
                        = latest.said ->> 'customer_id'
            );
        END IF;
    END IF;

    WITH made AS MATERIALIZED (
        SELECT e.originator_id AS card_id, (convert_from(e.state, 'UTF8')::json ->> 'by')::uuid AS made_by
        FROM ledgertwin.bank_events AS e
        WHERE e.originator_id = ANY (cards) AND e.topic IN ('card.issued.v1', 'card.pin_set.v1')
    ), numbers AS (
        DELETE FROM ledgertwin.card_vault AS v USING made WHERE v.made_by = made.made_by
        RETURNING made.made_by, made.card_id
    ), pins AS (
        DELETE FROM ledgertwin.card_pins AS p USING made WHERE p.made_by = made.made_by
        RETURNING made.made_by, made.card_id
    )
    INSERT INTO ledgertwin.emptied_cards (made_by, card_id, erasure_id)
    SELECT gone.made_by, gone.card_id, of_erasure
    FROM (SELECT * FROM numbers UNION SELECT * FROM pins) AS gone
    ON CONFLICT (made_by) DO NOTHING;

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

-- Old pages would hold what was erased for longer than need be.
ALTER TABLE ledgertwin.card_vault SET (autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0.01);
ALTER TABLE ledgertwin.card_pins SET (autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0.01);
