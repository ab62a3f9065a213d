//! The open conversation: its messages, the one that is selected, and what is being written.

use std::collections::{BTreeMap, BTreeSet};

use postroad_proto::ids::{AccountId, MessageId};

use super::draw::bubble;
use super::editor::Editor;
use super::model::Bubble;
use super::scroll::Scroll;
use super::theme::Theme;

/// Messages that are read at first, and more each time that the user goes back further.
pub(crate) const PAGE: usize = 200;

/// What the editor's text is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A message.
    #[default]
    Write,
    /// An answer to this one, which begins so.
    Answer(MessageId, String),
    /// In place of this one's text. What was being written before comes back afterwards.
    Edit(MessageId, String),
}

/// The open conversation.
#[derive(Debug, Clone)]
pub(crate) struct Conversation {
    pub(crate) account: AccountId,
    /// Oldest first.
    pub(crate) messages: Vec<Bubble>,
    pub(crate) is_loaded: bool,
    has_older: bool,
    asked_older: bool,
    /// The row of the selected message.
    pub(crate) selected: Option<i64>,
    /// The row that is to be selected when it is there.
    goal: Option<i64>,
    pub(crate) editor: Editor,
    pub(crate) purpose: Purpose,
    pub(crate) scroll: Scroll,
    /// The first message that was not seen when the conversation was opened.
    new_from: Option<i64>,
    /// The message that is to be at the top as soon as there are lines.
    to_show: Option<i64>,
    /// Rows that were said to have been seen.
    told: BTreeSet<i64>,
    /// Lines that messages take, by their rows, at the width for which they were counted.
    heights: BTreeMap<i64, usize>,
    width: u16,
    /// Columns and rows for which all of it was laid out; absent when it has changed since.
    laid_out: Option<(u16, u16)>,
}

impl Conversation {
    /// A conversation whose messages are not read yet.
    pub(crate) fn new(account: AccountId, draft: &str, goal: Option<i64>) -> Self {
        Self {
            account,
            messages: Vec::new(),
            is_loaded: false,
            has_older: false,
            asked_older: false,
            selected: None,
            goal,
            editor: Editor::lines(draft),
            purpose: Purpose::Write,
            scroll: Scroll::default(),
            new_from: None,
            to_show: None,
            told: BTreeSet::new(),
            heights: BTreeMap::new(),
            width: 0,
            laid_out: None,
        }
    }

    /// The messages were read, or read again.
    pub(crate) fn set(&mut self, messages: Vec<Bubble>, has_older: bool) {
        let before = core::mem::replace(&mut self.messages, messages);
        self.forget_heights(&before);
        self.has_older = has_older;
        if !core::mem::replace(&mut self.is_loaded, true) {
            let is_new = |message: &&Bubble| !message.outgoing && !message.shown;
            self.new_from = self.messages.iter().find(is_new).map(|message| message.row);
            self.to_show = self.new_from.filter(|_| self.goal.is_none());
        }
        self.asked_older = false;
        if let Some(goal) = self.goal.take() {
            self.selected = Some(goal);
        }
        let is_there = |row: &i64| self.messages.iter().any(|message| message.row == *row);
        // One whose time was over is gone.
        self.selected = self.selected.filter(is_there);
    }

    /// Long texts take long to wrap: only those that are new or other than before are.
    fn forget_heights(&mut self, before: &[Bubble]) {
        self.laid_out = None;
        let mut same = BTreeSet::new();
        let mut old = before.iter().peekable();
        let mut days = ("", "");
        for message in &self.messages {
            while let Some(gone) = old.next_if(|old| old.row < message.row) {
                days.1 = &gone.day;
            }
            let known = old.peek().is_some_and(|old| *old == message);
            if known && days.0 == days.1 {
                same.insert(message.row);
            }
            days.0 = &message.day;
        }
        self.heights.retain(|row, _| same.contains(row));
    }

    /// Its lines at this width, and the window on them.
    pub(crate) fn lay_out(&mut self, theme: Theme, width: u16, height: u16) {
        if self.laid_out.replace((width, height)) == Some((width, height)) {
            return;
        }
        if self.width != width {
            self.heights.clear();
            self.width = width;
        }
        let was_selected = self.is_selected_visible();
        let mut blocks = Vec::with_capacity(self.messages.len());
        for (index, message) in self.messages.iter().enumerate() {
            let known = self.heights.get(&message.row).copied();
            let count = || bubble::lines(message, self.before(index), width, theme, false).len();
            blocks.push((message.row, known.unwrap_or_else(count)));
        }
        self.heights = blocks.iter().copied().collect();
        self.scroll.lay_out(blocks.into_iter(), height.into());
        if let Some(new) = self.to_show.take() {
            let index = self.messages.iter().position(|message| message.row == new);
            self.scroll.show_first(index.unwrap_or(0));
        }
        if !was_selected && let Some(index) = self.selected_index() {
            self.scroll.show(index, false);
        }
    }

