//! Getting what it takes to write to a contact: redeeming an invite, claiming prekeys.

use std::time::Duration;

use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Claimed, PrekeysClaim, Records, RecordsGet, TokensRedeem};
use postroad_proto::ids::{AccountId, Millis, NodeId};
use postroad_proto::network::Network;
use postroad_proto::prekey::ClaimedPrekey;
use postroad_proto::record::{Device, DeviceList, Handle};
use postroad_proto::token::Proof;
use rusqlite::{Transaction, params};

use super::{is_retriable, refusal};
use crate::client::Client;
use crate::clock;
use crate::connection::retry_at;
use crate::contacts::{self, Contact, Phase, Verified};
use crate::db::int;
use crate::e2e::store;
use crate::error::{ConnectionError, Error, Result};
use crate::events::{self, Event};
use crate::vault::Vault;

/// Fallback keys are replaced every week and the one before is kept: a fetched prekey that was not
/// used for longer than this may no longer open anything.
const PREKEY_AGE: Duration = Duration::from_secs(3 * 86_400);

impl Client {
    /// Fetches what is missing for the contacts that mail waits for, and redeems new links.
    pub(super) async fn fetch_keys(&mut self) -> Result<()> {
        for contact in self.due(|contact| contact.phase == Phase::Linked)? {
            if contact.error.is_none() {
                self.redeem(&contact).await?;
            }
        }
        for contact in self.due(|contact| contact.phase == Phase::Stranger)? {
            self.refresh_stranger(&contact).await?;
        }
        // Read again: a link that was just redeemed makes a contact who can be written to.
        for contact in self.due(Contact::is_ready)? {
            self.claim(&contact).await?;
        }
        Ok(())
    }

    fn due(&mut self, wanted: impl Fn(&Contact) -> bool) -> Result<Vec<Contact>> {
        let now = clock::now();
        let all = self.db.read(contacts::all)?;
        Ok(all.into_iter().filter(|c| !c.blocked && c.next_try <= now && wanted(c)).collect())
    }

    /// Turns the invite in a contact's link into a token, and gets their records.
    pub(crate) async fn redeem(&mut self, contact: &Contact) -> Result<bool> {
        let (Some(invite), Some(token)) = (&contact.invite, &contact.token) else {
            return Ok(false);
        };
        let Some(online) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        let (node, account) = (contact.home.node, contact.account);
        let redeem = |request| {
            let (invite, token) = (invite.clone(), token.hash());
            TokensRedeem { request, node, account, invite, token }.into()
        };
        let answer: Result<Option<Records>> = online.ask("the contact's link", redeem).await;
        let records = match answer {
            Ok(Some(records)) => records,
            Ok(None) => {
                return Err(ConnectionError::Protocol("a redeemed link without records".into()))?;
            }
            Err(error) => return self.failed(contact, error).map(|()| false),
        };
        let now = clock::now();
        let network = self.identity()?.network;
        let checked = Verified::check(
            &account,
            &network,
            &records.record,
            &records.devices,
            records.handle.as_ref(),
        );
        match checked {
            Ok(verified) => self.db.write(|tx| {
                contacts::store_records(tx, contact, &network, &verified)?;
                contacts::store_token(tx, &account, token, contact.sends_receipts)?;
                contacts::set_phase(tx, &account, Phase::Ready)?;
                events::record(tx, now, &Event::Contact { account })
            })?,
            Err(error) => self.distrust(&account, &error)?,
        }
        Ok(true)
    }

    /// Looks a handle up at its node.
    pub(crate) async fn look_up(&mut self, node: NodeId, handle: &Handle) -> Result<Records> {
        let Some(online) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        let get = |request| {
            let proof = Proof { handle: Some(handle.clone()), ..Proof::default() };
            let handle = Some(handle.clone());
            RecordsGet { request, node, account: None, handle, proof }.into()
        };
        let records = online.ask("to look up the handle", get).await?;
        let nothing = || ConnectionError::Protocol("a look-up without records".into());
        Ok(records.ok_or_else(nothing)?)
    }

    /// A first text to somebody who was found by handle, but some time ago: their fallback key may
    /// have been replaced since.
    async fn refresh_stranger(&mut self, contact: &Contact) -> Result<()> {
        let network = self.identity()?.network;
        let vault = &self.vault;
        let Some(list) = contact.device_list(&network)? else { return Ok(()) };
        let missing = self.db.read(|tx| without_keys(tx, vault, contact, &list))?;
        let handle = contact.handle.split('@').next().and_then(|handle| handle.parse().ok());
        let (false, Some(handle)) = (missing.is_empty(), handle) else { return Ok(()) };
        let records = match self.look_up(contact.home.node, &handle).await {
            Ok(records) => records,
            Err(error) => return self.failed(contact, error),
        };
        let account = &contact.account;
        let (record, devices) = (&records.record, &records.devices);
        match Verified::check(account, &network, record, devices, records.handle.as_ref()) {
            Ok(verified) => self.db.write(|tx| {
                contacts::store_records(tx, contact, &network, &verified)?;
                let list = devices.open(&network)?;
                keep(tx, &network, account, &list, &records.fallback, clock::now())?;
                Ok(())
            }),
            Err(error) => self.distrust(account, &error),
        }
    }

