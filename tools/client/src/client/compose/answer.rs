//! Answering exactly once: what programs that answer by themselves need.

use postroad_proto::content::Text;

use super::{Client, Sent};
use crate::contacts;
use crate::error::Result;
use crate::messages::{self, Message};
use crate::outbox;

impl Client {
    /// Answers a message that was not shown yet with a text, and marks it as shown: both in one
    /// transaction. Whatever ends the process, a message that [`crate::Query::unshown`] still finds
    /// was not answered, and one that it does not find was answered once. `None` when there is
    /// nothing to answer any more: it was shown or deleted meanwhile.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`], [`crate::Error::Blocked`], [`crate::Error::Unanswered`]; the
    /// message is as before then.
    pub fn answer(&mut self, message: &Message, text: &str) -> Result<Option<Sent>> {
        self.at_desk(|desk| {
            // As it is now, and by its row: ids are chosen by whoever writes.
            let found = messages::at(desk.tx, message.row)?;
            let Some(now) = found.filter(|now| !now.outgoing && !now.shown) else {
                return Ok(None);
            };
            let contact = contacts::get(desk.tx, &now.contact)?;
            outbox::check_contact(&contact)?;
            let reply = Some(desk.reference(&now));
            let sent = desk.text(&contact, Text { reply, ..Text::plain(text) })?;
            messages::mark_shown(desk.tx, &[now.row], desk.now)?;
            Ok(Some(sent))
        })
    }
}

#[cfg(test)]
mod tests {
    use postroad_proto::codec;
    use postroad_proto::content::kind;
    use postroad_proto::ids::{AccountId, MessageId};

    use super::*;
    use crate::contacts::{NewContact, Phase};
    use crate::error::Error;
    use crate::identity::Identity;
    use crate::messages::{NewMessage, Query};
    use crate::outbox::MAX_TEXT;
    use crate::state::State;
    use crate::testing;

    const BOB: AccountId = AccountId([7; 32]);

    /// A profile with a contact who has written this.
    fn written_to(directory: &std::path::Path, texts: &[&str]) -> Client {
        let mut client = Client::open(directory).unwrap();
        let vault = &client.vault;
        client
            .db
            .write(|tx| {
                let link = testing::join_link();
                let own = Identity::create(tx, vault, &link, None, 1)?;
                let (verified, phase) = (true, Phase::Ready);
                let (home, handle) = (&link.node, "");
                let new = NewContact { account: BOB, name: "bob", phase, verified, home, handle };
                let contact = contacts::insert(tx, &own, &new, 1)?;
                for (n, text) in (1..).zip(texts) {
                    let new = NewMessage {
                        id: MessageId([n; 16]),
                        chat: contact.chat,
                        outgoing: false,
                        sender: (BOB, 1),
                        seq: Some(n.into()),
                        kind: kind::TEXT,
                        content: &codec::encode(&Text::plain(*text))?,
                        sent_at: 1,
                        received_at: Some(1),
                        deadline: u64::from(u32::MAX),
                        state: State::Delivered,
                    };
                    messages::insert(tx, &new)?;
                }
                Ok(())
            })
            .unwrap();
        client
    }

    fn unshown(client: &mut Client) -> Vec<Message> {
        client.messages(&Query { unshown: true, ..Query::default() }).unwrap()
    }

    #[test]
    fn a_message_is_answered_once_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let mut client = written_to(directory.path(), &["one", "two"]);
        let before = unshown(&mut client);
        assert_eq!(before.len(), 2);
        let long = "x".repeat(MAX_TEXT + 1);
        assert!(matches!(client.answer(&before[0], &long), Err(Error::TooLarge { .. })));
        assert_eq!(unshown(&mut client).len(), 2, "a failure changes nothing");
        let sent = client.answer(&before[0], "one").unwrap().unwrap();
        // Another process, which saw it before.
        let mut other = Client::open(directory.path()).unwrap();
        assert!(other.answer(&before[0], "one").unwrap().is_none());
        let left = unshown(&mut other);
        assert_eq!(left.iter().map(|m| m.row).collect::<Vec<_>>(), [before[1].row]);
        let all = other.messages(&Query::default()).unwrap();
        let answers: Vec<_> = all.iter().filter(|message| message.outgoing).collect();
        assert_eq!(answers.len(), 1);
        assert_eq!((answers[0].row, answers[0].text.as_deref()), (sent.row, Some("one")));
        assert_eq!(answers[0].reply.as_ref().map(|quoted| quoted.id), Some(before[0].id));
        assert!(client.answer(answers[0], "my own").unwrap().is_none());
    }
}
