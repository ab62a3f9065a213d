//! Accounts: making one, its records, its handle, removing it.

use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Records, RecordsGet, RecordsPut, Register, Registered, SettingsPut};
use postroad_proto::ids::{AccountId, Hash, Millis, NodeId};
use postroad_proto::limits::MAX_ACCOUNT_RECORD;
use postroad_proto::record::{
    AccountRecord, AccountRecordOrder, DeviceList, Handle, HandleChange, HandleRecord,
    RECORD_VERSION,
};
use postroad_proto::signed::Signed;

use crate::changes::MailboxId;
use crate::core::{Core, SessionId};
use crate::people::tokens::Asker;
use crate::reply::{Answer, DONE, Refusal, denied, ok};
use crate::state::{AccountRow, HandleRow, NodeRow};

/// A deleted account's handle goes to nobody else for a year, seconds.
const HANDLE_RESERVED: u64 = 365 * 86_400;

impl Core {
    pub(crate) fn register(&mut self, now: Millis, id: SessionId, ask: &Register) -> Answer {
        // Cheap checks first: strangers get no signatures verified without an invite.
        let right = self.check_right_to_register(now, ask);
        let known = codec::decode::<AccountRecord>(&ask.record.payload, MAX_ACCOUNT_RECORD)
            .is_ok_and(|record| self.tables.accounts.get(&record.account).is_some());
        if !known {
            right.clone()?;
        }
        // Who does not prove to be an account's device hears the same whether that is here or not.
        let opened = self.open_registration(id, ask);
        let (record, list, mailbox) = opened.map_err(|refusal| right.err().unwrap_or(refusal))?;
        if known {
            return self.recover(id, ask, &record, &list, mailbox);
        }
        self.check_space()?;
        if self.tables.accounts.len() as u64 >= self.config.max_accounts {
            return Err(Refusal::new(ErrorCode::Quota, "this node takes no more accounts"));
        }
        let handle = self.bind_handle(now, &record.account, ask.handle.as_ref())?;
        let invite = match self.was_registered(ask) {
            true => ask.invite.as_ref().map(|code| code.hash()),
            false => self.use_node_invite(now, ask.invite.as_ref())?,
        };
        if let Some((handle, row)) = handle {
            self.tables.handles.put(handle, row, &mut self.group.staged);
        }
        self.insert_account(now, ask, invite);
        self.attach(id, mailbox);
        self.counters.registered += 1;
        ok(&Registered { handle: self.handle_record(ask.handle.as_ref()) })
    }

    /// The records, if they hold, are for this node, and list the device that connected; and which
    /// that is.
    fn open_registration(
        &self,
        id: SessionId,
        ask: &Register,
    ) -> Result<(AccountRecord, DeviceList, MailboxId), Refusal> {
        let (record, list) = self.open_records(&ask.record, &ask.devices)?;
        if record.home != self.node {
            let text = "the account record names another home than this node";
            return Err(malformed(text));
        }
        let session = self.sessions.get(&id).ok_or_else(denied)?;
        let device = list
            .devices
            .iter()
            .find(|d| d.noise == session.key)
            .map(|d| d.number)
            .ok_or_else(|| bad("the device list lacks this connection's Noise key"))?;
        let mailbox = MailboxId { account: record.account, device };
        if session.mailbox.is_some_and(|own| own != mailbox) {
            let text = "this session is another device's; connect anew";
            return Err(Refusal::new(ErrorCode::Denied, text));
        }
        Ok((record, list, mailbox))
    }

    /// By an invite, or by the handle record of an account that this node has lost.
    fn check_right_to_register(&self, now: Millis, ask: &Register) -> Result<(), Refusal> {
        if self.was_registered(ask) {
            return Ok(());
        }
        self.check_node_invite(now, ask.invite.as_ref())
    }

    /// Whether this node once bound a handle to the account that asks: it was rolled back since.
    fn was_registered(&self, ask: &Register) -> bool {
        let rolled_back = self.generation > 1;
        let account = codec::decode::<AccountRecord>(&ask.record.payload, MAX_ACCOUNT_RECORD);
        let proof = ask.proof.as_ref().filter(|_| rolled_back);
        match (proof.and_then(|proof| proof.open(&self.keys.network).ok()), account) {
            (Some(proof), Ok(record)) => {
                // Of an account that was deleted on purpose the handle is still reserved.
                let deleted = self.tables.handles.get(&proof.handle);
                let deleted = deleted.is_some_and(|row| row.reserved_until.is_some());
                proof.node == self.node && proof.account == record.account && !deleted
            }
            _ => false,
        }
    }

    fn insert_account(&mut self, now: Millis, ask: &Register, invite: Option<Hash>) {
        let Ok(record) = ask.record.open(&self.keys.network) else { return };
        let number = self.tables.node.get(&()).map_or(1, |row| row.next_account);
        let (node, generation, run) = (self.node, self.generation, self.run);
        let generation_at = self.tables.node.get(&()).map_or(0, |row| row.generation_at);
        let node = NodeRow { node, generation, run, next_account: number + 1, generation_at };
        self.tables.node.put((), node, &mut self.group.staged);
        let row = AccountRow {
            number,
            record: ask.record.clone(),
            devices: ask.devices.clone().into(),
            handle: ask.handle.clone(),
            lookups: true,
            since: now / 1000,
            invite,
            tokens_of: 0,
            moved: false,
        };
        self.accounts_by_number.insert(number, record.account);
        self.tables.accounts.put(record.account, row, &mut self.group.staged);
    }

