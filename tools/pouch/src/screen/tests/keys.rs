//! What keys do.

use super::*;
use crate::screen::app::{Notice, Pane, Picked};
use crate::screen::conversation::PAGE;
use crate::screen::dialog::Dialog;
use crate::screen::model::Trouble;

const SIZE: (u16, u16) = (80, 24);

/// Bob's conversation with a text of his and one of ours.
fn two() -> Vec<Bubble> {
    vec![bubble(1, false, "from bob"), bubble(2, true, "from me")]
}

fn text_of(app: &App) -> &str {
    app.conversation.as_ref().unwrap().editor.text()
}

#[test]
fn a_chat_is_opened_written_in_and_left() {
    let mut app = app(SIZE);
    assert_eq!(app.picked, Some(Picked::Chat(account(1))));
    press(&mut app, KeyCode::Down);
    let actions = press(&mut app, KeyCode::Enter);
    assert_eq!(actions, [Action::Load { account: account(2), count: PAGE, until: None }]);
    assert_eq!(app.pane, Pane::Editor);
    write(&mut app, "dear Carol?");
    control(&mut app, 'j');
    write(&mut app, "yours");
    let actions = press(&mut app, KeyCode::Enter);
    let text = "dear Carol?\nyours".to_owned();
    assert_eq!(actions, [Action::Send { account: account(2), text, answers: None }]);
    assert_eq!(text_of(&app), "");
    assert!(press(&mut app, KeyCode::Enter).is_empty(), "nothing is not sent");
    press(&mut app, KeyCode::Esc);
    assert_eq!(app.pane, Pane::List);
}

#[test]
fn what_could_not_be_stored_comes_back() {
    let mut app = app(SIZE);
    open(&mut app, two());
    write(&mut app, "first");
    press(&mut app, KeyCode::Enter);
    write(&mut app, "second");
    let trouble = Trouble { message: "the disk is full".to_owned(), hint: String::new() };
    let text = "first".to_owned();
    give(&mut app, Data::NotSent { account: account(1), text, trouble: trouble.clone() });
    assert_eq!(text_of(&app), "first\nsecond");
    assert_eq!(app.notice, Some(Notice::Trouble(trouble)));
    press(&mut app, KeyCode::Left);
    assert_eq!(app.notice, None, "it has been read");
}

#[test]
fn drafts_stay_with_their_chats_and_are_kept() {
    let mut app = app(SIZE);
    open(&mut app, two());
    write(&mut app, "for bob");
    assert!(done(&mut app, Input::Tick(NOW + 1_000)).is_empty(), "somebody is typing");
    let kept = done(&mut app, Input::Tick(NOW + 5_000));
    assert_eq!(kept, [Action::Draft(account(1), "for bob".to_owned())]);
    write(&mut app, "!");
    let alt = |code| Input::Key(KeyEvent::new(code, KeyModifiers::ALT));
    let actions = done(&mut app, alt(KeyCode::Down));
    assert_eq!(actions[0], Action::Draft(account(1), "for bob!".to_owned()));
    assert_eq!(text_of(&app), "");
    app.handle(alt(KeyCode::Up));
    assert_eq!(text_of(&app), "for bob!");
    let actions = press(&mut app, KeyCode::Enter);
    assert_eq!(actions[1], Action::Draft(account(1), String::new()), "it is no draft any more");
    write(&mut app, "more");
    let actions = control(&mut app, 'q');
    assert_eq!(actions, [Action::Draft(account(1), "more".to_owned()), Action::Quit]);
}

#[test]
fn only_what_is_seen_with_the_chat_open_is_marked() {
    let mut app = app((80, 12));
    let many: Vec<Bubble> =
        (1..=20).map(|row| Bubble { shown: false, ..bubble(row, false, "text") }).collect();
    let load = Action::Load { account: account(1), count: PAGE, until: None };
    assert_eq!(app.open(account(1), None), [load]);
    let seen = open(&mut app, many.clone());
    let [Action::Shown(rows)] = &seen[..] else { panic!("{seen:?}") };
    assert!(rows.len() < 6 && rows.contains(&1) && !rows.contains(&20), "{rows:?}");
    assert!(shown(&app).contains(" new "), "they begin at the first that is new");
    let again = Data::Messages { account: account(1), messages: many.clone(), has_older: false };
    assert!(give(&mut app, again.clone()).is_empty(), "each is told once");
    let down = press(&mut app, KeyCode::PageDown);
    let [Action::Shown(more)] = &down[..] else { panic!("{down:?}") };
    assert!(more.iter().all(|row| !rows.contains(row)));

    // With a dialog before it, with the window elsewhere, in another chat: nothing is seen.
    let mut covered = super::app((80, 12));
    control(&mut covered, 'n');
    assert!(open(&mut covered, many.clone()).is_empty());
    assert!(!press(&mut covered, KeyCode::Esc).is_empty());
    let mut away = super::app((80, 12));
    away.handle(Input::Attention(false));
    assert!(open(&mut away, many).is_empty());
    assert_eq!(done(&mut away, Input::Attention(true)).len(), 1);
    let mut closed = super::app((80, 12));
    assert!(give(&mut closed, again).is_empty());
}

