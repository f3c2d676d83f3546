-- Whether an ERP company is being called at all: the circuit breaker of a connection outlives the process that tripped it.
-- A company without a row has not failed lately.
CREATE TABLE breakers (
    company    TEXT    NOT NULL PRIMARY KEY CHECK (company <> ''),
    failures   INTEGER NOT NULL,
    open_until TEXT,
    rest_ms    INTEGER NOT NULL,
    changed_at TEXT    NOT NULL
);
