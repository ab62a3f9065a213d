-- From the fourth schema to the fifth.

ALTER TABLE identity ADD COLUMN vault_key BLOB;
ALTER TABLE identity ADD COLUMN steward BLOB;
ALTER TABLE contact ADD COLUMN ask_records INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN missing INTEGER NOT NULL DEFAULT 0;

-- Devices of the recipient that it was sealed for, and those that said to have it.
CREATE TABLE reached (
    message   INTEGER NOT NULL REFERENCES outbox (message) ON DELETE CASCADE,
    device    INTEGER NOT NULL,
    confirmed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (message, device)
) STRICT, WITHOUT ROWID;

-- What nodes knew it as before it was sealed once more.
CREATE TABLE former_parcel (
    parcel  BLOB    PRIMARY KEY,
    message INTEGER NOT NULL REFERENCES message (row) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX former_parcel_message ON former_parcel (message);

-- What came from devices that are not known yet, until somebody says whose they are.
CREATE TABLE later (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    account BLOB    NOT NULL,
    device  INTEGER NOT NULL,
    push    BLOB    NOT NULL,                   -- the frame
    at      INTEGER NOT NULL
) STRICT;
CREATE INDEX later_account ON later (account, device);

-- What the account's devices agree on by key: see devices/entries.rs.
CREATE TABLE entry (
    key    TEXT    PRIMARY KEY,
    value  BLOB    NOT NULL,
    at     INTEGER NOT NULL,
    device INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What the account's other devices are to be told.
CREATE TABLE due (
    kind INTEGER NOT NULL,                      -- see devices.rs
    key  ANY     NOT NULL,
    at   INTEGER NOT NULL,                      -- since when
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

-- The device link that was shown last, until the new device has all or its time is over.
CREATE TABLE device_link (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    secret BLOB    NOT NULL,                    -- sealed by the vault
    until  INTEGER NOT NULL,                    -- seconds; 0: it is to be closed
    opened INTEGER NOT NULL DEFAULT 0,          -- 1: the home knows it
    device INTEGER,                             -- which device it was used by,
    noise  BLOB,                                -- and that one's key
    row    INTEGER,                             -- the last message that the device has,
    done   INTEGER NOT NULL DEFAULT 0           -- and how many those are
) STRICT;

-- This device as long as it is being linked.
CREATE TABLE newcomer (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    link    BLOB    NOT NULL,                   -- sealed by the vault
    name    TEXT    NOT NULL,
    secrets BLOB    NOT NULL,                   -- sealed by the vault
    olm     TEXT    NOT NULL                    -- encrypted pickle
) STRICT;

-- The record that was signed last for a move from here: somebody may have seen its number.
CREATE TABLE moving (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    record BLOB    NOT NULL
) STRICT;

-- Homes that the account has left, until they know, and this device has all that it had there.
CREATE TABLE left_home (
    node       BLOB    PRIMARY KEY,
    link       TEXT    NOT NULL,
    generation INTEGER NOT NULL,                -- as in identity
    cursor     INTEGER NOT NULL,
    since      INTEGER NOT NULL,
    told       INTEGER NOT NULL DEFAULT 0,      -- 1: it holds a record that knows of the move
    tries      INTEGER NOT NULL DEFAULT 0,
    next_try   INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- The account's last word on its end.
CREATE TABLE deletion (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    statement BLOB    NOT NULL                  -- signed, as the home has it
) STRICT;
