//! What goes into the [`super::app::App`], and what comes out of it.

use std::collections::BTreeMap;

use postroad_client::Signs;
use postroad_proto::ids::{AccountId, MessageId};
use ratatui::crossterm::event::KeyEvent;

use super::model::{Asking, Bubble, Chat, Link, SafetyView, Standing, Trouble, WhyView};

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// A key was pressed.
    Key(KeyEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has another size: columns and rows.
    Resize(u16, u16),
    /// The terminal's window has the user's attention, or lost it.
    Attention(bool),
    /// Time has passed; it is now so many milliseconds after 1970.
    Tick(u64),
    /// What the desk has read or done.
    Data(Box<Data>),
}

impl From<Data> for Input {
    fn from(data: Data) -> Self {
        Self::Data(Box::new(data))
    }
}

/// What the desk has read or done.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    /// The profile has no account: one can be made.
    NotJoined,
    /// It has one now.
    Joined,
    /// All conversations.
    Chats(Vec<Chat>),
    /// One conversation is other than before.
    Chat(Chat),
    /// Everybody who asks to write.
    Requests(Vec<Asking>),
    /// The account and what waits.
    Standing(Standing),
    /// The connection.
    Link(Link),
    /// What contacts do now.
    Signs(BTreeMap<AccountId, Signs>),
    /// The newest messages of a conversation, as many as were asked for.
    Messages {
        /// With whom.
        account: AccountId,
        /// Oldest first.
        messages: Vec<Bubble>,
        /// Whether there are older ones.
        has_older: bool,
    },
    /// Drafts of an earlier run.
    Drafts(Vec<(AccountId, String)>),
    /// Where a message is.
    Why(WhyView),
    /// Words to compare.
    Safety(SafetyView),
    /// What a search has found, newest first.
    Found(Vec<Bubble>),
    /// What was asked for is done, and there is something to say about it.
    Done(String),
    /// The contact has the new name.
    Renamed,
    /// A contact was added or accepted.
    Added(AccountId),
    /// A text could not be stored: it goes back to where it was written.
    NotSent {
        /// To whom.
        account: AccountId,
        /// The text.
        text: String,
        /// Why.
        trouble: Trouble,
    },
    /// What was asked for failed.
    Failed(Trouble),
}

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// The end.
    Quit,
    /// Read the newest messages of a conversation.
    Load {
        account: AccountId,
        /// How many at least.
        count: usize,
        /// So many more that this row is among them.
        until: Option<i64>,
    },
    /// Send a text.
    Send { account: AccountId, text: String, answers: Option<MessageId> },
    /// Put another text in the place of one of ours.
    Edit { account: AccountId, id: MessageId, text: String },
    /// Take a message back.
    Delete(MessageId),
    /// React, or take a reaction back.
    React(MessageId, Option<String>),
    /// Send a message's text to somebody else.
    Forward(MessageId, AccountId),
    /// The user has seen messages, by their rows.
    Shown(Vec<i64>),
    /// Ask where a message is.
    Why(MessageId),
    /// Search texts, in one conversation or in all.
    Search(Option<AccountId>, String),
    /// Add a contact by link or handle.
    Add { contact: String, name: String },
    /// Answer somebody who asks.
    Accept(AccountId),
    /// See [`Self::Accept`].
    Ignore(AccountId),
    /// Block and unblock.
    Block(AccountId),
    /// See [`Self::Block`].
    Unblock(AccountId),
    /// Give a contact another name.
    Rename(AccountId, String),
    /// Say how long texts are kept.
    SetTimer(AccountId, Option<u64>),
    /// Read the words to compare.
    Safety(AccountId),
    /// Say whether they were compared.
    SetVerified(AccountId, bool),
    /// Put text on the terminal's clipboard.
    Copy(String),
    /// Keep a draft for the next run; an empty one is forgotten.
    Draft(AccountId, String),
    /// Tell a contact that the user is writing, or has stopped.
    Typing(AccountId, bool),
    /// Tell a contact that the user is there.
    Here(AccountId),
    /// Make an account.
    Join { link: String, name: String },
    /// Draw everything anew.
    Redraw,
}
