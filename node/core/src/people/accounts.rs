//! Accounts: making one, its handle, removing it.

use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Register, Registered, SettingsPut};
use postroad_proto::ids::{AccountId, Hash, Millis, NodeId};
use postroad_proto::limits::MAX_ACCOUNT_RECORD;
use postroad_proto::record::{
    AccountRecord, DeviceList, Handle, HandleChange, HandleRecord, RECORD_VERSION,
};
use postroad_proto::signed::Signed;

use crate::changes::MailboxId;
use crate::core::{Core, SessionId};
use crate::people::records::check_steward;
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
            return self.recover(now, id, ask, (&record, &list), mailbox);
        }
        self.check_space()?;
        if self.tables.accounts.len() as u64 >= self.config.max_accounts {
            return Err(Refusal::new(ErrorCode::Quota, "this node takes no more accounts"));
        }
        check_steward(&record, now)?;
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
            deletion: None,
            moved_at: 0,
        };
        self.accounts_by_number.insert(number, record.account);
        self.tables.accounts.put(record.account, row, &mut self.group.staged);
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

    pub(crate) fn settings_put(&mut self, account: AccountId, ask: &SettingsPut) -> Answer {
        let row = self.tables.accounts.get(&account).cloned().ok_or_else(denied)?;
        let row = AccountRow { lookups: ask.lookups, ..row };
        self.tables.accounts.put(account, row, &mut self.group.staged);
        DONE
    }

    /// Removes an account and all that is its: the operator's decision, or its own. Its handle stays
    /// reserved.
    /// False when there is none.
    pub fn delete_account(&mut self, now: Millis, account: &AccountId) -> bool {
        self.remove_account(now, account, "the account is gone")
    }

    /// The same, and what its devices that are connected are told.
    pub(crate) fn remove_account(&mut self, now: Millis, account: &AccountId, text: &str) -> bool {
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
                self.hang_up(session, ErrorCode::Denied, text);
            }
        }
        true
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
