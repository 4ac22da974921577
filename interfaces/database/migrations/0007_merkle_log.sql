-- The Merkle tree over the log (RFC 6962), in tiles of 256 hashes; its leaves are the records' own hashes in the order of
-- positions. A follower of the log adds to it; see application/sealing.py. All of it but the signatures can be made again
-- from the log.
CREATE TABLE ledgertwin.tiles (
    level smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
    place bigint NOT NULL CHECK (place >= 0),
    hashes bytea NOT NULL CHECK (octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0),
    PRIMARY KEY (level, place)
);
ALTER TABLE ledgertwin.tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- Leaves are counted without gaps, and positions may have some: of each run of positions without a gap, its first one
-- and the index of its leaf.
CREATE TABLE ledgertwin.leaf_runs (
    first_position bigint PRIMARY KEY,
    first_leaf bigint NOT NULL UNIQUE
);

-- How far the tree has grown: its size, and the position and batch head of the last record in it.
CREATE TABLE ledgertwin.merkle_log (
    "only" boolean PRIMARY KEY DEFAULT true CHECK ("only"),
    size bigint NOT NULL,
    position bigint NOT NULL,
    head bytea NOT NULL CHECK (octet_length(head) = 32)
);
INSERT INTO ledgertwin.merkle_log (size, position, head) VALUES (0, 0, decode(repeat('00', 32), 'hex'));

-- What the bank has signed (`note` is a C2SP checkpoint in a signed note), and what witnesses have cosigned.
CREATE TABLE ledgertwin.checkpoints (
    size bigint PRIMARY KEY CHECK (size > 0),
    position bigint NOT NULL UNIQUE,
    note text NOT NULL,
    signed_at timestamptz NOT NULL
);
CREATE TABLE ledgertwin.cosignatures (
    size bigint NOT NULL REFERENCES ledgertwin.checkpoints,
    witness text NOT NULL,
    line text NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (size, witness)
);

-- Nobody takes a hash back: a tile only grows, the tree only grows, and what was signed stays.
CREATE FUNCTION ledgertwin.refuse_shrinking() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept boolean;
BEGIN
    IF TG_TABLE_NAME = 'tiles' THEN
        kept := (NEW.level, NEW.place) = (OLD.level, OLD.place)
            AND substring(NEW.hashes FROM 1 FOR octet_length(OLD.hashes)) = OLD.hashes;
    ELSE
        kept := NEW.size >= OLD.size AND NEW.position >= OLD.position;
    END IF;
    IF NOT kept THEN
        RAISE EXCEPTION 'the tree only grows: this UPDATE on ledgertwin.% is refused', TG_TABLE_NAME
            USING ERRCODE = 'LT002';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER tiles_only_grow BEFORE UPDATE ON ledgertwin.tiles
    FOR EACH ROW EXECUTE FUNCTION ledgertwin.refuse_shrinking();
CREATE TRIGGER merkle_log_only_grows BEFORE UPDATE ON ledgertwin.merkle_log
    FOR EACH ROW EXECUTE FUNCTION ledgertwin.refuse_shrinking();
ALTER TABLE ledgertwin.tiles ENABLE ALWAYS TRIGGER tiles_only_grow;
ALTER TABLE ledgertwin.merkle_log ENABLE ALWAYS TRIGGER merkle_log_only_grows;

CREATE TRIGGER tiles_never_go BEFORE DELETE OR TRUNCATE ON ledgertwin.tiles
    FOR EACH STATEMENT EXECUTE FUNCTION ledgertwin.refuse_change();
CREATE TRIGGER merkle_log_never_goes BEFORE DELETE OR TRUNCATE ON ledgertwin.merkle_log
    FOR EACH STATEMENT EXECUTE FUNCTION ledgertwin.refuse_change();
CREATE TRIGGER leaf_runs_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledgertwin.leaf_runs
    FOR EACH STATEMENT EXECUTE FUNCTION ledgertwin.refuse_change();
CREATE TRIGGER checkpoints_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledgertwin.checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION ledgertwin.refuse_change();
CREATE TRIGGER cosignatures_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledgertwin.cosignatures
    FOR EACH STATEMENT EXECUTE FUNCTION ledgertwin.refuse_change();
ALTER TABLE ledgertwin.tiles ENABLE ALWAYS TRIGGER tiles_never_go;
ALTER TABLE ledgertwin.merkle_log ENABLE ALWAYS TRIGGER merkle_log_never_goes;
ALTER TABLE ledgertwin.leaf_runs ENABLE ALWAYS TRIGGER leaf_runs_never_change;
ALTER TABLE ledgertwin.checkpoints ENABLE ALWAYS TRIGGER checkpoints_never_change;
ALTER TABLE ledgertwin.cosignatures ENABLE ALWAYS TRIGGER cosignatures_never_change;

GRANT SELECT, INSERT, UPDATE ON ledgertwin.tiles TO ledgertwin_application;
GRANT SELECT, UPDATE ON ledgertwin.merkle_log TO ledgertwin_application;
GRANT SELECT, INSERT ON ledgertwin.leaf_runs, ledgertwin.checkpoints, ledgertwin.cosignatures TO ledgertwin_application;
