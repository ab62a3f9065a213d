//! Stories of a whole client, over a real connection to a home that the test plays.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use postroad_proto::frame::{
    Accepted, Claimed, Count, Done, Frame, Hello, NodeLimits, Notice, Register, Registered,
    Waiting, Welcome,
};
use postroad_proto::hello::HELLO_LEN;
use postroad_proto::noise::{self, Channel, NoiseSecret, Responder};
use postroad_proto::record::{HandleRecord, NodeRecord};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::roads::{key, node};
use super::*;
use crate::Error;
use crate::client::Client;
use crate::clock;
use crate::sync::Synced;

const NOISE: NoiseSecret = NoiseSecret([3; 32]);

/// A home, and all that was said to it.
pub(super) struct Home {
    listener: TcpListener,
    key: SigningKey,
    generation: Mutex<u64>,
    heard: Mutex<Vec<Frame>>,
}

impl Home {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (generation, heard) = (Mutex::new(1), Mutex::default());
        Self { listener, key: testing::node_key(), generation, heard }
    }

    /// Its data is an older copy, and it knows.
    pub(super) fn set_back(&self) {
        *self.generation.lock().unwrap() += 1;
    }

    fn link(&self) -> JoinLink {
        let mut link = testing::join_link();
        link.node.addresses = vec![self.address()];
        link
    }

    fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    fn record(&self) -> Signed<NodeRecord> {
        let now = clock::now() / 1000;
        let record = NodeRecord {
            version: 1,
            flags: 0,
            node: NodeId(self.key.verifying_key().to_bytes()),
            seq: 1,
            generation: *self.generation.lock().unwrap(),
            next_key: None,
            noise: noise::public_key(&NOISE),
            next_noise: None,
            client: vec![self.address()],
            p2p: vec![],
            relays: vec![],
            name: "road.example".to_owned(),
            region: String::new(),
            versions: (1, 1),
            features: 0,
            max_body: 65_536,
            max_deadline: 30 * 86_400,
            issued: now,
            expires: now + 86_400,
        };
        Signed::new(&record, &self.key, &testing::join_link().node.network).unwrap()
    }

    /// Answers as `script` says; where that says nothing, as a home does on a good day.
    async fn serve(&self, script: impl Fn(&Frame) -> Option<Vec<Frame>>) -> ! {
        loop {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            let mut channel = self.shake(&mut stream).await;
            let mut buffer = BytesMut::new();
            while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
                channel.receive(&buffer.split()).unwrap();
                while let Some(frame) = channel.next_frame().unwrap() {
                    let answers = script(&frame).unwrap_or_else(|| self.usual(&frame));
                    self.heard.lock().unwrap().push(frame);
                    let (mut plain, mut wire) = (Vec::new(), Vec::new());
                    for answer in answers {
                        answer.encode_into(&mut plain).unwrap();
                    }
                    channel.seal(&plain, &mut wire).unwrap();
                    // A client that has gone meanwhile says so with the next read.
                    let _ = stream.write_all(&wire).await;
                }
            }
        }
    }

    async fn shake(&self, stream: &mut TcpStream) -> Channel {
        let mut prologue = [0; HELLO_LEN];
        stream.read_exact(&mut prologue).await.unwrap();
        let first = message(stream).await;
        let started =
            Responder::start(&NOISE, &prologue, &first, &codec::encode(&self.record()).unwrap())
                .unwrap();
        let length = (started.1.len() as u16).to_be_bytes();
        stream.write_all(&[&length, started.1.as_slice()].concat()).await.unwrap();
        started.0.finish(&message(stream).await).unwrap().0
    }

    fn usual(&self, frame: &Frame) -> Vec<Frame> {
        match frame {
            Frame::Hello(hello) => vec![self.welcome(hello)],
            Frame::Register(ask) => {
                let handle = ask.handle.is_some().then(|| self.handle(ask));
                vec![done(ask.request, &Registered { handle })]
            }
            Frame::PrekeysPut(ask) => vec![done(ask.request, &Count { count: 50 })],
            Frame::RecordsPut(ask) => vec![good(ask.request)],
            Frame::InvitesPut(ask) => vec![good(ask.request)],
            Frame::TokensPut(ask) => vec![good(ask.request)],
            Frame::SettingsPut(ask) => vec![good(ask.request)],
            Frame::VaultPut(ask) => vec![good(ask.request)],
            Frame::Ping(ask) => vec![good(ask.request)],
            Frame::Locate(ask) => vec![good(ask.request)],
            Frame::Send(send) => {
                let receipt = receipt_for(&send.envelope, ReceiptKind::Accepted, &self.key);
                let (items, path, root) = (vec![receipt.item], receipt.path, receipt.root);
                vec![Accepted { numbers: vec![send.number], items, path, root }.into()]
            }
            _ => vec![],
        }
    }

    fn welcome(&self, hello: &Hello) -> Frame {
        Welcome {
            version: 1,
            generation: *self.generation.lock().unwrap(),
            run: ByteArray::new([1; 8]),
            limits: NodeLimits {
                max_body: 65_536,
                max_deadline: 30 * 86_400,
                mailbox_messages: 1000,
                mailbox_bytes: 1 << 30,
                in_flight: 256,
            },
            time: clock::now(),
            registered: hello.account.is_some(),
            one_time_keys: 50,
            record: None,
            delete_at: None,
        }
        .into()
    }

    fn handle(&self, ask: &Register) -> Signed<HandleRecord> {
        let network = testing::join_link().node.network;
        let record = HandleRecord {
            version: 1,
            flags: 0,
            node: NodeId(self.key.verifying_key().to_bytes()),
            node_name: "road.example".to_owned(),
            handle: ask.handle.clone().unwrap(),
            account: ask.record.open(&network).unwrap().account,
            seq: 1,
            previous: None,
            how: 1,
            issued: 1,
            old_key: None,
        };
        Signed::new(&record, &self.key, &network).unwrap()
    }

    /// Frames of one kind that were said to it since the last time.
    pub(super) fn heard<T>(&self, of: impl Fn(&Frame) -> Option<T>) -> Vec<T> {
        self.heard.lock().unwrap().drain(..).collect::<Vec<_>>().iter().filter_map(of).collect()
    }
}

