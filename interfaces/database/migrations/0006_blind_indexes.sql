-- How a customer is found by a personal value: by a keyed digest of it, which says nothing to whoever has not the key.
-- A row tells that the value now held by `field` of `stream_id` is one whose digest is `digest`; names have a row for
-- each word as well. It is made again from the vault whenever `position` is set back, and goes when its subject is
-- erased.
CREATE TABLE ledgertwin.blind_indexes (
    kind text NOT NULL,
    digest bytea NOT NULL,
    subject uuid NOT NULL,
    stream_id uuid NOT NULL,
    field text NOT NULL,
    PRIMARY KEY (kind, digest, subject, stream_id, field)
);
CREATE INDEX blind_indexes_of_field ON ledgertwin.blind_indexes (stream_id, field);
CREATE INDEX blind_indexes_of_subject ON ledgertwin.blind_indexes (subject);

-- Up to where the log has been looked through, by whichever process did it last.
CREATE TABLE ledgertwin.blind_index_position (
    "only" boolean PRIMARY KEY DEFAULT true CHECK ("only"),
    position bigint NOT NULL
);
INSERT INTO ledgertwin.blind_index_position (position) VALUES (0);

GRANT SELECT, INSERT, DELETE ON ledgertwin.blind_indexes TO ledgertwin_application;
GRANT SELECT, UPDATE ON ledgertwin.blind_index_position TO ledgertwin_application;
