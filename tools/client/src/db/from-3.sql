-- From the third schema to the fourth.

ALTER TABLE contact ADD COLUMN token_floor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contact ADD COLUMN token_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contact ADD COLUMN ephemeral BLOB;
ALTER TABLE contact ADD COLUMN chosen_label BLOB;
ALTER TABLE contact ADD COLUMN card_device INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contact ADD COLUMN card_seq INTEGER NOT NULL DEFAULT 0;
CREATE INDEX contact_label ON contact (token_label);
ALTER TABLE token_drop ADD COLUMN hash BLOB;
ALTER TABLE token_drop ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;

-- Everybody gets a card that says what typing and presence are to be sealed under.
-- Whoever has used the last one uses none before it.
UPDATE contact SET card_known = 0, token_registered = 0, token_number = token_number + 1,
    token_floor = CASE WHEN card_known = 1 THEN token_number ELSE 0 END,
    token_at = unixepoch() * 1000;

-- Typing and presence, as was said last.
CREATE TABLE ephemeral (
    account BLOB    NOT NULL REFERENCES contact (account) ON DELETE CASCADE,
    device  INTEGER NOT NULL,
    kind    INTEGER NOT NULL,
    value   INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    until   INTEGER NOT NULL,
    due     INTEGER NOT NULL,
    PRIMARY KEY (account, device, kind)
) STRICT, WITHOUT ROWID;
