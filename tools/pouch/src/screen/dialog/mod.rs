//! Dialogs: what they hold, and what keys do in them.

use postroad_proto::ids::{AccountId, MessageId};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::App;
use super::editor::Editor;
use super::input::Action;
use super::model::{SafetyView, WhyView};

mod contact;
mod form;
mod pick;
mod search;

pub(crate) use form::{Form, Purpose};
pub(crate) use pick::Pick;
pub(crate) use search::Search;

/// Something in front of the conversation.
#[derive(Debug, Clone)]
pub(crate) enum Dialog {
    /// Keys and symbols, from this line on.
    Help { top: usize },
    /// A message's way, from this line on.
    Why { id: MessageId, view: Option<WhyView>, top: usize },
    /// Something to fill in.
    Form(Form),
    /// Texts that are looked for.
    Search(Search),
    /// Who asks to write.
    Requests { selected: usize },
    /// A contact.
    Contact(AccountId),
    /// Words to compare with a contact.
    Safety { account: AccountId, view: Option<SafetyView> },
    /// One of several.
    Pick(Pick),
    /// Whether something is to be done that cannot be undone.
    Confirm { question: String, action: Action },
}

/// What becomes of a dialog after a key.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It stays; this is to be done.
    Stay(Vec<Action>),
    /// It closes; this is to be done.
    Close(Vec<Action>),
    /// Another comes in front of it; this is to be done.
    Front(Box<Dialog>, Vec<Action>),
    /// All close, and a message is shown.
    Show(AccountId, i64),
}

impl Outcome {
    fn stay() -> Self {
        Self::Stay(Vec::new())
    }

    fn front(dialog: Dialog, actions: Vec<Action>) -> Self {
        Self::Front(Box::new(dialog), actions)
    }

    fn close() -> Self {
        Self::Close(Vec::new())
    }
}

impl Dialog {
    /// The editor that takes text, if there is one.
    pub(crate) fn editor(&mut self) -> Option<&mut Editor> {
        match self {
            Self::Form(form) => form.editor(),
            Self::Search(search) => Some(&mut search.editor),
            Self::Pick(pick) => Some(&mut pick.editor),
            _ => None,
        }
    }

    /// The form, if it is one.
    pub(crate) fn form(&mut self) -> Option<&mut Form> {
        match self {
            Self::Form(form) => Some(form),
            _ => None,
        }
    }

    /// The message whose way is shown.
    pub(crate) fn why(&self) -> Option<MessageId> {
        match self {
            Self::Why { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// Fills in a message's way.
    pub(crate) fn set_why(&mut self, new: &WhyView) {
        if let Self::Why { id, view, .. } = self
            && *id == new.id
        {
            *view = Some(new.clone());
        }
    }

    /// Fills in the words to compare.
    pub(crate) fn set_safety(&mut self, new: &SafetyView) {
        if let Self::Safety { account, view } = self
            && *account == new.account
        {
            *view = Some(new.clone());
        }
    }

    /// Deals with a key.
    pub(crate) fn key(&mut self, key: KeyEvent, app: &App) -> Outcome {
        if key.code == KeyCode::Esc {
            return Outcome::close();
        }
        match self {
            Self::Help { top } => scroll(top, key, &['?', 'q']),
            Self::Why { top, .. } => scroll(top, key, &['w', 'q']),
            Self::Form(form) => form.key(key),
            Self::Search(search) => search.key(key, app),
            Self::Requests { selected } => requests(selected, key, app),
            Self::Contact(account) => contact::key(account, key, app),
            Self::Safety { account, view } => safety(account, view.as_ref(), key),
            Self::Pick(pick) => pick.key(key),
            Self::Confirm { action, .. } => match key.code {
                KeyCode::Char('y' | 'Y') => Outcome::Close(vec![action.clone()]),
                KeyCode::Char('n' | 'N') => Outcome::close(),
                _ => Outcome::stay(),
            },
        }
    }
}

/// Up and down in a text that may be longer than the screen; `closing` keys close it.
fn scroll(top: &mut usize, key: KeyEvent, closing: &[char]) -> Outcome {
    *top = match key.code {
        KeyCode::Up | KeyCode::Char('k') => top.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => *top + 1,
        KeyCode::PageUp => top.saturating_sub(10),
        KeyCode::PageDown | KeyCode::Char(' ') => *top + 10,
        KeyCode::Home => 0,
        KeyCode::Enter | KeyCode::F(1) => return Outcome::close(),
        KeyCode::Char(c) if closing.contains(&c) => return Outcome::close(),
        _ => *top,
    };
    Outcome::stay()
}

/// Where a key leads in a list of `count`. Absent when it is no key for that.
pub(super) fn moved(selected: usize, count: usize, key: KeyEvent) -> Option<usize> {
    let last = count.saturating_sub(1);
    let to = match key.code {
        KeyCode::Up => selected.saturating_sub(1),
        KeyCode::Down => selected + 1,
        KeyCode::PageUp => selected.saturating_sub(10),
        KeyCode::PageDown => selected + 10,
        KeyCode::Home => 0,
        KeyCode::End => last,
        _ => return None,
    };
    Some(to.min(last))
}

fn requests(selected: &mut usize, key: KeyEvent, app: &App) -> Outcome {
    if let Some(to) = moved(*selected, app.requests.len(), key) {
        *selected = to;
        return Outcome::stay();
    }
    let Some(asking) = app.requests.get(*selected) else { return Outcome::stay() };
    let account = asking.account;
    match key.code {
        KeyCode::Char('a') => Outcome::Stay(vec![Action::Accept(account)]),
        KeyCode::Char('i') => {
            let question = format!(
                "Ignore {}? The request and its text are forgotten; nothing is said to them.",
                asking.name
            );
            let action = Action::Ignore(account);
            Outcome::front(Dialog::Confirm { question, action }, Vec::new())
        }
        KeyCode::Char('b') => {
            let question = format!("Block {}? Nothing more is taken from them.", asking.name);
            let action = Action::Block(account);
            Outcome::front(Dialog::Confirm { question, action }, Vec::new())
        }
        _ => Outcome::stay(),
    }
}

fn safety(account: &AccountId, view: Option<&SafetyView>, key: KeyEvent) -> Outcome {
    let Some(view) = view else { return Outcome::stay() };
    match key.code {
        KeyCode::Char('v') if !view.verified => {
            Outcome::Stay(vec![Action::SetVerified(*account, true)])
        }
        KeyCode::Char('u') if view.verified => {
            Outcome::Stay(vec![Action::SetVerified(*account, false)])
        }
        KeyCode::Char('y') => Outcome::Stay(vec![Action::Copy(view.words.join(" "))]),
        KeyCode::Enter => Outcome::close(),
        _ => Outcome::stay(),
    }
}

/// Whether no modifier is held that makes another key of it.
pub(super) fn is_plain(key: KeyEvent) -> bool {
    !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
}
