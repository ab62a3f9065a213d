//! A conversation of any length, page by page.

use super::*;

#[test]
fn pages_are_the_whole_conversation_in_order() {
    let (mut alice, bob) = friends();
    let (mut carol, bob) = (Person::new(), bob.account);
    alice.befriend(&mut carol, "carol");
    for n in 0..25 {
        alice.writes("bob", &format!("text {n}")).unwrap();
        alice.writes("carol", "something else").unwrap();
    }
    let whole = Query { contact: Some(bob), requests: true, ..Query::default() };
    let list = |alice: &mut Person, query: &Query| {
        let query = query.clone();
        alice.db.read(move |tx| messages::list(tx, &query)).unwrap()
    };
    let all = list(&mut alice, &whole);
    assert_eq!(all.len(), 25);
    let (mut pages, mut query) = (Vec::new(), Query { first: 10, ..whole });
    loop {
        let page = list(&mut alice, &query);
        assert!(page.len() <= 10);
        let Some(last) = page.last() else { break };
        query.after = last.row;
        pages.extend(page);
    }
    assert_eq!(pages, all);
}
