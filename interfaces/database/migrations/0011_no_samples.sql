-- To plan queries, PostgreSQL samples what columns hold and keeps that in pg_statistic: for as long as nobody analyses the
-- table again, and in dumps of that catalog's files for longer. So wrapped keys, ciphertexts and the digests by which people
-- are found would outlast their erasure. Nothing is sampled of these columns from now on. Their type does not change: to
-- say it again is what forgets the samples there are.
ALTER TABLE ledgertwin.vault_keys
    ALTER COLUMN wrapped TYPE bytea, ALTER COLUMN wrapped SET STATISTICS 0;
ALTER TABLE ledgertwin.vault_values
    ALTER COLUMN nonce TYPE bytea, ALTER COLUMN nonce SET STATISTICS 0,
    ALTER COLUMN ciphertext TYPE bytea, ALTER COLUMN ciphertext SET STATISTICS 0;
ALTER TABLE ledgertwin.blind_indexes
    ALTER COLUMN digest TYPE bytea, ALTER COLUMN digest SET STATISTICS 0;
ALTER TABLE ledgertwin.card_vault
    ALTER COLUMN fingerprint TYPE bytea, ALTER COLUMN fingerprint SET STATISTICS 0,
    ALTER COLUMN nonce TYPE bytea, ALTER COLUMN nonce SET STATISTICS 0,
    ALTER COLUMN ciphertext TYPE bytea, ALTER COLUMN ciphertext SET STATISTICS 0,
    ALTER COLUMN wrapped TYPE bytea, ALTER COLUMN wrapped SET STATISTICS 0;
ALTER TABLE ledgertwin.card_pins
    ALTER COLUMN verification TYPE bytea, ALTER COLUMN verification SET STATISTICS 0;
