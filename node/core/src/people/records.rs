//! An account's records: who is told of them, and what replaces them.

use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Records, RecordsGet, RecordsPut};
use postroad_proto::ids::{AccountId, Millis};
use postroad_proto::limits::CLOCK_ALLOWANCE_SECONDS;
use postroad_proto::record::{AccountRecord, AccountRecordOrder, DeviceList, Handle, StewardCert};
use postroad_proto::signed::Signed;

use crate::changes::MailboxId;
use crate::core::{Core, SessionId};
use crate::people::accounts::{bad, malformed};
use crate::people::tokens::Asker;
use crate::reply::{Answer, DONE, Refusal, denied, ok};
use crate::state::AccountRow;

impl Core {
    pub(crate) fn records_get(&mut self, now: Millis, asker: Asker, ask: &RecordsGet) -> Answer {
        self.check_here(&ask.node)?;
        self.take_lookup(now, asker)?;
        let (account, by_handle) = match (&ask.account, &ask.handle) {
            (None, Some(handle)) => {
                let found = self.look_up(handle);
                (found.map_err(|refusal| self.unless_unsure(now, None, refusal))?, true)
            }
            (Some(account), None) => {
                if asker != Asker::Account(*account) {
                    self.check_proof(now, account, &ask.proof)
                        .map_err(|refusal| self.unless_unsure(now, Some(account), refusal))?;
                }
                (*account, false)
            }
            _ => return Err(malformed("ask by account or by handle")),
        };
        self.check_asked(&account)?;
        ok(&self.records_of(&account, by_handle)?)
    }

    /// Whoever asks about an account that has another home is told where.
    pub(crate) fn check_asked(&self, account: &AccountId) -> Result<(), Refusal> {
        let Some(row) = self.tables.accounts.get(account).filter(|row| row.moved) else {
            return Ok(());
        };
        let result = codec::encode(&row.record).ok();
        Err(Refusal { result, ..Refusal::new(ErrorCode::Moved, "the account has another home") })
    }

    /// The account behind a handle. Handles are public at their node, unless their account says
    /// otherwise: then it looks as if there were none.
    pub(crate) fn look_up(&self, handle: &Handle) -> Result<AccountId, Refusal> {
        self.tables
            .handles
            .get(handle)
            .filter(|row| row.reserved_until.is_none())
            .filter(|row| self.tables.accounts.get(&row.account).is_some_and(|a| a.lookups))
            .map(|row| row.account)
            .ok_or_else(|| {
                let text = format!("no {handle}@{} at this node", self.keys.name);
                Refusal::new(ErrorCode::NotFound, text)
            })
    }

    /// What a contact, or with `fallback` a stranger, is told about an account.
    pub(crate) fn records_of(
        &self,
        account: &AccountId,
        fallback: bool,
    ) -> Result<Records, Refusal> {
        let row = self.tables.accounts.get(account).ok_or_else(denied)?;
        Ok(Records {
            record: row.record.clone(),
            devices: row.devices.signed.clone(),
            handle: self.handle_record(row.handle.as_ref()),
            fallback: if fallback { self.fallback_keys(account) } else { Vec::new() },
        })
    }

    pub(crate) fn records_put(
        &mut self,
        now: Millis,
        id: SessionId,
        account: AccountId,
        ask: &RecordsPut,
    ) -> Answer {
        let row = self.tables.accounts.get(&account).cloned().ok_or_else(denied)?;
        let record = ask.record.as_ref().ok_or_else(|| malformed("a record is needed"))?;
        let devices = ask.devices.as_ref().unwrap_or(&row.devices.signed);
        let (new, list) = self.open_records(record, devices)?;
        if new.account != account {
            return Err(denied());
        }
        let devices = devices.clone();
        self.replace_records(now, id, row, (record, &new), (&devices, &list))?;
        DONE
    }

