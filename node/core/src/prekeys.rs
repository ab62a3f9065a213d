//! Prekeys: kept for devices that are away, handed out one by one.

use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Claimed, Count, PrekeysClaim, PrekeysPut};
use postroad_proto::ids::{AccountId, Hash, Millis};
use postroad_proto::limits::{MAX_DEVICES, MAX_ONE_TIME_KEYS};
use postroad_proto::prekey::{ClaimedPrekey, Prekey};

use crate::accounts::{bad, malformed};
use crate::bucket::Bucket;
use crate::changes::MailboxId;
use crate::core::Core;
use crate::reply::{Answer, Refusal, denied, ok};
use crate::state::PrekeyRow;

/// Stands for the fallback key in the last part of a prekey's key.
const FALLBACK: Hash = Hash([0; 32]);
const LAST: Hash = Hash([0xff; 32]);
/// Claims by one account on another's one-time keys: a session lasts, so more than a few are not
/// needed.
const CLAIMS_PER_HOUR: u64 = 8;
/// Accounts that one account's claims are counted for.
const MAX_CLAIMED: usize = 4096;

impl Core {
    pub(crate) fn prekeys_put(&mut self, mailbox: MailboxId, ask: &PrekeysPut) -> Answer {
        if ask.one_time.len() > MAX_ONE_TIME_KEYS {
            let text = format!("at most {MAX_ONE_TIME_KEYS} one-time keys");
            return Err(Refusal::new(ErrorCode::TooLarge, text));
        }
        self.check_space()?;
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
            let row = PrekeyRow { prekey: prekey.clone() };
            self.tables.prekeys.put((account, device, prekey.key), row, &mut self.group.staged);
        }
        if let Some(prekey) = &ask.fallback {
            let row = PrekeyRow { prekey: prekey.clone() };
            self.tables.prekeys.put((account, device, FALLBACK), row, &mut self.group.staged);
        }
        ok(&Count { count: self.one_time_keys(mailbox) as u64 })
    }

    pub(crate) fn prekeys_claim(
        &mut self,
        now: Millis,
        asker: AccountId,
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
            _ if ask.account == asker => false,
            _ => {
                self.check_proof(now, &ask.account, &ask.proof)?;
                false
            }
        };
        let by_handle = by_handle || !self.may_take_one_time_keys(now, asker, ask.account);
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
    /// use up what is there for all.
    fn may_take_one_time_keys(&mut self, now: Millis, asker: AccountId, of: AccountId) -> bool {
        let claims = &mut self.rates_of(asker).claims;
        if claims.len() >= MAX_CLAIMED && !claims.contains_key(&of) {
            claims.clear();
        }
        let bucket = claims.entry(of).or_insert_with(|| Bucket::full(CLAIMS_PER_HOUR, now));
        bucket.take(CLAIMS_PER_HOUR, CLAIMS_PER_HOUR, now).is_ok()
    }

    pub(crate) fn one_time_keys(&self, MailboxId { account, device }: MailboxId) -> usize {
        self.tables
            .prekeys
            .range((account, device, FALLBACK), (account, device, LAST))
            .filter(|((_, _, key), _)| *key != FALLBACK)
            .count()
    }

    /// A one-time key, which is gone then, or else the fallback key.
    fn take_prekey(&mut self, mailbox: MailboxId) -> Option<Prekey> {
        let MailboxId { account, device } = mailbox;
        let key = self
            .tables
            .prekeys
            .range((account, device, FALLBACK), (account, device, LAST))
            .map(|(key, _)| *key)
            .find(|(_, _, key)| *key != FALLBACK);
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

    pub(crate) fn drop_prekeys(&mut self, MailboxId { account, device }: MailboxId) {
        let range = self.tables.prekeys.range((account, device, FALLBACK), (account, device, LAST));
        let keys: Vec<_> = range.map(|(key, _)| *key).collect();
        for key in keys {
            self.tables.prekeys.remove(&key, &mut self.group.staged);
        }
    }
}
