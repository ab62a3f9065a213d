//! Connections that a node dials: few places for many peers.

use super::*;
use crate::net::places::Places;

/// A node with few places, whose connections are idle soon.
async fn node_with(places: Places) -> Node {
    let mut net = bind(1, "test").await;
    net.places = places;
    start(1, net)
}

fn places(all: usize, reserved: usize) -> Places {
    let (idle, turn) = (Duration::from_millis(1500), Duration::from_secs(2));
    Places { all, reserved, idle, turn }
}

#[tokio::test]
async fn a_connection_that_is_not_used_ends_unless_it_is_kept() {
    let (mut a, mut b, c) = (node_with(places(8, 0)).await, node(2).await, node(3).await);
    a.connect(&c);
    assert_eq!(a.peer_up().await.0, c.id);
    a.open_link(&b);
    let (link, ..) = a.link_up().await;
    // Used for longer than an idle one lives.
    tokio::time::sleep(Duration::from_secs(3)).await;
    a.net.perform(Command::Frame { link, frame: credit(1) });
    assert_eq!(b.frame().await, credit(1));
    a.net.perform(Command::CloseLink { link });
    assert_eq!(a.peer_down().await, (b.id, "nothing was left to say".to_owned()));
    let neighbours: Vec<NodeId> = a.net.neighbours().iter().map(|n| n.node).collect();
    assert_eq!(neighbours, [c.id], "the one that the core asked for stays");
    a.open_link(&b);
    assert_eq!(a.link_up().await.1, b.id);
}

#[tokio::test]
async fn whoever_finds_no_place_waits_and_nobody_is_said_to_be_away() {
    let mut a = node_with(places(2, 0)).await;
    let mut others = Vec::new();
    for seed in 2..8 {
        others.push(node(seed).await);
    }
    for other in &others {
        a.open_link(other);
    }
    let mut reached = std::collections::HashSet::new();
    while reached.len() < others.len() {
        let event = |event| match event {
            Event::LinkUp { node, .. } => Some(node),
            Event::LinkFailed { reason, .. } => panic!("{reason}"),
            _ => None,
        };
        reached.insert(a.wait_for(event).await);
        assert!(a.net.neighbours().len() <= 2);
    }
}

#[tokio::test]
async fn errands_leave_places_for_peers_that_are_kept() {
    let mut a = node_with(Places { turn: PATIENCE, ..places(2, 1) }).await;
    let (b, c, d) = (node(2).await, node(3).await, node(4).await);
    a.open_link(&b);
    let (link, ..) = a.link_up().await;
    a.open_link(&c);
    a.connect(&d);
    assert_eq!(a.peer_up().await.0, d.id, "it passes by the one that waits");
    a.net.perform(Command::Disconnect { node: d.id });
    a.net.perform(Command::CloseLink { link });
    assert_eq!(a.link_up().await.1, c.id);
}
