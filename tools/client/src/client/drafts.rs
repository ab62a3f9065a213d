//! Texts that were begun and not sent.

use postroad_proto::ids::AccountId;
use rusqlite::{Transaction, params};

use super::Client;
use crate::clock;
use crate::devices::entries;
use crate::error::Result;

/// Before the account in the name of a setting.
const PREFIX: &str = "draft ";

impl Client {
    /// All drafts that were kept, by whom they are for.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn drafts(&mut self) -> Result<Vec<(AccountId, String)>> {
        self.db.read(|tx| {
            let mut query =
                tx.prepare("SELECT key, value FROM setting WHERE key LIKE ?1 || '%' ORDER BY key")?;
            let rows = query.query_map([PREFIX], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let rows = rows.collect::<rusqlite::Result<Vec<(String, String)>>>()?;
            let drafts = rows
                .into_iter()
                .filter_map(|(key, text)| Some((key.strip_prefix(PREFIX)?.parse().ok()?, text)));
            Ok(drafts.collect())
        })
    }

    /// Keeps a draft; an empty one is forgotten.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn set_draft(&mut self, account: &AccountId, text: &str) -> Result<()> {
        self.db.write(|tx| {
            set_draft(tx, account, text)?;
            entries::set(tx, entries::DRAFT, account, text.as_bytes(), clock::now())
        })
    }
}

pub(crate) fn set_draft(tx: &Transaction<'_>, account: &AccountId, text: &str) -> Result<()> {
    let key = format!("{PREFIX}{account}");
    if text.is_empty() {
        tx.execute("DELETE FROM setting WHERE key = ?1", [key])?;
    } else {
        let sql = "INSERT OR REPLACE INTO setting (key, value, dirty) VALUES (?1, ?2, 0)";
        tx.execute(sql, params![key, text])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_outlives_the_program_until_it_is_sent() {
        let directory = tempfile::tempdir().unwrap();
        let (bob, carol) = (AccountId([1; 32]), AccountId([2; 32]));
        let mut client = Client::open(directory.path()).unwrap();
        client.set_draft(&bob, "dear").unwrap();
        client.set_draft(&carol, "x").unwrap();
        client.set_draft(&bob, "dear Bob").unwrap();
        client.set_draft(&carol, "").unwrap();
        let mut again = Client::open(directory.path()).unwrap();
        assert_eq!(again.drafts().unwrap(), [(bob, "dear Bob".to_owned())]);
    }
}
