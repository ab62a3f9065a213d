//! `Register` for an account that is here: a device whose answer was lost, or one that the account's
//! key brings back.

use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Register, Registered};
use postroad_proto::ids::Millis;
use postroad_proto::record::{AccountRecord, DeviceList};

use crate::changes::MailboxId;
use crate::core::{Core, SessionId};
use crate::reply::{Answer, Refusal, denied, ok};

impl Core {
    /// The records in `ask` were opened and list the device that connected: whoever sends them holds
    /// the account's key, or was given them by its holder or a steward.
    pub(crate) fn recover(
        &mut self,
        now: Millis,
        id: SessionId,
        ask: &Register,
        (record, list): (&AccountRecord, &DeviceList),
        mailbox: MailboxId,
    ) -> Answer {
        let account = mailbox.account;
        let row = self.tables.accounts.get(&account).cloned().ok_or_else(denied)?;
        let handle = self.handle_record(row.handle.as_ref());
        let key = self.sessions.get(&id).map(|session| session.key);
        let is_device = key.is_some_and(|key| self.is_device(account, mailbox.device, &key));
        if !is_device {
            self.check_asked(&account)?;
        }
        let put = self.replace_records(now, id, row, (&ask.record, record), (&ask.devices, list));
        match put {
            // A device that registers again may bring what it registered with at first.
            Err(_) if is_device => {}
            Err(refusal) if refusal.code == ErrorCode::Conflict => {
                let held = self.records_of(&account, false)?;
                return Err(Refusal { result: codec::encode(&held).ok(), ..refusal });
            }
            other => other?,
        }
        self.attach(id, mailbox);
        ok(&Registered { handle })
    }
}