async fn message(stream: &mut TcpStream) -> Vec<u8> {
    let mut message = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut message).await.unwrap();
    message
}

pub(super) fn good(request: u64) -> Frame {
    Done { request, code: None, result: None, retry_after: 0, detail: String::new() }.into()
}

pub(super) fn done(request: u64, result: &impl Serialize) -> Frame {
    let result = Some(codec::encode(result).unwrap().into());
    Done { request, code: None, result, retry_after: 0, detail: String::new() }.into()
}

pub(super) fn refuses(request: u64, code: ErrorCode) -> Frame {
    Done { request, code: Some(code), result: None, retry_after: 0, detail: String::new() }.into()
}

/// Does `work` while the home answers.
pub(super) async fn while_serving<T>(
    home: &Home,
    script: impl Fn(&Frame) -> Option<Vec<Frame>>,
    work: impl Future<Output = T>,
) -> T {
    tokio::select! {
        result = work => result,
        never = home.serve(script) => never,
    }
}

/// A client that has just joined, with the handle `alice`.
pub(super) async fn joined(home: &Home, directory: &std::path::Path) -> Client {
    let mut client = Client::open(directory).unwrap();
    let handle = "alice".parse().unwrap();
    let link = home.link();
    let join = client.join(&link, Some(&handle));
    while_serving(home, |_| None, join).await.unwrap();
    client.disconnect();
    home.heard(|_| Some(()));
    client
}

