-- What the plugin knows about the tenant's records and the ERP's. `company` is metakocka_companies.no: what was
-- learned about one company is never read for another. Columns that scans and look-ups read come before wide ones.

-- This contact is that partner. The base is what both sides agreed on last; the hashes say how each side looked then.
CREATE TABLE metakocka_contact_mappings (
    tenant_id       TEXT    NOT NULL,
    company         INTEGER NOT NULL REFERENCES metakocka_companies (no),
    contact_id      TEXT    NOT NULL CHECK (contact_id <> ''),
    revision        INTEGER NOT NULL,
    updated_at      TEXT    NOT NULL,
    metakocka_id    TEXT    NOT NULL CHECK (metakocka_id <> ''),
    mk_hash         TEXT,
    crm_hash        TEXT,
    sync_status     TEXT    NOT NULL DEFAULT 'synced'
                    CHECK (sync_status IN ('synced', 'pending', 'error', 'needs_review')),
    state           TEXT    NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'erp-gone', 'crm-gone')),
    metakocka_code  TEXT,
    mk_modified_at  TEXT,
    crm_modified_at TEXT,
    last_synced_at  TEXT,
    sync_error      TEXT,
    id              TEXT    NOT NULL,
    user_id         TEXT,
    organization_id TEXT,
    created_at      TEXT    NOT NULL,
    metadata        TEXT,
    base_snapshot   TEXT,
    PRIMARY KEY (tenant_id, company, contact_id),
    UNIQUE (tenant_id, company, metakocka_id)
);
CREATE INDEX metakocka_contact_mappings_open ON metakocka_contact_mappings (tenant_id, company, sync_status)
    WHERE sync_status <> 'synced';

-- A partner met in the ERP that has no link.
CREATE TABLE metakocka_seen (
    tenant_id    TEXT    NOT NULL,
    company      INTEGER NOT NULL,
    metakocka_id TEXT    NOT NULL CHECK (metakocka_id <> ''),
    revision     INTEGER NOT NULL,
    modified_at  TEXT    NOT NULL,
    raw_hash     TEXT,
    tax_key      TEXT,
    email_key    TEXT,
    reason       TEXT,
    PRIMARY KEY (tenant_id, company, metakocka_id)
) WITHOUT ROWID;
CREATE INDEX metakocka_seen_by_tax ON metakocka_seen (tenant_id, company, tax_key) WHERE tax_key IS NOT NULL;
CREATE INDEX metakocka_seen_by_email ON metakocka_seen (tenant_id, company, email_key) WHERE email_key IS NOT NULL;

-- A create in the ERP that was decided and is not yet confirmed. The derived columns are for people who look.
CREATE TABLE metakocka_outbox (
    tenant_id   TEXT    NOT NULL,
    company     INTEGER NOT NULL,
    contact_id  TEXT    NOT NULL CHECK (contact_id <> ''),
    revision    INTEGER NOT NULL,
    modified_at TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    state       TEXT GENERATED ALWAYS AS (body ->> '$.state') VIRTUAL,
    key_kind    TEXT GENERATED ALWAYS AS (body ->> '$.key_kind') VIRTUAL,
    key         TEXT GENERATED ALWAYS AS (body ->> '$.key') VIRTUAL,
    since       TEXT GENERATED ALWAYS AS (body ->> '$.since') VIRTUAL,
    until       TEXT GENERATED ALWAYS AS (body ->> '$.until') VIRTUAL,
    PRIMARY KEY (tenant_id, company, contact_id)
) WITHOUT ROWID;

-- Where the next run continues.
CREATE TABLE metakocka_checkpoints (
    tenant_id   TEXT    NOT NULL,
    company     INTEGER NOT NULL,
    name        TEXT    NOT NULL CHECK (name <> ''),
    revision    INTEGER NOT NULL,
    modified_at TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, company, name)
) WITHOUT ROWID;

-- One item of a stored plan; the id is the plan's id and the item's number.
CREATE TABLE metakocka_plans (
    tenant_id   TEXT    NOT NULL,
    company     INTEGER NOT NULL,
    id          TEXT    NOT NULL CHECK (id <> ''),
    revision    INTEGER NOT NULL,
    modified_at TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, company, id)
) WITHOUT ROWID;
