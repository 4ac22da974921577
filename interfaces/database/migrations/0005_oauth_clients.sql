-- Programs that may ask the bank for access tokens. Of a secret there is a keyed fingerprint, over what the client may do
-- as well: whoever can write to this table and has not the keys of the custodian can neither make a client nor widen one;
-- see interfaces/access/clients.py. No row is ever deleted: the log names the subjects that have acted.
CREATE TABLE ledgertwin.oauth_clients (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    subject text NOT NULL CHECK (char_length(subject) BETWEEN 1 AND 200),
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0),
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz
);
-- The name of a disabled client can be given again, to the one that replaces it.
CREATE UNIQUE INDEX oauth_clients_name ON ledgertwin.oauth_clients (name) WHERE disabled_at IS NULL;
-- Clients are made and disabled at the command line, by the owner of the database.
GRANT SELECT ON ledgertwin.oauth_clients TO ledgertwin_application;
