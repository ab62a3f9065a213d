//! The account's own records, between this device and the home.

use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Records, RecordsGet, RecordsPut};
use postroad_proto::record::{AccountRecord, AccountRecordOrder};
use postroad_proto::signed::Signed;
use postroad_proto::token::Proof;

use crate::client::Client;
use crate::clock;
use crate::contacts::tokens;
use crate::devices;
use crate::error::{ConnectionError, Error, Result};
use crate::events;
use crate::identity::Identity;

impl Client {
    /// Comes into step with the record that the home holds: an older one was set back, and gets ours
    /// again; a newer one is another device's.
    pub(super) async fn compare_record(
        &mut self,
        held: Option<&Signed<AccountRecord>>,
    ) -> Result<()> {
        let own = self.identity()?;
        let Some(held) = held else { return Ok(()) };
        if held.open(&own.network).ok().is_none_or(|record| record.account != own.account) {
            return Ok(());
        }
        match own.record.compare(held)? {
            AccountRecordOrder::Same => Ok(()),
            AccountRecordOrder::Newer | AccountRecordOrder::Conflict => {
                self.fetch_own_records().await
            }
            AccountRecordOrder::Older => {
                let (record, devices) = (Some(own.record.clone()), Some(own.devices.clone()));
                let put = |request| RecordsPut { request, record, devices }.into();
                self.tell("the account record that it has lost", put).await.map(drop)
            }
        }
    }

    async fn fetch_own_records(&mut self) -> Result<()> {
        let own = self.identity()?;
        let Some(online) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        let (node, account) = (own.home.node, Some(own.account));
        let get = |request| {
            RecordsGet { request, node, account, handle: None, proof: Proof::default() }.into()
        };
        let records: Option<Records> = match online.ask("the account's own records", get).await {
            Err(Error::Refused { .. }) => return Ok(()),
            answer => answer?,
        };
        let Some(Records { record, devices, .. }) = records else { return Ok(()) };
        let now = clock::now();
        self.db.write(|tx| match devices::take_records(tx, &own, &record, &devices, now) {
            Err(error @ (Error::Untrusted { .. } | Error::Codec(_))) => {
                events::problem(tx, now, "bad_record", &error.to_string())
            }
            taken => taken.map(drop),
        })
    }

    /// Gives the home a record that was issued here.
    pub(super) async fn put_record(&mut self) -> Result<()> {
        let vault = &self.vault;
        let own = self.db.write(|tx| {
            Identity::load(tx, vault)?.renew(tx, vault, clock::now())?;
            tokens::renew_old(tx, clock::now())?;
            Identity::load(tx, vault)
        })?;
        if !own.record_dirty {
            return Ok(());
        }
        let (record, devices) = (Some(own.record.clone()), Some(own.devices.clone()));
        let put = |request| RecordsPut { request, record, devices }.into();
        let Some(online) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        match online.tell("the account's record", put).await {
            Ok(()) => self.db.write(|tx| {
                tx.execute("UPDATE identity SET record_dirty = 0", [])?;
                // Contacts learn of it with the next card.
                tokens::renew_all(tx, clock::now())
            }),
            // Another device was first. Whoever wanted to change something sees that it is not so.
            Err(Error::Refused { code: ErrorCode::Conflict, .. }) => self.fetch_own_records().await,
            Err(error @ Error::Refused { .. }) => {
                let text = error.to_string();
                self.db.write(|tx| events::problem(tx, clock::now(), "refused", &text))
            }
            Err(error) => Err(error),
        }
    }
}
