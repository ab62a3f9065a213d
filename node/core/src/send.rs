//! Taking envelopes into custody.

use postroad_proto::blob::Blob;
use postroad_proto::envelope::{Class, Envelope, EnvelopeError, Parcel};
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Records, Refused, Send};
use postroad_proto::ids::{AccountId, Hash, Millis, NodeId, ParcelId};
use postroad_proto::limits::MAX_DETAIL;
use postroad_proto::receipt::{ReceiptItem, ReceiptKind, role};
use postroad_proto::token::{Label, RequestTag};
use serde_bytes::ByteArray;

use crate::accounts::malformed;
use crate::changes::{MailboxId, NewItem, NewMail};
use crate::core::{Core, SessionId};
use crate::item::{self, Mail, Own, Shared};
use crate::mailbox::Item;
use crate::reply::{Refusal, denied};
use crate::stamp::Stamp;

/// An envelope on its way into custody.
struct Intake {
    session: SessionId,
    number: u64,
    sender: MailboxId,
    envelope: Envelope,
    /// The part that all its items share, made when the first is taken.
    mail: Option<NewMail>,
}

/// Why a parcel stays out.
struct Rejection {
    refusal: Refusal,
    /// With STALE_DEVICES: the recipient's list.
    records: Option<Box<Records>>,
}

/// Why a parcel may come in.
struct Admission {
    label: Option<Label>,
    /// Percent of the mailbox that mail under this label may fill.
    share: u64,
    tag: Option<RequestTag>,
}

impl Core {
    pub(crate) fn on_send(&mut self, now: Millis, id: SessionId, sender: MailboxId, send: Send) {
        let number = send.number;
        let mut intake =
            Intake { session: id, number, sender, envelope: send.envelope, mail: None };
        if let Err(refusal) = self.check_envelope(now, &intake.envelope) {
            return self.refuse(id, number, None, Rejection { refusal, records: None });
        }
        let routes = core::mem::take(&mut intake.envelope.routes);
        for (home, parcel) in routes.iter().flat_map(|r| r.parcels.iter().map(|p| (r.home, p))) {
            if let Err(rejection) = self.take_parcel(now, &mut intake, home, parcel) {
                self.refuse(id, number, Some(parcel.account), rejection);
            }
        }
        if let Some(mail) = intake.mail {
            self.group.staged.mail(mail);
        }
    }

