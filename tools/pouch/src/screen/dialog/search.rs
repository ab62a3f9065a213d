//! Looking for texts.

use postroad_proto::ids::AccountId;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::{Outcome, moved};
use crate::screen::app::App;
use crate::screen::editor::Editor;
use crate::screen::input::Action;
use crate::screen::model::Bubble;

/// Looking for texts.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// The open conversation.
    here: Option<AccountId>,
    /// Whether all conversations are searched.
    pub(crate) is_everywhere: bool,
    pub(crate) editor: Editor,
    /// The newest first. Absent when nothing was looked for yet.
    pub(crate) found: Option<Vec<Bubble>>,
    pub(crate) selected: usize,
    /// What was asked for last.
    asked: (bool, String),
}

impl Search {
    /// In the open conversation, or in all if there is none.
    pub(crate) fn new(here: Option<AccountId>) -> Self {
        Self {
            here,
            is_everywhere: here.is_none(),
            editor: Editor::line(""),
            found: None,
            selected: 0,
            asked: (false, String::new()),
        }
    }

    /// What was found.
    pub(crate) fn set(&mut self, found: Vec<Bubble>) {
        self.selected = self.selected.min(found.len().saturating_sub(1));
        self.found = Some(found);
    }

    /// What is to be looked for, if that is something else than before.
    pub(crate) fn ask(&mut self) -> Option<Action> {
        let wanted = (self.is_everywhere, self.editor.text().trim().to_owned());
        if wanted == self.asked {
            return None;
        }
        self.asked = wanted.clone();
        self.selected = 0;
        if wanted.1.is_empty() {
            self.found = None;
            return None;
        }
        Some(Action::Search(self.here.filter(|_| !self.is_everywhere), wanted.1))
    }

    /// Deals with a key.
    pub(crate) fn key(&mut self, key: KeyEvent, app: &App) -> Outcome {
        let count = self.found.as_ref().map_or(0, Vec::len);
        if let Some(to) = moved(self.selected, count, key) {
            self.selected = to;
            return Outcome::stay();
        }
        match key.code {
            KeyCode::Tab | KeyCode::BackTab => {
                self.is_everywhere = !self.is_everywhere || self.here.is_none();
                Outcome::Stay(self.ask().into_iter().collect())
            }
            KeyCode::Enter => match self.ask() {
                Some(action) => Outcome::Stay(vec![action]),
                None => self.show(app),
            },
            _ => {
                self.editor.key(key);
                Outcome::stay()
            }
        }
    }

    fn show(&self, app: &App) -> Outcome {
        let found = self.found.as_ref().and_then(|found| found.get(self.selected));
        match found.filter(|message| app.chat(&message.account).is_some()) {
            Some(message) => Outcome::Show(message.account, message.row),
            None => Outcome::stay(),
        }
    }
}
