//! Screens as they are kept in `screens/`. `POSTROAD_WRITE_SCREENS=1 cargo test -p pouch screens`
//! writes them anew; read the difference then.

use std::path::PathBuf;

use postroad_client::Signs;

use super::*;
use crate::screen::conversation::Purpose;
use crate::screen::dialog::Dialog;
use crate::screen::model::{Quote, SafetyView, Step, Trouble, Waits, WhyView};

const SIZES: [(u16, u16); 2] = [(80, 24), (200, 50)];

/// Compares a screen at both sizes with what is kept.
fn screens(name: &str, prepare: impl Fn(&mut App)) {
    for size in SIZES {
        let mut app = app(size);
        prepare(&mut app);
        let file = format!("{name}-{}x{}.txt", size.0, size.1);
        compare(&file, &shown(&app));
    }
}

fn compare(file: &str, screen: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/screen/screens").join(file);
    if std::env::var_os("POSTROAD_WRITE_SCREENS").is_some() {
        std::fs::write(&path, screen).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == screen, "{file} is other than it was:\n{screen}\nit was:\n{kept}");
}

/// A message of ours for each state, the reasons that go with them, and what others do.
fn every_state() -> Vec<Bubble> {
    let mut messages = vec![bubble(1, false, "hello, Alice")];
    for (row, state) in (2..).zip(State::ALL) {
        let reason = match state {
            State::Queued => "no connection to road.example: timed out",
            State::Failed => "DENIED: the recipient takes nothing from you",
            State::Expired => "nobody fetched it in 30 days",
            _ => "",
        };
        let text = format!("this one is {state}");
        messages.push(Bubble { state, reason: reason.to_owned(), ..bubble(row, true, &text) });
    }
    messages
}

fn changed() -> Vec<Bubble> {
    let quote = Some(Quote { outgoing: true, text: Some("shall we meet at noon?".to_owned()) });
    let lost = Some(Quote { outgoing: false, text: None });
    let note = |text: &str| Body::Note(text.to_owned());
    vec![
        Bubble { day: "Tue 24 Nov 2026".to_owned(), ..bubble(1, true, "shall we meet at noon?") },
        Bubble { quote, ..bubble(2, false, "yes, at the old post house") },
        Bubble { quote: lost, edited: true, ..bubble(3, true, "I changed my mind about that") },
        Bubble { deleted: true, body: note("[deleted]"), ..bubble(4, false, "") },
        Bubble {
            reactions: vec![(false, "👍".to_owned()), (true, "🎉".to_owned())],
            forwarded: true,
            ..bubble(5, true, "The road is open again, says the post master of Ulm.")
        },
        Bubble { missing_before: 1, shown: false, ..bubble(6, false, "did you get what I wrote?") },
        Bubble { lost_before: 2, ..bubble(7, false, "those two will not come") },
        Bubble { body: note("[unknown-77: this version cannot show it]"), ..bubble(8, false, "") },
        Bubble { vanish_after: Some(3600), ..bubble(9, false, "this one vanishes") },
        Bubble {
            time: "12:31, sent Mon 23 Nov 2026 09:12".to_owned(),
            ..bubble(
                10,
                false,
                "你好，这条消息很长，长到一行放不下，所以必须在中间换行，看看会怎么样。",
            )
        },
    ]
}

#[test]
fn what_contacts_do_now_and_whom_texts_name() {
    screens("signs", |app| {
        let mentions = vec!["@Alice".to_owned()];
        let names = Bubble { mentions, names_me: true, ..bubble(2, false, "and you, @Alice?") };
        open(app, vec![bubble(1, true, "I am off to Ulm, @bob"), names]);
        let does = |writing, here| Signs { writing, here };
        let signs = [(account(1), does(false, true)), (account(2), does(true, true))];
        give(app, Data::Signs(signs.into()));
    });
    let mut app = app((80, 24));
    open(&mut app, vec![]);
    give(&mut app, Data::Signs([(account(1), Signs { writing: true, here: true })].into()));
    assert!(shown(&app).contains("bob · is writing"), "{}", shown(&app));
}

#[test]
fn chats_with_what_is_unread_blocked_and_begun() {
    screens("chats", |app| {
        let unread = |number, name: &str, unread| Chat { unread, ..chat(number, name) };
        give(
            app,
            Data::Chats(vec![
                unread(1, "bob", 2),
                unread(2, "carol", 0),
                Chat { blocked: true, ..chat(3, "mallory") },
                unread(4, "a name that is much longer than the list is wide", 120),
                unread(5, "李小龙 and friends from the road", 1),
            ]),
        );
        give(app, Data::Drafts(vec![(account(2), "dear Carol".to_owned())]));
        give(app, Data::Requests(vec![asking(9, "eve", "may I?")]));
        give(app, Data::Standing(Standing { queued: 1, unsettled: 3, ..app.standing.clone() }));
    });
}

#[test]
fn a_conversation_with_every_state() {
    screens("states", |app| {
        open(app, every_state());
        write(app, "what I am writing");
        give(
            app,
            Data::Link(Link::Offline {
                reason: "no connection to road.example: connection refused".to_owned(),
                next_try: Some(NOW + 12_000),
            }),
        );
    });
}

#[test]
fn a_waiting_message_says_why_when_it_is_selected() {
    screens("waiting", |app| {
        open(app, every_state()[..2].to_vec());
        press(app, KeyCode::Up);
    });
}

