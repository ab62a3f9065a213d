//! The tokens that our cards give to contacts: made anew in time, and the old ones retired once the
//! new ones are in use. `proto/spec/tokens.md`.

use postroad_proto::ephemeral::EphemeralSecret;
use postroad_proto::ids::{AccountId, Hash, Millis};
use postroad_proto::limits::ROTATED_TOKEN_SECONDS;
use postroad_proto::token::{DeliveryToken, Label, redeemed_label};
use rusqlite::{Transaction, params};

use super::{Contact, Phase, all, get};
use crate::db::{blob, int, unsigned};
use crate::devices::{self, Due};
use crate::error::Result;
use crate::identity::Identity;

/// How long a contact uses one token, milliseconds: whoever got hold of it can write no longer than
/// that, and what ROTATED_TOKEN_SECONDS adds.
const AGE: Millis = 90 * 86_400_000;
/// Tokens that a contact may be using at most: who does not write for long still has one of them, and
/// the home need not keep any number.
const MOST_LIVE: u32 = 8;

/// How far another device of ours may be ahead in numbers of which this one was not told yet.
const AHEAD: u32 = 8;

impl Contact {
    fn token_of(&self, own: &Identity, number: u32) -> DeliveryToken {
        DeliveryToken::derive(own.tokens(), &self.account, number)
    }

    /// The token that our card gives them.
    pub(crate) fn given_token(&self, own: &Identity) -> DeliveryToken {
        self.token_of(own, self.token_number)
    }

    /// What our card gives them to seal typing and presence under.
    pub(crate) fn given_secret(&self, own: &Identity) -> EphemeralSecret {
        self.secret_of(own, self.token_number)
    }

    pub(crate) fn secret_of(&self, own: &Identity, number: u32) -> EphemeralSecret {
        EphemeralSecret::derive(own.tokens(), &self.account, number)
    }

    /// Which of the tokens that our cards gave them has this label.
    pub(crate) fn number_of(&self, own: &Identity, label: &Label) -> Option<u32> {
        let is_its = |number: &u32| label_of(&self.token_of(own, *number)) == *label;
        (0..=self.token_number + AHEAD).rev().find(is_its)
    }

    /// Hashes of the tokens that they may be using: since the last that they did use.
    fn live_hashes(&self, own: &Identity) -> impl Iterator<Item = Hash> {
        (self.token_floor..=self.token_number).map(|number| self.token_of(own, number).hash())
    }
}

fn label_of(token: &DeliveryToken) -> Label {
    redeemed_label(&token.hash())
}

/// Everybody gets a new card, with a token by whose use they show that they have it.
pub(crate) fn renew_all(tx: &Transaction<'_>, now: Millis) -> Result<()> {
    tx.execute(&renewal("1"), [int(now)])?;
    tell_renewed(tx, now)
}

/// The account's other devices are to give out the same.
fn tell_renewed(tx: &Transaction<'_>, now: Millis) -> Result<()> {
    let mut query = tx.prepare_cached("SELECT account FROM contact WHERE token_at = ?1")?;
    let renewed = query
        .query_map([int(now)], |row| blob(row, "account"))?
        .collect::<rusqlite::Result<Vec<[u8; 32]>>>()?;
    renewed.iter().try_for_each(|account| devices::note(tx, Due::Person, account, now))
}

/// So do those whose token has been in use for long.
pub(crate) fn renew_old(tx: &Transaction<'_>, now: Millis) -> Result<()> {
    let before = now.saturating_sub(AGE);
    let old = renewal("card_known = 1 AND max(token_at, created_at) < ?2");
    match tx.execute(&old, params![int(now), int(before)])? {
        0 => Ok(()),
        _ => tell_renewed(tx, now),
    }
}

fn renewal(which: &str) -> String {
    format!(
        "UPDATE contact SET card_known = 0, token_registered = 0, token_at = ?1,
         token_number = token_number + (token_number - token_floor < {MOST_LIVE} - 1)
         WHERE ({which}) AND phase <> 5"
    )
}