#[test]
fn older_messages_are_asked_for_at_the_oldest_one() {
    let mut app = app(SIZE);
    let _ = app.open(account(1), None);
    let messages: Vec<Bubble> = (100..200).map(|row| bubble(row, true, "text")).collect();
    let data = Data::Messages { account: account(1), messages, has_older: true };
    assert!(give(&mut app, data).is_empty());
    press(&mut app, KeyCode::Up);
    let actions = press(&mut app, KeyCode::Home);
    let load = Action::Load { account: account(1), count: 100 + PAGE, until: None };
    assert_eq!(actions, [load]);
    assert!(press(&mut app, KeyCode::Home).is_empty(), "once is enough");
}

#[test]
fn a_selected_message_can_be_asked_answered_changed_and_copied() {
    let mut app = app(SIZE);
    open(&mut app, two());
    press(&mut app, KeyCode::Up);
    assert_eq!(app.pane, Pane::Messages);
    let (theirs, ours) = (bubble(1, false, "").id, bubble(2, true, "").id);
    assert_eq!(press(&mut app, KeyCode::Char('w')), [Action::Why(ours)]);
    press(&mut app, KeyCode::Esc);
    assert_eq!(press(&mut app, KeyCode::Char('y')), [Action::Copy("from me".to_owned())]);
    press(&mut app, KeyCode::Char('x'));
    assert_eq!(press(&mut app, KeyCode::Char('y')), [Action::Delete(ours)]);

    press(&mut app, KeyCode::Up);
    press(&mut app, KeyCode::Char('e'));
    press(&mut app, KeyCode::Char('x'));
    assert!(app.dialogs.is_empty() && app.pane == Pane::Messages, "that one is not ours");
    press(&mut app, KeyCode::Char('+'));
    let thumb = Action::React(theirs, Some("👍".to_owned()));
    assert_eq!(press(&mut app, KeyCode::Enter), [thumb]);
    press(&mut app, KeyCode::Char('+'));
    write(&mut app, "ok");
    assert_eq!(press(&mut app, KeyCode::Enter), [Action::React(theirs, Some("ok".to_owned()))]);
    press(&mut app, KeyCode::Char('f'));
    write(&mut app, "dor");
    assert_eq!(press(&mut app, KeyCode::Enter), [Action::Forward(theirs, account(3))]);
    press(&mut app, KeyCode::Char('r'));
    write(&mut app, "yes");
    let send = Action::Send { account: account(1), text: "yes".to_owned(), answers: Some(theirs) };
    assert_eq!(press(&mut app, KeyCode::Enter), [send]);
}

#[test]
fn an_edit_gives_back_what_was_being_written() {
    let mut app = app(SIZE);
    open(&mut app, two());
    write(&mut app, "half a thought");
    press(&mut app, KeyCode::Up);
    press(&mut app, KeyCode::Char('e'));
    assert_eq!(text_of(&app), "from me");
    press(&mut app, KeyCode::Esc);
    assert_eq!(text_of(&app), "half a thought");
    press(&mut app, KeyCode::Up);
    press(&mut app, KeyCode::Char('e'));
    write(&mut app, "!");
    let id = bubble(2, true, "").id;
    let edit = Action::Edit { account: account(1), id, text: "from me!".to_owned() };
    assert_eq!(press(&mut app, KeyCode::Enter)[0], edit);
    assert_eq!(text_of(&app), "half a thought");
}

