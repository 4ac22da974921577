-- The card vault: the only place where card numbers are, each encrypted under a key of its own that the custodian of
-- keys has wrapped; see application/card_vault.py for the bytes. Security codes and PINs are nowhere: a code is derived
-- from the number when it is needed, and of a PIN there is a keyed fingerprint.

-- `fingerprint` is the HMAC of the whole number under a key that the custodian keeps: without that key nobody can try
-- numbers against it. `made_by` is the command for which the number was taken in, so that its retry finds it again.
CREATE TABLE ledgertwin.card_vault (
    token text PRIMARY KEY,
    fingerprint bytea NOT NULL UNIQUE CHECK (octet_length(fingerprint) = 32),
    nonce bytea NOT NULL,
    ciphertext bytea NOT NULL,
    dek_id uuid NOT NULL UNIQUE,
    kek_id text NOT NULL,
    wrapped bytea NOT NULL,
    bin text NOT NULL CHECK (bin ~ '^([0-9]{6}|[0-9]{8})$'),
    last4 text NOT NULL CHECK (last4 ~ '^[0-9]{4}$'),
    expires_on date NOT NULL,
    brand text NOT NULL,
    made_by uuid NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE ledgertwin.card_pins (
    pvv_ref uuid PRIMARY KEY,
    verification bytea NOT NULL CHECK (octet_length(verification) = 32),
    made_by uuid NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT ON ledgertwin.card_vault, ledgertwin.card_pins TO ledgertwin_application;

-- What stands in the vault is never changed there by the application, and never all of it thrown away by anybody.
CREATE FUNCTION ledgertwin.refuse_truncate() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'TRUNCATE on ledgertwin.% is refused', TG_TABLE_NAME USING ERRCODE = 'LT002';
END
$$;
REVOKE ALL ON FUNCTION ledgertwin.refuse_truncate() FROM PUBLIC;
CREATE TRIGGER card_vault_is_kept BEFORE TRUNCATE ON ledgertwin.card_vault
    FOR EACH STATEMENT EXECUTE FUNCTION ledgertwin.refuse_truncate();
CREATE TRIGGER card_pins_are_kept BEFORE TRUNCATE ON ledgertwin.card_pins
    FOR EACH STATEMENT EXECUTE FUNCTION ledgertwin.refuse_truncate();

-- A number is taken in before the command that issues its card is judged. If that is refused, or was never recorded
-- within an hour, the number is nobody's, and this lets it go so that it can be given again. The application can delete
-- in no other way. Returns whether it was let go.
CREATE FUNCTION ledgertwin.release_card_number(number_fingerprint bytea) RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM ledgertwin.card_vault AS v
    WHERE v.fingerprint = number_fingerprint
        AND NOT EXISTS (
            SELECT FROM ledgertwin.bank_events AS e
            WHERE e.originator_id = v.made_by AND e.topic = 'command.accepted.v1'
        )
        AND (
            v.created_at < now() - interval '1 hour'
            OR EXISTS (
                SELECT FROM ledgertwin.bank_events AS e
                WHERE e.originator_id = v.made_by AND e.topic = 'command.refused.v1'
            )
        );
    RETURN FOUND;
END
$$;
REVOKE ALL ON FUNCTION ledgertwin.release_card_number(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledgertwin.release_card_number(bytea) TO ledgertwin_application;
