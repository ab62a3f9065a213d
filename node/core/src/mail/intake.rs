//! Taking envelopes into custody: from users of this node, and from other nodes.

use postroad_proto::envelope::{Class, Envelope, EnvelopeError, Parcel};
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Records, Refused, RefusedParcel, Send};
use postroad_proto::ids::{AccountId, Hash, Millis, NodeId, ParcelId};
use postroad_proto::receipt::{ReceiptItem, ReceiptKind, role};
use postroad_proto::record::AccountRecord;
use postroad_proto::signed::Signed;
use postroad_proto::token::{DeliveryToken, RequestTag};
use serde_bytes::ByteArray;

use super::admission::{Admission, Targets};
use super::item::{self, Mail, Own, Shared};
use super::mailbox::Item;
use super::stamp::Stamp;
use crate::changes::{MailboxId, NewItem, NewMail};
use crate::core::{Core, SessionId};
use crate::group::Creditor;
use crate::people::accounts::malformed;
use crate::reply::{Refusal, cut};
use crate::state::AccountRow;

/// Who brings an envelope.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// A user's device.
    Device { session: SessionId, number: u64, sender: MailboxId },
    /// Another node.
    Peer { creditor: Creditor, index: u64, origin: NodeId },
}

/// An envelope on its way into custody.
pub(crate) struct Intake {
    pub(crate) source: Source,
    pub(crate) envelope: Envelope,
    /// The part that all its items share, made when the first is taken.
    pub(crate) mail: Option<NewMail>,
}

impl Intake {
    pub(crate) fn new(source: Source, envelope: Envelope) -> Self {
        Self { source, envelope, mail: None }
    }

    /// The device that sent it, when that is a user of this node.
    pub(crate) fn sender(&self) -> Option<MailboxId> {
        match self.source {
            Source::Device { sender, .. } => Some(sender),
            Source::Peer { .. } => None,
        }
    }

    fn creditor(&self) -> Creditor {
        match self.source {
            Source::Device { session, .. } => Creditor::Session(session),
            Source::Peer { creditor, .. } => creditor,
        }
    }
}

/// To whom a parcel goes, and by what right: all that tells senders apart here.
pub(crate) struct Claim {
    account: AccountId,
    token: Option<DeliveryToken>,
    tag: Option<RequestTag>,
}

impl Claim {
    fn of(parcel: &Parcel) -> Self {
        let (account, token) = (parcel.account, parcel.token.clone());
        Self { account, token, tag: parcel.request_tag() }
    }

    fn is_of(&self, parcel: &Parcel) -> bool {
        self.account == parcel.account
            && self.token == parcel.token
            && self.tag == parcel.request_tag()
    }
}

/// How a parcel is held here, as its receipt says.
pub(crate) enum Custody {
    /// In so many of its recipient's mailboxes, whose device list has that hash.
    Home { copies: u8, devices: Option<Hash> },
    /// Until its recipient's home takes it.
    Origin,
}

/// Why a parcel stays out.
pub(crate) struct Rejection {
    refusal: Refusal,
    /// With STALE_DEVICES and MOVED: the recipient's records.
    records: Option<Box<Records>>,
}

impl Rejection {
    /// An account that has another home by now.
    pub(crate) fn moved(row: &AccountRow) -> Self {
        let refusal = Refusal::new(ErrorCode::Moved, "the account has another home");
        let records = Records {
            record: row.record.clone(),
            devices: row.devices.signed.clone(),
            handle: None,
            fallback: Vec::new(),
        };
        Self { refusal, records: Some(Box::new(records)) }
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, records: None }
    }
}

impl Core {
    pub(crate) fn on_send(&mut self, now: Millis, id: SessionId, sender: MailboxId, send: Send) {
        let source = Source::Device { session: id, number: send.number, sender };
        self.take_envelope(now, Intake::new(source, send.envelope), &mut Vec::new());
    }

    /// Takes what can be taken, and says why the rest cannot. `put_off` is what was put off
    /// earlier: what comes to the same account by the same right is put off with it.
    pub(crate) fn take_envelope(
        &mut self,
        now: Millis,
        mut intake: Intake,
        put_off: &mut Vec<(Claim, Refusal)>,
    ) {
        let checked = self.check_envelope(now, &intake);
        if let Err(refusal) = checked.and_then(|()| self.check_backlog(&intake)) {
            return self.refuse(&intake, None, refusal.into());
        }
        let routes = core::mem::take(&mut intake.envelope.routes);
        for (home, parcel) in routes.iter().flat_map(|r| r.parcels.iter().map(|p| (r.home, p))) {
            let earlier = put_off.iter().find(|(claim, _)| claim.is_of(parcel));
            let taken = match earlier {
                Some((_, refusal)) => Err(refusal.clone().into()),
                None => self.take_parcel(now, &mut intake, home, parcel),
            };
            if let Err(rejection) = taken {
                if rejection.refusal.code.retriable() && earlier.is_none() {
                    put_off.push((Claim::of(parcel), rejection.refusal.clone()));
                }
                self.refuse(&intake, Some(parcel.account), rejection);
            }
        }
        if let Some(mail) = intake.mail {
            self.group.staged.mail(mail);
        }
    }

