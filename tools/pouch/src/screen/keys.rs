//! What keys do outside dialogs.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::app::{App, Pane, Picked};
use super::conversation::Purpose;
use super::dialog::{Dialog, Form, Outcome, Pick, Search, is_plain, moved};
use super::input::Action;
use super::model::Bubble;

impl App {
    /// Deals with a key.
    pub(super) fn key(&mut self, key: KeyEvent) -> Vec<Action> {
        if key.kind == KeyEventKind::Release {
            return Vec::new();
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c' | 'q') => return self.quit(),
                KeyCode::Char('l') => return vec![Action::Redraw],
                _ => {}
            }
        }
        if let Some(dialog) = self.dialogs.pop() {
            return self.dialog_key(dialog, key);
        }
        if let Some(mut form) = self.start.take() {
            // There is nothing behind it to go back to.
            let outcome = if key.code == KeyCode::Esc { None } else { Some(form.key(key)) };
            self.start = Some(form);
            return match outcome {
                Some(Outcome::Stay(actions)) => actions,
                _ => Vec::new(),
            };
        }
        if self.opens_dialog(key) {
            return Vec::new();
        }
        if let Some(actions) = self.moves(key) {
            return actions;
        }
        match self.pane {
            Pane::List => self.list_key(key),
            Pane::Messages => self.message_key(key),
            Pane::Editor => self.editor_key(key),
        }
    }

    fn quit(&mut self) -> Vec<Action> {
        let mut actions: Vec<Action> = self.keep_draft().into_iter().collect();
        actions.push(Action::Quit);
        actions
    }

    fn dialog_key(&mut self, mut dialog: Dialog, key: KeyEvent) -> Vec<Action> {
        match dialog.key(key, self) {
            Outcome::Stay(actions) => {
                self.dialogs.push(dialog);
                actions
            }
            Outcome::Close(actions) => actions,
            Outcome::Front(next, actions) => {
                self.dialogs.extend([dialog, *next]);
                actions
            }
            Outcome::Show(account, row) => {
                self.dialogs.clear();
                self.open(account, Some(row))
            }
        }
    }

    /// Keys that open a dialog from wherever the user is.
    fn opens_dialog(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let is_writing = self.pane == Pane::Editor;
        let dialog = match key.code {
            KeyCode::F(1) => Dialog::Help { top: 0 },
            KeyCode::Char('?') if is_plain(key) && !is_writing => Dialog::Help { top: 0 },
            KeyCode::Char('f') if control => self.search(),
            KeyCode::Char('/') if is_plain(key) && !is_writing => self.search(),
            KeyCode::Char('n') if control => Dialog::Form(Form::add()),
            KeyCode::Char('r') if control => Dialog::Requests { selected: 0 },
            KeyCode::Char('k') if control => return self.contact_dialog(),
            KeyCode::F(2) => return self.contact_dialog(),
            _ => return false,
        };
        self.dialogs.push(dialog);
        true
    }

    fn search(&self) -> Dialog {
        Dialog::Search(Search::new(self.conversation.as_ref().map(|open| open.account)))
    }

    fn contact_dialog(&mut self) -> bool {
        let open = self.conversation.as_ref().map(|open| open.account);
        let picked = match self.picked {
            Some(Picked::Chat(account)) => Some(account),
            _ => None,
        };
        let meant = if self.pane == Pane::List { picked } else { open.or(picked) };
        self.dialogs.extend(meant.map(Dialog::Contact));
        true
    }

    /// Keys that lead elsewhere.
    fn moves(&mut self, key: KeyEvent) -> Option<Vec<Action>> {
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::Tab => self.turn(true),
            KeyCode::BackTab => self.turn(false),
            KeyCode::F(3) => self.is_alone = !self.is_alone,
            KeyCode::Up if alt => return Some(self.neighbour(-1)),
            KeyCode::Down if alt => return Some(self.neighbour(1)),
            _ => return None,
        }
        Some(Vec::new())
    }

    /// To the next pane, or the one before.
    fn turn(&mut self, is_forward: bool) {
        let Some(open) = &self.conversation else { return };
        let order = match open.messages.is_empty() {
            true => vec![Pane::List, Pane::Editor],
            false => vec![Pane::List, Pane::Messages, Pane::Editor],
        };
        let here = order.iter().position(|pane| *pane == self.pane).unwrap_or(0);
        let step = if is_forward { 1 } else { order.len() - 1 };
        let next = order.get((here + step) % order.len()).copied();
        self.enter(next.unwrap_or(Pane::List));
    }

    fn enter(&mut self, pane: Pane) {
        self.pane = pane;
        let Some(open) = &mut self.conversation else {
            self.pane = Pane::List;
            return;
        };
        match pane {
            Pane::Messages => open.begin_selection(),
            Pane::Editor => open.end_selection(),
            Pane::List => self.is_alone = false,
        }
    }

    /// Opens the chat above or below the open one.
    fn neighbour(&mut self, by: isize) -> Vec<Action> {
        let open = self.conversation.as_ref().map(|open| open.account);
        let here = self.chats.iter().position(|chat| Some(chat.account) == open);
        let next = match here {
            Some(here) => here.checked_add_signed(by),
            None => Some(0),
        };
        match next.and_then(|next| self.chats.get(next)) {
            Some(chat) => self.open(chat.account, None),
            None => Vec::new(),
        }
    }

    fn list_key(&mut self, key: KeyEvent) -> Vec<Action> {
        let picks = self.picks();
        let here = picks.iter().position(|pick| Some(*pick) == self.picked).unwrap_or(0);
        if let Some(to) = moved(here, picks.len(), key) {
            self.picked = picks.get(to).copied();
            return Vec::new();
        }
        match (key.code, self.picked) {
            (KeyCode::Enter | KeyCode::Right, Some(Picked::Chat(account))) => {
                if self.conversation.as_ref().is_some_and(|open| open.account == account) {
                    self.enter(Pane::Editor);
                    return Vec::new();
                }
                self.open(account, None)
            }
            (KeyCode::Enter | KeyCode::Right, Some(Picked::Requests)) => {
                self.dialogs.push(Dialog::Requests { selected: 0 });
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn editor_key(&mut self, key: KeyEvent) -> Vec<Action> {
        let Some(open) = &mut self.conversation else { return Vec::new() };
        match key.code {
            KeyCode::Enter if is_plain(key) => return self.submit(),
            KeyCode::Esc => {
                if open.cancel() {
                    self.note_change();
                } else {
                    self.enter(Pane::List);
                }
                return Vec::new();
            }
            KeyCode::PageUp | KeyCode::PageDown => {
                open.page(key.code == KeyCode::PageDown);
                self.enter(Pane::Messages);
                return Vec::new();
            }
            _ => {}
        }
        if open.editor.key(key) {
            self.note_change();
        } else if key.code == KeyCode::Up && is_plain(key) && !open.messages.is_empty() {
            self.enter(Pane::Messages);
        }
        Vec::new()
    }

    fn submit(&mut self) -> Vec<Action> {
        let Some(open) = &mut self.conversation else { return Vec::new() };
        if open.editor.text().trim().is_empty() {
            return Vec::new();
        }
        let (account, text) = (open.account, open.editor.take());
        let action = match core::mem::take(&mut open.purpose) {
            Purpose::Write => Action::Send { account, text, answers: None },
            Purpose::Answer(id, _) => Action::Send { account, text, answers: Some(id) },
            Purpose::Edit(id, before) => {
                open.editor.set(&before);
                Action::Edit { account, id, text }
            }
        };
        open.end_selection();
        let mut actions = vec![action];
        actions.extend(self.keep_draft());
        actions
    }

    fn message_key(&mut self, key: KeyEvent) -> Vec<Action> {
        let Some(open) = &mut self.conversation else { return Vec::new() };
        match key.code {
            KeyCode::Up | KeyCode::Char('k') => open.up(),
            KeyCode::Down | KeyCode::Char('j') => {
                if !open.down() {
                    self.enter(Pane::Editor);
                }
            }
            KeyCode::PageUp => open.page(false),
            KeyCode::PageDown => open.page(true),
            KeyCode::Home => open.to(false),
            KeyCode::End => open.to(true),
            KeyCode::Esc => self.enter(Pane::Editor),
            KeyCode::Left => self.enter(Pane::List),
            _ => {
                let selected = open.selected().cloned();
                return selected.map(|message| self.about(&message, key)).unwrap_or_default();
            }
        }
        Vec::new()
    }

    /// What is done with the selected message.
    fn about(&mut self, message: &Bubble, key: KeyEvent) -> Vec<Action> {
        if !is_plain(key) {
            return Vec::new();
        }
        let id = message.id;
        let text = message.text().map(str::to_owned);
        match key.code {
            KeyCode::Char('w') | KeyCode::Enter => {
                self.dialogs.push(Dialog::Why { id, view: None, top: 0 });
                return vec![Action::Why(id)];
            }
            KeyCode::Char('r') if !message.deleted => {
                let quote = text.unwrap_or_default();
                self.begin(Purpose::Answer(id, quote), None);
            }
            KeyCode::Char('e') if message.outgoing && text.is_some() => {
                let open = self.conversation.as_ref();
                let before = open.map(|open| open.draft().to_owned()).unwrap_or_default();
                self.begin(Purpose::Edit(id, before), text.as_deref());
            }
            KeyCode::Char('x') | KeyCode::Delete if message.outgoing && !message.deleted => {
                let question = "Delete this message on both sides? It cannot be brought back.";
                let action = Action::Delete(id);
                self.dialogs.push(Dialog::Confirm { question: question.to_owned(), action });
            }
            KeyCode::Char('+') if !message.deleted => {
                self.dialogs.push(Dialog::Pick(Pick::react(message, self.theme)));
            }
            KeyCode::Char('f') if text.is_some() => {
                self.dialogs.push(Dialog::Pick(Pick::forward(id, &self.chats)));
            }
            KeyCode::Char('y') => return text.map(Action::Copy).into_iter().collect(),
            _ => {}
        }
        Vec::new()
    }

    fn begin(&mut self, purpose: Purpose, text: Option<&str>) {
        if let Some(open) = &mut self.conversation {
            open.begin(purpose, text);
        }
        self.enter(Pane::Editor);
    }
}
