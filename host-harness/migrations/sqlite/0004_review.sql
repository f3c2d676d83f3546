-- What a person may want to look at: contested fields, overwritten values, records given up.

-- A field both sides changed differently, parked until somebody decides.
CREATE TABLE metakocka_conflicts (
    tenant_id    TEXT    NOT NULL,
    company      INTEGER NOT NULL,
    id           TEXT    NOT NULL CHECK (id <> ''),
    revision     INTEGER NOT NULL,
    modified_at  TEXT    NOT NULL,
    kind         TEXT,
    crm_id       TEXT,
    metakocka_id TEXT,
    field        TEXT,
    since        TEXT,
    decision     TEXT,
    base         TEXT,
    crm          TEXT,
    metakocka    TEXT,
    PRIMARY KEY (tenant_id, company, id)
) WITHOUT ROWID;
CREATE INDEX metakocka_conflicts_by_contact ON metakocka_conflicts (tenant_id, company, crm_id)
    WHERE crm_id IS NOT NULL;
CREATE INDEX metakocka_conflicts_decided ON metakocka_conflicts (tenant_id, company, decision)
    WHERE decision IS NOT NULL;

-- One overwritten value: who lost what to what, and why. `old` and `new` are sealed with the tenant's key.
CREATE TABLE metakocka_history (
    tenant_id    TEXT    NOT NULL,
    id           TEXT    NOT NULL CHECK (id <> ''),
    revision     INTEGER NOT NULL,
    modified_at  TEXT    NOT NULL,
    kind         TEXT,
    crm_id       TEXT,
    metakocka_id TEXT,
    side         TEXT CHECK (side IS NULL OR side IN ('metakocka', 'crm')),
    field        TEXT,
    reason       TEXT,
    run_id       TEXT,
    at           TEXT,
    old          TEXT,
    new          TEXT,
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID;

-- A record that was given up or needs a look, with the reason. `payload` is sealed with the tenant's key.
CREATE TABLE metakocka_quarantine (
    tenant_id    TEXT    NOT NULL,
    company      INTEGER NOT NULL,
    id           TEXT    NOT NULL CHECK (id <> ''),
    revision     INTEGER NOT NULL,
    modified_at  TEXT    NOT NULL,
    kind         TEXT,
    side         TEXT CHECK (side IS NULL OR side IN ('metakocka', 'crm')),
    crm_id       TEXT,
    metakocka_id TEXT,
    reason       TEXT,
    code         TEXT,
    status       TEXT CHECK (status IS NULL OR status IN ('quarantined', 'needs_review')),
    attempts     INTEGER,
    since        TEXT,
    record_hash  TEXT,
    retry        INTEGER CHECK (retry IS NULL OR retry IN (0, 1)),
    payload      TEXT,
    PRIMARY KEY (tenant_id, company, id)
) WITHOUT ROWID;
CREATE INDEX metakocka_quarantine_by_contact ON metakocka_quarantine (tenant_id, company, crm_id)
    WHERE crm_id IS NOT NULL;
CREATE INDEX metakocka_quarantine_by_partner ON metakocka_quarantine (tenant_id, company, metakocka_id)
    WHERE metakocka_id IS NOT NULL;
CREATE INDEX metakocka_quarantine_retried ON metakocka_quarantine (tenant_id, company, retry)
    WHERE retry IS NOT NULL;