    /// Both records, if they hold and belong together.
    fn open_records(
        &self,
        record: &Signed<AccountRecord>,
        devices: &Signed<DeviceList>,
    ) -> Result<(AccountRecord, DeviceList), Refusal> {
        let network = &self.keys.network;
        let opened = record.open(network).map_err(|e| bad(format!("account record: {e}")))?;
        let list = devices.open(network).map_err(|e| bad(format!("device list: {e}")))?;
        if list.account != opened.account || opened.devices != devices.hash() {
            return Err(bad("the account record names another device list"));
        }
        Ok((opened, list))
    }

    /// The row that binds `handle`, if it is free; nothing is written yet.
    fn bind_handle(
        &self,
        now: Millis,
        account: &AccountId,
        handle: Option<&Handle>,
    ) -> Result<Option<(Handle, HandleRow)>, Refusal> {
        let Some(handle) = handle else { return Ok(None) };
        let held = self.tables.handles.get(handle);
        let free = held.is_none_or(|row| {
            row.account == *account || row.reserved_until.is_some_and(|until| until < now / 1000)
        });
        if !free {
            let text = format!("{handle} is taken; choose another name");
            return Err(Refusal::new(ErrorCode::Taken, text));
        }
        let previous = held.map(|row| &row.record);
        let record = HandleRecord {
            version: RECORD_VERSION,
            flags: 0,
            node: self.node,
            node_name: self.keys.name.clone(),
            handle: handle.clone(),
            account: *account,
            seq: previous.and_then(|p| p.open(&self.keys.network).ok()).map_or(1, |p| p.seq + 1),
            previous: previous.map(Signed::hash),
            how: HandleChange::First.number(),
            issued: now / 1000,
            old_key: None,
        };
        let record = Signed::new(&record, &self.keys.signing, &self.keys.network)
            .map_err(|e| bad(e.to_string()))?;
        let row = HandleRow { record, account: *account, reserved_until: None };
        Ok(Some((handle.clone(), row)))
    }

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
        self.replace_records(id, row, (record, &new), (&devices, &list))?;
        DONE
    }

    /// Puts records, which were opened, in the place of those in `row`. The same record again is
    /// success. Devices that are not listed any more lose what is theirs here, their sessions too, but
    /// for the one that asks.
    pub(crate) fn replace_records(
        &mut self,
        id: SessionId,
        row: AccountRow,
        (record, new): (&Signed<AccountRecord>, &AccountRecord),
        (devices, list): (&Signed<DeviceList>, &DeviceList),
    ) -> Result<(), Refusal> {
        let held = row.record.open(&self.keys.network).map_err(|e| bad(e.to_string()))?;
        match held.compare(new) {
            AccountRecordOrder::Same if row.record.payload == record.payload => return Ok(()),
            AccountRecordOrder::Newer => {}
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
        // An account that leaves is kept, so that whoever writes to it learns where it went.
        let moved = new.home != self.node;
        let devices = devices.clone().into();
        let row = AccountRow { record: record.clone(), devices, moved, ..row };
        self.tables.accounts.put(new.account, row, &mut self.group.staged);
        Ok(())
    }

    pub(crate) fn settings_put(&mut self, account: AccountId, ask: &SettingsPut) -> Answer {
        let row = self.tables.accounts.get(&account).cloned().ok_or_else(denied)?;
        let row = AccountRow { lookups: ask.lookups, ..row };
        self.tables.accounts.put(account, row, &mut self.group.staged);
        DONE
    }

    /// Removes an account and all that is its: the operator's decision. Its handle stays reserved.
    /// False when there is none.
    pub fn delete_account(&mut self, now: Millis, account: &AccountId) -> bool {
        let Some(row) = self.tables.accounts.remove(account, &mut self.group.staged) else {
            return false;
        };
        self.accounts_by_number.remove(&row.number);
        self.rates.remove(account);
        if let Some(handle) = &row.handle
            && let Some(held) = self.tables.handles.get(handle).cloned()
        {
            let until = Some(now / 1000 + HANDLE_RESERVED);
            let held = HandleRow { reserved_until: until, ..held };
            self.tables.handles.put(handle.clone(), held, &mut self.group.staged);
        }
        self.drop_tokens_and_invites(account);
        self.drop_requests(account);
        self.end_meetings_of(account);
        self.drop_vault(account);
        for device in 1..=u8::MAX {
            let mailbox = MailboxId { account: *account, device };
            self.drop_mailbox(mailbox);
            if let Some(session) = self.online.get(&mailbox).copied() {
                self.hang_up(session, ErrorCode::Denied, "the account is gone");
            }
        }
        true
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

    pub(crate) fn device_list(&self, account: &AccountId) -> Option<DeviceList> {
        self.tables.accounts.get(account)?.devices.list()
    }

    pub(crate) fn handle_record(&self, handle: Option<&Handle>) -> Option<Signed<HandleRecord>> {
        self.tables.handles.get(handle?).map(|row| row.record.clone())
    }

    pub(crate) fn check_space(&self) -> Result<(), Refusal> {
        if self.full {
            let text = "the node's disk is full; what it holds goes on being delivered";
            return Err(Refusal::after(ErrorCode::NoSpace, 10, text));
        }
        Ok(())
    }

    /// Questions of other nodes are about accounts here.
    pub(crate) fn check_here(&self, node: &NodeId) -> Result<(), Refusal> {
        if *node == self.node {
            return Ok(());
        }
        Err(Refusal::new(ErrorCode::Unroutable, "this is a question for another node"))
    }
}

/// A signature or key does not hold.
pub(crate) fn bad(detail: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::BadSignature, detail)
}

/// The request is not what the protocol says.
pub(crate) fn malformed(detail: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::Malformed, detail)
}
