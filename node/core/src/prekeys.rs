//! Prekeys: kept for devices that are away, handed out one by one.

use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Claimed, Count, PrekeysClaim, PrekeysPut};
use postroad_proto::ids::{AccountId, Hash, Millis};
use postroad_proto::limits::{MAX_DEVICES, MAX_ONE_TIME_KEYS};
use postroad_proto::prekey::{ClaimedPrekey, Prekey};

use crate::accounts::bad;
use crate::changes::MailboxId;
use crate::core::Core;
use crate::reply::{Answer, Refusal, denied, ok};
use crate::state::PrekeyRow;
use crate::tokens::check_list;

/// Stands for the fallback key in the last part of a prekey's key.
const FALLBACK: Hash = Hash([0; 32]);
const LAST: Hash = Hash([0xff; 32]);

impl Core {
    pub(crate) fn prekeys_put(&mut self, mailbox: MailboxId, ask: &PrekeysPut) -> Answer {
        check_list(ask.one_time.len())?;
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
        ask.one_time.iter().try_for_each(|prekey| verify(prekey, false))?;
        ask.fallback.iter().try_for_each(|prekey| verify(prekey, true))?;
        let held = self.one_time_keys(mailbox);
        let known =
            |prekey: &&Prekey| self.tables.prekeys.get(&(account, device, prekey.key)).is_some();
        let new = ask.one_time.len() - ask.one_time.iter().filter(known).count();
        if held + new > MAX_ONE_TIME_KEYS {
            let text = format!("at most {MAX_ONE_TIME_KEYS} one-time keys, {held} are held");
            return Err(Refusal::new(ErrorCode::TooLarge, text));
        }
        for prekey in &ask.one_time {
            let row = PrekeyRow { prekey: prekey.clone() };
            self.tables.prekeys.put((account, device, prekey.key), row, &mut self.group.changes);
        }
        if let Some(prekey) = &ask.fallback {
            let row = PrekeyRow { prekey: prekey.clone() };
            self.tables.prekeys.put((account, device, FALLBACK), row, &mut self.group.changes);
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
        if ask.devices.len() > MAX_DEVICES {
            return Err(Refusal::new(ErrorCode::TooLarge, "at most 8 devices"));
        }
        let by_handle = match &ask.proof.handle {
            Some(handle) if self.look_up(handle)? == ask.account => true,
            _ if ask.account == asker => false,
            _ => {
                self.check_proof(now, &ask.account, &ask.proof)?;
                false
            }
        };
        let mut prekeys = Vec::new();
        for device in &ask.devices {
            let mailbox = MailboxId { account: ask.account, device: *device };
            let prekey =
                if by_handle { self.fallback_key(mailbox) } else { self.take_prekey(mailbox) };
            prekeys.extend(prekey.map(|prekey| ClaimedPrekey { device: *device, prekey }));
        }
        ok(&Claimed { prekeys })
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
                self.tables.prekeys.remove(&key, &mut self.group.changes).map(|row| row.prekey)
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
            self.tables.prekeys.remove(&key, &mut self.group.changes);
        }
    }
}