    fn check_envelope(&self, now: Millis, intake: &Intake) -> Result<(), Refusal> {
        let envelope = &intake.envelope;
        envelope.validate().map_err(|error| {
            let code = match error {
                EnvelopeError::Version | EnvelopeError::Kind(_) => ErrorCode::Version,
                EnvelopeError::TooLarge { .. } => ErrorCode::TooLarge,
                EnvelopeError::BodyHash | EnvelopeError::Malformed(_) => ErrorCode::Malformed,
            };
            Refusal::new(code, error.to_string())
        })?;
        if intake.sender().is_none()
            && (envelope.routes.len() != 1 || envelope.routes[0].home != self.node)
        {
            return Err(malformed("another node brings only what is for this one"));
        }
        let seconds = now / 1000;
        if envelope.deadline.saturating_add(self.config.expiry_grace) <= seconds {
            return Err(Refusal::new(ErrorCode::Expired, "the deadline has passed"));
        }
        let latest = seconds + self.config.max_deadline + self.config.expiry_grace;
        if envelope.deadline > latest {
            let text = format!("deadlines of at most {} s are taken", self.config.max_deadline);
            return Err(Refusal::new(ErrorCode::TooLarge, text));
        }
        Ok(())
    }

    /// A device that sends fetches what became of it, too: notices have no quota.
    fn check_backlog(&self, intake: &Intake) -> Result<(), Refusal> {
        let Some(held) = intake.sender().and_then(|sender| self.mailboxes.get(&sender)) else {
            return Ok(());
        };
        let config = &self.config;
        if (held.items.len() as u64) < config.mailbox_messages && held.bytes < config.mailbox_bytes
        {
            return Ok(());
        }
        let text = format!("{} items wait for this device; it has to fetch them", held.items.len());
        Err(Refusal::after(ErrorCode::SenderQuota, 5, text))
    }

    fn take_parcel(
        &mut self,
        now: Millis,
        intake: &mut Intake,
        home: NodeId,
        parcel: &Parcel,
    ) -> Result<(), Rejection> {
        let id = intake.envelope.parcel_id(parcel, &self.keys.network);
        let held = self.held.get(&id);
        let bound = held.and_then(|held| held.bound.as_deref().copied());
        let elsewhere = bound.filter(|bound| bound.node != home);
        let here = home == self.node;
        let copies = held.map_or(0, |held| held.copies.saturating_sub(held.outbound));
        let is_repeat = match here {
            true => copies > 0 || self.recent.contains(&id),
            // What lies in a mailbox here is offered for another node: its recipient has moved.
            false => bound.is_some() && elsewhere.is_none(),
        };
        if is_repeat {
            if let Some(old) = elsewhere {
                self.unbind(intake, id, old);
            }
            self.counters.repeated += 1;
            let custody = match here {
                true => Custody::Home { copies, devices: self.devices_hash(&parcel.account) },
                false => Custody::Origin,
            };
            self.owe_custody(intake, id, custody);
            return Ok(());
        }
        self.check_space()?;
        match home == self.node {
            true => self.take_here(now, intake, parcel, id)?,
            false => self.bind(now, intake, home, parcel, id)?,
        }
        if let Some(old) = elsewhere {
            self.unbind(intake, id, old);
        }
        Ok(())
    }

    fn take_here(
        &mut self,
        now: Millis,
        intake: &mut Intake,
        parcel: &Parcel,
        id: ParcelId,
    ) -> Result<(), Rejection> {
        let admission = self.admit(now, intake, parcel)?;
        let Targets { mailboxes: targets, devices } = self.targets(intake.sender(), parcel)?;
        if targets.is_empty() {
            let text = "no header fits a device of the account; its list is attached";
            let records = self.records_of(&parcel.account, false).ok();
            let refusal = Refusal::new(ErrorCode::StaleDevices, text);
            return Err(Rejection { refusal, records: records.map(Box::new) });
        }
        let bytes = intake.envelope.body.len() + 512;
        for (mailbox, _) in &targets {
            self.check_quota(*mailbox, bytes as u64, &admission)?;
        }
        if let Some((origin, tag)) = admission.request {
            let until = intake.envelope.deadline + self.config.expiry_grace;
            self.open_request(now, (parcel.account, origin, tag), until);
        }
        let copies = targets.len() as u8;
        for (mailbox, header) in targets {
            let own = Own {
                label: admission.label.map(ByteArray::new),
                origin: admission.request.map(|(origin, _)| origin),
                tag: admission.request.map(|(_, tag)| ByteArray::new(tag)),
                header: Some(header),
                copies: u64::from(copies),
                ..Own::default()
            };
            self.put_item(now, intake, id, mailbox, &own, &admission)?;
            self.hold(id);
        }
        self.counters.accepted += 1;
        self.owe_custody(intake, id, Custody::Home { copies, devices });
        self.group.count_taken(intake.creditor());
        Ok(())
    }

