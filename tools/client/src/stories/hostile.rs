//! Homes that mean no good.

use postroad_proto::frame::{Frame, Notice};

use super::home::{Home, joined, while_serving};
use super::*;
use crate::ConnectionError;
use crate::sync::Synced;

#[tokio::test]
async fn a_home_that_talks_without_end_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::start().await;
    let mut client = joined(&home, directory.path()).await;
    let mut bob = Person::new();
    let (row, _) = {
        bob.befriend(&mut Person::new(), "carol");
        bob.writes("carol", "hi").unwrap()
    };
    let envelope = bob.offers(NOW).into_iter().find(|offer| offer.row == row).unwrap().envelope;
    let push = |seq| Push {
        seq,
        attributes: envelope.attributes(),
        label: None,
        origin: None,
        tag: None,
        body_hash: envelope.body_hash,
        header: None,
        body: envelope.body.clone(),
    };
    let news = || Notice { seq: 0, receipts: None, refused: None, generation: None };
    // Something else again and again, in the place of an answer; and more mail than was asked for.
    let babble: Vec<Frame> = (0..3000).map(|_| news().into()).collect();
    let flood: Vec<Frame> = (1..200).map(|seq| push(seq).into()).collect();
    for answer in [babble, flood] {
        let script = |frame: &Frame| matches!(frame, Frame::Ping(_)).then(|| answer.clone());
        let synced = while_serving(&home, script, client.sync()).await;
        assert!(matches!(synced, Ok(Synced::Offline(ConnectionError::Protocol(_)))), "{synced:?}");
    }
    let synced = while_serving(&home, |_| None, client.sync()).await;
    assert!(matches!(synced, Ok(Synced::Online)), "{synced:?}");
}