#[test]
fn answers_edits_deletions_reactions_and_gaps() {
    screens("changes", |app| {
        open(app, changed());
        press(app, KeyCode::Up);
        press(app, KeyCode::Up);
        press(app, KeyCode::Char('r'));
        write(app, "an answer");
        app.handle(Input::Key(KeyEvent::new(KeyCode::Enter, KeyModifiers::ALT)));
        write(app, "in two lines");
        assert!(matches!(app.conversation.as_ref().unwrap().purpose, Purpose::Answer(..)));
    });
}

#[test]
fn the_way_of_a_message() {
    let step = |state, by: &str, verified| Step {
        state,
        at: "Wed 25 Nov 2026 12:31".to_owned(),
        by: by.to_owned(),
        verified,
    };
    screens("why", |app| {
        open(app, every_state());
        press(app, KeyCode::Up);
        assert_eq!(press(app, KeyCode::Char('w')).len(), 1);
        let id = app.conversation.as_ref().unwrap().selected().unwrap().id;
        let view = WhyView {
            id,
            state: State::AtNode,
            chat: "bob".to_owned(),
            steps: vec![
                step(State::Queued, "your device 1", true),
                step(State::Accepted, "road.example", true),
                step(State::AtNode, "other.example", false),
            ],
            waits: Some(Waits {
                at: "other.example".to_owned(),
                since: "Wed 25 Nov 2026 12:31".to_owned(),
                reason: "the recipient's device has not confirmed it yet".to_owned(),
                detail: String::new(),
                next_try: None,
            }),
            reason: String::new(),
            parcel: Some("ee22".to_owned()),
        };
        give(app, Data::Why(view));
    });
}

#[test]
fn who_asks_to_write() {
    screens("requests", |app| {
        let texts = "May I write to you?\nWe met on the road to Ulm.";
        give(app, Data::Requests(vec![asking(8, "eve", texts), asking(9, "frank", "hello")]));
        control(app, 'r');
        press(app, KeyCode::Down);
    });
}

#[test]
fn a_contact() {
    screens("contact", |app| {
        let bob = Chat { vanish_after: Some(86_400), verified: true, ..chat(1, "bob") };
        give(app, Data::Chat(bob));
        open(app, vec![bubble(1, false, "hello")]);
        control(app, 'k');
    });
}

#[test]
fn words_to_compare() {
    screens("safety", |app| {
        open(app, vec![bubble(1, false, "hello")]);
        control(app, 'k');
        assert_eq!(press(app, KeyCode::Char('s')), [Action::Safety(account(1))]);
        let words = "acid acorn acre acts afar affix aged agent agile aging agony ahead";
        give(
            app,
            Data::Safety(SafetyView {
                account: account(1),
                words: words.split(' ').map(str::to_owned).collect(),
                code: "12345 67890".to_owned(),
                verified: false,
            }),
        );
    });
}

#[test]
fn a_search() {
    screens("search", |app| {
        open(app, vec![bubble(1, false, "hello")]);
        control(app, 'f');
        write(app, "road");
        let asked = app.handle(Input::Tick(NOW));
        assert_eq!(asked, [Action::Search(Some(account(1)), "road".to_owned())]);
        let found = [bubble(2, true, "the road to Ulm"), bubble(1, false, "which\nroad?")];
        give(app, Data::Found(found.to_vec()));
        press(app, KeyCode::Down);
    });
}

#[test]
fn a_profile_without_an_account() {
    screens("start", |app| {
        give(app, Data::NotJoined);
        write(app, "postroad:join#abc");
        press(app, KeyCode::Enter);
        write(app, "alice");
        assert_eq!(press(app, KeyCode::Enter).len(), 1);
        give(
            app,
            Data::Failed(Trouble {
                message: "it was used as often as it may be".to_owned(),
                hint: "ask for a new one".to_owned(),
            }),
        );
    });
}

#[test]
fn the_help() {
    screens("help", |app| {
        press(app, KeyCode::Char('?'));
        assert!(matches!(app.dialogs.last(), Some(Dialog::Help { .. })));
    });
}

#[test]
fn hostile_texts_and_names() {
    screens("hostile", |app| {
        let name = "bob\u{1b}[31m\u{202e}live\nme";
        give(app, Data::Chat(Chat { name: name.to_owned(), ..chat(1, "bob") }));
        let piled = format!("Z{} is only a Z", "\u{301}".repeat(500));
        let mut messages = vec![
            bubble(1, false, "\u{1b}]0;owned\u{7}\u{1b}[2J\r\u{8}over\u{9b}31m"),
            bubble(2, false, "one\nme  12:31  ● read\nforged"),
            bubble(3, false, "exe.\u{202e}txt\u{202c} \u{2066}x\u{2069}\ttab"),
            bubble(4, false, &piled),
            bubble(5, false, &"verylongword".repeat(20)),
        ];
        for message in &mut messages {
            name.clone_into(&mut message.chat);
            message.reactions.push((false, "\u{1b}c\u{202e}".to_owned()));
        }
        open(app, messages);
    });
}

#[test]
fn a_terminal_of_few_letters() {
    let mut app = app((60, 20));
    app.theme = Theme { colour: false, unicode: false };
    open(&mut app, every_state());
    press(&mut app, KeyCode::Up);
    let screen = shown(&app);
    assert!(screen.is_ascii(), "{screen}");
    compare("ascii-60x20.txt", &screen);
}

#[test]
fn a_narrow_terminal_shows_one_pane() {
    let mut app = app((30, 16));
    compare("narrow-chats-30x16.txt", &shown(&app));
    open(&mut app, changed());
    compare("narrow-conversation-30x16.txt", &shown(&app));
}
