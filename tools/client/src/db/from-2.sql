-- From the second schema to the third.

ALTER TABLE contact ADD COLUMN timer INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contact ADD COLUMN timer_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contact ADD COLUMN timer_by BLOB NOT NULL DEFAULT x'';

ALTER TABLE message ADD COLUMN target_by BLOB;
ALTER TABLE message ADD COLUMN target BLOB;
ALTER TABLE message ADD COLUMN edited_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN edited_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN vanish INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN vanish_at INTEGER;
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

INSERT INTO message_text (message_text) VALUES ('rebuild');

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
