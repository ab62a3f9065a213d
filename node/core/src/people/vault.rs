//! Vaults: what an account's devices keep here for one another, sealed.
//!
//! Each part is a row of its own and a commit stays small; the row of the account says which parts are
//! the vault. So a vault is replaced by one small change, and what is not whole can be told apart.

use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{VaultGet, VaultPart, VaultPut, VaultState};
use postroad_proto::ids::AccountId;
use postroad_proto::limits::{MAX_VAULT, MAX_VAULT_PART};

use crate::changes::MailboxId;
use crate::core::{Core, SessionId};
use crate::people::accounts::malformed;
use crate::reply::{Answer, DONE, Refusal, ok};
use crate::state::{VaultPartKey, VaultPartRow, VaultRow};

/// Parts of a vault.
const MAX_PARTS: u64 = (MAX_VAULT / MAX_VAULT_PART) as u64;

/// A vault of which a session has put some parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Upload {
    mailbox: MailboxId,
    version: u64,
    previous: u64,
    parts: u64,
    /// The part that is to come.
    next: u64,
}

impl Upload {
    fn beginning_with(mailbox: MailboxId, ask: &VaultPut) -> Self {
        let VaultPut { version, previous, parts, .. } = *ask;
        Self { mailbox, version, previous, parts, next: 0 }
    }

    fn key(&self, part: u64) -> VaultPartKey {
        (self.mailbox.account, self.version, self.mailbox.device, part as u8)
    }
}

impl Core {
    /// Counts the vaults that are held, and drops what did not become whole before the node ended.
    pub(crate) fn open_vaults(&mut self) {
        let rows = self.tables.vault_parts.iter();
        self.vault_bytes = rows.map(|(_, row)| row.data.len() as u64).sum();
        let is_held = |key: &VaultPartKey| {
            self.tables.vaults.get(&key.0).is_some_and(|v| (v.version, v.device) == (key.1, key.2))
        };
        let rows = self.tables.vault_parts.iter();
        let stale: Vec<_> = rows.map(|(key, _)| *key).filter(|key| !is_held(key)).collect();
        self.drop_parts(stale);
    }

    pub(crate) fn vault_put(
        &mut self,
        session: SessionId,
        mailbox: MailboxId,
        ask: VaultPut,
    ) -> Answer {
        check_size(&ask)?;
        if self.is_repeat(&mailbox.account, &ask) {
            return DONE;
        }
        self.check_replaces(session, &mailbox.account, &ask)?;
        let upload = self.upload_of(session, mailbox, &ask)?;
        self.check_space()?;
        self.check_vault_bytes(&mailbox.account, ask.data.len())?;
        self.vault_bytes += ask.data.len() as u64;
        let row = VaultPartRow { data: ask.data };
        self.tables.vault_parts.put(upload.key(upload.next), row, &mut self.group.staged);
        let upload = Upload { next: upload.next + 1, ..upload };
        let is_whole = upload.next == upload.parts;
        self.set_upload(session, (!is_whole).then_some(upload));
        if is_whole {
            self.replace_vault(&upload);
        }
        DONE
    }

    /// Whether it is a part of the vault that is held: put again after a lost answer.
    fn is_repeat(&self, account: &AccountId, ask: &VaultPut) -> bool {
        let Some(held) = self.tables.vaults.get(account) else { return false };
        let part = self.tables.vault_parts.get(&key_in(account, held, ask.part));
        (held.version, held.parts) == (ask.version, ask.parts)
            && part.is_some_and(|row| row.data == ask.data)
    }

    /// Whether it replaces the vault that is held. Otherwise nothing stays of it.
    fn check_replaces(
        &mut self,
        session: SessionId,
        account: &AccountId,
        ask: &VaultPut,
    ) -> Result<(), Refusal> {
        let held = self.tables.vaults.get(account);
        let (version, parts) = held.map_or((0, 0), |held| (held.version, held.parts));
        if ask.previous == version && ask.version > version {
            return Ok(());
        }
        self.end_upload(session);
        Err(Refusal {
            result: codec::encode(&VaultState { version, parts }).ok(),
            ..Refusal::new(ErrorCode::Conflict, "another vault is held")
        })
    }

