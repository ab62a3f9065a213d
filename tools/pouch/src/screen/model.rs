//! What the screen shows: plain data, as the desk has read it from the profile. Texts are as their
//! writers made them; whoever draws them makes them harmless.

use postroad_client::State;
use postroad_proto::ids::{AccountId, MessageId};

/// A conversation in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chat {
    pub(crate) account: AccountId,
    pub(crate) name: String,
    pub(crate) unread: usize,
    pub(crate) blocked: bool,
    pub(crate) verified: bool,
    /// When something was written last, for the order.
    pub(crate) last: u64,
    /// Seconds after which texts vanish.
    pub(crate) vanish_after: Option<u64>,
    /// Why writing to them does not work yet; empty when it does.
    pub(crate) reason: String,
    pub(crate) handle: String,
    pub(crate) handle_proven: bool,
    /// How far acquaintance has come, in a word.
    pub(crate) phase: &'static str,
    pub(crate) node: String,
}

/// Somebody who asks to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asking {
    pub(crate) account: AccountId,
    pub(crate) name: String,
    pub(crate) handle: String,
    pub(crate) handle_proven: bool,
    pub(crate) text: String,
}

/// What a message answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quote {
    pub(crate) outgoing: bool,
    /// Absent when it is not here.
    pub(crate) text: Option<String>,
}

/// What fills a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// Somebody's text.
    Text(String),
    /// What stands for one: ours, and in brackets.
    Note(String),
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bubble {
    pub(crate) row: i64,
    pub(crate) id: MessageId,
    pub(crate) account: AccountId,
    /// The contact's name.
    pub(crate) chat: String,
    pub(crate) outgoing: bool,
    pub(crate) body: Body,
    pub(crate) quote: Option<Quote>,
    pub(crate) forwarded: bool,
    pub(crate) edited: bool,
    pub(crate) deleted: bool,
    /// Emoji, and whether it is ours.
    pub(crate) reactions: Vec<(bool, String)>,
    /// Parts of the text that name somebody.
    pub(crate) mentions: Vec<String>,
    /// Whether one of them names the user.
    pub(crate) names_me: bool,
    pub(crate) vanish_after: Option<u64>,
    /// The day and the time of day, where the user is.
    pub(crate) day: String,
    pub(crate) time: String,
    pub(crate) state: State,
    pub(crate) reason: String,
    pub(crate) shown: bool,
    pub(crate) missing_before: u64,
    pub(crate) lost_before: u64,
}

impl Bubble {
    /// Its text, if it has one that is somebody's.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.body {
            Body::Text(text) => Some(text),
            Body::Note(_) => None,
        }
    }
}

/// How the account and its connection stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The handle or the account's id.
    pub(crate) who: String,
    /// The home's name or id.
    pub(crate) node: String,
    pub(crate) link: Link,
    /// Messages of ours that have not left this device.
    pub(crate) queued: u64,
    /// Messages of ours whose fate is not settled, those included.
    pub(crate) unsettled: u64,
}

/// The connection to the home.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Link {
    /// It is tried for the first time.
    #[default]
    Connecting,
    /// There is one.
    Online,
    /// Another command on this profile has it.
    Shared,
    /// There is none.
    Offline {
        /// Why.
        reason: String,
        /// When it is tried again, milliseconds.
        next_try: Option<u64>,
    },
    /// The profile can only be looked at.
    ReadOnly,
}

/// A step of a message's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) state: State,
    pub(crate) at: String,
    pub(crate) by: String,
    pub(crate) verified: bool,
}

/// What a message waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waits {
    pub(crate) at: String,
    pub(crate) since: String,
    pub(crate) reason: String,
    pub(crate) detail: String,
    pub(crate) next_try: Option<String>,
}

/// Where a message is and how it came there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WhyView {
    pub(crate) id: MessageId,
    pub(crate) state: State,
    pub(crate) chat: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) waits: Option<Waits>,
    /// Why it ended.
    pub(crate) reason: String,
    /// Its id as nodes know it.
    pub(crate) parcel: Option<String>,
}

/// The words that both sides compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SafetyView {
    pub(crate) account: AccountId,
    pub(crate) words: Vec<String>,
    pub(crate) code: String,
    pub(crate) verified: bool,
}

/// What an error says: what happened, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) message: String,
    pub(crate) hint: String,
}
