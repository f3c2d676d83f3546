-- The CRM's contacts, and what makes plain SQL by the CRM a change like any other.

-- One person or business the tenant deals with. Frequently read and indexed columns come first, wide ones last.
-- `custom` holds fields this schema has no column for. `email_key` and `tax_key` are what look-ups compare, derived
-- here so that rows written by plain SQL are found too. SQL's lower() and upper() know ASCII only, which is
-- enough for e-mail addresses and tax numbers. The table has a rowid: with it the secondary indexes are half as large,
-- which saves more than the extra B-tree of the primary key costs. The same goes for the links.
CREATE TABLE contacts (
    tenant_id           TEXT    NOT NULL,
    id                  TEXT    NOT NULL CHECK (id <> ''),
    revision            INTEGER NOT NULL DEFAULT 0,
    updatedat           TEXT,
    createdat           TEXT,
    firstname           TEXT    NOT NULL DEFAULT '',
    lastname            TEXT    NOT NULL DEFAULT '',
    full_name           TEXT,
    email               TEXT,
    phone               TEXT,
    company             TEXT,
    position            TEXT,
    status              TEXT    NOT NULL DEFAULT 'active',
    street              TEXT,
    postal_code         TEXT,
    city                TEXT,
    province            TEXT,
    country             TEXT,
    tax_number          TEXT,
    registration_number TEXT,
    website             TEXT,
    lastcontact         TEXT,
    personalitytype     TEXT,
    personalitynotes    TEXT,
    user_id             TEXT,
    organization_id     TEXT,
    notes               TEXT,
    custom              TEXT CHECK (custom IS NULL OR (json_valid(custom) AND json_type(custom) = 'object')),
    email_key           TEXT GENERATED ALWAYS AS (
        nullif(lower(trim(email, char(32, 9, 10, 13))), '')
    ) STORED,
    tax_plain           TEXT GENERATED ALWAYS AS (
        CASE WHEN tax_number GLOB '*[^0-9A-Za-z]*' THEN
            upper(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(
                tax_number, char(32), ''), char(9), ''), char(10), ''), char(13), ''), char(160), ''),
                '-', ''), '.', ''), ',', ''), '/', ''), ':', ''), '_', ''), char(8211), ''))
        ELSE upper(tax_number) END
    ) STORED,
    tax_key             TEXT GENERATED ALWAYS AS (
        nullif(CASE WHEN substr(tax_plain, 1, 2) = 'SI' THEN substr(tax_plain, 3) ELSE tax_plain END, '')
    ) STORED,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX contacts_by_revision ON contacts (tenant_id, revision);
-- Keys come in no order, so each commit touches pages all over these two: what counts is how small they are. The
-- random tail of the tenant's id keeps tenants apart in them; look-ups compare the whole id as well.
CREATE INDEX contacts_by_email ON contacts (substr(tenant_id, -8), email_key) WHERE email_key IS NOT NULL;
CREATE INDEX contacts_by_tax ON contacts (substr(tenant_id, -8), tax_key) WHERE tax_key IS NOT NULL;

-- A record of the CRM that is gone, so that readers of changes learn of it. No live record has one.
CREATE TABLE crm_tombstones (
    tenant_id  TEXT    NOT NULL,
    collection TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    deleted_at TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, collection, id)
) WITHOUT ROWID;
CREATE INDEX crm_tombstones_by_revision ON crm_tombstones (tenant_id, collection, revision);

-- The store numbers its own rows from the open span of the counter; whatever carries another number was written
-- by somebody else and gets its number here: a new row, a copied-back row, an UPDATE of any column.
CREATE TRIGGER contacts_inserted AFTER INSERT ON contacts
WHEN NOT EXISTS (SELECT 1 FROM tenant_revisions
                 WHERE tenant_id = NEW.tenant_id AND NEW.revision BETWEEN open_from AND revision)
BEGIN
    SELECT RAISE(ABORT, 'contacts: no tenant has this tenant_id')
    WHERE NOT EXISTS (SELECT 1 FROM tenant_revisions WHERE tenant_id = NEW.tenant_id);
    UPDATE tenant_revisions SET revision = revision + 1, open_from = revision + 2 WHERE tenant_id = NEW.tenant_id;
    DELETE FROM crm_tombstones WHERE tenant_id = NEW.tenant_id AND collection = 'contacts' AND id = NEW.id;
    UPDATE contacts SET
        revision = (SELECT revision FROM tenant_revisions WHERE tenant_id = NEW.tenant_id),
        createdat = coalesce(createdat, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
        updatedat = coalesce(updatedat, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
        full_name = coalesce(full_name, nullif(trim(firstname || ' ' || lastname), '')),
        user_id = coalesce(user_id, (SELECT user_id FROM tenants WHERE id = NEW.tenant_id)),
        organization_id = coalesce(organization_id, (SELECT organization_id FROM tenants WHERE id = NEW.tenant_id))
    WHERE tenant_id = NEW.tenant_id AND id = NEW.id;
END;

CREATE TRIGGER contacts_updated AFTER UPDATE ON contacts
WHEN NOT EXISTS (SELECT 1 FROM tenant_revisions
                 WHERE tenant_id = NEW.tenant_id
                   AND (NEW.revision BETWEEN open_from AND revision
                        -- The number one of these triggers has just given.
                        OR (NEW.revision = revision AND OLD.revision <> revision)))
BEGIN
    UPDATE tenant_revisions SET revision = revision + 1, open_from = revision + 2 WHERE tenant_id = NEW.tenant_id;
    UPDATE contacts SET
        revision = (SELECT revision FROM tenant_revisions WHERE tenant_id = NEW.tenant_id),
        updatedat = CASE WHEN NEW.updatedat IS OLD.updatedat
                         THEN strftime('%Y-%m-%dT%H:%M:%fZ', 'now') ELSE NEW.updatedat END
    WHERE tenant_id = NEW.tenant_id AND id = NEW.id;
END;

-- A moved id would leave its link, its history and its readers behind without a trace.
CREATE TRIGGER contacts_moved BEFORE UPDATE OF tenant_id, id ON contacts
WHEN NEW.tenant_id IS NOT OLD.tenant_id OR NEW.id IS NOT OLD.id
BEGIN
    SELECT RAISE(ABORT, 'contacts: tenant_id and id never change; delete the contact and insert it again');
END;

-- The store writes the tombstone of its own deletes first, with a number of the open span.
CREATE TRIGGER contacts_deleted AFTER DELETE ON contacts
WHEN NOT EXISTS (SELECT 1 FROM crm_tombstones t JOIN tenant_revisions r ON r.tenant_id = t.tenant_id
                 WHERE t.tenant_id = OLD.tenant_id AND t.collection = 'contacts' AND t.id = OLD.id
                   AND t.revision BETWEEN r.open_from AND r.revision)
BEGIN
    UPDATE tenant_revisions SET revision = revision + 1, open_from = revision + 2 WHERE tenant_id = OLD.tenant_id;
    DELETE FROM crm_tombstones WHERE tenant_id = OLD.tenant_id AND collection = 'contacts' AND id = OLD.id;
    INSERT INTO crm_tombstones (tenant_id, collection, id, revision, deleted_at)
    SELECT OLD.tenant_id, 'contacts', OLD.id, revision, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
    FROM tenant_revisions WHERE tenant_id = OLD.tenant_id;
END;
