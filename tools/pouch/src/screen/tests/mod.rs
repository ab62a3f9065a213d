//! The screen as it looks and as it behaves, without a terminal and without a profile.

mod keys;
mod looks;
mod random;

use postroad_client::State;
use postroad_proto::ids::{AccountId, MessageId};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::CellWidth;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::App;
use super::draw::draw;
use super::input::{Action, Data, Input};
use super::model::{Asking, Body, Bubble, Chat, Link, Standing};
use super::theme::Theme;

const THEME: Theme = Theme { colour: true, unicode: true };
const NOW: u64 = 1_764_070_000_000;

fn account(number: u8) -> AccountId {
    AccountId([number; 32])
}

fn chat(number: u8, name: &str) -> Chat {
    Chat {
        account: account(number),
        name: name.to_owned(),
        unread: 0,
        blocked: false,
        verified: false,
        last: 1000 - u64::from(number),
        vanish_after: None,
        reason: String::new(),
        handle: format!("{name}@road.example"),
        handle_proven: true,
        phase: "ready",
        node: "node".to_owned(),
    }
}

fn asking(number: u8, name: &str, text: &str) -> Asking {
    Asking {
        account: account(number),
        name: name.to_owned(),
        handle: format!("{name}@road.example"),
        handle_proven: false,
        text: text.to_owned(),
    }
}

/// A message of a conversation with Bob, who is account 1.
fn bubble(row: i64, outgoing: bool, text: &str) -> Bubble {
    Bubble {
        row,
        id: MessageId([u8::try_from(row % 250).unwrap(); 16]),
        account: account(1),
        chat: "bob".to_owned(),
        outgoing,
        body: Body::Text(text.to_owned()),
        quote: None,
        forwarded: false,
        edited: false,
        deleted: false,
        reactions: Vec::new(),
        mentions: Vec::new(),
        names_me: false,
        vanish_after: None,
        day: "Wed 25 Nov 2026".to_owned(),
        time: "12:31".to_owned(),
        state: if outgoing { State::Read } else { State::Delivered },
        reason: String::new(),
        shown: true,
        missing_before: 0,
        lost_before: 0,
    }
}

/// A screen with three chats and a connection.
fn app(size: (u16, u16)) -> App {
    let mut app = App::new(THEME, size, NOW);
    let standing = Standing {
        who: "alice@road.example".to_owned(),
        node: "road.example".to_owned(),
        ..Standing::default()
    };
    give(&mut app, Data::Standing(standing));
    give(&mut app, Data::Link(Link::Online));
    give(&mut app, Data::Chats(vec![chat(1, "bob"), chat(2, "carol"), chat(3, "dora")]));
    app
}

/// What is done, but for what contacts are told of the user meanwhile.
fn done(app: &mut App, input: Input) -> Vec<Action> {
    let is_sign = |action: &Action| matches!(action, Action::Typing(..) | Action::Here(_));
    app.handle(input).into_iter().filter(|action| !is_sign(action)).collect()
}

fn give(app: &mut App, data: Data) -> Vec<Action> {
    done(app, data.into())
}

/// Opens the conversation with Bob and hands these messages over.
fn open(app: &mut App, messages: Vec<Bubble>) -> Vec<Action> {
    let _ = app.open(account(1), None);
    give(app, Data::Messages { account: account(1), messages, has_older: false })
}

fn press(app: &mut App, code: KeyCode) -> Vec<Action> {
    done(app, Input::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn control(app: &mut App, c: char) -> Vec<Action> {
    done(app, Input::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL)))
}

fn write(app: &mut App, text: &str) {
    for c in text.chars() {
        let _ = press(app, KeyCode::Char(c));
    }
}

/// What is on the screen, a line for each row. Of the styles only `reversed` shows, as it does on
/// the plainest terminal: not here.
fn shown(app: &App) -> String {
    let mut terminal = Terminal::new(TestBackend::new(app.size.0, app.size.1)).unwrap();
    terminal.draw(|frame| draw(app, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            // Behind a wide symbol there is a cell that is not seen.
            x += symbol.cell_width().max(1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
