//! Typing and presence, between everything else: neither kept nor waited for.

use super::Online;
use crate::client::Client;
use crate::clock;
use crate::ephemeral;
use crate::error::{ConnectionError, Result};
use crate::identity::Identity;

impl Client {
    /// Takes what contacts do now, if nothing else has come: it needs no round of work. Whether that
    /// was all.
    pub(crate) async fn take_signs(&mut self) -> Result<bool> {
        let has_only_signs = self.online.as_ref().is_some_and(Online::has_only_signs);
        if !has_only_signs || self.apply().await? > 0 {
            return Ok(false);
        }
        self.say_ephemerals().await?;
        Ok(true)
    }

    /// Says what is worth saying only now. Nothing is waited for.
    pub(super) async fn say_ephemerals(&mut self) -> Result<()> {
        let Some(online) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        if !self.db.read(ephemeral::is_due)? {
            return Ok(());
        }
        let vault = &self.vault;
        let frames = self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            ephemeral::take_due(tx, &own, clock::now())
        })?;
        online.say(frames).await
    }
}
