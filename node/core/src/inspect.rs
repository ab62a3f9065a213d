//! What an operator may see: counts and ages, never content.

use postroad_proto::ids::{AccountId, DeviceNumber, Hash, Millis, NodeId};
use postroad_proto::record::{AccountRecord, Handle};

use crate::changes::MailboxId;
use crate::core::{Core, Counters};
use crate::mail::mailbox::Mailbox;
use crate::people::invites::InviteState;

/// All mailboxes together.
#[derive(Debug, Clone, Default)]
pub struct MailboxTotals {
    /// Devices with a mailbox.
    pub mailboxes: u64,
    /// Items in them.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest came, milliseconds since the Unix epoch.
    pub oldest: Option<Millis>,
}

/// One mailbox.
#[derive(Debug, Clone)]
pub struct MailboxView {
    /// Whose.
    pub account: AccountId,
    /// Its handle.
    pub handle: Option<String>,
    /// Which device.
    pub device: DeviceNumber,
    /// Items in it.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest came, milliseconds since the Unix epoch.
    pub oldest: Option<Millis>,
    /// Whether the device is connected.
    pub connected: bool,
}

/// What waits for one recipient, and why.
#[derive(Debug, Clone)]
pub struct QueueRow {
    /// Handle or account, and device.
    pub to: String,
    /// Items.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
    /// When the oldest came, milliseconds since the Unix epoch.
    pub oldest: Option<Millis>,
    /// Why they wait.
    pub reason: String,
    /// When it is tried again, milliseconds since the Unix epoch; none when something else than time
    /// is waited for.
    pub next_try: Option<Millis>,
}

/// An account homed here.
#[derive(Debug, Clone)]
pub struct UserView {
    /// Whose.
    pub account: AccountId,
    /// Its handle.
    pub handle: Option<String>,
    /// How many devices.
    pub devices: u64,
    /// Items that wait for all of them.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When it registered, seconds since the Unix epoch.
    pub since: u64,
    /// When it is to be deleted, by its own word or because it moved away, seconds since the Unix
    /// epoch; 0 for never.
    pub delete_at: u64,
}

/// An invite of the operator's.
#[derive(Debug, Clone)]
pub struct InviteView {
    /// The hash of its code.
    pub hash: Hash,
    /// 0 for any number.
    pub uses: u64,
    /// How often it was used.
    pub used: u64,
    /// Seconds since the Unix epoch; 0 for never.
    pub expires: u64,
    /// What it is good for.
    pub state: InviteState,
}

/// The way to an account.
#[derive(Debug, Clone)]
pub struct TraceView {
    /// The account.
    pub account: AccountId,
    /// Its handle.
    pub handle: Option<String>,
    /// Its home.
    pub home: NodeId,
    /// Its backups.
    pub backups: Vec<NodeId>,
    /// Its mailboxes here.
    pub mailboxes: Vec<MailboxView>,
}

impl Core {
    /// The node's id.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The node's generation.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What it did since it started.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Connected clients.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Accounts homed here.
    pub fn account_count(&self) -> usize {
        self.tables.accounts.len()
    }

    /// Whether new custody is refused because the disk is full.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// All mailboxes together.
    pub fn totals(&self) -> MailboxTotals {
        let mut totals = MailboxTotals::default();
        for (_, held) in self.mailboxes.iter().filter(|(id, _)| id.destination().is_none()) {
            totals.mailboxes += 1;
            totals.messages += held.items.len() as u64;
            totals.bytes += held.bytes;
            totals.oldest = [totals.oldest, held.oldest()].into_iter().flatten().min();
        }
        totals
    }

    /// Every mailbox.
    pub fn mailbox_list(&self) -> Vec<MailboxView> {
        self.device_mailboxes().map(|(id, _)| self.mailbox_view(*id)).collect()
    }

    /// In order.
    fn device_mailboxes(&self) -> impl Iterator<Item = (&MailboxId, &Mailbox)> {
        self.sorted_mailboxes().into_iter().filter(|(id, _)| id.destination().is_none())
    }

