CREATE TABLE identity (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    network       TEXT    NOT NULL,
    account       BLOB    NOT NULL,
    device        INTEGER NOT NULL,
    secrets       BLOB    NOT NULL,             -- sealed by the vault
    olm           TEXT    NOT NULL,             -- encrypted pickle
    home          TEXT    NOT NULL,             -- node link
    record        BLOB    NOT NULL,
    record_dirty  INTEGER NOT NULL DEFAULT 0,   -- 1: the home does not have this record yet
    devices       BLOB    NOT NULL,
    handle_wanted TEXT,
    handle        BLOB,
    join_code     BLOB,
    registered    INTEGER NOT NULL DEFAULT 0,
    generation    INTEGER NOT NULL DEFAULT 0,   -- of the home; numbers the cursor
    cursor        INTEGER NOT NULL DEFAULT 0,   -- mailbox items up to here are in this database
    max_deadline  INTEGER NOT NULL,             -- seconds, as the home said last
    fallback_at   INTEGER NOT NULL DEFAULT 0,   -- when the fallback key was last replaced
    tokens_due    INTEGER NOT NULL DEFAULT 0,   -- 1: the home waits to hear all tokens
    vault_key     BLOB,                         -- where the account's key is not; sealed by the vault
    steward       BLOB,                         -- this device's certificate
    synced_at     INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE setting (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    dirty INTEGER NOT NULL DEFAULT 0            -- 1: the home does not know yet
) STRICT, WITHOUT ROWID;

CREATE TABLE contact (
    account          BLOB PRIMARY KEY,
    chat             BLOB    NOT NULL UNIQUE,
    name             TEXT    NOT NULL COLLATE NOCASE UNIQUE,
    phase            INTEGER NOT NULL,          -- see contacts.rs
    verified         INTEGER NOT NULL DEFAULT 0,
    blocked          INTEGER NOT NULL DEFAULT 0,
    home             TEXT    NOT NULL,          -- node link
    handle           TEXT    NOT NULL DEFAULT '',
    handle_proven    INTEGER NOT NULL DEFAULT 0, -- 1: the node's name in it was looked up
    invite           BLOB,
    token            BLOB,                      -- for writing to them
    token_label      BLOB,                      -- of the token they use
    chosen_label     BLOB,                      -- of the one that they chose by a link
    record           BLOB,
    devices          BLOB,
    handle_record    BLOB,
    stale            INTEGER NOT NULL DEFAULT 0, -- 1: there is a newer device list than this one;
                                                 -- 2: two records have one number
    ask_records      INTEGER NOT NULL DEFAULT 0, -- 1: there may be a newer device list
    sends_receipts   INTEGER NOT NULL DEFAULT 1,
    card_known       INTEGER NOT NULL DEFAULT 0, -- 1: they have used the token in our card
    token_number     INTEGER NOT NULL DEFAULT 0,
    token_registered INTEGER NOT NULL DEFAULT 0,
    token_floor      INTEGER NOT NULL DEFAULT 0, -- the lowest number that they may still use
    token_at         INTEGER NOT NULL DEFAULT 0, -- when the number was raised last
    card_device      INTEGER NOT NULL DEFAULT 0, -- which of theirs sent the card that counts,
    card_seq         INTEGER NOT NULL DEFAULT 0, -- and with which number
    ephemeral        BLOB,                      -- what typing and presence to them are sealed under
    origin           BLOB,                      -- of their request
    tag              BLOB,
    error            INTEGER,                   -- error code that ended the attempt to reach them
    error_detail     TEXT    NOT NULL DEFAULT '',
    tries            INTEGER NOT NULL DEFAULT 0,
    next_try         INTEGER NOT NULL DEFAULT 0,
    created_at       INTEGER NOT NULL,
    timer            INTEGER NOT NULL DEFAULT 0, -- seconds that texts are kept; 0 for ever
    timer_at         INTEGER NOT NULL DEFAULT 0, -- when that was said,
    timer_by         BLOB    NOT NULL DEFAULT x'' -- and in which message
) STRICT;

CREATE INDEX contact_label ON contact (token_label);

-- Nodes that took custody for a contact until they moved on.
CREATE TABLE former_home (
    account BLOB    NOT NULL REFERENCES contact (account) ON DELETE CASCADE,
    node    BLOB    NOT NULL,
    until   INTEGER NOT NULL,                   -- when we learned of the move
    PRIMARY KEY (account, node)
) STRICT, WITHOUT ROWID;

CREATE TABLE message (
    row         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          BLOB    NOT NULL,
    chat        BLOB    NOT NULL,
    outgoing    INTEGER NOT NULL,
    account     BLOB    NOT NULL,               -- sender
    device      INTEGER NOT NULL,
    seq         INTEGER,                        -- none until sealed
    kind        INTEGER NOT NULL,
    content     BLOB    NOT NULL,
    text        TEXT,
    sent_at     INTEGER NOT NULL,
    received_at INTEGER,
    deadline    INTEGER NOT NULL,               -- seconds
    state       INTEGER NOT NULL,               -- see state.rs
    reason      TEXT    NOT NULL DEFAULT '',
    shown       INTEGER NOT NULL DEFAULT 0,
    parcel      BLOB,                           -- as nodes know it, once sealed
    target_by   BLOB,                           -- who wrote what it answers or changes,
    target      BLOB,                           -- and which message that is
    edited_at   INTEGER NOT NULL DEFAULT 0,     -- sent_at and seq of the edit that counts
    edited_seq  INTEGER NOT NULL DEFAULT 0,
    deleted     INTEGER NOT NULL DEFAULT 0,
    vanish      INTEGER NOT NULL DEFAULT 0,     -- seconds that it is kept; 0 for ever
    vanish_at   INTEGER,                        -- once that time runs
    UNIQUE (account, id)
) STRICT;
CREATE INDEX message_chat ON message (chat, row);
CREATE INDEX message_unshown ON message (row) WHERE outgoing = 0 AND shown = 0;
CREATE INDEX message_unread ON message (chat, device, seq) WHERE outgoing = 1 AND state < 6;
CREATE INDEX message_parcel ON message (parcel) WHERE parcel IS NOT NULL;
CREATE INDEX message_id ON message (id);
CREATE INDEX message_target ON message (target) WHERE target IS NOT NULL;
CREATE INDEX message_vanish ON message (vanish_at) WHERE vanish_at IS NOT NULL;

-- For finding texts by any part of them. What is deleted is overwritten here as well.
CREATE VIRTUAL TABLE message_text USING fts5 (
    text, content = 'message', content_rowid = 'row', tokenize = 'trigram remove_diacritics 1'
);
INSERT INTO message_text (message_text, rank) VALUES ('secure-delete', 1);
CREATE TRIGGER text_new AFTER INSERT ON message WHEN new.text IS NOT NULL BEGIN
    INSERT INTO message_text (rowid, text) VALUES (new.row, new.text);
END;
CREATE TRIGGER text_gone AFTER DELETE ON message WHEN old.text IS NOT NULL BEGIN
    INSERT INTO message_text (message_text, rowid, text) VALUES ('delete', old.row, old.text);
END;
CREATE TRIGGER text_changed AFTER UPDATE OF text ON message WHEN old.text IS NOT new.text BEGIN
    INSERT INTO message_text (message_text, rowid, text)
        SELECT 'delete', old.row, old.text WHERE old.text IS NOT NULL;
    INSERT INTO message_text (rowid, text) SELECT new.row, new.text WHERE new.text IS NOT NULL;
END;

-- One row until the message's fate is settled: P5.
CREATE TABLE outbox (
    message   INTEGER PRIMARY KEY REFERENCES message (row) ON DELETE CASCADE,
    contact   BLOB    NOT NULL,
    plaintext BLOB,                             -- the encoded message, once it has its place
    envelope  BLOB,                             -- the sealed envelope, the same bytes each time
    token     BLOB,                             -- with which it is offered
    turns     INTEGER NOT NULL DEFAULT 0,       -- refusals that were answered by another way
    offer     INTEGER NOT NULL DEFAULT 0,       -- 1: the home is to be offered it
    tries     INTEGER NOT NULL DEFAULT 0,
    next_try  INTEGER NOT NULL DEFAULT 0,
    missing   INTEGER NOT NULL DEFAULT 0        -- 1: it was not sealed for all devices
) STRICT;
CREATE INDEX outbox_contact ON outbox (contact);
CREATE INDEX outbox_offer ON outbox (message) WHERE offer = 1;

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

CREATE TABLE step (
    message  INTEGER NOT NULL REFERENCES message (row) ON DELETE CASCADE,
    state    INTEGER NOT NULL,
    signer   BLOB    NOT NULL,                  -- node or account
    device   INTEGER,                           -- of the account
    at       INTEGER NOT NULL,
    evidence BLOB    NOT NULL,
    PRIMARY KEY (message, state, signer)
) STRICT, WITHOUT ROWID;

-- Where the home said that a message waits.
CREATE TABLE waiting (
    message  INTEGER PRIMARY KEY REFERENCES message (row) ON DELETE CASCADE,
    node     BLOB    NOT NULL,                  -- which the home waits for
    since    INTEGER NOT NULL,
    reason   TEXT    NOT NULL,
    next_try INTEGER NOT NULL,                  -- 0: something else than time is waited for
    told_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE session (
    account BLOB    NOT NULL,
    device  INTEGER NOT NULL,
    id      TEXT    NOT NULL,
    pickle  TEXT    NOT NULL,
    used    INTEGER NOT NULL,                   -- when it last decrypted, or was made
    PRIMARY KEY (account, device, id)
) STRICT, WITHOUT ROWID;

-- Prekeys claimed and not yet used.
CREATE TABLE prekey (
    account  BLOB    NOT NULL,
    device   INTEGER NOT NULL,
    key      BLOB    NOT NULL,
    at       INTEGER NOT NULL,                  -- when it was fetched
    PRIMARY KEY (account, device)
) STRICT, WITHOUT ROWID;

-- Sealed headers and message ids that were received, until deadline + 7 days: P2.
CREATE TABLE seen_header (
    hash  BLOB PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE seen_message (
    sender BLOB    NOT NULL,
    id     BLOB    NOT NULL,
    until  INTEGER NOT NULL,
    PRIMARY KEY (sender, id)
) STRICT, WITHOUT ROWID;

-- What came from devices that are not known yet, until somebody says whose they are.
CREATE TABLE later (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    account BLOB    NOT NULL,
    device  INTEGER NOT NULL,
    push    BLOB    NOT NULL,                   -- the frame
    at      INTEGER NOT NULL
) STRICT;
CREATE INDEX later_account ON later (account, device);

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

-- Sequence and hashes of what this device sent, per conversation: P3.
CREATE TABLE own_chain (
    chat BLOB PRIMARY KEY,
    seq  INTEGER NOT NULL,
    hash BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- The same of what others sent.
CREATE TABLE peer_chain (
    chat     BLOB    NOT NULL,
    account  BLOB    NOT NULL,
    device   INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    hash     BLOB    NOT NULL,
    previous BLOB,
    PRIMARY KEY (chat, account, device, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE received (
    chat    BLOB    NOT NULL,
    account BLOB    NOT NULL,
    device  INTEGER NOT NULL,
    first   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    PRIMARY KEY (chat, account, device, first)
) STRICT, WITHOUT ROWID;

-- What contacts said is never to come.
CREATE TABLE lost (
    chat    BLOB    NOT NULL,
    account BLOB    NOT NULL,
    device  INTEGER NOT NULL,
    first   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    PRIMARY KEY (chat, account, device, first)
) STRICT, WITHOUT ROWID;

-- Devices that are to be asked for what is missing.
CREATE TABLE resend (
    account    BLOB    NOT NULL,
    device     INTEGER NOT NULL,
    tries      INTEGER NOT NULL DEFAULT 0,
    next_try   INTEGER NOT NULL,
    renew      INTEGER NOT NULL DEFAULT 0,      -- 1: on a new session
    renewed_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, device)
) STRICT, WITHOUT ROWID;

-- Receipts owed to contacts.
CREATE TABLE receipt_due (
    contact BLOB    NOT NULL,
    device  INTEGER NOT NULL,
    how     INTEGER NOT NULL,
    PRIMARY KEY (contact, device, how)
) STRICT, WITHOUT ROWID;

-- Typing and presence, as was said last.
CREATE TABLE ephemeral (
    account BLOB    NOT NULL REFERENCES contact (account) ON DELETE CASCADE,
    device  INTEGER NOT NULL,                   -- of theirs; 0: said by us
    kind    INTEGER NOT NULL,
    value   INTEGER NOT NULL,
    at      INTEGER NOT NULL,                   -- by the clock of whoever said it
    until   INTEGER NOT NULL,                   -- when it counts no longer, by ours
    due     INTEGER NOT NULL,                   -- 1: it is to be sent
    PRIMARY KEY (account, device, kind)
) STRICT, WITHOUT ROWID;

-- What the home is to be told.
CREATE TABLE settle (
    origin BLOB    NOT NULL,
    tag    BLOB    NOT NULL,
    how    INTEGER NOT NULL,
    PRIMARY KEY (origin, tag)
) STRICT, WITHOUT ROWID;
CREATE TABLE token_drop (
    label   BLOB PRIMARY KEY,                   -- of tokens that are to be dropped,
    hash    BLOB,                               -- where it is known,
    expires INTEGER NOT NULL DEFAULT 0          -- seconds: then; 0 at once
) STRICT, WITHOUT ROWID;
CREATE TABLE invite (
    code       BLOB PRIMARY KEY,
    uses       INTEGER NOT NULL,
    expires    INTEGER NOT NULL,                -- seconds; 0 never
    created_at INTEGER NOT NULL,
    registered INTEGER NOT NULL DEFAULT 0,
    revoked    INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- The highest receipt root held of each node: by it a rolled-back node finds out.
CREATE TABLE quote (
    node       BLOB PRIMARY KEY,
    generation INTEGER NOT NULL DEFAULT 0,
    commit_no  INTEGER NOT NULL DEFAULT 0,
    root       BLOB,                            -- as the node signed it; none held yet
    told       INTEGER NOT NULL DEFAULT 0,      -- its generation as the home says, unproven
    at         INTEGER NOT NULL                 -- when something of it was last noted
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    at   INTEGER NOT NULL,
    kind INTEGER NOT NULL,                      -- see events.rs
    body BLOB    NOT NULL
) STRICT;

CREATE TABLE problem (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    code    TEXT    NOT NULL,
    message TEXT    NOT NULL
) STRICT;
