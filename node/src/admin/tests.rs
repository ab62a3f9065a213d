//! What an operator is told, from a core that lives in a network of the test's making.

use postroad_core::changes::Recovered;
use postroad_core::roads::Event;
use postroad_core::{Config, Core, Input, Keys};
use postroad_proto::ids::{AccountId, Hash, NodeId, ParcelId};
use postroad_proto::link::{ContactLink, JoinLink, NodeLink};
use postroad_proto::network::Network;
use postroad_proto::record::{NodeRecord, RECORD_VERSION};
use postroad_proto::signed::Signed;
use postroad_proto::token::InviteCode;
use postroad_proto::{PROTOCOL_VERSIONS, SigningKey, codec};

use super::condition::Roads;
use super::names::{Named, find, find_node};
use super::roads::Rtts;
use super::trace::Way;
use super::{Problem, events};
use crate::clock;

const HOUR: u64 = 3600;
/// Past the time in which a node that has just started is left alone.
const LATER: u64 = 60_000;

/// A core named "own.example", and the nodes that gossip brings it.
struct World {
    core: Core,
    network: Network,
    now: u64,
    gossip: u64,
}

impl World {
    fn new() -> Self {
        let (network, now) = (Network::default(), clock::now());
        let keys = Keys {
            signing: SigningKey::from_bytes(&[1; 32]),
            secret: [2; 32],
            network: network.clone(),
            name: "own.example".into(),
        };
        let core =
            Core::start(Config::default(), keys, &Recovered::default(), [3; 8], now).unwrap();
        Self { core, network, now, gossip: 0 }
    }

    /// A record arrives. `issued` in seconds from now.
    fn record(&mut self, number: u8, name: &str, seq: u64, issued: i64) -> NodeId {
        self.record_at(vec![format!("/ip4/127.0.0.1/tcp/{number}")], number, name, seq, issued)
    }

    /// [`Self::record`] of a node that says it can be reached at these addresses.
    fn record_at(
        &mut self,
        p2p: Vec<String>,
        number: u8,
        name: &str,
        seq: u64,
        issued: i64,
    ) -> NodeId {
        let key = SigningKey::from_bytes(&[number; 32]);
        let issued = (self.now / 1000).saturating_add_signed(issued);
        let record = NodeRecord {
            version: RECORD_VERSION,
            flags: 0,
            node: NodeId(key.verifying_key().to_bytes()),
            seq,
            generation: 1,
            next_key: None,
            noise: Hash([number; 32]),
            next_noise: None,
            client: Vec::new(),
            p2p,
            relays: Vec::new(),
            name: name.into(),
            region: String::new(),
            versions: PROTOCOL_VERSIONS,
            features: 0,
            max_body: 1,
            max_deadline: 1,
            issued,
            expires: issued + 24 * HOUR,
        };
        let signed = Signed::new(&record, &key, &self.network).unwrap();
        self.gossip += 1;
        let (id, bytes) = (self.gossip, codec::encode(&signed).unwrap());
        self.road(Event::Gossip { id, from: record.node, record: bytes.into() });
        record.node
    }

    fn road(&mut self, event: Event) {
        self.core.handle(self.now, Input::Road(event));
    }

    fn connect(&mut self, node: NodeId) {
        let address = "/ip4/127.0.0.1/tcp/9".to_owned();
        self.road(Event::PeerUp { node, outbound: true, address });
    }

    fn find(&self, text: &str) -> Result<Named, Problem> {
        find(&self.core, text, self.now)
    }

    fn roads(&self, uptime: u64) -> (Vec<&'static str>, String) {
        let roads = Roads::new(&self.core, uptime);
        (roads.problems.iter().map(|p| p.code).collect(), roads.notices.join("\n"))
    }
}

#[test]
fn a_node_is_meant_by_whatever_a_command_prints_of_it() {
    let mut world = World::new();
    let beta = world.record(7, "beta.example", 1, 0);
    let id = beta.to_string();
    let link = NodeLink {
        network: world.network.clone(),
        node: beta,
        addresses: Vec::new(),
        name: String::new(),
        p2p: Vec::new(),
    };
    for text in [&id, &id.to_uppercase(), "beta.example", &id[..8], &id[..4], &link.to_string()] {
        assert_eq!(find_node(&world.core, text, world.now).ok(), Some(beta), "{text}");
        assert_eq!(world.find(text).ok(), Some(Named::Node(beta)), "{text}");
    }
    let handle = "bob@beta.example".to_owned();
    let elsewhere = Named::Elsewhere { handle: Some(handle.clone()), account: None, home: beta };
    assert_eq!(world.find(&handle).ok(), Some(elsewhere));
    let parcel = ParcelId([9; 16]);
    assert_eq!(world.find(&parcel.to_string()).ok(), Some(Named::Parcel(parcel)));

    let join = JoinLink { node: link.clone(), code: Some(InviteCode([1; 16])) }.to_string();
    assert_eq!(world.find(&join).ok(), Some(Named::Node(beta)));
    let account = AccountId([5; 32]);
    let mut contact = ContactLink {
        account,
        home: link,
        backups: Vec::new(),
        lookup_key: None,
        code: InviteCode([1; 16]),
        handle: handle.clone(),
    };
    let named = Named::Elsewhere { handle: Some(handle), account: Some(account), home: beta };
    assert_eq!(world.find(&contact.to_string()).ok(), Some(named));
    assert_eq!(find_node(&world.core, &contact.to_string(), world.now).ok(), Some(beta));
    for text in [&join[..join.len() - 2], "postroad:other#AAAA"] {
        let problem = world.find(text).unwrap_err();
        assert!(problem.message.contains("link"), "{problem:?}");
        assert!(find_node(&world.core, text, world.now).is_err());
    }
    contact.home.node = world.core.node();
    let problem = world.find(&contact.to_string()).unwrap_err();
    assert!(problem.message.contains("not homed here"), "{problem:?}");
}

