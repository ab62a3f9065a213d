//! What the SDK returns, as the screen shows it.

use postroad_cli::local_day_and_time;
use postroad_client::{CheckedStep, Client, ContactView, Mention, Message, Query, Result, Why};

use super::model::{Asking, Body, Bubble, Chat, Quote, Step, Waits, WhyView};
use crate::view::{MessageRow, WaitingRow};

/// From this difference on it is said when a message was sent, beside when it came: milliseconds.
const LATE: u64 = 10 * 60_000;

/// A conversation in the list.
pub(super) fn chat(client: &mut Client, contact: ContactView) -> Result<Chat> {
    let newest = Query { contact: Some(contact.account), last: 1, ..Query::default() };
    let last = client.messages(&newest)?.into_iter().next();
    let unread = match contact.blocked {
        true => 0,
        false => client.unread(&contact.account)?,
    };
    Ok(Chat {
        account: contact.account,
        name: contact.name,
        unread,
        blocked: contact.blocked,
        verified: contact.verified,
        last: last.map_or(0, |message| message.received_at.unwrap_or(message.sent_at)),
        vanish_after: contact.vanish_after,
        reason: contact.reason,
        handle: contact.handle,
        handle_proven: contact.handle_proven,
        phase: contact.phase.word(),
        node: contact.home.node.to_string(),
    })
}

/// Everybody who asks to write.
pub(super) fn requests(client: &mut Client) -> Result<Vec<Asking>> {
    let mut asking = Vec::new();
    for contact in client.requests()? {
        let query = Query { contact: Some(contact.account), requests: true, ..Query::default() };
        let texts = client.messages(&query)?.into_iter().filter_map(|message| message.text);
        asking.push(Asking {
            account: contact.account,
            name: contact.name,
            handle: contact.handle,
            handle_proven: contact.handle_proven,
            text: texts.collect::<Vec<_>>().join("\n"),
        });
    }
    Ok(asking)
}

/// A message.
pub(super) fn bubble(message: &Message) -> Bubble {
    let at = message.received_at.unwrap_or(message.sent_at);
    let (day, mut time) = local_day_and_time(at);
    if at.abs_diff(message.sent_at) > LATE {
        let (sent_day, sent_time) = local_day_and_time(message.sent_at);
        time = match sent_day == day {
            true => format!("{time}, sent {sent_time}"),
            false => format!("{time}, sent {sent_day} {sent_time}"),
        };
    }
    let quote = message.reply.as_ref();
    Bubble {
        row: message.row,
        id: message.id,
        account: message.contact,
        chat: message.chat.clone(),
        outgoing: message.outgoing,
        body: match &message.text {
            Some(text) => Body::Text(text.clone()),
            None => Body::Note(MessageRow::from(message).body()),
        },
        quote: quote.map(|quote| Quote { outgoing: quote.outgoing, text: quote.text.clone() }),
        forwarded: message.forwarded,
        edited: message.edited,
        deleted: message.deleted,
        reactions: message.reactions.iter().map(|r| (r.outgoing, r.emoji.clone())).collect(),
        names_me: message.mentions.iter().any(|mention| mention.account != message.contact),
        mentions: mentions(message),
        vanish_after: message.vanish_after,
        day,
        time,
        state: message.state,
        reason: message.reason.clone(),
        shown: message.shown,
        missing_before: message.missing_before,
        lost_before: message.lost_before,
    }
}

/// The parts of a text that name somebody.
fn mentions(message: &Message) -> Vec<String> {
    let text = message.text.as_deref().unwrap_or_default();
    let part = |mention: &Mention| {
        let start = usize::try_from(mention.start).ok()?;
        let end = start.checked_add(usize::try_from(mention.length).ok()?)?;
        text.get(start..end).map(str::to_owned)
    };
    message.mentions.iter().filter_map(part).collect()
}

/// A message's way.
pub(super) fn why(why: &Why) -> WhyView {
    let when = |at: u64| {
        let (day, time) = local_day_and_time(at);
        format!("{day} {time}")
    };
    let waits = why.waiting.as_ref().map(|waiting| {
        let there = why.steps.iter().rev().find(|step| step.by.to_string() == waiting.at);
        let row = WaitingRow::from(waiting);
        Waits {
            at: there.map_or_else(|| waiting.at.clone(), |step| step.name.clone()),
            since: when(waiting.since),
            reason: waiting.reason.clone(),
            detail: waiting.detail.clone(),
            next_try: waiting.next_try.map(when).or_else(|| row.hint.map(str::to_owned)),
        }
    });
    let step = |step: &CheckedStep| Step {
        state: step.state,
        at: when(step.at),
        by: step.name.clone(),
        verified: step.verified,
    };
    WhyView {
        id: why.message.id,
        state: why.message.state,
        chat: why.message.chat.clone(),
        steps: why.steps.iter().map(step).collect(),
        waits,
        reason: why.message.reason.clone(),
        parcel: why.parcel.map(|parcel| parcel.to_string()),
    }
}
