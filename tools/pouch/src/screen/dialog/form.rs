//! Something to fill in.

use postroad_proto::ids::AccountId;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::Outcome;
use crate::screen::editor::Editor;
use crate::screen::input::Action;
use crate::screen::model::Trouble;

/// What is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To make an account.
    Join,
    /// To add a contact.
    Add,
    /// To give a contact another name.
    Rename(AccountId),
}

/// Fields with a label each.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) purpose: Purpose,
    pub(crate) fields: Vec<(&'static str, Editor)>,
    pub(crate) focus: usize,
    /// Whether it was handed in and there is no answer yet.
    pub(crate) is_busy: bool,
    /// Why it was not taken.
    pub(crate) trouble: Option<Trouble>,
}

impl Form {
    /// To make an account.
    pub(crate) fn join() -> Self {
        let fields = [("join link", ""), ("your handle (may stay empty)", "")];
        Self::new(Purpose::Join, &fields)
    }

    /// To add a contact.
    pub(crate) fn add() -> Self {
        let fields = [("contact link or handle", ""), ("what to call them (may stay empty)", "")];
        Self::new(Purpose::Add, &fields)
    }

    /// To give a contact another name.
    pub(crate) fn rename(account: AccountId, name: &str) -> Self {
        Self::new(Purpose::Rename(account), &[("name", name)])
    }

    fn new(purpose: Purpose, fields: &[(&'static str, &str)]) -> Self {
        let fields = fields.iter().map(|(label, text)| (*label, Editor::line(text))).collect();
        Self { purpose, fields, focus: 0, is_busy: false, trouble: None }
    }

    /// The field that takes text.
    pub(crate) fn editor(&mut self) -> Option<&mut Editor> {
        self.fields.get_mut(self.focus).map(|(_, editor)| editor).filter(|_| !self.is_busy)
    }

    /// It was not taken.
    pub(crate) fn fail(&mut self, trouble: Trouble) {
        (self.is_busy, self.trouble) = (false, Some(trouble));
    }

    fn text(&self, field: usize) -> String {
        let text = self.fields.get(field).map_or("", |(_, editor)| editor.text());
        text.trim().to_owned()
    }

    /// Deals with a key.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Outcome {
        if self.is_busy {
            return Outcome::stay();
        }
        let last = self.fields.len().saturating_sub(1);
        match key.code {
            KeyCode::Tab | KeyCode::Down => self.focus = (self.focus + 1) % (last + 1),
            KeyCode::BackTab | KeyCode::Up => self.focus = (self.focus + last) % (last + 1),
            KeyCode::Enter if self.focus < last => self.focus += 1,
            KeyCode::Enter => return self.submit(),
            _ => {
                if let Some(editor) = self.editor() {
                    editor.key(key);
                }
            }
        }
        Outcome::stay()
    }

    fn submit(&mut self) -> Outcome {
        if self.text(0).is_empty() {
            self.focus = 0;
            return Outcome::stay();
        }
        (self.is_busy, self.trouble) = (true, None);
        Outcome::Stay(vec![match self.purpose {
            Purpose::Join => Action::Join { link: self.text(0), name: self.text(1) },
            Purpose::Add => Action::Add { contact: self.text(0), name: self.text(1) },
            Purpose::Rename(account) => Action::Rename(account, self.text(0)),
        }])
    }
}
