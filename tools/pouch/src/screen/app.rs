//! The state of the screen, and how it changes. No terminal and no profile is named here: what
//! happens comes in as [`Input`], what is to be done comes out as [`Action`].

use std::collections::BTreeMap;

use postroad_client::Signs;
use postroad_proto::ids::AccountId;

use super::conversation::{Conversation, PAGE, Purpose};
use super::dialog::{Dialog, Form};
use super::input::{Action, Data, Input};
use super::layout;
use super::model::{Asking, Chat, Standing, Trouble};
use super::signs::{Look, Told};
use super::theme::Theme;

/// How long somebody has to pause until a draft is kept, milliseconds: each time is a sync of the
/// disk.
const PAUSE: u64 = 2_000;

/// Where keys go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pane {
    /// The list of chats.
    List,
    /// The messages of the open conversation.
    Messages,
    /// What is being written.
    Editor,
}

/// What is picked in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Picked {
    /// The line that counts who asks to write.
    Requests,
    /// A chat.
    Chat(AccountId),
}

/// A remark at the bottom, until the next key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Something was done.
    Said(String),
    /// Something went wrong.
    Trouble(Trouble),
}

/// The screen.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) theme: Theme,
    /// Columns and rows.
    pub(crate) size: (u16, u16),
    pub(crate) now: u64,
    /// Shown instead of everything else while there is no account.
    pub(crate) start: Option<Form>,
    pub(crate) standing: Standing,
    /// The newest first.
    pub(crate) chats: Vec<Chat>,
    pub(crate) requests: Vec<Asking>,
    pub(crate) picked: Option<Picked>,
    pub(crate) conversation: Option<Conversation>,
    pub(crate) pane: Pane,
    /// Whether the list is left out, so that the conversation can be copied by itself.
    pub(crate) is_alone: bool,
    /// The last one is on top.
    pub(crate) dialogs: Vec<Dialog>,
    pub(crate) notice: Option<Notice>,
    /// Of conversations that are not open.
    pub(crate) drafts: BTreeMap<AccountId, String>,
    /// The open one's draft as it was kept last, and when it was changed since.
    kept: String,
    changed_at: Option<u64>,
    has_attention: bool,
    /// What contacts do now.
    pub(crate) signs: BTreeMap<AccountId, Signs>,
    /// What they were told of the user.
    told: Told,
}

impl App {
    /// A screen that knows nothing yet.
    pub(crate) fn new(theme: Theme, size: (u16, u16), now: u64) -> Self {
        Self {
            theme,
            size,
            now,
            start: None,
            standing: Standing::default(),
            chats: Vec::new(),
            requests: Vec::new(),
            picked: None,
            conversation: None,
            pane: Pane::List,
            is_alone: false,
            dialogs: Vec::new(),
            notice: None,
            drafts: BTreeMap::new(),
            kept: String::new(),
            changed_at: None,
            has_attention: true,
            signs: BTreeMap::new(),
            told: Told::new(now),
        }
    }

    /// Deals with what happened.
    pub(crate) fn handle(&mut self, input: Input) -> Vec<Action> {
        let is_key = matches!(input, Input::Key(_) | Input::Paste(_));
        let mut actions = match input {
            Input::Key(key) => {
                self.notice = None;
                // Who presses keys looks at the screen, whatever the terminal said.
                self.has_attention = true;
                self.key(key)
            }
            Input::Paste(text) => {
                self.paste(&text);
                Vec::new()
            }
            Input::Resize(columns, rows) => {
                self.size = (columns, rows);
                Vec::new()
            }
            Input::Attention(has) => {
                self.has_attention = has;
                Vec::new()
            }
            Input::Tick(now) => self.tick(now),
            Input::Data(data) => self.data(*data),
        };
        actions.extend(self.settle());
        actions.extend(self.signs_of_life(is_key));
        actions
    }

    fn paste(&mut self, text: &str) {
        self.notice = None;
        if let Some(editor) = self.editor() {
            editor.insert(text);
            self.note_change();
        }
    }

    /// The editor that takes text now.
    fn editor(&mut self) -> Option<&mut super::editor::Editor> {
        if let Some(dialog) = self.dialogs.last_mut() {
            return dialog.editor();
        }
        if let Some(form) = &mut self.start {
            return form.editor();
        }
        // Whoever pastes a text with a conversation open means to send it.
        self.pane = if self.conversation.is_some() { Pane::Editor } else { self.pane };
        self.conversation.as_mut().map(|conversation| &mut conversation.editor)
    }