/// Adds somebody who lives on another node, with keys for one message.
pub(super) fn knows(client: &mut Client, other: &mut Person, name: &str) {
    let their = other.own();
    let prekey = other.prekey();
    let vault = &client.vault;
    client
        .db
        .write(|tx| {
            let own = Identity::load(tx, vault)?;
            meet(tx, &own, &their, prekey, name)?;
            tx.execute("UPDATE contact SET token_registered = 1", [])?;
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn an_account_that_its_home_has_lost_is_made_again_with_proof() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::start().await;
    let mut client = joined(&home, directory.path()).await;
    let own = client.identity().unwrap();
    let proof = own.handle.clone().unwrap();
    home.set_back();
    let lost = |frame: &Frame| match frame {
        Frame::Hello(hello) if hello.account.is_some() => Some(vec![refuses(0, ErrorCode::Denied)]),
        _ => None,
    };
    let synced = while_serving(&home, lost, client.sync()).await;
    assert!(matches!(synced, Ok(Synced::Online)), "{synced:?}");
    let heard = home.heard.lock().unwrap().clone();
    let asked = heard.iter().find_map(|frame| match frame {
        Frame::Register(ask) => Some(ask),
        _ => None,
    });
    assert_eq!(asked.unwrap().proof, Some(proof));
    assert_eq!(asked.unwrap().record, own.record);
    // All that it held is given again.
    let again = |kind: &str| heard.iter().filter(|frame| frame.name() == kind).count();
    assert_eq!((again("PrekeysPut"), again("InvitesPut")), (1, 1));
    assert!(again("TokensPut") >= 1, "be it that there are none");
    assert_eq!(client.identity().unwrap().generation, 2);
    // What it does not take back stays lost.
    client.disconnect();
    home.set_back();
    let refused = |frame: &Frame| match frame {
        Frame::Register(ask) => Some(vec![refuses(ask.request, ErrorCode::InviteUnknown)]),
        other => lost(other),
    };
    let synced = while_serving(&home, refused, client.sync()).await;
    assert!(matches!(synced, Err(Error::NoAccount)), "{synced:?}");
}

#[tokio::test]
async fn who_was_deleted_does_not_come_back_without_an_invite() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::start().await;
    let mut client = joined(&home, directory.path()).await;
    let lost = |frame: &Frame| match frame {
        Frame::Hello(hello) if hello.account.is_some() => Some(vec![refuses(0, ErrorCode::Denied)]),
        _ => None,
    };
    let synced = while_serving(&home, lost, client.sync()).await;
    assert!(matches!(synced, Err(Error::NoAccount)), "{synced:?}");
    let registers = home.heard(|frame| matches!(frame, Frame::Register(_)).then_some(()));
    assert!(registers.is_empty(), "the node is open to all, and its generation the same");
}

#[tokio::test]
async fn a_node_that_does_not_answer_holds_up_nobody_elses_mail() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::start().await;
    let mut client = joined(&home, directory.path()).await;
    let mut bob = Person::at(&testing::join_link_of(&key(20), "away.example"));
    let mut carol = Person::at(&testing::join_link_of(&key(22), "third.example"));
    knows(&mut client, &mut bob, "bob");
    knows(&mut client, &mut carol, "carol");
    client.db.write(|tx| Ok(tx.execute("DELETE FROM prekey", [])?)).unwrap();
    let to_bob = client.send_text("bob", "are you there?").unwrap();
    let to_carol = client.send_text("carol", "hi").unwrap();
    let prekey = carol.prekey();
    let begun = Instant::now();
    let claimed =
        |request, prekey: &ClaimedPrekey| done(request, &Claimed { prekeys: vec![prekey.clone()] });
    let script = |frame: &Frame| match frame {
        // Bob's node says nothing at all.
        Frame::PrekeysClaim(ask) if ask.node == node(20) => Some(vec![]),
        Frame::PrekeysClaim(ask) => Some(vec![claimed(ask.request, &prekey)]),
        _ => None,
    };
    let synced = while_serving(&home, script, client.sync()).await;
    assert!(matches!(synced, Ok(Synced::Online)), "{synced:?}");
    // A command gives up at 8 s, long before the home would.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(client.state_of(to_carol.row).unwrap(), Some(State::Accepted));
    assert_eq!(client.state_of(to_bob.row).unwrap(), Some(State::Queued));
    let waiting = client.why(&to_bob.id).unwrap().waiting.unwrap();
    assert_eq!(waiting.reason, outbox::NO_KEYS);
    assert!(waiting.detail.contains("away.example has not answered"), "{waiting:?}");
    // This time it answers, but not before something was sent to Carol.
    client.disconnect();
    client.db.write(|tx| Ok(tx.execute("DELETE FROM session", [])?)).unwrap();
    let again = client.send_text("carol", "again").unwrap();
    let (late, prekey, held) = (bob.prekey(), carol.prekey(), Mutex::new(None));
    let script = |frame: &Frame| match frame {
        Frame::PrekeysClaim(ask) if ask.node == node(20) => {
            *held.lock().unwrap() = Some(ask.request);
            Some(vec![])
        }
        Frame::PrekeysClaim(ask) => Some(vec![claimed(ask.request, &prekey)]),
        Frame::Send(_) => {
            let held = held.lock().unwrap().take();
            let answer = held.map(|request| claimed(request, &late));
            Some(home.usual(frame).into_iter().chain(answer).collect())
        }
        _ => None,
    };
    while_serving(&home, script, client.sync()).await.unwrap();
    assert_eq!(client.state_of(again.row).unwrap(), Some(State::Accepted));
    assert_eq!(client.state_of(to_bob.row).unwrap(), Some(State::Accepted));
}