    /// Claims a prekey of each device that there is neither a session nor a prekey for.
    async fn claim(&mut self, contact: &Contact) -> Result<()> {
        let Some(token) = contact.token.clone() else { return Ok(()) };
        let network = self.identity()?.network;
        let vault = &self.vault;
        let Some(list) = contact.device_list(&network)? else { return Ok(()) };
        let missing = self.db.read(|tx| without_keys(tx, vault, contact, &list))?;
        if missing.is_empty() {
            return Ok(());
        }
        let Some(online) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        let devices = missing.iter().map(|device| device.number).collect();
        let claim = |request| {
            let proof = Proof { token: Some(token), ..Proof::default() };
            let (node, account) = (contact.home.node, contact.account);
            PrekeysClaim { request, node, account, devices, proof }.into()
        };
        let claimed = match online.ask::<Claimed>("the contact's keys", claim).await {
            Ok(claimed) => claimed.map(|claimed| claimed.prekeys).unwrap_or_default(),
            Err(error) => return self.failed(contact, error),
        };
        let now = clock::now();
        let stored =
            self.db.write(|tx| keep(tx, &network, &contact.account, &list, &claimed, now))?;
        if stored == 0 {
            let none = Error::Refused {
                what: "the contact's keys",
                code: ErrorCode::Busy,
                detail: "the contact's devices have no keys left there".to_owned(),
                retry_after: 0,
            };
            return self.failed(contact, none);
        }
        Ok(())
    }

    /// Notes that a contact could not be reached: for good, or until the next try.
    fn failed(&mut self, contact: &Contact, error: Error) -> Result<()> {
        let Some((code, detail, retry_after)) = refusal(&error) else { return Err(error) };
        let next = retry_at(clock::now(), contact.tries, code, retry_after);
        let settled = !is_retriable(&error);
        self.db
            .write(|tx| contacts::note_failure(tx, &contact.account, code, detail, settled, next))
    }

    /// A node gave us records that do not hold: tried again later, and shown.
    fn distrust(&mut self, account: &AccountId, error: &Error) -> Result<()> {
        let now: Millis = clock::now();
        self.db.write(|tx| {
            events::problem(tx, now, "bad_record", &error.to_string())?;
            let (code, next) = (ErrorCode::BadSignature, now + 60_000);
            contacts::note_failure(tx, account, code, &error.to_string(), false, next)
        })
    }
}

/// Devices of a contact that mail waits for and that cannot be sealed to yet.
fn without_keys(
    tx: &Transaction<'_>,
    vault: &Vault,
    contact: &Contact,
    list: &DeviceList,
) -> Result<Vec<Device>> {
    let waits: bool = tx
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM outbox WHERE contact = ?1 AND envelope IS NULL)",
        )?
        .query_row([contact.account.0], |row| row.get(0))?;
    let oldest = clock::now().saturating_sub(PREKEY_AGE.as_millis() as Millis);
    let mut missing = Vec::new();
    for device in list.devices.iter().filter(|_| waits) {
        let address = (contact.account, device.number);
        let has_prekey = tx
            .prepare_cached("SELECT 1 FROM prekey WHERE account = ?1 AND device = ?2 AND at > ?3")?
            .exists(params![contact.account.0, device.number, int(oldest)])?;
        if !has_prekey && store::load_sessions(tx, vault, address)?.is_empty() {
            missing.push(device.clone());
        }
    }
    Ok(missing)
}

/// Stores prekeys whose signature is that of the device they claim to be of. How many were.
pub(crate) fn keep(
    tx: &Transaction<'_>,
    network: &Network,
    account: &AccountId,
    list: &DeviceList,
    claimed: &[ClaimedPrekey],
    now: Millis,
) -> Result<usize> {
    let mut kept = 0;
    for ClaimedPrekey { device, prekey } in claimed {
        let Some(listed) = list.device(*device) else { continue };
        if let Err(error) = prekey.verify(*account, *device, &listed.olm_signing, network) {
            let text = format!("a prekey of {account}/{device} does not hold: {error}");
            events::problem(tx, now, "bad_prekey", &text)?;
            continue;
        }
        tx.prepare_cached("INSERT OR REPLACE INTO prekey VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![account.0, device, prekey.key.0, int(now)])?;
        kept += 1;
    }
    if kept > 0 {
        tx.prepare_cached("UPDATE contact SET tries = 0, next_try = 0 WHERE account = ?1")?
            .execute([account.0])?;
    }
    Ok(kept)
}