#[test]
fn requests_are_answered_and_what_cannot_be_undone_asks() {
    let mut app = app(SIZE);
    give(&mut app, Data::Requests(vec![asking(8, "eve", "hi"), asking(9, "frank", "hi")]));
    press(&mut app, KeyCode::Up);
    assert_eq!(app.picked, Some(Picked::Requests));
    press(&mut app, KeyCode::Enter);
    press(&mut app, KeyCode::Down);
    press(&mut app, KeyCode::Char('b'));
    assert!(press(&mut app, KeyCode::Enter).is_empty(), "Enter is no yes");
    assert_eq!(press(&mut app, KeyCode::Char('y')), [Action::Block(account(9))]);
    press(&mut app, KeyCode::Char('i'));
    assert!(press(&mut app, KeyCode::Char('n')).is_empty());
    give(&mut app, Data::Requests(vec![asking(8, "eve", "hi")]));
    assert_eq!(press(&mut app, KeyCode::Char('a')), [Action::Accept(account(8))]);
    give(&mut app, Data::Requests(Vec::new()));
    assert!(press(&mut app, KeyCode::Char('a')).is_empty());
}

#[test]
fn a_contact_is_added_renamed_blocked_and_timed() {
    let mut app = app(SIZE);
    control(&mut app, 'n');
    app.handle(Input::Paste("postroad:contact#x\n".to_owned()));
    press(&mut app, KeyCode::Tab);
    write(&mut app, "Bobby");
    let add = Action::Add { contact: "postroad:contact#x".to_owned(), name: "Bobby".to_owned() };
    assert_eq!(press(&mut app, KeyCode::Enter), [add]);
    assert!(press(&mut app, KeyCode::Enter).is_empty(), "it is under way");
    let trouble = Trouble { message: "no".to_owned(), hint: String::new() };
    give(&mut app, Data::Failed(trouble));
    assert!(app.notice.is_none(), "the form says it");
    assert_eq!(press(&mut app, KeyCode::Enter).len(), 1, "again");
    let opened = give(&mut app, Data::Added(account(1)));
    assert_eq!(opened[0], Action::Load { account: account(1), count: PAGE, until: None });
    assert!(app.dialogs.is_empty());

    control(&mut app, 'k');
    press(&mut app, KeyCode::Char('n'));
    write(&mut app, "by");
    let rename = Action::Rename(account(1), "bobby".to_owned());
    assert_eq!(press(&mut app, KeyCode::Enter), [rename]);
    give(&mut app, Data::Renamed);
    press(&mut app, KeyCode::Char('t'));
    press(&mut app, KeyCode::Down);
    assert_eq!(press(&mut app, KeyCode::Enter), [Action::SetTimer(account(1), Some(3_600))]);
    press(&mut app, KeyCode::Char('b'));
    assert_eq!(press(&mut app, KeyCode::Char('y')), [Action::Block(account(1))]);
    give(&mut app, Data::Chat(Chat { blocked: true, ..chat(1, "bob") }));
    assert_eq!(press(&mut app, KeyCode::Char('b')), [Action::Unblock(account(1))]);
}

#[test]
fn a_search_finds_its_way_to_the_message() {
    let mut app = app(SIZE);
    control(&mut app, 'f');
    write(&mut app, "road");
    assert_eq!(press(&mut app, KeyCode::Enter), [Action::Search(None, "road".to_owned())]);
    assert!(done(&mut app, Input::Tick(NOW)).is_empty(), "nothing else is looked for");
    give(&mut app, Data::Found(vec![bubble(7, false, "road")]));
    let load = Action::Load { account: account(1), count: PAGE, until: Some(7) };
    assert_eq!(press(&mut app, KeyCode::Enter), [load]);
    let messages = (1..60).map(|row| bubble(row, false, "road")).collect();
    give(&mut app, Data::Messages { account: account(1), messages, has_older: false });
    assert_eq!(app.conversation.as_ref().unwrap().selected().unwrap().row, 7);
    assert!(shown(&app).contains('▌'));
}

#[test]
fn a_profile_without_an_account_makes_one() {
    let mut app = App::new(THEME, SIZE, NOW);
    give(&mut app, Data::NotJoined);
    app.handle(Input::Paste("postroad:join#x".to_owned()));
    press(&mut app, KeyCode::Esc);
    press(&mut app, KeyCode::Enter);
    let join = Action::Join { link: "postroad:join#x".to_owned(), name: String::new() };
    assert_eq!(press(&mut app, KeyCode::Enter), [join]);
    give(&mut app, Data::Joined);
    assert!(app.start.is_none());
}