#[tokio::test]
async fn the_home_is_asked_where_things_wait_and_news_of_nodes_are_no_items() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::start().await;
    let mut client = joined(&home, directory.path()).await;
    let mut bob = Person::at(&testing::join_link_of(&key(20), "other.example"));
    knows(&mut client, &mut bob, "bob");
    let sent = client.send_text("bob", "hi").unwrap();
    let foreign = postroad_proto::ids::ParcelId([9; 16]);
    let script = |frame: &Frame| match frame {
        Frame::Locate(ask) => {
            let says = |parcel| {
                let (since, next_try) = (NOW, NOW + 1000);
                let reason = "other.example is away".to_owned();
                Waiting { parcel, node: node(20), since, reason, next_try }.into()
            };
            Some(vec![says(foreign), says(ask.parcels[0]), good(ask.request)])
        }
        _ => None,
    };
    while_serving(&home, script, client.sync()).await.unwrap();
    let why = client.why(&sent.id).unwrap();
    let waiting = why.waiting.unwrap();
    assert_eq!(
        (waiting.reason.as_str(), waiting.next_try),
        ("other.example is away", Some(NOW + 1000))
    );
    let asked = home.heard(|frame| match frame {
        Frame::Locate(ask) => Some(ask.parcels.clone()),
        _ => None,
    });
    assert_eq!(asked, [vec![why.parcel.unwrap()]]);
    // What the home signed is quoted to it, and news of a node are acked by nobody.
    let script = |frame: &Frame| match frame {
        Frame::Hello(hello) => {
            let generation = Some((node(20), 2));
            let notice = Notice { seq: 0, receipts: None, refused: None, generation };
            Some(vec![home.welcome(hello), notice.into()])
        }
        _ => None,
    };
    for round in 0..2 {
        client.disconnect();
        while_serving(&home, script, client.sync()).await.unwrap();
        let heard = home.heard(|frame| Some(frame.clone()));
        let hello = heard.iter().find_map(|frame| match frame {
            Frame::Hello(hello) => Some(hello),
            _ => None,
        });
        let quoted = &hello.unwrap().quoted;
        assert_eq!(quoted.len(), 1);
        let root = quoted[0].open(&testing::join_link().node.network).unwrap();
        assert_eq!(root.node, home.link().node.node);
        let count = |kind: &str| heard.iter().filter(|frame| frame.name() == kind).count();
        assert_eq!(count("Ack"), 0);
        assert_eq!(count("Send"), if round == 0 { 1 } else { 0 }, "once");
    }
}
