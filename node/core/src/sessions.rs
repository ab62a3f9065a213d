//! Sessions: who is connected, and which request goes where.

use postroad_proto::PROTOCOL_VERSIONS;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Frame, Hello, NodeLimits, Register, Welcome};
use postroad_proto::ids::{AccountId, DeviceNumber, Hash, Millis};
use postroad_proto::limits;
use serde_bytes::ByteArray;

use crate::changes::MailboxId;
use crate::core::{Core, Output, SessionId};
use crate::people::rendezvous::Seat;
use crate::people::tokens::Asker;
use crate::people::vault::Upload;
use crate::reply::{Answer, Refusal};

/// A connected client. Holds no buffer: mail is read when there is credit for it.
pub(crate) struct Session {
    /// Its Noise key.
    pub(crate) key: Hash,
    /// Registrations and rendezvous of it that failed.
    failed: u32,
    /// Whether it said hello.
    greeted: bool,
    /// Its mailbox, once it is known as a device of an account homed here.
    pub(crate) mailbox: Option<MailboxId>,
    /// Its place at a rendezvous, once it is a guest there; then it is no device's.
    pub(crate) seat: Option<Seat>,
    /// The vault of which it has put some parts.
    pub(crate) upload: Option<Upload>,
    pub(crate) credit_messages: u64,
    pub(crate) credit_bytes: u64,
    /// Items up to this number were pushed in this session.
    pub(crate) pushed: u64,
    /// Pings to be answered once nothing more can be pushed.
    pub(crate) pings: Vec<u64>,
}

/// Failed registrations and rendezvous in one session.
const MAX_FAILED: u32 = 3;
/// Credit beyond this is not counted: nobody needs more in flight.
const MAX_CREDIT: u64 = 1 << 32;

impl Session {
    pub(crate) fn new(key: Hash) -> Self {
        Self {
            key,
            failed: 0,
            greeted: false,
            mailbox: None,
            seat: None,
            upload: None,
            credit_messages: 0,
            credit_bytes: 0,
            pushed: 0,
            pings: Vec::new(),
        }
    }
}

impl Core {
    pub(crate) fn on_frame(&mut self, now: Millis, id: SessionId, frame: Frame) {
        let Some(session) = self.sessions.get(&id) else { return };
        let (greeted, mailbox) = (session.greeted, session.mailbox);
        if let Some(seat) = session.seat {
            return self.on_guest_frame(id, seat, frame);
        }
        match (frame, mailbox) {
            (Frame::Hello(hello), None) if !greeted => self.on_hello(now, id, &hello),
            (Frame::Register(ask), None) if greeted => self.on_register(now, id, &ask),
            (Frame::RendezvousJoin(ask), None) if greeted => self.on_rendezvous_join(id, &ask),
            (Frame::Ping(ping), _) if greeted => self.on_ping(id, ping.request),
            (frame, Some(mailbox)) => self.on_device_frame(now, id, mailbox, frame),
            (_, None) => self.hang_up(id, ErrorCode::Denied, "say hello and register first"),
        }
    }