/// One whose tokens were dropped for good gets another.
pub(crate) fn renew_dropped(tx: &Transaction<'_>, account: &AccountId, now: Millis) -> Result<()> {
    tx.execute(
        "UPDATE contact SET card_known = 0, token_registered = 0, token_number = token_number + 1,
         token_floor = token_number + 1, token_at = ?2 WHERE account = ?1",
        params![account.0, int(now)],
    )?;
    devices::note(tx, Due::Person, account.0, now)
}

/// They have written under the token with this label. It shows which of our cards they have; what
/// they used before is good for a while longer, for what is on its way.
pub(crate) fn used(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    label: Label,
    now: Millis,
) -> Result<()> {
    if contact.token_label == Some(label) {
        return Ok(());
    }
    let number = contact.number_of(own, &label);
    let chosen = contact.chosen(tx, own)?;
    // One of their own choice, from our link: only its label shows here. Somebody else's is not theirs.
    let is_chosen = number.is_none() && holder_of(tx, own, &label)?.is_none();
    // Whoever comes back to an older one has lost our card, or got an old one again: it comes anew.
    tx.execute(
        "UPDATE contact SET token_label = ?2, card_known = ?3, token_floor = max(token_floor, ?4),
         token_number = max(token_number, ?4), chosen_label = ?5 WHERE account = ?1",
        params![
            contact.account.0,
            label,
            number.is_some_and(|number| number >= contact.token_number),
            number.unwrap_or(0),
            if is_chosen { Some(label) } else { chosen }
        ],
    )?;
    let expires = now / 1000 + ROTATED_TOKEN_SECONDS;
    let mut end = |number| {
        let hash = contact.token_of(own, number).hash();
        retire(tx, &redeemed_label(&hash), Some(&hash), expires)
    };
    match number {
        Some(number) if number < contact.token_floor => end(number)?,
        Some(number) => (contact.token_floor..number).try_for_each(&mut end)?,
        None => {}
    }
    match chosen.filter(|chosen| contact.token_label == Some(*chosen)) {
        Some(chosen) if number.is_some() || is_chosen => retire(tx, &chosen, None, expires),
        _ => Ok(()),
    }
}

impl Contact {
    /// The label of the token that they chose by a link of ours, if they ever did.
    fn chosen(&self, tx: &Transaction<'_>, own: &Identity) -> Result<Option<Label>> {
        if self.chosen_label.is_some() {
            return Ok(self.chosen_label);
        }
        // Earlier versions did not keep it apart.
        match self.token_label.filter(|label| self.number_of(own, label).is_none()) {
            Some(label) if holder_of(tx, own, &label)?.is_none() => Ok(Some(label)),
            _ => Ok(None),
        }
    }
}

/// All tokens that they may use, or ever could, are dropped at once. Whoever's they used in place of
/// one of their own gets another.
pub(crate) fn drop_all(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    now: Millis,
) -> Result<Option<AccountId>> {
    for number in 0..=contact.token_number {
        let hash = contact.token_of(own, number).hash();
        retire(tx, &redeemed_label(&hash), Some(&hash), 0)?;
    }
    if let Some(chosen) = contact.chosen(tx, own)? {
        retire(tx, &chosen, None, 0)?;
    }
    let used = contact.token_label.filter(|label| contact.number_of(own, label).is_none());
    let holder = used.map(|label| holder_of(tx, own, &label)).transpose()?.flatten();
    let Some((holder, _)) = holder.filter(|(holder, _)| !holder.blocked) else { return Ok(None) };
    tx.execute(&renewal("account = ?2"), params![int(now), holder.account.0])?;
    tell_renewed(tx, now)?;
    Ok(Some(holder.account))
}