    fn check_envelope(&self, now: Millis, envelope: &Envelope) -> Result<(), Refusal> {
        envelope.validate().map_err(|error| {
            let code = match error {
                EnvelopeError::Version | EnvelopeError::Kind(_) => ErrorCode::Version,
                EnvelopeError::TooLarge { .. } => ErrorCode::TooLarge,
                EnvelopeError::BodyHash | EnvelopeError::Malformed(_) => ErrorCode::Malformed,
            };
            Refusal::new(code, error.to_string())
        })?;
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

    fn take_parcel(
        &mut self,
        now: Millis,
        intake: &mut Intake,
        home: NodeId,
        parcel: &Parcel,
    ) -> Result<(), Rejection> {
        let plain = |refusal| Rejection { refusal, records: None };
        self.check_here(&home).map_err(plain)?;
        let id = intake.envelope.parcel_id(parcel, &self.keys.network);
        if self.held.contains_key(&id) || self.recent.contains(&id) {
            self.counters.repeated += 1;
            let copies = self.held.get(&id).map_or(0, |held| held.copies);
            self.owe_custody(intake, parcel.account, id, copies);
            return Ok(());
        }
        self.check_space().map_err(plain)?;
        let admission = self.admit(now, intake, parcel).map_err(plain)?;
        let targets = self.targets(intake.sender, parcel);
        if targets.is_empty() {
            let text = "no header fits a device of the account; its list is attached";
            let records = self.records_of(&parcel.account, false).ok();
            let refusal = Refusal::new(ErrorCode::StaleDevices, text);
            return Err(Rejection { refusal, records: records.map(Box::new) });
        }
        let bytes = intake.envelope.body.len() + 512;
        for (mailbox, _) in &targets {
            self.check_quota(*mailbox, bytes as u64, &admission).map_err(plain)?;
        }
        if let Some(tag) = admission.tag {
            self.open_request(parcel.account, tag, intake.envelope.deadline);
        }
        let copies = targets.len() as u8;
        for target in targets {
            self.put_item(now, intake, (id, copies), target, &admission).map_err(plain)?;
        }
        self.counters.accepted += 1;
        self.owe_custody(intake, parcel.account, id, copies);
        Ok(())
    }

    /// Whether the parcel has a right to be here.
    fn admit(
        &mut self,
        now: Millis,
        intake: &Intake,
        parcel: &Parcel,
    ) -> Result<Admission, Refusal> {
        let sender = intake.sender.account;
        if intake.envelope.class() == Some(Class::Request) {
            if parcel.tag.is_some() {
                return Err(malformed("the tag of a request is this node's to fill in"));
            }
            let tag = self.check_request(now, &sender, &parcel.account)?;
            return Ok(Admission { label: None, share: 100, tag: Some(tag) });
        }
        match (&parcel.token, parcel.own_label()) {
            (Some(token), None) => {
                let (label, share) = self.spend_token(now, &parcel.account, &token.hash())?;
                Ok(Admission { label: Some(label), share, tag: None })
            }
            (None, Some(label)) if parcel.account == sender => {
                Ok(Admission { label: Some(label), share: 100, tag: None })
            }
            _ => Err(denied()),
        }
    }

    /// The mailboxes that the parcel's headers fit. The sending device gets none of its own mail.
    fn targets(&self, sender: MailboxId, parcel: &Parcel) -> Vec<(MailboxId, Blob)> {
        let Some(list) = self.device_list(&parcel.account) else { return Vec::new() };
        parcel
            .headers
            .iter()
            .filter(|header| list.device(header.device).is_some())
            .map(|header| {
                let mailbox = MailboxId { account: parcel.account, device: header.device };
                (mailbox, header.sealed.clone())
            })
            .filter(|(mailbox, _)| *mailbox != sender)
            .collect()
    }

    fn check_quota(
        &self,
        mailbox: MailboxId,
        bytes: u64,
        admission: &Admission,
    ) -> Result<(), Refusal> {
        let Some(held) = self.mailboxes.get(&mailbox) else { return Ok(()) };
        let config = &self.config;
        let quota = |text| Err(Refusal::after(ErrorCode::Quota, 300, text));
        if held.items.len() as u64 >= config.mailbox_messages {
            return quota(format!(
                "the mailbox is full: it holds {} messages",
                config.mailbox_messages
            ));
        }
        if held.bytes + bytes > config.mailbox_bytes {
            return quota(format!("the mailbox is full: it holds {} bytes", config.mailbox_bytes));
        }
        let share = config.mailbox_bytes / 100 * admission.share.min(100);
        match admission.label {
            Some(label) if held.share(&label) + bytes > share => {
                quota(format!("this contact's share of the mailbox is full: {share} bytes"))
            }
            _ => Ok(()),
        }
    }

    fn put_item(
        &mut self,
        now: Millis,
        intake: &mut Intake,
        (id, copies): (ParcelId, u8),
        (mailbox, header): (MailboxId, Blob),
        admission: &Admission,
    ) -> Result<(), Refusal> {
        let encoding = |e: postroad_proto::codec::CodecError| {
            Refusal::new(ErrorCode::Malformed, e.to_string())
        };
        let own = item::encode(&Own {
            label: admission.label.map(ByteArray::new),
            origin: admission.tag.map(|_| self.node),
            tag: admission.tag.map(ByteArray::new),
            header: Some(header),
            copies: u64::from(copies),
        })
        .map_err(encoding)?;
        if intake.mail.is_none() {
            let shared = item::encode(&self.shared_part(intake)).map_err(encoding)?;
            intake.mail = Some(NewMail { shared, items: Vec::new() });
        }
        let Some(mail) = intake.mail.as_mut() else { return Ok(()) };
        let expires = intake.envelope.deadline + self.config.expiry_grace;
        let bytes = (mail.shared.len() + own.len()) as u32;
        let seq = self.next_seq(mailbox);
        mail.items.push(NewItem { mailbox, seq, id, expires, own });
        let item = Item { id, bytes, expires, label: admission.label, since: now };
        self.mailbox_mut(mailbox).insert(seq, item);
        self.hold(id);
        self.note_expiry(mailbox, expires);
        self.wake(mailbox);
        Ok(())
    }

    /// The stamp lets the node find the sender again, should nobody fetch this in time.
    fn shared_part(&self, intake: &Intake) -> Shared {
        let stamp = Stamp {
            account: self.tables.accounts.get(&intake.sender.account).map_or(0, |row| row.number),
            device: intake.sender.device,
            commit: self.commit + 1,
            index: self.group.staged.envelopes() as u64,
        };
        Shared {
            mail: Some(Mail {
                attributes: intake.envelope.attributes(),
                body_hash: intake.envelope.body_hash,
                body: intake.envelope.body.clone(),
                stamp: stamp.seal(&self.keys.secret).into(),
            }),
            receipt: None,
        }
    }

    fn owe_custody(&mut self, intake: &Intake, account: AccountId, id: ParcelId, copies: u8) {
        let item = ReceiptItem {
            parcel: id,
            kind: ReceiptKind::AtNode.number(),
            role: role::HOME,
            copies: u64::from(copies),
            until: intake.envelope.deadline + self.config.expiry_grace,
            devices: self.devices_hash(intake, &account),
        };
        self.group.owe_receipt(intake.session, intake.number, item);
    }

    /// The hash of the recipient's device list, for those who may know it.
    fn devices_hash(&self, intake: &Intake, account: &AccountId) -> Option<Hash> {
        let contact = intake.envelope.class() == Some(Class::Message);
        let row = self.tables.accounts.get(account).filter(|_| contact)?;
        Some(row.devices.hash())
    }

    fn refuse(
        &mut self,
        id: SessionId,
        number: u64,
        account: Option<AccountId>,
        Rejection { refusal, records }: Rejection,
    ) {
        self.counters.refused += 1;
        let mut detail = refusal.detail;
        detail.truncate(detail.floor_char_boundary(MAX_DETAIL));
        let refused = Refused {
            number,
            account,
            code: refusal.code,
            retriable: refusal.code.retriable(),
            retry_after: refusal.retry_after,
            detail,
            records: records.map(|records| *records),
        };
        self.group.release(id, refused);
    }
}