    /// The upload that this is the next part of; part 0 begins one.
    fn upload_of(
        &mut self,
        session: SessionId,
        mailbox: MailboxId,
        ask: &VaultPut,
    ) -> Result<Upload, Refusal> {
        let new = Upload::beginning_with(mailbox, ask);
        if ask.part == 0 {
            self.end_upload(session);
            self.set_upload(session, Some(new));
            return Ok(new);
        }
        let upload = self.sessions.get(&session).and_then(|session| session.upload);
        upload
            .filter(|upload| *upload == Upload { next: ask.part, ..new })
            .ok_or_else(|| malformed("this part does not follow the last one of this session"))
    }

    /// All vaults together are bounded. Whoever has one may go on replacing it.
    fn check_vault_bytes(&self, account: &AccountId, more: usize) -> Result<(), Refusal> {
        let held = self.tables.vaults.get(account).map_or(0, |held| {
            let parts = (0..held.parts)
                .filter_map(|part| self.tables.vault_parts.get(&key_in(account, held, part)));
            parts.map(|row| row.data.len() as u64).sum()
        });
        if self.vault_bytes + more as u64 > self.config.vault_bytes + held {
            let text = "this node keeps no more for vaults";
            return Err(Refusal::after(ErrorCode::Quota, 3600, text));
        }
        Ok(())
    }

    fn replace_vault(&mut self, upload: &Upload) {
        let Upload { mailbox: MailboxId { account, device }, version, parts, .. } = *upload;
        if let Some(old) = self.tables.vaults.get(&account) {
            let parts = (0..old.parts).map(|part| key_in(&account, old, part)).collect();
            self.drop_parts(parts);
        }
        let row = VaultRow { version, parts, device };
        self.tables.vaults.put(account, row, &mut self.group.staged);
    }

    pub(crate) fn vault_get(&self, account: &AccountId, ask: &VaultGet) -> Answer {
        let absent = |text: &str| Refusal::new(ErrorCode::NotFound, text);
        let held = self.tables.vaults.get(account).ok_or_else(|| absent("there is no vault"))?;
        let part = (ask.part < held.parts).then(|| key_in(account, held, ask.part));
        let row = part.and_then(|key| self.tables.vault_parts.get(&key));
        let data = row.ok_or_else(|| absent("the vault has no such part"))?.data.clone();
        ok(&VaultPart { version: held.version, parts: held.parts, data })
    }

    /// With its account.
    pub(crate) fn drop_vault(&mut self, account: &AccountId) {
        let (first, last) = ((*account, 0, 0, 0), (*account, u64::MAX, u8::MAX, u8::MAX));
        let parts = self.tables.vault_parts.range(first, last).map(|(key, _)| *key).collect();
        self.drop_parts(parts);
        self.tables.vaults.remove(account, &mut self.group.staged);
    }

    /// What a session put that is gone, or that begins anew.
    pub(crate) fn drop_upload(&mut self, upload: &Upload) {
        self.drop_parts((0..upload.next).map(|part| upload.key(part)).collect());
    }

    fn end_upload(&mut self, session: SessionId) {
        let upload = self.sessions.get_mut(&session).and_then(|session| session.upload.take());
        if let Some(upload) = upload {
            self.drop_upload(&upload);
        }
    }

    fn set_upload(&mut self, session: SessionId, upload: Option<Upload>) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.upload = upload;
        }
    }

    fn drop_parts(&mut self, keys: Vec<VaultPartKey>) {
        for key in keys {
            if let Some(row) = self.tables.vault_parts.remove(&key, &mut self.group.staged) {
                self.vault_bytes -= row.data.len() as u64;
            }
        }
    }
}

/// Where a part of the vault that is held lies.
fn key_in(account: &AccountId, held: &VaultRow, part: u64) -> VaultPartKey {
    (*account, held.version, held.device, part as u8)
}

fn check_size(ask: &VaultPut) -> Result<(), Refusal> {
    if ask.parts > MAX_PARTS || ask.data.len() > MAX_VAULT_PART {
        let text = format!("at most {MAX_PARTS} parts of {MAX_VAULT_PART} bytes");
        return Err(Refusal::new(ErrorCode::TooLarge, text));
    }
    if ask.part >= ask.parts {
        return Err(malformed("a vault has no such part"));
    }
    Ok(())
}