    /// Every mailbox and outbox, in order.
    pub(crate) fn sorted_mailboxes(&self) -> Vec<(&MailboxId, &Mailbox)> {
        let mut mailboxes: Vec<_> = self.mailboxes.iter().collect();
        mailboxes.sort_unstable_by_key(|(id, _)| **id);
        mailboxes
    }

    fn mailbox_view(&self, id: MailboxId) -> MailboxView {
        let held = self.mailboxes.get(&id);
        MailboxView {
            account: id.account,
            handle: self.handle_of(&id.account),
            device: id.device,
            messages: held.map_or(0, |m| m.items.len() as u64),
            bytes: held.map_or(0, |m| m.bytes),
            oldest: held.and_then(|m| m.oldest()),
            connected: self.online.contains_key(&id),
        }
    }

    /// `handle@name` of an account.
    pub fn handle_of(&self, account: &AccountId) -> Option<String> {
        let handle = self.tables.accounts.get(account)?.handle.as_ref()?;
        Some(format!("{handle}@{}", self.keys.name))
    }

    /// What waits, for whom and why.
    pub fn queue(&self) -> Vec<QueueRow> {
        let waiting = self.device_mailboxes().filter(|(_, held)| !held.items.is_empty());
        waiting
            .map(|(id, held)| {
                let name = self.handle_of(&id.account).unwrap_or_else(|| id.account.to_string());
                let reason = if self.online.contains_key(id) {
                    "the device is connected and has not acked yet"
                } else {
                    "the device is away; it gets them when it connects"
                };
                QueueRow {
                    to: format!("{name} device {}", id.device),
                    messages: held.items.len() as u64,
                    bytes: held.bytes,
                    oldest: held.oldest(),
                    reason: reason.to_owned(),
                    next_try: None,
                }
            })
            .chain(self.outbox_rows())
            .collect()
    }

    /// Every account homed here.
    pub fn users(&self) -> Vec<UserView> {
        self.tables.accounts.iter().filter_map(|(account, _)| self.user(account)).collect()
    }

    /// One account homed here.
    pub fn user(&self, account: &AccountId) -> Option<UserView> {
        let row = self.tables.accounts.get(account)?;
        let boxes = self.boxes_of(account);
        Some(UserView {
            account: *account,
            handle: self.handle_of(account),
            devices: self.device_list(account).map_or(0, |list| list.devices.len() as u64),
            messages: boxes.iter().map(|m| m.messages).sum(),
            bytes: boxes.iter().map(|m| m.bytes).sum(),
            since: row.since,
            delete_at: row.departure().map_or(0, |(at, _)| at),
        })
    }

    fn boxes_of(&self, account: &AccountId) -> Vec<MailboxView> {
        let devices = self.device_list(account).map(|list| list.devices).unwrap_or_default();
        devices
            .iter()
            .map(|d| self.mailbox_view(MailboxId { account: *account, device: d.number }))
            .collect()
    }

    /// The account that an operator means by an id, a handle, or `handle@name`.
    pub fn find_account(&self, text: &str) -> Option<AccountId> {
        if let Ok(account) = text.parse::<AccountId>() {
            return self.tables.accounts.get(&account).map(|_| account);
        }
        let local = match text.split_once('@') {
            Some((local, name)) if name == self.keys.name => local,
            Some(_) => return None,
            None => text,
        };
        let handle: Handle = local.parse().ok()?;
        let row = self.tables.handles.get(&handle)?;
        row.reserved_until.is_none().then_some(row.account)
    }

    /// The way to an account.
    pub fn trace(&self, account: &AccountId) -> Option<TraceView> {
        let row = self.tables.accounts.get(account)?;
        let record: AccountRecord = row.record.open(&self.keys.network).ok()?;
        Some(TraceView {
            account: *account,
            handle: self.handle_of(account),
            home: record.home,
            backups: record.backups,
            mailboxes: self.boxes_of(account),
        })
    }

    /// The operator's invites. `now` in seconds.
    pub fn invites(&self, now: u64) -> Vec<InviteView> {
        let rows = self.tables.node_invites.iter();
        rows.map(|(hash, row)| InviteView {
            hash: *hash,
            uses: row.uses,
            used: row.used,
            expires: row.expires,
            state: row.state(now),
        })
        .collect()
    }
}
