//! One of several, found by typing a part of it.

use postroad_proto::ids::{AccountId, MessageId};
use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::{Outcome, moved};
use crate::screen::draw::bubble::duration;
use crate::screen::editor::Editor;
use crate::screen::input::Action;
use crate::screen::model::{Bubble, Chat};
use crate::screen::theme::Theme;

/// Times after which texts vanish: an hour, a day, a week, four weeks.
const TIMERS: [u64; 4] = [3_600, 86_400, 7 * 86_400, 28 * 86_400];

/// Things to pick from.
#[derive(Debug, Clone)]
pub(crate) struct Pick {
    pub(crate) title: &'static str,
    items: Vec<(String, Action)>,
    pub(crate) editor: Editor,
    pub(crate) selected: usize,
    /// The message that is reacted to: then what is typed is a choice itself.
    reacts: Option<MessageId>,
}

impl Pick {
    fn new(title: &'static str, items: Vec<(String, Action)>) -> Self {
        Self { title, items, editor: Editor::line(""), selected: 0, reacts: None }
    }

    /// How long texts are kept.
    pub(crate) fn timer(account: AccountId) -> Self {
        let mut items = vec![("for ever".to_owned(), Action::SetTimer(account, None))];
        items.extend(TIMERS.map(|seconds| {
            (format!("for {}", duration(seconds)), Action::SetTimer(account, Some(seconds)))
        }));
        Self::new("Keep texts from now on", items)
    }

    /// Whom to forward a message to.
    pub(crate) fn forward(id: MessageId, chats: &[Chat]) -> Self {
        let open = chats.iter().filter(|chat| !chat.blocked);
        let items = open.map(|chat| (chat.name.clone(), Action::Forward(id, chat.account)));
        Self::new("Forward to", items.collect())
    }

    /// How to react to a message.
    pub(crate) fn react(message: &Bubble, theme: Theme) -> Self {
        let react = |emoji: &str| Action::React(message.id, Some(emoji.to_owned()));
        let mut items: Vec<(String, Action)> =
            theme.reactions().iter().map(|emoji| ((*emoji).to_owned(), react(emoji))).collect();
        if message.reactions.iter().any(|(own, _)| *own) {
            items.push(("take mine back".to_owned(), Action::React(message.id, None)));
        }
        Self { reacts: Some(message.id), ..Self::new("React, or type another", items) }
    }

    /// What there is to pick from now.
    pub(crate) fn shown(&self) -> Vec<(String, Action)> {
        let typed = self.editor.text().trim();
        if let Some(id) = self.reacts.filter(|_| !typed.is_empty()) {
            return vec![(typed.to_owned(), Action::React(id, Some(typed.to_owned())))];
        }
        let typed = typed.to_lowercase();
        let fits = |item: &&(String, Action)| item.0.to_lowercase().contains(&typed);
        self.items.iter().filter(fits).cloned().collect()
    }

    /// Deals with a key.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Outcome {
        let mut shown = self.shown();
        if let Some(to) = moved(self.selected, shown.len(), key) {
            self.selected = to;
        } else if key.code == KeyCode::Enter {
            if self.selected < shown.len() {
                return Outcome::Close(vec![shown.swap_remove(self.selected).1]);
            }
        } else {
            self.editor.key(key);
            self.selected = 0;
        }
        Outcome::stay()
    }
}
