-- What happened: runs and their log.

-- One run of one kind for one tenant. Without `finished_at` it is under way, or its process was killed.
CREATE TABLE metakocka_sync_runs (
    tenant_id   TEXT NOT NULL REFERENCES tenants (id),
    id          TEXT NOT NULL,
    kind        TEXT NOT NULL,
    direction   TEXT NOT NULL,
    mode        TEXT NOT NULL CHECK (mode IN ('plan', 'apply')),
    started_at  TEXT NOT NULL,
    finished_at TEXT,
    success     INTEGER CHECK (success IS NULL OR success IN (0, 1)),
    result      TEXT CHECK (result IS NULL OR json_valid(result)),
    PRIMARY KEY (tenant_id, id),
    CHECK ((finished_at IS NULL) = (success IS NULL))
) WITHOUT ROWID;

-- One line of the integration's log. Written by the host, never with secrets or record contents.
CREATE TABLE metakocka_integration_logs (
    tenant_id            TEXT NOT NULL,
    id                   TEXT NOT NULL,
    timestamp            TEXT NOT NULL,
    level                TEXT NOT NULL CHECK (level IN ('error', 'warning', 'info', 'debug')),
    category             TEXT NOT NULL,
    operation            TEXT,
    entity_type          TEXT,
    entity_id            TEXT,
    entity_name          TEXT,
    metakocka_id         TEXT,
    status               TEXT,
    message              TEXT NOT NULL,
    error_id             TEXT,
    error_code           TEXT,
    error_type           TEXT,
    context              TEXT,
    tags                 TEXT,
    resolved             INTEGER NOT NULL DEFAULT 0 CHECK (resolved IN (0, 1)),
    error_status         TEXT CHECK (error_status IS NULL OR error_status IN ('new', 'in_progress', 'resolved')),
    assigned_to          TEXT,
    resolution_notes     TEXT,
    resolution_timestamp TEXT,
    duration_ms          INTEGER,
    user_id              TEXT,
    organization_id      TEXT,
    created_at           TEXT NOT NULL,
    updated_at           TEXT NOT NULL,
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID;
