//! The vault at the home: what of the account is there for whoever comes with its key.

use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{VaultGet, VaultPart, VaultPut};
use postroad_proto::ids::Millis;
use postroad_proto::limits::{MAX_VAULT, MAX_VAULT_PART};
use postroad_proto::linking::SharedSecret;
use postroad_proto::pair::PairError;
use postroad_proto::recovery::{self, VaultInvite, VaultKey};
use postroad_proto::sync::{Entry, Item, Person, item};
use postroad_proto::token::TokenSecret;
use rusqlite::{Transaction, params};
use serde_bytes::ByteArray;

use crate::client::Client;
use crate::clock;
use crate::contacts;
use crate::db::{blob, int, unsigned};
use crate::devices::{self, entries, person_item};
use crate::entropy;
use crate::error::{ConnectionError, Error, Result};
use crate::events;
use crate::identity::Identity;
use crate::settings;
use crate::vault::Vault;

/// How long changes are gathered before the vault is put again.
const GATHERED: Millis = 5_000;
/// Epochs back for which a vault may have been sealed that is still held.
const EPOCHS: u64 = 16;

/// Something has changed that is in the vault.
pub(crate) fn note(tx: &Transaction<'_>) -> Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO setting (key, value, dirty) VALUES (?1, '1', 0)")?
        .execute([settings::VAULT_DIRTY])?;
    Ok(())
}

/// It is to be put now, whatever was put a moment ago.
pub(crate) fn note_urgent(tx: &Transaction<'_>) -> Result<()> {
    note(tx)?;
    settings::set_text(tx, settings::VAULT_AT, "0")
}

/// In [`settings::VAULT_DIRTY`], when it could not be sealed: this device has not got the epoch's key yet, or
/// there is too much of it.
const UNSEALED: &str = "unsealed";

/// This device has been given the epoch's key.
pub(crate) fn key_came(tx: &Transaction<'_>) -> Result<()> {
    match settings::text(tx, settings::VAULT_DIRTY)?.as_deref() {
        Some(UNSEALED) => note_urgent(tx),
        _ => Ok(()),
    }
}

/// Whether the home lacks something that belongs there, as far as this device knows.
pub(crate) fn is_behind(tx: &Transaction<'_>) -> Result<bool> {
    Ok(settings::text(tx, settings::VAULT_DIRTY)?.is_some_and(|text| !text.is_empty()))
}

/// Whether the home is to be given the vault.
pub(crate) fn is_due(tx: &Transaction<'_>, now: Millis) -> Result<bool> {
    let is_noted = settings::text(tx, settings::VAULT_DIRTY)?.is_some_and(|text| text == "1");
    Ok(is_noted && settings::number(tx, settings::VAULT_AT)? + GATHERED <= now)
}

