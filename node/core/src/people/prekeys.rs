//! Prekeys: kept for devices that are away, handed out one by one.

use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Claimed, Count, PrekeysClaim, PrekeysPut};
use postroad_proto::ids::{AccountId, Hash, Millis};
use postroad_proto::limits::{MAX_DEVICES, MAX_ONE_TIME_KEYS};
use postroad_proto::prekey::{ClaimedPrekey, Prekey};

use crate::bucket::Bucket;
use crate::changes::MailboxId;
use crate::core::Core;
use crate::people::accounts::{bad, malformed};
use crate::people::tokens::Asker;
use crate::reply::{Answer, Refusal, denied, ok};
use crate::state::PrekeyRow;

/// Stands for the fallback key in the last part of a prekey's key.
const FALLBACK: Hash = Hash([0; 32]);
const LAST: Hash = Hash([0xff; 32]);
/// Claims by one contact on an account's one-time keys: a session lasts, so more than a few are
/// not needed.
const CLAIMS_PER_HOUR: u64 = 8;
/// Contacts of one account whose claims are counted.
const MAX_CLAIMED: usize = 4096;

impl Core {
    pub(crate) fn prekeys_put(&mut self, mailbox: MailboxId, ask: &PrekeysPut) -> Answer {
        if ask.one_time.len() > MAX_ONE_TIME_KEYS {
            let text = format!("at most {MAX_ONE_TIME_KEYS} one-time keys");
            return Err(Refusal::new(ErrorCode::TooLarge, text));
        }
        self.check_space()?;
        self.drop_old_keys(mailbox);
        let MailboxId { account, device } = mailbox;
        let list = self.device_list(&account).ok_or_else(denied)?;
        let signer = list.device(device).map(|d| d.olm_signing).ok_or_else(denied)?;
        let verify = |prekey: &Prekey, fallback: bool| {
            if prekey.fallback != fallback || prekey.key == FALLBACK {
                return Err(bad("a prekey of the wrong kind"));
            }
            prekey
                .verify(account, device, &signer, &self.keys.network)
                .map_err(|e| bad(format!("prekey: {e}")))
        };
        let held = self.one_time_keys(mailbox);
        let known =
            |prekey: &&Prekey| self.tables.prekeys.get(&(account, device, prekey.key)).is_some();
        let new = ask.one_time.len() - ask.one_time.iter().filter(known).count();
        if held + new > MAX_ONE_TIME_KEYS {
            let text = format!("at most {MAX_ONE_TIME_KEYS} one-time keys, {held} are held");
            return Err(Refusal::new(ErrorCode::TooLarge, text));
        }
        // Signatures last: they cost most.
        ask.one_time.iter().filter(|key| !known(key)).try_for_each(|key| verify(key, false))?;
        ask.fallback.iter().try_for_each(|prekey| verify(prekey, true))?;
        for prekey in &ask.one_time {
            let row = PrekeyRow { prekey: prekey.clone(), generation: self.generation };
            self.tables.prekeys.put((account, device, prekey.key), row, &mut self.group.staged);
        }
        if let Some(prekey) = &ask.fallback {
            let row = PrekeyRow { prekey: prekey.clone(), generation: self.generation };
            self.tables.prekeys.put((account, device, FALLBACK), row, &mut self.group.staged);
        }
        ok(&Count { count: self.one_time_keys(mailbox) as u64 })
    }

    pub(crate) fn prekeys_claim(
        &mut self,
        now: Millis,
        asker: Asker,
        ask: &PrekeysClaim,
    ) -> Answer {
        self.check_here(&ask.node)?;
        self.take_lookup(now, asker)?;
        let rising = ask.devices.windows(2).all(|pair| pair[0] < pair[1]);
        if ask.devices.len() > MAX_DEVICES || !rising {
            return Err(malformed("at most 8 devices, by rising number"));
        }
        let by_handle = match &ask.proof.handle {
            Some(handle) if self.look_up(handle)? == ask.account => true,
            _ if asker == Asker::Account(ask.account) => false,
            _ => {
                self.check_proof(now, &ask.account, &ask.proof)
                    .map_err(|refusal| self.unless_unsure(now, Some(&ask.account), refusal))?;
                false
            }
        };
        self.check_asked(&ask.account)?;
        let by_handle = by_handle || !self.may_take_one_time_keys(now, ask);
        let mut prekeys = Vec::new();
        for device in &ask.devices {
            let mailbox = MailboxId { account: ask.account, device: *device };
            let prekey =
                if by_handle { self.fallback_key(mailbox) } else { self.take_prekey(mailbox) };
            prekeys.extend(prekey.map(|prekey| ClaimedPrekey { device: *device, prekey }));
        }
        ok(&Claimed { prekeys })
    }

