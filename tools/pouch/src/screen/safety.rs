//! The words that two people compare.

use postroad_client::Result;
use postroad_proto::ids::AccountId;

use super::desk::Desk;
use super::input::Data;
use super::model::SafetyView;

impl Desk {
    /// The words to compare with a contact.
    pub(super) fn safety(&mut self, account: AccountId) -> Result<Vec<Data>> {
        let safety = self.client.safety(&account.to_string())?;
        let (words, code) = (safety.words, safety.code.to_string());
        Ok(vec![Data::Safety(SafetyView { account, words, code, verified: safety.verified })])
    }

    /// Whether they were the same.
    pub(super) fn set_verified(&mut self, account: AccountId, is: bool) -> Result<Vec<Data>> {
        self.client.set_verified(&account.to_string(), is)?;
        self.safety(account)
    }
}