    /// Puts records, which were opened, in the place of those in `row`. The same record again is
    /// success. Devices that are not listed any more lose what is theirs here, their sessions too, but
    /// for the one that asks.
    pub(crate) fn replace_records(
        &mut self,
        now: Millis,
        id: SessionId,
        row: AccountRow,
        (record, new): (&Signed<AccountRecord>, &AccountRecord),
        (devices, list): (&Signed<DeviceList>, &DeviceList),
    ) -> Result<(), Refusal> {
        match row.record.compare(record).map_err(|e| bad(e.to_string()))? {
            AccountRecordOrder::Same => return Ok(()),
            AccountRecordOrder::Newer => check_steward(new, now)?,
            _ => {
                return Err(Refusal {
                    result: codec::encode(&row.record).ok(),
                    ..Refusal::new(ErrorCode::Conflict, "a newer record is held")
                });
            }
        }
        // Another list with the same numbers is one that somebody else signed meanwhile: taking it would
        // cut off their device.
        let is_other = devices.hash() != row.devices.hash;
        let is_newer = |held: &DeviceList| held.is_older_than(list);
        if is_other && !row.devices.list().is_none_or(|held| is_newer(&held)) {
            return Err(Refusal::new(ErrorCode::Conflict, "a newer device list is held"));
        }
        self.drop_missing_devices(id, &new.account, list);
        // An account that leaves is kept for a time, so that whoever writes to it learns where it went.
        let moved = new.home != self.node;
        let moved_at = match (moved, row.moved) {
            (true, true) => row.moved_at,
            (true, false) => now / 1000,
            (false, _) => 0,
        };
        if moved && !row.moved {
            self.send_after(id, &new.account);
        }
        let devices = devices.clone().into();
        let row = AccountRow { record: record.clone(), devices, moved, moved_at, ..row };
        if let Some((at, _)) = row.departure() {
            self.look_for_departures_at(now, at);
        }
        self.tables.accounts.put(new.account, row, &mut self.group.staged);
        Ok(())
    }

    /// Both records, if they hold and belong together.
    pub(crate) fn open_records(
        &self,
        record: &Signed<AccountRecord>,
        devices: &Signed<DeviceList>,
    ) -> Result<(AccountRecord, DeviceList), Refusal> {
        let network = &self.keys.network;
        let opened = record.open(network).map_err(|e| bad(format!("account record: {e}")))?;
        let list = devices.open(network).map_err(|e| bad(format!("device list: {e}")))?;
        if !opened.fits(devices, &list) {
            let text =
                "the account record names another device list, or a steward that is not in it";
            return Err(bad(text));
        }
        Ok((opened, list))
    }

    /// The account has left with the session `by`: its other devices that are here are to come again, and
    /// learn of it from the welcome.
    fn send_after(&mut self, by: SessionId, account: &AccountId) {
        for device in self.device_list(account).map(|list| list.devices).unwrap_or_default() {
            let mailbox = MailboxId { account: *account, device: device.number };
            if let Some(session) = self.online.get(&mailbox).copied().filter(|s| *s != by) {
                self.hang_up(session, ErrorCode::Moved, "the account has another home");
            }
        }
    }

    fn drop_missing_devices(&mut self, id: SessionId, account: &AccountId, list: &DeviceList) {
        let Some(old) = self.device_list(account) else { return };
        // A number with other keys is another device: numbers are not to be used again, but whoever
        // does so must not give the new one the old one's mail.
        for device in old.devices.iter().filter(|d| list.device(d.number) != Some(d)) {
            let mailbox = MailboxId { account: *account, device: device.number };
            self.drop_mailbox(mailbox);
            if let Some(session) = self.online.get(&mailbox).copied().filter(|s| *s != id) {
                self.hang_up(session, ErrorCode::Denied, "this device was taken off the list");
            }
        }
    }
}

/// A steward whose time is over changes nothing here, whatever time its record says.
pub(crate) fn check_steward(record: &AccountRecord, now: Millis) -> Result<(), Refusal> {
    let cert = record.certificate().map_err(|e| bad(e.to_string()))?;
    let over =
        |cert: StewardCert| cert.expires.saturating_add(CLOCK_ALLOWANCE_SECONDS) < now / 1000;
    if cert.is_some_and(over) {
        return Err(Refusal::new(ErrorCode::Expired, "the steward's certificate is over"));
    }
    Ok(())
}