    fn tick(&mut self, now: u64) -> Vec<Action> {
        let is_next_second = now / 1000 != self.now / 1000;
        self.now = now;
        let mut actions = Vec::new();
        if let (true, Some(id)) = (is_next_second, self.dialogs.last().and_then(Dialog::why)) {
            actions.push(Action::Why(id));
        }
        if self.changed_at.is_some_and(|at| at + PAUSE <= now) {
            actions.extend(self.keep_draft());
        }
        if let Some(Dialog::Search(search)) = self.dialogs.last_mut() {
            actions.extend(search.ask());
        }
        actions
    }

    /// Notes that the draft is another than before.
    pub(super) fn note_change(&mut self) {
        let draft = self.conversation.as_ref().map(Conversation::draft);
        let is_changed = draft.is_some_and(|draft| draft != self.kept);
        self.changed_at = is_changed.then_some(self.now);
    }

    /// Has the open conversation's draft kept, if it is another than before.
    pub(super) fn keep_draft(&mut self) -> Option<Action> {
        self.changed_at = None;
        let conversation = self.conversation.as_ref()?;
        let draft = conversation.draft();
        if draft == self.kept {
            return None;
        }
        draft.clone_into(&mut self.kept);
        Some(Action::Draft(conversation.account, self.kept.clone()))
    }

    fn data(&mut self, data: Data) -> Vec<Action> {
        match data {
            Data::NotJoined => self.start = Some(Form::join()),
            Data::Joined => self.start = None,
            Data::Chats(chats) => self.set_chats(chats),
            Data::Chat(chat) => {
                let mut chats = core::mem::take(&mut self.chats);
                chats.retain(|known| known.account != chat.account);
                chats.push(chat);
                self.set_chats(chats);
            }
            Data::Requests(requests) => self.set_requests(requests),
            Data::Standing(standing) => {
                let link = core::mem::take(&mut self.standing.link);
                self.standing = Standing { link, ..standing };
            }
            Data::Link(link) => self.standing.link = link,
            Data::Signs(signs) => self.signs = signs,
            Data::Messages { account, messages, has_older } => {
                return self.set_messages(account, messages, has_older);
            }
            Data::Drafts(drafts) => self.drafts.extend(drafts),
            Data::Why(view) => {
                self.dialogs.iter_mut().for_each(|dialog| dialog.set_why(&view));
            }
            Data::Safety(view) => {
                self.dialogs.iter_mut().for_each(|dialog| dialog.set_safety(&view));
            }
            Data::Found(found) => {
                if let Some(Dialog::Search(search)) = self.dialogs.last_mut() {
                    search.set(found);
                }
            }
            Data::Done(text) => self.notice = Some(Notice::Said(text)),
            Data::Renamed => self.close_busy_forms(),
            Data::Added(account) => return self.added(account),
            Data::NotSent { account, text, trouble } => self.give_back(account, &text, trouble),
            Data::Failed(trouble) => self.failed(trouble),
        }
        Vec::new()
    }

    fn set_chats(&mut self, mut chats: Vec<Chat>) {
        chats.sort_by(|a, b| b.last.cmp(&a.last).then_with(|| a.name.cmp(&b.name)));
        self.chats = chats;
        self.settle_pick();
    }

    fn set_requests(&mut self, requests: Vec<Asking>) {
        self.requests = requests;
        let count = self.requests.len();
        for dialog in &mut self.dialogs {
            if let Dialog::Requests { selected } = dialog {
                *selected = (*selected).min(count.saturating_sub(1));
            }
        }
        self.settle_pick();
    }

    /// What can be picked in the list, from the top.
    pub(crate) fn picks(&self) -> Vec<Picked> {
        let requests = (!self.requests.is_empty()).then_some(Picked::Requests);
        let chats = self.chats.iter().map(|chat| Picked::Chat(chat.account));
        requests.into_iter().chain(chats).collect()
    }

    fn settle_pick(&mut self) {
        let picks = self.picks();
        if !self.picked.is_some_and(|picked| picks.contains(&picked)) {
            self.picked = picks.first().copied();
        }
        let is_known = |open: &Conversation| self.chat(&open.account).is_some();
        if !self.conversation.as_ref().is_none_or(is_known) {
            self.conversation = None;
            self.pane = Pane::List;
        }
    }