/// What is put into it, sealed. None where this device cannot seal it, or where it has no room.
pub(crate) fn seal(tx: &Transaction<'_>, own: &Identity, now: Millis) -> Result<Option<Vec<u8>>> {
    let Some(key) = own.vault_key()? else { return Ok(None) };
    // Records of contacts are at their homes, too.
    for with_records in [true, false] {
        let content = content(tx, own, with_records, now)?;
        match key.seal(&own.account, &content, entropy::bytes()) {
            Ok(sealed) => return Ok(Some(sealed)),
            Err(PairError::TooLarge { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let text = "there are more contacts than the vault at the home has room for: make backups";
    events::problem(tx, now, "vault", text)?;
    Ok(None)
}

fn content(
    tx: &Transaction<'_>,
    own: &Identity,
    with_records: bool,
    now: Millis,
) -> Result<recovery::Vault> {
    let mut items = Vec::new();
    for contact in contacts::all(tx)? {
        items.extend(person_item(tx, &contact.account)?);
    }
    if !with_records {
        for told in &mut items {
            let person: Person = told.open()?;
            let bare = Person { record: None, devices: None, handle_record: None, ..person };
            *told = Item::new(&bare)?;
        }
    }
    items.extend(entries::all(tx, own, now)?.into_iter().filter(is_kept));
    let mut query = tx.prepare("SELECT code, uses, expires FROM invite WHERE revoked = 0")?;
    let invites = query
        .query_map([], |row| {
            let code = ByteArray::new(blob(row, "code")?);
            Ok(VaultInvite {
                code,
                uses: unsigned(row, "uses")?,
                expires: unsigned(row, "expires")?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let last_device = own.last_number(tx)?;
    let tokens = SharedSecret(own.tokens().0);
    Ok(recovery::Vault { tokens, last_device, invites, told: devices::packed(items) })
}

/// Whether an item belongs there.
fn is_kept(told: &Item) -> bool {
    let key = told.open::<Entry>().map(|entry| entry.key).unwrap_or_default();
    told.kind != item::ENTRY || entries::is_lasting(&key)
}

/// Takes what a vault has that was found at the home.
pub(crate) fn open(
    tx: &Transaction<'_>,
    profile: &Vault,
    own: &Identity,
    (version, sealed): (u64, &[u8]),
    now: Millis,
) -> Result<()> {
    let Some(found) = unseal(own, sealed)? else {
        let text = "the vault at the home does not open with this account's key: contacts are lost";
        return events::problem(tx, now, "vault", text);
    };
    own.set_tokens(tx, profile, TokenSecret(found.tokens.0))?;
    let own = Identity::load(tx, profile)?;
    for invite in &found.invites {
        tx.execute(
            "INSERT OR IGNORE INTO invite (code, uses, expires, created_at, registered)
             VALUES (?1, ?2, ?3, ?4, 1)",
            params![invite.code.as_slice(), int(invite.uses), int(invite.expires), int(now)],
        )?;
    }
    let last = found.last_device.max(own.last_number(tx)?);
    settings::set_text(tx, settings::LAST_DEVICE, &last.to_string())?;
    settings::set_text(tx, settings::VAULT_VERSION, &version.to_string())?;
    take(tx, profile, &own, &found, now)
}

fn take(
    tx: &Transaction<'_>,
    profile: &Vault,
    own: &Identity,
    found: &recovery::Vault,
    now: Millis,
) -> Result<()> {
    for told in &found.told {
        devices::take_items(tx, profile, own, &told.items, now)?;
    }
    Ok(())
}

fn unseal(own: &Identity, sealed: &[u8]) -> Result<Option<recovery::Vault>> {
    let epoch = own.record.open(&own.network)?.epoch;
    let keys = own.seed().into_iter().flat_map(|seed| {
        (epoch.saturating_sub(EPOCHS)..=epoch).rev().map(|epoch| VaultKey::derive(seed, epoch))
    });
    let mut keys = keys.chain(own.vault_key()?);
    Ok(keys.find_map(|key| key.open(&own.account, sealed).ok()))
}

impl Client {
    /// The vault that the home holds, with its version.
    pub(super) async fn held_vault(&mut self) -> Result<Option<(u64, Vec<u8>)>> {
        let Some(online) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        let mut sealed = Vec::new();
        let (mut part, mut held) = (0, None);
        loop {
            let get = |request| VaultGet { request, part }.into();
            let found: Option<VaultPart> = match online.ask("the account's vault", get).await {
                Err(Error::Refused { code: ErrorCode::NotFound, .. }) if part == 0 => {
                    return Ok(None);
                }
                answer => answer?,
            };
            let Some(found) = found else { return Ok(None) };
            if held.is_some_and(|held| held != found.version) {
                // Another device has put one meanwhile.
                (part, held) = (0, None);
                sealed.clear();
                continue;
            }
            held = Some(found.version);
            sealed.extend_from_slice(&found.data);
            part += 1;
            if part >= found.parts || sealed.len() > MAX_VAULT {
                return Ok(Some((found.version, sealed)));
            }
        }
    }

    /// Gives the home the vault, when what is in it has changed.
    pub(crate) async fn put_vault(&mut self) -> Result<()> {
        let now = clock::now();
        let profile = &self.vault;
        let sealed = self.db.write(|tx| {
            if !is_due(tx, now)? {
                return Ok(None);
            }
            settings::set_text(tx, settings::VAULT_AT, &now.to_string())?;
            let sealed = seal(tx, &Identity::load(tx, profile)?, now)?;
            let left = if sealed.is_none() { UNSEALED } else { "" };
            settings::set_text(tx, settings::VAULT_DIRTY, left)?;
            let previous = settings::number(tx, settings::VAULT_VERSION)?;
            Ok(sealed.map(|sealed| (previous, sealed)))
        })?;
        let Some((previous, sealed)) = sealed else { return Ok(()) };
        match self.put_parts(previous, &sealed).await {
            Ok(()) => self.db.write(|tx| {
                settings::set_text(tx, settings::VAULT_VERSION, &(previous + 1).to_string())
            }),
            Err(Error::Refused { code: ErrorCode::Conflict, .. }) => self.merge_vault().await,
            Err(Error::Refused { code, detail, .. }) => {
                let text = format!("the home does not keep the vault: {code} {detail}");
                self.db.write(|tx| events::problem(tx, now, "vault", text.trim_end()))
            }
            Err(error) => {
                // It is tried again with the next connection.
                self.db.write(note_urgent)?;
                Err(error)
            }
        }
    }

    async fn put_parts(&mut self, previous: u64, sealed: &[u8]) -> Result<()> {
        let Some(online) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        let parts = sealed.len().div_ceil(MAX_VAULT_PART) as u64;
        for (part, data) in (0..).zip(sealed.chunks(MAX_VAULT_PART)) {
            let (version, data) = (previous + 1, data.to_vec().into());
            let put = |request| VaultPut { request, version, previous, part, parts, data }.into();
            online.tell("the account's vault", put).await?;
        }
        Ok(())
    }

    /// Another device has put one: what is told in it is taken, and ours goes above it.
    async fn merge_vault(&mut self) -> Result<()> {
        let found = self.held_vault().await?;
        let now = clock::now();
        let profile = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, profile)?;
            let version = found.as_ref().map_or(0, |(version, _)| *version);
            settings::set_text(tx, settings::VAULT_VERSION, &version.to_string())?;
            if let Some((_, sealed)) = found
                && let Some(found) = unseal(&own, &sealed)?
            {
                take(tx, profile, &own, &found, now)?;
            }
            note_urgent(tx)
        })
    }
}
