//! Whether a parcel may come in, and into which mailboxes.

use postroad_proto::blob::Blob;
use postroad_proto::envelope::{Class, Parcel};
use postroad_proto::error::ErrorCode;
use postroad_proto::ids::{Hash, Millis, NodeId};
use postroad_proto::token::{Label, RequestTag};

use super::intake::{Intake, Rejection, Source};
use crate::changes::MailboxId;
use crate::core::Core;
use crate::people::accounts::malformed;
use crate::reply::{Refusal, denied};

/// Why a parcel may come in.
#[derive(Default)]
pub(crate) struct Admission {
    pub(crate) label: Option<Label>,
    /// Percent of the mailbox that mail under this label may fill.
    pub(crate) share: u64,
    /// Of a stranger's request.
    pub(crate) request: Option<(NodeId, RequestTag)>,
}

/// Where a parcel goes.
#[derive(Default)]
pub(crate) struct Targets {
    /// Each with the header for its device.
    pub(crate) mailboxes: Vec<(MailboxId, Blob)>,
    /// The hash of the account's device list.
    pub(crate) devices: Option<Hash>,
}

impl Core {
    /// Whether the parcel has a right to be here.
    pub(crate) fn admit(
        &mut self,
        now: Millis,
        intake: &Intake,
        parcel: &Parcel,
    ) -> Result<Admission, Refusal> {
        let admission = if intake.envelope.class() == Some(Class::Request) {
            self.admit_request(now, intake, parcel)
        } else {
            self.admit_message(now, intake, parcel)
        };
        admission.map_err(|refusal| self.unless_unsure(now, Some(&parcel.account), refusal))
    }

    fn admit_request(
        &mut self,
        now: Millis,
        intake: &Intake,
        parcel: &Parcel,
    ) -> Result<Admission, Refusal> {
        let (origin, tag) = match intake.source {
            Source::Device { sender, .. } => {
                if parcel.tag.is_some() {
                    return Err(malformed("the tag of a request is this node's to fill in"));
                }
                (self.node, self.request_tag(&sender.account, &parcel.account)?)
            }
            Source::Peer { origin, .. } => {
                let tag = parcel.request_tag();
                (origin, tag.ok_or_else(|| malformed("a request without its origin's tag"))?)
            }
        };
        self.check_request(now, (parcel.account, origin, tag))?;
        match intake.sender() {
            Some(sender) => self.take_request(now, sender.account)?,
            None => self.take_request_of(now, origin)?,
        }
        Ok(Admission { label: None, share: 100, request: Some((origin, tag)) })
    }

    fn admit_message(
        &mut self,
        now: Millis,
        intake: &Intake,
        parcel: &Parcel,
    ) -> Result<Admission, Refusal> {
        let sender = intake.sender().map(|sender| sender.account);
        match (&parcel.token, parcel.own_label()) {
            (Some(token), None) => {
                let (label, share) = self.spend_token(now, &parcel.account, &token.hash())?;
                Ok(Admission { label: Some(label), share, request: None })
            }
            (None, Some(label)) if sender == Some(parcel.account) => {
                Ok(Admission { label: Some(label), share: 100, request: None })
            }
            _ => Err(denied()),
        }
    }

    /// The mailboxes that the parcel's headers fit. The sending device gets none of its own mail.
    pub(crate) fn targets(
        &self,
        sender: Option<MailboxId>,
        parcel: &Parcel,
    ) -> Result<Targets, Rejection> {
        let Some(row) = self.tables.accounts.get(&parcel.account) else {
            return Ok(Targets::default());
        };
        if row.moved {
            return Err(Rejection::moved(row));
        }
        let mailboxes = parcel
            .headers
            .iter()
            .filter(|header| row.devices.has(header.device))
            .map(|header| {
                let mailbox = MailboxId { account: parcel.account, device: header.device };
                (mailbox, header.sealed.clone())
            })
            .filter(|(mailbox, _)| Some(*mailbox) != sender)
            .collect();
        Ok(Targets { mailboxes, devices: Some(row.devices.hash) })
    }

    pub(crate) fn check_quota(
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
}