    fn on_device_frame(&mut self, now: Millis, id: SessionId, mailbox: MailboxId, frame: Frame) {
        let account = mailbox.account;
        match frame {
            Frame::Send(send) => self.on_send(now, id, mailbox, *send),
            Frame::Ack(ack) => self.on_ack(id, mailbox, &ack),
            Frame::Credit(credit) => self.on_credit(id, credit.messages, credit.bytes),
            Frame::Register(ask) => {
                let answer = self.register(now, id, &ask);
                self.answer(id, ask.request, answer);
            }
            Frame::RecordsGet(ask) if ask.node != self.node => {
                self.relay(now, (id, account), ask.node, ask.request, Frame::RecordsGet(ask));
            }
            Frame::PrekeysClaim(ask) if ask.node != self.node => {
                self.relay(now, (id, account), ask.node, ask.request, Frame::PrekeysClaim(ask));
            }
            Frame::TokensRedeem(ask) if ask.node != self.node => {
                self.relay(now, (id, account), ask.node, ask.request, Frame::TokensRedeem(ask));
            }
            Frame::Locate(ask) => self.on_locate(id, &ask),
            Frame::EphemeralSend(said) => self.on_ephemeral(now, account, *said),
            Frame::RecordsGet(ask) => {
                let answer = self.records_get(now, Asker::Account(account), &ask);
                self.answer(id, ask.request, answer);
            }
            Frame::RecordsPut(ask) => {
                let answer = self.records_put(now, id, account, &ask);
                self.answer(id, ask.request, answer);
                self.part_if_removed(id, mailbox);
            }
            Frame::PrekeysPut(ask) => {
                let answer = self.prekeys_put(mailbox, &ask);
                self.answer(id, ask.request, answer);
            }
            Frame::PrekeysClaim(ask) => {
                let answer = self.prekeys_claim(now, Asker::Account(account), &ask);
                self.answer(id, ask.request, answer);
            }
            Frame::TokensPut(ask) => {
                let answer = self.tokens_put(now, account, &ask);
                self.answer(id, ask.request, answer);
            }
            Frame::TokensDrop(ask) => {
                let answer = self.tokens_drop(account, &ask);
                self.answer(id, ask.request, answer);
            }
            Frame::TokensList(ask) => {
                let answer = self.tokens_list(now, account);
                self.answer(id, ask.request, answer);
            }
            Frame::TokensRedeem(ask) => {
                let answer = self.tokens_redeem(now, Asker::Account(account), &ask);
                self.answer(id, ask.request, answer);
            }
            Frame::InvitesPut(ask) => {
                let answer = self.invites_put(now, account, &ask);
                self.answer(id, ask.request, answer);
            }
            Frame::InvitesDrop(ask) => {
                let answer = self.invites_drop(account, &ask);
                self.answer(id, ask.request, answer);
            }
            Frame::RequestsSettle(ask) => {
                let answer = self.requests_settle(now, account, &ask);
                self.answer(id, ask.request, answer);
            }
            Frame::SettingsPut(ask) => {
                let answer = self.settings_put(account, &ask);
                self.answer(id, ask.request, answer);
            }
            Frame::VaultPut(ask) => {
                let request = ask.request;
                let answer = self.vault_put(id, mailbox, *ask);
                self.answer(id, request, answer);
            }
            Frame::VaultGet(ask) => {
                let answer = self.vault_get(&account, &ask);
                self.answer(id, ask.request, answer);
            }
            Frame::AccountDelete(ask) => {
                let answer = self.account_delete(now, account, &ask);
                self.answer(id, ask.request, answer);
            }
            Frame::RendezvousOpen(ask) => {
                let answer = self.rendezvous_open(now, account, &ask);
                self.answer(id, ask.request, answer);
            }
            other => self.hang_up_for(id, &other),
        }
    }

    /// The frame is not for this moment, or not for a node.
    pub(crate) fn hang_up_for(&mut self, id: SessionId, frame: &Frame) {
        let text = format!("{} is not for this moment or not for a node", frame.name());
        self.hang_up(id, ErrorCode::Malformed, &text);
    }

    fn on_register(&mut self, now: Millis, id: SessionId, ask: &Register) {
        let answer = self.register(now, id, ask);
        let failed = answer.is_err();
        self.answer(id, ask.request, answer);
        if failed {
            self.count_failure(id);
        }
    }

    /// A stranger who fails too often has to connect anew.
    pub(crate) fn count_failure(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.failed += 1;
        if session.failed >= MAX_FAILED {
            self.hang_up(id, ErrorCode::Rate, "too many failed attempts");
        }
    }

    fn on_hello(&mut self, now: Millis, id: SessionId, hello: &Hello) {
        let (low, high) = PROTOCOL_VERSIONS;
        let version = high.min(hello.versions.1);
        if hello.quoted.len() > limits::MAX_QUOTED {
            let text = format!("at most {} quoted receipts", limits::MAX_QUOTED);
            return self.hang_up(id, ErrorCode::Malformed, &text);
        }
        if version < low.max(hello.versions.0) {
            let text = format!("this node speaks versions {low} to {high}");
            return self.hang_up(id, ErrorCode::Version, &text);
        }
        self.on_quotes(now, &hello.quoted);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.greeted = true;
        let key = session.key;
        let mailbox = match hello.account {
            None => None,
            Some(account) if self.is_device(account, hello.device, &key) => {
                Some(MailboxId { account, device: hello.device })
            }
            // The same answer whether the account is unknown, elsewhere, or not this device's.
            Some(_) => {
                let text = "this device is not one of an account homed here";
                return self.hang_up(id, ErrorCode::Denied, text);
            }
        };
        if let Some(mailbox) = mailbox {
            self.attach(id, mailbox);
        }
        self.welcome(now, id, version, mailbox);
        if mailbox.is_some() {
            self.tell_raised(id, &hello.quoted);
        }
    }

