//! Whatever is pressed on whatever terminal: nothing panics, and nothing hostile is drawn.

use postroad_cli::safe;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;
use crate::screen::model::{Quote, SafetyView, Trouble, WhyView};

/// Keys that are pressed in one life.
const KEYS: usize = 3_000;

struct Chance(ChaCha8Rng);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0.next_u64() % limit.max(1)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()].clone()
    }

    /// Letters of all kinds, and what must never reach a terminal.
    fn text(&mut self) -> String {
        let parts = [
            "a",
            "word ",
            "\n",
            "\u{1b}[2J",
            "\u{202e}",
            "\t",
            "你好",
            "👩\u{200d}🚀",
            "e\u{301}",
            "\r",
            "\u{9b}",
            "नमस्ते",
            "مرحبا",
            "\u{200d}",
            "\u{feff}",
            "",
            " ",
            "x/y",
            "\u{fe0f}",
            "❤",
        ];
        let count = self.below(30);
        (0..count).map(|_| self.pick(&parts)).collect()
    }

    fn key(&mut self) -> KeyEvent {
        let letters: Vec<char> = "wrexf+y?kjabnisvtuy/ cq\u{202e}é你".chars().collect();
        let codes = [
            KeyCode::Enter,
            KeyCode::Esc,
            KeyCode::Tab,
            KeyCode::BackTab,
            KeyCode::Up,
            KeyCode::Down,
            KeyCode::Left,
            KeyCode::Right,
            KeyCode::Home,
            KeyCode::End,
            KeyCode::PageUp,
            KeyCode::PageDown,
            KeyCode::Backspace,
            KeyCode::Delete,
            KeyCode::F(1),
            KeyCode::F(2),
            KeyCode::F(3),
            KeyCode::F(9),
        ];
        let code =
            if self.below(2) == 0 { self.pick(&codes) } else { KeyCode::Char(self.pick(&letters)) };
        let modifiers = [
            KeyModifiers::NONE,
            KeyModifiers::NONE,
            KeyModifiers::NONE,
            KeyModifiers::CONTROL,
            KeyModifiers::ALT,
            KeyModifiers::SHIFT,
        ];
        KeyEvent::new(code, self.pick(&modifiers))
    }

    fn bubble(&mut self, row: i64) -> Bubble {
        let outgoing = self.below(2) == 0;
        let (text, chat, emoji) = (self.text(), self.text(), self.text());
        Bubble {
            chat,
            state: self.pick(&State::ALL),
            reason: self.text(),
            day: self.pick(&["Tue 24 Nov 2026", "Wed 25 Nov 2026"]).to_owned(),
            quote: (self.below(4) == 0).then(|| Quote { outgoing, text: Some(text.clone()) }),
            reactions: vec![(outgoing, emoji)],
            shown: self.below(2) == 0,
            deleted: self.below(9) == 0,
            missing_before: self.below(3),
            lost_before: self.below(2),
            vanish_after: (self.below(3) == 0).then_some(60),
            ..bubble(row, outgoing, &text)
        }
    }

    fn data(&mut self) -> Data {
        let trouble = |chance: &mut Self| Trouble { message: chance.text(), hint: chance.text() };
        match self.below(12) {
            0 => Data::NotJoined,
            1 | 2 => Data::Joined,
            3 => Data::Chats((0..self.below(40) as u8).map(|n| self.chat(n)).collect()),
            4 => Data::Chat(self.chat(1)),
            5 => {
                let count = self.below(5) as u8;
                let all = (0..count).map(|n| asking(100 + n, &self.text(), &self.text()));
                Data::Requests(all.collect())
            }
            6 | 7 => {
                let first = self.below(5) as i64;
                let count = self.below(60) as i64;
                let messages = (first..first + count).map(|row| self.bubble(row)).collect();
                let account = account(self.below(3) as u8);
                Data::Messages { account, messages, has_older: self.below(2) == 0 }
            }
            8 => Data::Link(Link::Offline { reason: self.text(), next_try: Some(self.below(NOW)) }),
            9 => Data::NotSent {
                account: account(self.below(3) as u8),
                text: self.text(),
                trouble: trouble(self),
            },
            10 => Data::Found((0..self.below(9) as i64).map(|row| self.bubble(row)).collect()),
            _ => Data::Failed(trouble(self)),
        }
    }

    fn chat(&mut self, number: u8) -> Chat {
        let name = self.text();
        Chat {
            unread: self.below(3) as usize,
            blocked: self.below(5) == 0,
            reason: self.text(),
            node: self.text(),
            ..chat(number, &name)
        }
    }

    /// What the desk answers to some actions.
    fn answer(&mut self, actions: &[Action], app: &mut App) {
        for action in actions {
            let _ = match action {
                Action::Why(id) => give(
                    app,
                    Data::Why(WhyView {
                        id: *id,
                        state: self.pick(&State::ALL),
                        chat: self.text(),
                        steps: Vec::new(),
                        waits: None,
                        reason: self.text(),
                        parcel: Some(self.text()),
                    }),
                ),
                Action::Safety(account) => give(
                    app,
                    Data::Safety(SafetyView {
                        account: *account,
                        words: vec![self.text()],
                        code: self.text(),
                        verified: self.below(2) == 0,
                    }),
                ),
                _ => Vec::new(),
            };
        }
    }
}

fn live(seed: u64) {
    let mut chance = Chance(ChaCha8Rng::seed_from_u64(seed));
    let mut app = app((80, 24));
    for step in 0..KEYS {
        let input = match chance.below(20) {
            0 => Input::Resize(1 + chance.below(200) as u16, 1 + chance.below(60) as u16),
            1 => Input::Paste(chance.text()),
            2 => Input::Tick(NOW + chance.below(1_000_000)),
            3 => Input::Attention(chance.below(2) == 0),
            4..7 => chance.data().into(),
            _ => Input::Key(chance.key()),
        };
        let actions = app.handle(input);
        chance.answer(&actions, &mut app);
        if step % 4 == 0 {
            let screen = shown(&app);
            for line in screen.lines() {
                assert_eq!(safe(line), line, "seed {seed}, step {step}");
            }
        }
    }
}

#[test]
fn a_random_life_never_panics_and_shows_nothing_hostile() {
    for seed in 1..=6 {
        // What fails says which one it was.
        println!("seed {seed}");
        live(seed);
    }
}

#[test]
fn every_size_is_drawn() {
    let mut app = app((80, 24));
    open(&mut app, (1..40).map(|row| bubble(row, row % 3 == 0, "some words to wrap")).collect());
    for columns in 1..=200 {
        for rows in [1, 2, 3, 4, 5, 6, 7, 9, 12, 24, 60, 200] {
            app.handle(Input::Resize(columns, rows));
            shown(&app);
        }
    }
    for key in [KeyCode::F(1), KeyCode::F(2)] {
        press(&mut app, key);
        for size in 1..=60 {
            app.handle(Input::Resize(size, size / 2 + 1));
            shown(&app);
        }
        press(&mut app, KeyCode::Esc);
    }
}
