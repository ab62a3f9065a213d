//! The dialog about a contact.

use postroad_proto::ids::AccountId;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::{Dialog, Form, Outcome, Pick, is_plain};
use crate::screen::app::App;
use crate::screen::input::Action;

pub(super) fn key(account: &AccountId, key: KeyEvent, app: &App) -> Outcome {
    let Some(chat) = app.chat(account) else { return Outcome::close() };
    if !is_plain(key) {
        return Outcome::stay();
    }
    let account = *account;
    match key.code {
        KeyCode::Char('n') => {
            Outcome::front(Dialog::Form(Form::rename(account, &chat.name)), Vec::new())
        }
        KeyCode::Char('b') if chat.blocked => Outcome::Stay(vec![Action::Unblock(account)]),
        KeyCode::Char('b') => {
            let question = format!(
                "Block {}? Nothing more is taken from them or sent to them; what waits here to be \
                 sent has failed then. What was written stays.",
                chat.name
            );
            let action = Action::Block(account);
            Outcome::front(Dialog::Confirm { question, action }, Vec::new())
        }
        KeyCode::Char('s') => {
            let dialog = Dialog::Safety { account, view: None };
            Outcome::front(dialog, vec![Action::Safety(account)])
        }
        KeyCode::Char('t') => Outcome::front(Dialog::Pick(Pick::timer(account)), Vec::new()),
        KeyCode::Enter | KeyCode::F(2) => Outcome::close(),
        _ => Outcome::stay(),
    }
}
