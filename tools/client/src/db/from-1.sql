ALTER TABLE identity ADD COLUMN tokens_due INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contact ADD COLUMN handle_proven INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contact ADD COLUMN stale INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN token BLOB;
ALTER TABLE outbox ADD COLUMN turns INTEGER NOT NULL DEFAULT 0;

CREATE TABLE former_home (
    account BLOB    NOT NULL REFERENCES contact (account) ON DELETE CASCADE,
    node    BLOB    NOT NULL,
    until   INTEGER NOT NULL,
    PRIMARY KEY (account, node)
) STRICT, WITHOUT ROWID;

CREATE TABLE waiting (
    message  INTEGER PRIMARY KEY REFERENCES message (row) ON DELETE CASCADE,
    node     BLOB    NOT NULL,
    since    INTEGER NOT NULL,
    reason   TEXT    NOT NULL,
    next_try INTEGER NOT NULL,
    told_at  INTEGER NOT NULL
) STRICT;

-- More than one node may vouch for one state.
ALTER TABLE step RENAME TO old_step;
CREATE TABLE step (
    message  INTEGER NOT NULL REFERENCES message (row) ON DELETE CASCADE,
    state    INTEGER NOT NULL,
    signer   BLOB    NOT NULL,
    device   INTEGER,
    at       INTEGER NOT NULL,
    evidence BLOB    NOT NULL,
    PRIMARY KEY (message, state, signer)
) STRICT, WITHOUT ROWID;
INSERT INTO step SELECT message, state, signer, device, at, evidence FROM old_step;
DROP TABLE old_step;

-- Roots were not kept as they were signed, so that there is none to quote until the next receipt.
ALTER TABLE quote RENAME TO old_quote;
CREATE TABLE quote (
    node       BLOB PRIMARY KEY,
    generation INTEGER NOT NULL DEFAULT 0,
    commit_no  INTEGER NOT NULL DEFAULT 0,
    root       BLOB,
    told       INTEGER NOT NULL DEFAULT 0,
    at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO quote (node, generation, commit_no, at) SELECT node, generation, commit_no, 0 FROM old_quote;
DROP TABLE old_quote;