    /// Puts an item into a mailbox, or into an outbox.
    pub(crate) fn put_item(
        &mut self,
        now: Millis,
        intake: &mut Intake,
        id: ParcelId,
        mailbox: MailboxId,
        own: &Own,
        admission: &Admission,
    ) -> Result<u64, Refusal> {
        let encoding = |e: postroad_proto::codec::CodecError| malformed(e.to_string());
        let own = match intake.mail {
            Some(_) => item::encode(own).map_err(encoding)?,
            None => {
                let shared = self.shared_part(intake);
                let (shared, own) = item::encode_both(&shared, own).map_err(encoding)?;
                intake.mail = Some(NewMail { shared, items: Vec::with_capacity(1) });
                own
            }
        };
        let seq = self.next_seq(mailbox);
        let expires = intake.envelope.deadline + self.config.expiry_grace;
        let Some(mail) = intake.mail.as_mut() else { return Ok(seq) };
        let bytes = (mail.shared.len() + own.len()) as u32;
        mail.items.push(NewItem { mailbox, seq, id, expires, own });
        let item = Item { id, bytes, expires, label: admission.label, since: now };
        self.mailbox_mut(mailbox).insert(seq, item);
        self.note_expiry(mailbox, expires);
        self.wake(mailbox);
        Ok(seq)
    }

    /// The stamp lets the origin find the sender again, should nobody fetch this in time.
    fn shared_part(&self, intake: &Intake) -> Shared {
        let (stamp, origin) = match intake.source {
            Source::Device { sender, .. } => {
                let stamp = Stamp {
                    account: self.tables.accounts.get(&sender.account).map_or(0, |row| row.number),
                    device: sender.device,
                    commit: self.commit + 1,
                    index: self.group.staged.envelopes() as u32,
                };
                (stamp.seal(&self.keys.secret).into(), None)
            }
            Source::Peer { origin, .. } => (intake.envelope.stamp.clone(), Some(origin)),
        };
        Shared {
            mail: Some(Mail {
                attributes: intake.envelope.attributes(),
                body_hash: intake.envelope.body_hash,
                body: intake.envelope.body.clone(),
                stamp,
                origin,
            }),
            receipts: None,
            refused: None,
        }
    }

    /// Whoever brought the parcel gets a receipt for it.
    pub(crate) fn owe_custody(&mut self, intake: &Intake, id: ParcelId, custody: Custody) {
        let (kind, role, copies, devices) = match custody {
            Custody::Home { copies, devices } => (ReceiptKind::AtNode, role::HOME, copies, devices),
            Custody::Origin => (ReceiptKind::Accepted, role::ORIGIN, 0, None),
        };
        // Only a contact may know it.
        let devices = devices.filter(|_| intake.envelope.class() == Some(Class::Message));
        let item = ReceiptItem {
            parcel: id,
            kind: kind.number(),
            role,
            copies: u64::from(copies),
            until: intake.envelope.deadline + self.config.expiry_grace,
            devices,
        };
        let number = match intake.source {
            Source::Device { number, .. } => number,
            Source::Peer { .. } => 0,
        };
        self.group.owe_receipt(intake.creditor(), number, item);
    }

    fn devices_hash(&self, account: &AccountId) -> Option<Hash> {
        self.tables.accounts.get(account).map(|row| row.devices.hash)
    }

    fn refuse(&mut self, intake: &Intake, account: Option<AccountId>, rejection: Rejection) {
        self.counters.refused += 1;
        let Rejection { refusal, records } = rejection;
        let (code, retriable, retry_after) =
            (refusal.code, refusal.code.retriable(), refusal.retry_after);
        let detail = cut(refusal.detail);
        let records = records.map(|records| *records);
        match intake.source {
            Source::Device { session, number, .. } => {
                let refused =
                    Refused { number, account, code, retriable, retry_after, detail, records };
                self.group.release(session, refused);
            }
            Source::Peer { creditor, index, .. } => {
                let record: Option<Signed<AccountRecord>> =
                    records.as_ref().filter(|_| code == ErrorCode::Moved).map(|r| r.record.clone());
                let records = records.filter(|_| code != ErrorCode::Moved);
                let refused = RefusedParcel {
                    envelope: index,
                    account,
                    code,
                    retriable,
                    retry_after,
                    detail,
                    record,
                    records,
                };
                self.group.refuse(creditor, refused);
            }
        }
    }
}