    /// What is known of a contact.
    pub(crate) fn chat(&self, account: &AccountId) -> Option<&Chat> {
        self.chats.iter().find(|chat| chat.account == *account)
    }

    fn set_messages(
        &mut self,
        account: AccountId,
        messages: Vec<super::model::Bubble>,
        has_older: bool,
    ) -> Vec<Action> {
        if let Some(open) = self.conversation.as_mut().filter(|open| open.account == account) {
            open.set(messages, has_older);
        }
        // What a message waits for may be something else now.
        let whys = self.dialogs.iter().filter_map(Dialog::why);
        whys.map(Action::Why).collect()
    }

    fn added(&mut self, account: AccountId) -> Vec<Action> {
        self.close_busy_forms();
        // Who accepts one request may have more to answer.
        if self.dialogs.is_empty() { self.open(account, None) } else { Vec::new() }
    }

    fn close_busy_forms(&mut self) {
        self.dialogs.retain(|dialog| !matches!(dialog, Dialog::Form(form) if form.is_busy));
    }

    fn give_back(&mut self, account: AccountId, text: &str, trouble: Trouble) {
        self.notice = Some(Notice::Trouble(trouble));
        if let Some(open) = self.conversation.as_mut().filter(|open| open.account == account) {
            // What was written meanwhile comes behind it.
            let later = open.editor.take();
            let gap = if later.is_empty() { "" } else { "\n" };
            open.editor.set(&format!("{text}{gap}{later}"));
            self.note_change();
        } else {
            self.drafts.entry(account).or_insert_with(|| text.to_owned());
        }
    }

    fn failed(&mut self, trouble: Trouble) {
        let asked = self.dialogs.iter_mut().rev().filter_map(Dialog::form);
        let mut forms = asked.chain(self.start.as_mut());
        match forms.find(|form| form.is_busy) {
            Some(form) => form.fail(trouble),
            None => self.notice = Some(Notice::Trouble(trouble)),
        }
    }

    /// Opens a conversation; at a message, if one is named.
    pub(crate) fn open(&mut self, account: AccountId, row: Option<i64>) -> Vec<Action> {
        let mut actions: Vec<Action> = self.keep_draft().into_iter().collect();
        if let Some(before) = self.conversation.take() {
            self.drafts.insert(before.account, before.draft().to_owned());
        }
        let draft = self.drafts.remove(&account).unwrap_or_default();
        self.conversation = Some(Conversation::new(account, &draft, row));
        self.kept = draft;
        self.picked = Some(Picked::Chat(account));
        self.pane = if row.is_some() { Pane::Messages } else { Pane::Editor };
        // All that is new, and something before it.
        let unread = self.chat(&account).map_or(0, |chat| chat.unread);
        actions.push(Action::Load { account, count: PAGE.max(unread + PAGE / 10), until: row });
        actions
    }

    /// What contacts are told of the user.
    fn signs_of_life(&mut self, is_key: bool) -> Vec<Action> {
        let open = self.conversation.as_ref().filter(|_| self.start.is_none());
        let open = open.map(|open| match open.purpose {
            // What is put in the place of a message is nothing new to read yet.
            Purpose::Edit(..) => (open.account, ""),
            _ => (open.account, open.editor.text()),
        });
        let (now, has_attention) = (self.now, self.has_attention);
        self.told.tell(&Look { now, is_key, has_attention, open })
    }

    /// After every change: lays out what is open, and says what is seen for the first time.
    fn settle(&mut self) -> Vec<Action> {
        let area = layout::messages(self);
        let is_covered = !self.dialogs.is_empty() || self.start.is_some();
        let Some(open) = &mut self.conversation else { return Vec::new() };
        let area = area.unwrap_or_default();
        open.lay_out(self.theme, area.width, area.height);
        let mut actions = Vec::new();
        if self.has_attention && !is_covered && area.width > 0 {
            let seen = open.newly_seen();
            if !seen.is_empty() {
                actions.push(Action::Shown(seen));
            }
        }
        if let Some(count) = open.wants_older() {
            actions.push(Action::Load { account: open.account, count, until: None });
        }
        actions
    }
}
