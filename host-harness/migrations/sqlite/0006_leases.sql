-- Who is at work: a run holds its tenant and its ERP company, two rows taken in one commit. `fence` grows with every
-- holder, so whoever was overtaken is told apart from whoever holds the row now. A row that is let go stays, its fence with it.
CREATE TABLE leases (
    scope       TEXT    NOT NULL CHECK (scope IN ('tenant', 'company')),
    name        TEXT    NOT NULL CHECK (name <> ''),
    fence       INTEGER NOT NULL,
    owner       TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    since       TEXT    NOT NULL,
    until       TEXT    NOT NULL,
    machine     TEXT    NOT NULL,
    process     INTEGER NOT NULL,
    started     TEXT    NOT NULL,
    PRIMARY KEY (scope, name)
);
