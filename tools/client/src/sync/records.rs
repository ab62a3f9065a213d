//! The account's own records, between this device and the home.

use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Records, RecordsGet, RecordsPut};
use postroad_proto::limits::MAX_FRAME;
use postroad_proto::record::{AccountRecord, AccountRecordOrder};
use postroad_proto::signed::{Signable, Signed};
use postroad_proto::token::Proof;

use super::Online;
use crate::client::Client;
use crate::clock;
use crate::contacts::tokens;
use crate::db::Db;
use crate::devices;
use crate::error::{ConnectionError, Error, Result};
use crate::events;
use crate::identity::{self, Identity};
use crate::moving;
use crate::settings;
use crate::vault::Vault;

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
            AccountRecordOrder::Same => self.note_agreed(&held.open(&own.network)?),
            AccountRecordOrder::Newer | AccountRecordOrder::Conflict => {
                self.take_own_records().await
            }
            AccountRecordOrder::Older => {
                let (there, ours) = (held.open(&own.network)?, own.record.open(&own.network)?);
                // One from before we last agreed is of an earlier stay: the home was set back, or lies.
                if there.home != own.home.node && (there.epoch, there.seq) > self.agreed()? {
                    return self.overtaken(&there);
                }
                // What names another home is not for this one: see `put_record`.
                if ours.home != own.home.node {
                    return Ok(());
                }
                let (record, devices) = (Some(own.record.clone()), Some(own.devices.clone()));
                let put = |request| RecordsPut { request, record, devices }.into();
                self.tell("the account record that it has lost", put).await.map(drop)
            }
        }
    }

    /// The home has the record that this device has.
    fn note_agreed(&mut self, record: &AccountRecord) -> Result<()> {
        if self.agreed()? == (record.epoch, record.seq) {
            return Ok(());
        }
        let text = format!("{} {}", record.epoch, record.seq);
        self.db.write(|tx| settings::set_text(tx, settings::AGREED, &text))
    }

    /// Epoch and number of the last record that the home and this device had both.
    fn agreed(&mut self) -> Result<(u64, u64)> {
        let text = self.db.read(|tx| settings::text(tx, settings::AGREED))?.unwrap_or_default();
        let numbers = text
            .split_once(' ')
            .and_then(|(epoch, seq)| Some((epoch.parse().ok()?, seq.parse().ok()?)));
        Ok(numbers.unwrap_or_default())
    }

    /// Another device has moved the account by a record that does not know of ours, which goes before it:
    /// this device goes after it, and signs there above both.
    fn overtaken(&mut self, there: &AccountRecord) -> Result<()> {
        let vault = &self.vault;
        let now = clock::now();
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            moving::relocate(tx, &own, &moving::home_of(&own, there), now)?;
            // One that may not sign waits for another that may.
            if own.may_sign(now)? {
                tx.execute("UPDATE identity SET record_dirty = 1", [])?;
            }
            Ok(())
        })?;
        self.check_home()
    }

    /// Takes the records that the home holds of the account, and goes where they say that it is.
    pub(super) async fn take_own_records(&mut self) -> Result<()> {
        let Some(online) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        fetch_own_records(&mut self.db, &self.vault, online).await?;
        self.check_home()
    }

    /// [`ConnectionError::Moved`] once the account has another home than the one of this connection.
    pub(crate) fn check_home(&mut self) -> Result<()> {
        let Some(node) = self.online.as_ref().map(Online::node) else { return Ok(()) };
        // With each batch of mail: without the account's secrets.
        match self.db.read(identity::home)? == node {
            true => Ok(()),
            false => Err(ConnectionError::Moved.into()),
        }
    }

    /// Gives the home a record that was issued here.
    pub(crate) async fn put_record(&mut self) -> Result<()> {
        let vault = &self.vault;
        let own = self.db.write(|tx| {
            let now = clock::now();
            let own = Identity::load(tx, vault)?;
            if own.record_dirty {
                moving::set_right(tx, vault, &own, now)?;
            }
            Identity::load(tx, vault)?.renew(tx, vault, now)?;
            tokens::renew_old(tx, clock::now())?;
            Identity::load(tx, vault)
        })?;
        self.check_home()?;
        if !own.record_dirty {
            return Ok(());
        }
        let (record, devices) = (Some(own.record.clone()), Some(own.devices.clone()));
        let put = |request| RecordsPut { request, record, devices }.into();
        let Some(online) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        match online.tell("the account's record", put).await {
            Ok(()) => self.db.write(|tx| {
                tx.execute("UPDATE identity SET record_dirty = 0", [])?;
                moving::retry(tx)?;
                // Contacts learn of it with the next card.
                tokens::renew_all(tx, clock::now())
            }),
            // Another device was first. Whoever wanted to change something sees that it is not so.
            Err(Error::Refused { code: ErrorCode::Conflict, .. }) => self.take_own_records().await,
            Err(error @ Error::Refused { .. }) => {
                let text = error.to_string();
                self.db.write(|tx| events::problem(tx, clock::now(), "refused", &text))
            }
            Err(error) => Err(error),
        }
    }
}

/// Takes the records that a home of the account holds, this one or one before it.
pub(crate) async fn fetch_own_records(
    db: &mut Db,
    vault: &Vault,
    online: &mut Online,
) -> Result<()> {
    let own = db.read(|tx| Identity::load(tx, vault))?;
    let (node, account) = (online.node(), Some(own.account));
    let get =
        |request| RecordsGet { request, node, account, handle: None, proof: Proof::default() };
    let done = online.request(|request| get(request).into()).await?;
    let result = done.result.as_deref().unwrap_or_default();
    let now = clock::now();
    let taken = match done.code {
        None => db.write(|tx| {
            let Records { record, devices, handle, .. } = codec::decode(result, MAX_FRAME)?;
            devices::take_records(tx, &own, &record, &devices, now)?;
            // A home that was left gave another one.
            match node == own.home.node {
                true => Identity::load(tx, vault)?.set_handle(tx, handle.as_ref()),
                false => Ok(()),
            }
        }),
        Some(ErrorCode::Moved) => db.write(|tx| {
            let held: Signed<AccountRecord> = codec::decode(result, AccountRecord::LIMIT + 128)?;
            let record = held.open(&own.network)?;
            if record.account != own.account {
                let why = "it is another account's";
                return Err(Error::untrusted("the account's own record", why));
            }
            // A list that is not known here is at the home that it names.
            if record.devices == own.devices.hash() {
                return devices::take_records(tx, &own, &held, &own.devices, now).map(drop);
            }
            match own.record.compare(&held)? {
                AccountRecordOrder::Newer | AccountRecordOrder::Conflict => {
                    moving::relocate(tx, &own, &moving::home_of(&own, &record), now)
                }
                AccountRecordOrder::Same | AccountRecordOrder::Older => Ok(()),
            }
        }),
        Some(_) => return Ok(()),
    };
    match taken {
        Err(error @ (Error::Untrusted { .. } | Error::Codec(_))) => {
            db.write(|tx| events::problem(tx, now, "bad_record", &error.to_string()))
        }
        taken => taken,
    }
}