    /// What comes before a message.
    pub(crate) fn before(&self, index: usize) -> bubble::Before<'_> {
        let before = index.checked_sub(1).and_then(|before| self.messages.get(before));
        let here = self.messages.get(index);
        bubble::Before {
            day: before.map_or("", |before| &before.day),
            is_old: here.is_some_and(|here| self.new_from == Some(here.row)),
        }
    }

    fn is_selected_visible(&self) -> bool {
        self.selected_index().is_none_or(|index| self.scroll.visible().contains(&index))
    }

    /// Rows of others' messages whose end is on the screen and that were not told before.
    pub(crate) fn newly_seen(&mut self) -> Vec<i64> {
        let mut rows = Vec::new();
        for index in self.scroll.visible() {
            let Some(message) = self.messages.get(index) else { continue };
            let is_new = !message.outgoing && !message.shown;
            if is_new && self.scroll.shows_end_of(index) && self.told.insert(message.row) {
                rows.push(message.row);
            }
        }
        rows
    }

    /// How many messages to read now, if the user has come to the oldest that is here.
    pub(crate) fn wants_older(&mut self) -> Option<usize> {
        let is_at_oldest = self.scroll.visible().start == 0 && self.is_loaded;
        if !is_at_oldest || !self.has_older || self.asked_older {
            return None;
        }
        self.asked_older = true;
        Some(self.messages.len() + PAGE)
    }

    fn selected_index(&self) -> Option<usize> {
        let selected = self.selected?;
        self.messages.iter().position(|message| message.row == selected)
    }

    /// The selected message.
    pub(crate) fn selected(&self) -> Option<&Bubble> {
        self.selected_index().and_then(|index| self.messages.get(index))
    }

    fn select(&mut self, index: usize, from_below: bool) {
        if let Some(message) = self.messages.get(index) {
            self.selected = Some(message.row);
            self.scroll.show(index, from_below);
        }
    }

    /// Selects the newest that is seen, unless one is selected already.
    pub(crate) fn begin_selection(&mut self) {
        if self.selected_index().is_none() {
            let last = self.scroll.visible().end.min(self.messages.len());
            if let Some(index) = last.checked_sub(1) {
                self.select(index, true);
            }
        }
    }

    /// To the message before, or further up in one that is taller than the window.
    pub(crate) fn up(&mut self) {
        let Some(index) = self.selected_index() else { return self.begin_selection() };
        if !self.scroll.shows_start_of(index) {
            self.scroll.by(-1);
        } else if index > 0 {
            self.select(index - 1, true);
        }
    }

    /// To the message after. False when there is none.
    pub(crate) fn down(&mut self) -> bool {
        let Some(index) = self.selected_index() else { return false };
        if !self.scroll.shows_end_of(index) {
            self.scroll.by(1);
        } else if index + 1 < self.messages.len() {
            self.select(index + 1, false);
        } else {
            return false;
        }
        true
    }

    /// By nearly a screen.
    pub(crate) fn page(&mut self, is_down: bool) {
        self.scroll.page(is_down);
        let seen = self.scroll.visible();
        let index = if is_down { seen.end.checked_sub(1) } else { Some(seen.start) };
        let index = index.filter(|index| *index < self.messages.len());
        self.selected = index.and_then(|index| self.messages.get(index)).map(|message| message.row);
    }

    /// To the oldest that is here, or the newest.
    pub(crate) fn to(&mut self, is_newest: bool) {
        let newest = self.messages.len().saturating_sub(1);
        self.select(if is_newest { newest } else { 0 }, is_newest);
    }

    /// Nothing is selected any more, and the newest is seen.
    pub(crate) fn end_selection(&mut self) {
        self.selected = None;
        self.scroll.go_to_end();
    }

    /// The text that is being written, not that of an edit.
    pub(crate) fn draft(&self) -> &str {
        match &self.purpose {
            Purpose::Edit(_, before) => before,
            _ => self.editor.text(),
        }
    }

    /// Starts to answer or to edit.
    pub(crate) fn begin(&mut self, purpose: Purpose, text: Option<&str>) {
        self.cancel();
        self.purpose = purpose;
        if let Some(text) = text {
            self.editor.set(text);
        }
    }

    /// Back to plain writing. False when that is where it was.
    pub(crate) fn cancel(&mut self) -> bool {
        match core::mem::take(&mut self.purpose) {
            Purpose::Write => return false,
            Purpose::Answer(..) => {}
            Purpose::Edit(_, before) => self.editor.set(&before),
        }
        true
    }
}