/// A home that was set back knows nothing of what was dropped since, or of when others end.
pub(crate) fn retire_again(tx: &Transaction<'_>, own: &Identity, now: Millis) -> Result<()> {
    let expires = now / 1000 + ROTATED_TOKEN_SECONDS;
    for contact in all(tx)? {
        if contact.blocked {
            drop_all(tx, own, &contact, now)?;
            continue;
        }
        for number in 0..contact.token_floor {
            let hash = contact.token_of(own, number).hash();
            retire(tx, &redeemed_label(&hash), Some(&hash), expires)?;
        }
        let chosen = contact.chosen_label.filter(|chosen| contact.token_label != Some(*chosen));
        chosen.map_or(Ok(()), |chosen| retire(tx, &chosen, None, expires))?;
    }
    Ok(())
}

fn retire(tx: &Transaction<'_>, label: &Label, hash: Option<&Hash>, expires: u64) -> Result<()> {
    tx.execute(
        "INSERT OR REPLACE INTO token_drop (label, hash, expires) VALUES (?1, ?2, ?3)",
        params![label, hash.map(|hash| hash.0), int(expires)],
    )?;
    Ok(())
}

/// A token that the home is to drop.
pub(crate) struct Retired {
    pub(crate) label: Label,
    /// Unknown of one that the contact chose.
    pub(crate) hash: Option<Hash>,
    /// Seconds; 0 for at once.
    pub(crate) expires: u64,
}

/// Those that the home was not told of yet.
pub(crate) fn retired(tx: &Transaction<'_>) -> Result<Vec<Retired>> {
    let mut query = tx.prepare_cached("SELECT label, hash, expires FROM token_drop")?;
    let rows = query.query_map([], |row| {
        let hash: Option<Vec<u8>> = row.get("hash")?;
        let hash = hash.as_deref().and_then(Hash::from_slice);
        Ok(Retired { label: blob(row, "label")?, hash, expires: unsigned(row, "expires")? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The home was told.
pub(crate) fn is_retired(tx: &Transaction<'_>, token: &Retired) -> Result<()> {
    tx.prepare_cached("DELETE FROM token_drop WHERE label = ?1 AND expires = ?2")?
        .execute(params![token.label, int(token.expires)])?;
    Ok(())
}

/// Contacts whose tokens the home is to be given, with the hashes. People who merely ask to write
/// are given nothing.
pub(crate) fn unregistered(
    tx: &Transaction<'_>,
    own: &Identity,
) -> Result<Vec<(AccountId, u32, Vec<Hash>)>> {
    let fresh = all(tx)?
        .into_iter()
        .filter(|c| !c.token_registered && !c.blocked && c.phase != Phase::Asking);
    let tokens = |c: Contact| (c.account, c.token_number, c.live_hashes(own).collect());
    Ok(fresh.map(tokens).collect())
}

/// The home has them, up to this number.
pub(crate) fn registered(tx: &Transaction<'_>, account: &AccountId, number: u32) -> Result<()> {
    tx.prepare_cached(
        "UPDATE contact SET token_registered = 1 WHERE account = ?1 AND token_number = ?2",
    )?
    .execute(params![account.0, number])?;
    Ok(())
}

/// Whose token has this label, if one of our cards gave it to somebody.
pub(crate) fn holder_of(
    tx: &Transaction<'_>,
    own: &Identity,
    label: &Label,
) -> Result<Option<(Contact, u32)>> {
    Ok(all(tx)?
        .into_iter()
        .find_map(|contact| contact.number_of(own, label).map(|number| (contact, number))))
}

/// The same, if they have written under it last: without looking at everybody.
pub(crate) fn user_of(
    tx: &Transaction<'_>,
    own: &Identity,
    label: &Label,
) -> Result<Option<(Contact, u32)>> {
    let mut query = tx.prepare_cached("SELECT account FROM contact WHERE token_label = ?1")?;
    let accounts = query
        .query_map([label], |row| blob(row, "account"))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for account in accounts {
        let contact = get(tx, &AccountId(account))?;
        if let Some(number) = contact.number_of(own, label) {
            return Ok(Some((contact, number)));
        }
    }
    Ok(None)
}
