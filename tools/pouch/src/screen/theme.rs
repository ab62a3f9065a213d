//! Symbols and styles. Every colour goes with a symbol or a word that says the same.

use postroad_client::State;
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

/// How things look on this terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Theme {
    /// Whether colours are wanted.
    pub(crate) colour: bool,
    /// Whether the terminal shows more than ASCII.
    pub(crate) unicode: bool,
}

impl Theme {
    /// What the environment says: `NO_COLOR`, and the locale.
    pub(crate) fn of_environment() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
        let locale = locale.unwrap_or_default().to_lowercase();
        let unicode = locale.contains("utf-8") || locale.contains("utf8");
        Self { colour: set("NO_COLOR").is_none(), unicode }
    }

    fn pick(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { unicode } else { ascii }
    }

    /// The tick of a state.
    pub(crate) fn tick(self, state: State) -> &'static str {
        match state {
            State::Queued => self.pick("·", "."),
            State::Accepted => self.pick("✓", "+"),
            State::AtNode => self.pick("✓✓", "++"),
            State::Delivered => self.pick("○", "o"),
            State::Read => self.pick("●", "*"),
            State::Failed => self.pick("✗", "x"),
            State::Expired => self.pick("✗", "x"),
        }
    }

    /// Before what is selected.
    pub(crate) fn pointer(self) -> &'static str {
        self.pick("›", ">")
    }

    /// Along a selected message, and one that is not.
    pub(crate) fn bar(self, is_selected: bool) -> &'static str {
        if is_selected { self.pick("▌", ">") } else { " " }
    }

    /// Before a quoted text.
    pub(crate) fn quote(self) -> &'static str {
        self.pick("│ ", "> ")
    }

    /// Lines across and down.
    pub(crate) fn across(self) -> &'static str {
        self.pick("─", "-")
    }

    /// See [`Self::across`].
    pub(crate) fn down(self) -> &'static str {
        self.pick("│", "|")
    }

    /// Marks of chats: a draft, a blocked contact.
    pub(crate) fn draft(self) -> &'static str {
        self.pick("✎", "d")
    }

    /// Between short remarks.
    pub(crate) fn dot(self) -> &'static str {
        self.pick(" · ", " - ")
    }

    /// What a dialog is framed with.
    pub(crate) fn border(self) -> border::Set<'static> {
        if self.unicode {
            return border::PLAIN;
        }
        border::Set {
            top_left: "+",
            top_right: "+",
            bottom_left: "+",
            bottom_right: "+",
            vertical_left: "|",
            vertical_right: "|",
            horizontal_top: "-",
            horizontal_bottom: "-",
        }
    }

    /// Reactions to pick from.
    pub(crate) fn reactions(self) -> [&'static str; 6] {
        if self.unicode {
            ["👍", "❤", "😂", "😮", "😢", "🎉"]
        } else {
            ["+1", "<3", ":D", ":o", ":(", "ok"]
        }
    }

    fn with(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// What is selected.
    pub(crate) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Headings and names.
    pub(crate) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What matters less.
    pub(crate) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What went well.
    pub(crate) fn good(self) -> Style {
        self.with(Color::Green)
    }

    /// What waits or is to be noticed.
    pub(crate) fn notable(self) -> Style {
        self.with(Color::Yellow)
    }

    /// What failed.
    pub(crate) fn bad(self) -> Style {
        self.with(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// A state, as its tick is drawn.
    pub(crate) fn state(self, state: State) -> Style {
        match state {
            State::Queued => self.notable(),
            State::Accepted | State::AtNode => Style::new(),
            State::Delivered | State::Read => self.good(),
            State::Failed | State::Expired => self.bad(),
        }
    }
}