#[test]
fn the_help_is_there_from_everywhere_and_letters_stay_letters() {
    let mut app = app(SIZE);
    open(&mut app, two());
    write(&mut app, "what? /wrexy");
    assert_eq!(text_of(&app), "what? /wrexy");
    press(&mut app, KeyCode::F(1));
    assert!(matches!(app.dialogs[..], [Dialog::Help { .. }]));
    press(&mut app, KeyCode::Esc);
    press(&mut app, KeyCode::Tab);
    assert_eq!(app.pane, Pane::List);
    press(&mut app, KeyCode::Char('?'));
    assert!(matches!(app.dialogs[..], [Dialog::Help { .. }]));
    assert_eq!(
        control(&mut app, 'c'),
        [Action::Draft(account(1), "what? /wrexy".to_owned()), Action::Quit]
    );
}

#[test]
fn a_message_taller_than_the_screen_can_be_read() {
    let mut app = app((80, 16));
    let tall: Vec<String> = (0..60).map(|line| format!("line {line}")).collect();
    open(&mut app, vec![bubble(1, true, "before"), bubble(2, true, &tall.join("\n"))]);
    press(&mut app, KeyCode::Up);
    let mut seen = String::new();
    for _ in 0..80 {
        seen += &shown(&app);
        press(&mut app, KeyCode::Up);
    }
    assert!(tall.iter().all(|line| seen.contains(line.as_str())));
    assert!(shown(&app).contains("before"));
}

#[test]
fn contacts_are_told_who_writes_and_who_is_there() {
    let mut app = app((80, 24));
    let told = |app: &mut App, input| app.handle(input);
    let key = |code| Input::Key(KeyEvent::new(code, KeyModifiers::NONE));
    let (bob, carol) = (account(1), account(2));
    assert_eq!(told(&mut app, Input::Tick(NOW)), [], "nobody's chat is open");
    let _ = app.open(bob, None);
    assert_eq!(told(&mut app, Input::Tick(NOW)), [Action::Here(bob)]);
    assert_eq!(told(&mut app, Input::Tick(NOW + 4_999)), []);
    assert_eq!(told(&mut app, Input::Tick(NOW + 5_000)), [Action::Here(bob)]);
    assert_eq!(told(&mut app, Input::Attention(false)), []);
    assert_eq!(told(&mut app, Input::Tick(NOW + 60_000)), [], "another window has the user");
    assert_eq!(
        told(&mut app, key(KeyCode::Char('h'))),
        [Action::Typing(bob, true), Action::Here(bob)]
    );
    assert_eq!(told(&mut app, key(KeyCode::Char('i'))), [Action::Typing(bob, true)]);
    assert_eq!(told(&mut app, Input::Tick(NOW + 61_000)), [], "only keys say so");
    let _ = told(&mut app, key(KeyCode::Backspace));
    assert_eq!(told(&mut app, key(KeyCode::Backspace)), [Action::Typing(bob, false)]);
    write(&mut app, "for bob");
    let _ = app.open(carol, None);
    let actions = told(&mut app, Input::Tick(NOW + 62_000));
    assert_eq!(actions, [Action::Typing(bob, false), Action::Here(carol)]);
    // A draft that is opened was written before, and moving about in it is no writing.
    let _ = app.open(bob, None);
    let actions = told(&mut app, key(KeyCode::Left));
    assert_eq!(actions, [Action::Here(bob)]);
    assert_eq!(told(&mut app, key(KeyCode::Left)), []);
    assert_eq!(told(&mut app, key(KeyCode::Char('x'))), [Action::Typing(bob, true)]);
    let away = NOW + 62_000 + 5 * 60_000;
    let actions = told(&mut app, Input::Tick(away));
    assert_eq!(actions, [Action::Draft(bob, "for bxob".to_owned())], "no key for long");
    // What is put in the place of a message is nothing new to read yet.
    let messages = vec![bubble(1, true, "mine")];
    give(&mut app, Data::Messages { account: bob, messages, has_older: false });
    press(&mut app, KeyCode::Up);
    press(&mut app, KeyCode::Char('e'));
    let actions = told(&mut app, key(KeyCode::Char('!')));
    assert!(!actions.iter().any(|action| matches!(action, Action::Typing(..))), "{actions:?}");
}
