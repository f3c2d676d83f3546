-- Tenants, their keys, their one ERP company and their settings.
-- Times are RFC 3339 UTC text with milliseconds; ids are UUID text.

-- One customer of the service: an organisation, or a single user without one.
CREATE TABLE tenants (
    id              TEXT NOT NULL PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE CHECK (name <> ''),
    organization_id TEXT,
    user_id         TEXT,
    created_at      TEXT NOT NULL,
    CHECK (organization_id IS NOT NULL OR user_id IS NOT NULL)
) WITHOUT ROWID;
CREATE UNIQUE INDEX tenants_by_organization ON tenants (organization_id) WHERE organization_id IS NOT NULL;
CREATE UNIQUE INDEX tenants_by_user ON tenants (user_id) WHERE organization_id IS NULL;

-- The counter every write of a tenant takes its number from.
-- Between `open_from` and `revision` lie the numbers of the commit that is being written right now; outside of
-- a commit `open_from` is `revision + 1` and the span is empty. The triggers of the CRM's tables tell by it
-- whether a row was written through the store (a number of that span) or by plain SQL (anything else).
CREATE TABLE tenant_revisions (
    tenant_id TEXT    NOT NULL PRIMARY KEY REFERENCES tenants (id),
    revision  INTEGER NOT NULL CHECK (revision >= 0),
    open_from INTEGER NOT NULL
) WITHOUT ROWID;

-- A tenant's data key, wrapped by the master key. `master` is the fingerprint of that master key.
CREATE TABLE tenant_keys (
    tenant_id  TEXT    NOT NULL REFERENCES tenants (id),
    key_no     INTEGER NOT NULL CHECK (key_no > 0),
    wrapped    TEXT    NOT NULL,
    master     TEXT    NOT NULL,
    created_at TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, key_no)
) WITHOUT ROWID;

-- A Metakocka company at an installation, as one tenant knows it. `no` stands for it in every scoped table;
-- 0 is never given out and means "not connected".
CREATE TABLE metakocka_companies (
    no           INTEGER PRIMARY KEY CHECK (no > 0),
    tenant_id    TEXT NOT NULL REFERENCES tenants (id),
    installation TEXT NOT NULL,
    company_id   TEXT NOT NULL,
    UNIQUE (tenant_id, installation, company_id)
);

-- The one connection of a tenant. `secret_key` is sealed with the tenant's key.
CREATE TABLE metakocka_credentials (
    tenant_id       TEXT    NOT NULL PRIMARY KEY REFERENCES tenants (id),
    id              TEXT    NOT NULL,
    user_id         TEXT,
    organization_id TEXT,
    company         INTEGER NOT NULL REFERENCES metakocka_companies (no),
    company_id      TEXT    NOT NULL,
    secret_key      TEXT    NOT NULL,
    api_endpoint    TEXT    NOT NULL DEFAULT 'https://main.metakocka.si/rest/eshop/',
    is_active       INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    created_at      TEXT    NOT NULL,
    updated_at      TEXT    NOT NULL,
    last_used_at    TEXT,
    last_sync_at    TEXT,
    sync_status     TEXT    NOT NULL DEFAULT 'not_synced',
    sync_error      TEXT,
    metadata        TEXT CHECK (metadata IS NULL OR json_valid(metadata))
) WITHOUT ROWID;

-- One setting of a tenant. A key that is not here has its default.
CREATE TABLE metakocka_settings (
    tenant_id   TEXT    NOT NULL REFERENCES tenants (id),
    key         TEXT    NOT NULL CHECK (key <> ''),
    revision    INTEGER NOT NULL,
    modified_at TEXT    NOT NULL,
    value       TEXT    NOT NULL CHECK (json_valid(value)),
    PRIMARY KEY (tenant_id, key)
) WITHOUT ROWID;