    /// Whoever claims more often than anybody needs gets the fallback key: one contact must not
    /// use up what is there for all. Contacts are told apart by what they prove their right with.
    fn may_take_one_time_keys(&mut self, now: Millis, ask: &PrekeysClaim) -> bool {
        let by_token = ask.proof.token.as_ref().map(|token| token.hash());
        let by_invite = ask.proof.invite.as_ref().map(|invite| invite.hash());
        let by = by_token.or(by_invite).unwrap_or(Hash(ask.account.0));
        let claims = &mut self.rates_of(ask.account).claims;
        if claims.len() >= MAX_CLAIMED && !claims.contains_key(&by) {
            claims.clear();
        }
        let bucket = claims.entry(by).or_insert_with(|| Bucket::full(CLAIMS_PER_HOUR, now));
        bucket.take(CLAIMS_PER_HOUR, CLAIMS_PER_HOUR, now).is_ok()
    }

    pub(crate) fn one_time_keys(&self, MailboxId { account, device }: MailboxId) -> usize {
        self.tables
            .prekeys
            .range((account, device, FALLBACK), (account, device, LAST))
            .filter(|((_, _, key), row)| *key != FALLBACK && self.is_fresh(row))
            .count()
    }

    /// A one-time key, which is gone then, or else the fallback key.
    fn take_prekey(&mut self, mailbox: MailboxId) -> Option<Prekey> {
        let MailboxId { account, device } = mailbox;
        let key = self
            .tables
            .prekeys
            .range((account, device, FALLBACK), (account, device, LAST))
            .find(|((_, _, key), row)| *key != FALLBACK && self.is_fresh(row))
            .map(|(key, _)| *key);
        match key {
            Some(key) => {
                self.tables.prekeys.remove(&key, &mut self.group.staged).map(|row| row.prekey)
            }
            None => self.fallback_key(mailbox),
        }
    }

    fn fallback_key(&self, MailboxId { account, device }: MailboxId) -> Option<Prekey> {
        self.tables.prekeys.get(&(account, device, FALLBACK)).map(|row| row.prekey.clone())
    }

    /// The fallback key of every device that has one: strangers get no others.
    pub(crate) fn fallback_keys(&self, account: &AccountId) -> Vec<ClaimedPrekey> {
        let devices = self.device_list(account).map(|list| list.devices).unwrap_or_default();
        devices
            .iter()
            .filter_map(|d| {
                let mailbox = MailboxId { account: *account, device: d.number };
                let prekey = self.fallback_key(mailbox)?;
                Some(ClaimedPrekey { device: d.number, prekey })
            })
            .collect()
    }

    /// One-time keys from before the node's data was rolled back: some of them were given out
    /// already, and nobody must get one twice.
    fn drop_old_keys(&mut self, MailboxId { account, device }: MailboxId) {
        let range = self.tables.prekeys.range((account, device, FALLBACK), (account, device, LAST));
        let old = range.filter(|((_, _, key), row)| *key != FALLBACK && !self.is_fresh(row));
        let keys: Vec<_> = old.map(|(key, _)| *key).collect();
        for key in keys {
            self.tables.prekeys.remove(&key, &mut self.group.staged);
        }
    }

    fn is_fresh(&self, row: &PrekeyRow) -> bool {
        row.generation.max(1) == self.generation
    }

    pub(crate) fn drop_prekeys(&mut self, MailboxId { account, device }: MailboxId) {
        let range = self.tables.prekeys.range((account, device, FALLBACK), (account, device, LAST));
        let keys: Vec<_> = range.map(|(key, _)| *key).collect();
        for key in keys {
            self.tables.prekeys.remove(&key, &mut self.group.staged);
        }
    }
}
