//! The words that two people compare. The one place that asks the SDK for them.

use postroad_client::Result;
use postroad_proto::ids::AccountId;

use super::desk::Desk;
use super::input::Data;
use super::model::Trouble;

impl Desk {
    /// The words to compare with a contact.
    pub(super) fn safety(&mut self, _account: AccountId) -> Result<Vec<Data>> {
        Ok(not_here())
    }

    /// Whether they were the same.
    pub(super) fn set_verified(&mut self, _account: AccountId, _is: bool) -> Result<Vec<Data>> {
        Ok(not_here())
    }
}

fn not_here() -> Vec<Data> {
    let message = "this version has no words to compare yet".to_owned();
    vec![Data::Failed(Trouble { message, hint: String::new() })]
}
