-- The artefacts of risk models, named by what they are: a record in the log says which model decided, by this hash, and
-- whoever has the artefact can compute the same again. They never change; one that was never promoted does no harm.
CREATE TABLE ledgertwin.risk_models (
    sha256 bytea PRIMARY KEY,
    artefact bytea NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT now(),
    CHECK (sha256 = pg_catalog.sha256(artefact))
);
CREATE TRIGGER risk_models_never_change
    BEFORE UPDATE OR DELETE OR TRUNCATE ON ledgertwin.risk_models
    FOR EACH STATEMENT EXECUTE FUNCTION ledgertwin.refuse_change();
ALTER TABLE ledgertwin.risk_models ENABLE ALWAYS TRIGGER risk_models_never_change;
GRANT SELECT, INSERT ON ledgertwin.risk_models TO ledgertwin_application;
