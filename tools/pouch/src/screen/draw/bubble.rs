//! A message in its lines.

use postroad_client::State;
use ratatui::text::{Line, Span};

use crate::screen::model::{Body, Bubble};
use crate::screen::text;
use crate::screen::theme::Theme;

/// How our own messages are signed.
const ME: &str = "me";
/// Columns before the line that says who: the bar of the selection and a space.
const BEFORE_HEAD: usize = 2;
/// Columns before a text: more, so that no text can pretend to be such a line.
const BEFORE_TEXT: usize = 4;
/// Columns of a name that are seen at least.
const NAME: usize = 8;
/// From this width on states are written out beside their ticks.
const WIDE: u16 = 40;

/// What comes before a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before<'a> {
    /// The day of the message before; empty when there is none.
    pub(crate) day: &'a str,
    /// Whether all before were seen before the conversation was opened, and this was not.
    pub(crate) is_old: bool,
}

/// The lines of a message, with the day above it when that is another than before.
pub(crate) fn lines(
    message: &Bubble,
    before: Before<'_>,
    width: u16,
    theme: Theme,
    is_selected: bool,
) -> Vec<Line<'static>> {
    let columns = usize::from(width);
    let mut lines = Vec::new();
    if message.day != before.day {
        lines.push(Line::styled(centred(&message.day, columns, theme), theme.faint()));
    }
    if before.is_old {
        lines.push(Line::styled(centred("new", columns, theme), theme.notable()));
    }
    for (count, how) in
        [(message.lost_before, "lost for good"), (message.missing_before, "missing here")]
    {
        if count > 0 {
            let s = if count == 1 { "" } else { "s" };
            let gap = text::cut(&format!("-- {count} message{s} {how} --"), columns);
            lines.push(Line::styled(gap, theme.notable()));
        }
    }
    let bar = theme.bar(is_selected);
    lines.push(head(message, width, theme, bar));
    let room = columns.saturating_sub(BEFORE_TEXT);
    let mut add_spans = |spans: Vec<Span<'static>>| {
        let bar = Span::styled(format!("{bar}   "), theme.strong());
        lines.push(Line::from([vec![bar], spans].concat()));
    };
    let plain = |line: &str, style| vec![Span::styled(line.to_owned(), style)];
    if let Some(quote) = &message.quote {
        let who = if quote.outgoing { ME } else { &message.chat };
        let text = quote.text.as_deref().unwrap_or("(not here)");
        let line = format!("{}{}: {}", theme.quote(), text::clean(who), text::clean(text));
        add_spans(plain(&text::cut(&line, room), theme.faint()));
    }
    match &message.body {
        Body::Text(body) => {
            for line in text::lines(body, room) {
                add_spans(named(&line, &message.mentions, theme));
            }
        }
        Body::Note(note) => {
            for line in text::lines(note, room) {
                add_spans(plain(&line, theme.faint()));
            }
        }
    }
    if message.state.is_lost() && !message.deleted && !message.reason.is_empty() {
        for line in text::lines(&format!("{}: {}", message.state, message.reason), room) {
            add_spans(plain(&line, theme.bad()));
        }
    }
    if !message.reactions.is_empty() {
        let who = |own: bool| if own { ME.to_owned() } else { text::clean(&message.chat) };
        let all = message.reactions.iter();
        let all = all.map(|(own, emoji)| format!("{} {}", text::clean(emoji), who(*own)));
        let all = text::cut(&all.collect::<Vec<_>>().join(theme.dot()), room);
        add_spans(plain(&all, theme.notable()));
    }
    lines
}

/// A line of a text; names that it mentions stand out.
fn named(line: &str, mentions: &[String], theme: Theme) -> Vec<Span<'static>> {
    let names = mentions.iter().map(|name| text::clean(name)).filter(|name| !name.is_empty());
    let names: Vec<String> = names.collect();
    let mut spans = Vec::new();
    let mut rest = line;
    while let Some((at, name)) =
        names.iter().filter_map(|name| Some((rest.find(name)?, name))).min_by_key(|(at, _)| *at)
    {
        let end = at + name.len();
        spans.push(Span::raw(rest[..at].to_owned()));
        spans.push(Span::styled(rest[at..end].to_owned(), theme.strong()));
        rest = &rest[end..];
    }
    spans.push(Span::raw(rest.to_owned()));
    spans
}

/// Who, when and how far.
fn head(message: &Bubble, width: u16, theme: Theme, bar: &str) -> Line<'static> {
    let who = if message.outgoing { ME.to_owned() } else { text::clean(&message.chat) };
    let mut marks = Vec::new();
    let names_me = message.names_me && !message.outgoing;
    for (holds, word) in
        [(message.forwarded, "forwarded"), (message.edited, "edited"), (names_me, "names you")]
    {
        if holds {
            marks.push(word.to_owned());
        }
    }
    if let Some(seconds) = message.vanish_after.filter(|_| message.text().is_some()) {
        marks.push(format!("vanishes in {}", duration(seconds)));
    }
    let marks = if marks.is_empty() { String::new() } else { format!("  ({})", marks.join(", ")) };
    let state = match message.outgoing {
        true if width >= WIDE => format!("  {} {}", theme.tick(message.state), message.state),
        true => format!(" {}", theme.tick(message.state)),
        false => String::new(),
    };
    // What says how far it is must not be cut: name and time give way.
    let room = usize::from(width).saturating_sub(BEFORE_HEAD + text::width(&state) + 2);
    let who = text::cut(&who, room.saturating_sub(text::width(&message.time)).max(NAME));
    let time = text::cut(&message.time, room.saturating_sub(text::width(&who)));
    let style =
        if message.outgoing { theme.state(message.state) } else { theme.state(State::Accepted) };
    Line::from(vec![
        Span::styled(format!("{bar} "), theme.strong()),
        Span::styled(who, theme.strong()),
        Span::styled(format!("  {time}"), theme.faint()),
        Span::styled(state, style),
        Span::styled(marks, theme.faint()),
    ])
}

/// A word between two lines.
fn centred(word: &str, columns: usize, theme: Theme) -> String {
    let word = text::cut(&format!(" {word} "), columns);
    let left = columns.saturating_sub(text::width(&word)) / 2;
    let right = columns.saturating_sub(text::width(&word) + left);
    format!("{}{word}{}", theme.across().repeat(left), theme.across().repeat(right))
}

/// A time to vanish in, as the command line reads it.
pub(crate) fn duration(seconds: u64) -> String {
    postroad_cli::human_duration(core::time::Duration::from_secs(seconds))
}