#[test]
fn what_stands_for_nothing_or_too_much_is_refused() {
    let mut world = World::new();
    let beta = world.record(7, "beta.example", 1, 0);
    let stranger = NodeId(SigningKey::from_bytes(&[99; 32]).verifying_key().to_bytes());
    let mut mistyped = beta.to_string();
    let wrong = if mistyped.ends_with('a') { "b" } else { "a" };
    mistyped.replace_range(mistyped.len() - 1.., wrong);
    let unknown = stranger.to_string();
    for text in ["gamma", &beta.to_string()[..3], &unknown, &mistyped, "bob@own.example", "b@", ""]
    {
        let problem = world.find(text).unwrap_err();
        assert_eq!(problem.code, "NOT_FOUND", "{text}: {problem:?}");
        assert!(!problem.hint.is_empty());
    }
    // Anybody may call itself beta: then the name is not enough.
    let impostor = world.record(8, "beta.example", 1, 0);
    for text in ["beta.example", "bob@beta.example"] {
        let problem = world.find(text).unwrap_err();
        assert_eq!(problem.code, "AMBIGUOUS");
        assert!(problem.hint.contains(&beta.to_string()), "{problem:?}");
        assert!(problem.hint.contains(&impostor.to_string()), "{problem:?}");
    }
    // Nor does a name that is another's id lead anybody astray.
    world.record(9, &beta.to_string(), 1, 0);
    assert_eq!(world.find(&beta.to_string()).ok(), Some(Named::Node(beta)));
}

#[test]
fn a_lone_node_is_well_and_one_that_reaches_nobody_is_not() {
    let mut world = World::new();
    let (problems, notices) = world.roads(LATER);
    assert!(problems.is_empty() && notices.contains("peer add"), "{notices}");

    let beta = world.record(7, "beta.example", 1, 0);
    let link = NodeLink {
        network: world.network.clone(),
        node: beta,
        addresses: Vec::new(),
        name: String::new(),
        p2p: vec!["/ip4/127.0.0.1/tcp/7".into()],
    };
    assert!(world.core.pin(&link));
    assert!(world.roads(0).0.is_empty(), "it has only just started");
    world.road(Event::ConnectFailed { node: beta, reason: "connection refused".into() });
    assert_eq!(world.roads(LATER).0, ["NO_PEERS"]);
    let trouble = Roads::new(&world.core, LATER).problems.remove(0);
    assert!(trouble.message.contains("beta.example: connection refused"), "{}", trouble.message);

    world.connect(beta);
    assert_eq!(world.roads(LATER), (vec![], String::new()), "a healthy network needs no word");
    let gamma = world.record(8, "gamma.example", 1, 0);
    assert!(world.core.pin(&NodeLink { node: gamma, ..link }));
    let (problems, notices) = world.roads(LATER);
    assert!(problems.is_empty() && notices.contains("gamma.example is not connected"), "{notices}");
}

#[test]
fn wrong_clocks_and_keys_used_twice_are_told() {
    let mut world = World::new();
    let beta = world.record(7, "beta.example", 1, 0);
    world.connect(beta);
    let ahead = 2 * HOUR as i64;
    world.record(8, "gamma.example", 1, ahead);
    assert_eq!(world.roads(LATER).1, "", "one clock that is wrong is another's");
    world.record(9, "delta.example", 1, ahead);
    assert!(world.roads(LATER).1.contains("this node's clock"));
    world.record(7, "beta.example", 1, -1);
    assert!(world.roads(LATER).1.contains("beta.example signed different records"));
    let told = events::look(&world.core, 0, 1);
    let kinds: Vec<&str> = told.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["new-node", "peer-up", "future-record", "future-record", "equivocates"]);
    assert!(told.events[1].text.contains("beta.example at /ip4/127.0.0.1/tcp/9"));
    assert!(events::look(&world.core, 5, 1).events.is_empty());
}

#[test]
fn a_trace_goes_as_far_as_is_known() {
    let mut world = World::new();
    let trace = |world: &World, target: &str| {
        let (target, rtts) = (target.to_owned(), Rtts::default());
        Way { core: &world.core, target, rtts, now: world.now }.trace()
    };
    let beta = world.record(7, "beta.example", 1, 0);
    let (found, doubt) = trace(&world, "bob@beta.example").unwrap();
    assert_eq!((found.home, found.reachable), (beta.to_string(), false));
    assert_eq!(doubt.map(|doubt| doubt.node), Some(beta), "it is asked before it is given up");
    world.connect(beta);
    let (found, doubt) = trace(&world, "beta.example").unwrap();
    assert!(found.reachable && doubt.is_none(), "{}", found.reason);
    let unreachable = world.record_at(Vec::new(), 8, "gamma.example", 1, 0);
    let (found, doubt) = trace(&world, &unreachable.to_string()).unwrap();
    assert!(found.reason.contains("names no address that this node can use"), "{}", found.reason);
    assert!(!found.reachable && doubt.is_none(), "there is nowhere to ask");
    world.connect(unreachable);
    let (found, _) = trace(&world, "gamma.example").unwrap();
    assert!(found.reachable, "a connection is a way: {}", found.reason);
    let gone = trace(&world, &ParcelId([9; 16]).to_string()).err().unwrap();
    assert_eq!(gone.code, "NOT_FOUND");
}

#[test]
fn numbers_in_a_question_are_read() {
    assert_eq!(events::number("after=7&wait=10", "wait").ok(), Some(10));
    assert_eq!(events::number("", "after").ok(), Some(0));
    assert_eq!(events::number("after=x", "after").unwrap_err().code, "MALFORMED");
}
