//! From the schema of an earlier version to that of this one, without losing a row.

use rusqlite::Transaction;

use crate::error::StorageError;

/// The version of `schema.sql`. Whoever changes that raises it, and adds a step to [`upgrade`].
pub(super) const SCHEMA_VERSION: i64 = 5;
const SCHEMA: &str = include_str!("schema.sql");
const FROM_1: &str = include_str!("from-1.sql");
const FROM_2: &str = include_str!("from-2.sql");
const FROM_3: &str = include_str!("from-3.sql");
const FROM_4: &str = include_str!("from-4.sql");

/// Brings the database to [`SCHEMA_VERSION`], in the caller's transaction. Whether it had to.
pub(super) fn upgrade(tx: &Transaction<'_>) -> Result<bool, StorageError> {
    let steps: &[&str] = match tx.query_row("PRAGMA user_version", [], |row| row.get(0))? {
        SCHEMA_VERSION => return Ok(false),
        0 => &[SCHEMA],
        // For some days the second schema went under the first one's number.
        1 if has_table(tx, "waiting")? => &[FROM_2, FROM_3, FROM_4],
        1 => &[FROM_1, FROM_2, FROM_3, FROM_4],
        2 => &[FROM_2, FROM_3, FROM_4],
        3 => &[FROM_3, FROM_4],
        4 => &[FROM_4],
        got => return Err(StorageError::Newer { got, known: SCHEMA_VERSION }),
    };
    for step in steps {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    Ok(true)
}

fn has_table(tx: &Transaction<'_>, name: &str) -> Result<bool, StorageError> {
    let mut query = tx.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?;
    Ok(query.exists([name])?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rusqlite::Connection;

    use super::super::Db;
    use super::*;

    const OLD: &str = include_str!("schema-1.sql");
    const SECOND: &str = include_str!("schema-2.sql");
    const THIRD: &str = include_str!("schema-3.sql");
    const FOURTH: &str = include_str!("schema-4.sql");
    const TEXT: &str = "
        INSERT INTO message (id, chat, outgoing, account, device, kind, content, text, sent_at,
            deadline, state) VALUES (x'01', x'0c', 1, x'0b', 1, 1, x'', 'written before', 1, 9, 2);";
    const ROWS: &str = "
        INSERT INTO contact (account, chat, name, phase, home, created_at)
            VALUES (x'0a', x'0c', 'bob', 3, 'postroad:node#x', 1);
        INSERT INTO message (id, chat, outgoing, account, device, kind, content, sent_at, deadline,
            state) VALUES (x'01', x'0c', 1, x'0b', 1, 1, x'', 1, 9, 2);
        INSERT INTO outbox (message, contact, envelope, offer) VALUES (1, x'0a', x'05', 1);
        INSERT INTO step VALUES (1, 0, x'0b', 1, 1, x'02'), (1, 2, x'09', NULL, 2, x'03');
        INSERT INTO quote VALUES (x'09', 4, x'08', 7);";

    const ROWS_OF_4: &str = "
        INSERT INTO contact (account, chat, name, phase, home, created_at)
            VALUES (x'0a', x'0c', 'bob', 3, 'postroad:node#x', 1);
        INSERT INTO message (id, chat, outgoing, account, device, kind, content, sent_at, deadline,
            state) VALUES (x'01', x'0c', 1, x'0b', 1, 1, x'', 1, 9, 2);
        INSERT INTO outbox (message, contact, envelope, offer) VALUES (1, x'0a', x'05', 1);";

    fn made_from(path: &Path, schema: &str, number: i64) {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch(schema).unwrap();
        connection.pragma_update(None, "user_version", number).unwrap();
    }

    /// Each table's columns, as far as their order does not matter, and all indices.
    fn shape(db: &mut Db) -> Vec<String> {
        let sql = "SELECT m.name || '.' || c.name || ' ' || c.type || c.\"notnull\" || c.pk ||
                ifnull(c.dflt_value, '') FROM sqlite_schema m, pragma_table_info(m.name) c
            WHERE m.type = 'table'
            UNION SELECT tbl_name || ' ' || sql FROM sqlite_schema WHERE type = 'index'
                AND sql NOT NULL
            ORDER BY 1";
        db.read(|tx| {
            let mut query = tx.prepare(sql)?;
            let rows = query.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .unwrap()
    }

    #[test]
    fn an_older_database_comes_along_with_all_its_rows() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        made_from(&path, OLD, 1);
        Connection::open(&path).unwrap().execute_batch(ROWS).unwrap();
        assert!(matches!(Db::open_read_only(&path, None), Err(StorageError::ReadOnly(_))));
        let mut db = Db::open(&path, None).unwrap();
        assert_eq!(shape(&mut db), shape(&mut Db::in_memory()));
        db.write(|tx| {
            let count = |sql: &str| tx.query_row(sql, [], |row| row.get::<_, i64>(0));
            assert_eq!(count("SELECT count(*) FROM step WHERE length(evidence) = 1")?, 2);
            assert_eq!(count("SELECT commit_no FROM quote WHERE generation = 4 AND told = 0")?, 7);
            assert_eq!(count("SELECT offer FROM outbox WHERE envelope = x'05' AND turns = 0")?, 1);
            assert_eq!(count("SELECT phase FROM contact WHERE handle_proven + stale = 0")?, 3);
            // Steps still go with their message, and another node may vouch for the same state.
            tx.execute("INSERT INTO step VALUES (1, 2, x'07', NULL, 3, x'')", [])?;
            tx.execute("DELETE FROM message", [])?;
            assert_eq!(count("SELECT count(*) FROM step")?, 0);
            Ok(())
        })
        .unwrap();
        drop(db);
        Db::open(&path, None).unwrap();
        Db::open_read_only(&path, None).unwrap();
    }

    #[test]
    fn contacts_of_the_third_schema_keep_their_tokens_and_get_a_new_card() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        made_from(&path, THIRD, 3);
        let contacts = "
            INSERT INTO contact (account, chat, name, phase, home, created_at, token, token_label,
                card_known, token_number) VALUES
                (x'0a', x'0c', 'bob', 3, 'postroad:node#x', 1, x'07', x'08', 1, 2),
                (x'0b', x'0d', 'eve', 3, 'postroad:node#x', 1, x'07', x'09', 0, 1);
            INSERT INTO token_drop VALUES (x'05');";
        Connection::open(&path).unwrap().execute_batch(contacts).unwrap();
        let mut db = Db::open(&path, None).unwrap();
        assert_eq!(shape(&mut db), shape(&mut Db::in_memory()));
        db.read(|tx| {
            let count = |sql: &str| tx.query_row(sql, [], |row| row.get::<_, i64>(0));
            let kept = "token = x'07' AND card_known = 0 AND token_registered = 0 AND token_at > 1";
            let with = |rest| format!("SELECT count(*) FROM contact WHERE {kept} AND {rest}");
            assert_eq!(count(&with("name = 'bob' AND token_floor = 2 AND token_number = 3"))?, 1);
            assert_eq!(count(&with("name = 'eve' AND token_floor = 0 AND token_number = 2"))?, 1);
            assert_eq!(count("SELECT count(*) FROM token_drop WHERE expires = 0")?, 1);
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn the_fourth_schema_becomes_the_fifth() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        made_from(&path, FOURTH, 4);
        Connection::open(&path).unwrap().execute_batch(ROWS_OF_4).unwrap();
        let mut db = Db::open(&path, None).unwrap();
        assert_eq!(shape(&mut db), shape(&mut Db::in_memory()));
        db.read(|tx| {
            let count = |sql: &str| tx.query_row(sql, [], |row| row.get::<_, i64>(0));
            assert_eq!(count("SELECT count(*) FROM outbox WHERE offer = 1 AND missing = 0")?, 1);
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn what_has_the_second_schema_comes_along_whatever_number_it_has() {
        for number in [1, 2] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("db");
            made_from(&path, SECOND, number);
            let connection = Connection::open(&path).unwrap();
            connection.execute_batch(TEXT).unwrap();
            drop(connection);
            let mut db = Db::open(&path, None).unwrap();
            assert_eq!(shape(&mut db), shape(&mut Db::in_memory()));
            db.read(|tx| {
                let found = "SELECT count(*) FROM message_text WHERE message_text MATCH 'before'";
                assert_eq!(tx.query_row(found, [], |row| row.get::<_, i64>(0))?, 1);
                Ok(())
            })
            .unwrap();
            drop(db);
            Db::open_read_only(&path, None).unwrap();
        }
    }
}