    fn welcome(&mut self, now: Millis, id: SessionId, version: u64, mailbox: Option<MailboxId>) {
        let row = mailbox.and_then(|m| self.tables.accounts.get(&m.account));
        let welcome = Welcome {
            version,
            generation: self.generation,
            run: ByteArray::new(self.run),
            limits: NodeLimits {
                max_body: limits::MAX_BODY as u64,
                max_deadline: self.config.max_deadline,
                mailbox_messages: self.config.mailbox_messages,
                mailbox_bytes: self.config.mailbox_bytes,
                in_flight: limits::MAX_IN_FLIGHT as u64,
            },
            time: now,
            registered: mailbox.is_some(),
            one_time_keys: mailbox.map_or(0, |m| self.one_time_keys(m) as u64),
            record: row.map(|row| row.record.clone()),
            delete_at: row.and_then(|row| row.delete_at()),
        };
        self.group.release(id, welcome);
    }

    /// A device that took itself off the list has heard the answer, and goes.
    fn part_if_removed(&mut self, id: SessionId, mailbox: MailboxId) {
        let key = self.sessions.get(&id).map(|session| session.key);
        if key.is_some_and(|key| !self.is_device(mailbox.account, mailbox.device, &key)) {
            self.hang_up(id, ErrorCode::Denied, "this device was taken off the list");
        }
    }

    /// Whether `key` is the Noise key of that device, as the account's own list says.
    pub(crate) fn is_device(&self, account: AccountId, device: DeviceNumber, key: &Hash) -> bool {
        self.device_list(&account)
            .and_then(|list| list.device(device).map(|d| d.noise == *key))
            .unwrap_or(false)
    }

    /// Makes the session a device's. A device has one session: the newest.
    pub(crate) fn attach(&mut self, id: SessionId, mailbox: MailboxId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.mailbox = Some(mailbox);
        }
        self.group.released.push(Output::Known { session: id });
        if let Some(old) = self.online.insert(mailbox, id).filter(|old| *old != id) {
            self.hang_up(old, ErrorCode::Busy, "this device connected anew");
        }
    }

    /// Says why and closes. What the client sends afterwards is not looked at.
    pub(crate) fn hang_up(&mut self, id: SessionId, code: ErrorCode, detail: &str) {
        self.answer(id, 0, Err(Refusal::new(code, detail)) as Answer);
        self.group.released.push(Output::Close { session: id, code });
        self.forget_session(id);
    }

    pub(crate) fn forget_session(&mut self, id: SessionId) {
        self.waiting.remove(&id);
        let Some(session) = self.sessions.remove(&id) else { return };
        if let Some(mailbox) = session.mailbox
            && self.online.get(&mailbox) == Some(&id)
        {
            self.online.remove(&mailbox);
        }
        if let Some(seat) = session.seat {
            self.leave_meeting(id, seat);
        }
        if let Some(upload) = session.upload {
            self.drop_upload(&upload);
        }
    }

    fn on_credit(&mut self, id: SessionId, messages: u64, bytes: u64) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.credit_messages = session.credit_messages.saturating_add(messages).min(MAX_CREDIT);
        session.credit_bytes = session.credit_bytes.saturating_add(bytes).min(MAX_CREDIT);
        self.waiting.insert(id);
    }

    pub(crate) fn on_ping(&mut self, id: SessionId, request: u64) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.pings.len() >= limits::MAX_IN_FLIGHT {
            return self.hang_up(id, ErrorCode::Rate, "too many pings unanswered");
        }
        session.pings.push(request);
        self.waiting.insert(id);
    }
}
