//! Doing what the core decided.

use libp2p::PeerId;
use libp2p::gossipsub::{MessageAcceptance, PublishError};
use postroad_core::roads::{Command, GossipId, Verdict};
use postroad_proto::ids::NodeId;
use tokio::time::Instant;

use super::addresses;
use super::errands::{Asker, Errand, What};
use super::event_loop::{Asking, EventLoop, Gossip};

/// Questions to one peer that are under way at once.
const ASKING_AT_ONCE: usize = 16;
/// Records that may wait until somebody listens.
const MAX_UNHEARD: usize = 16;
/// Errands that may wait for one peer.
const MAX_ERRANDS: usize = 512;

impl EventLoop {
    pub(super) async fn obey(&mut self, command: Command) {
        match command {
            Command::Connect { node, addresses } => {
                if let Some(peer) = addresses::peer_id(&node) {
                    self.keep(peer);
                }
                self.run_errand(node, &addresses, What::Connect).await;
            }
            Command::Disconnect { node } => {
                if let Some(peer) = addresses::peer_id(&node) {
                    self.kept.remove(&peer);
                    self.dismiss(peer, "this node hung up".into());
                }
            }
            Command::OpenLink { node, addresses } => {
                self.run_errand(node, &addresses, What::OpenLink).await;
            }
            Command::Ask { id, node, addresses, frame } => {
                let what = What::Ask(Asker::Core(id), frame);
                self.run_errand(node, &addresses, what).await;
            }
            Command::Publish { record } => self.publish(record.into()),
            Command::Verdict { id, verdict } => self.pass_verdict(id, verdict),
            Command::Answer { id, frame } => {
                if let Some((_, channel)) = self.asked.remove(&id) {
                    // Whoever asked may have given up.
                    let _ = self.swarm.behaviour_mut().records.send_response(channel, frame);
                }
            }
            // Done by the handle, at once.
            Command::Frame { .. } | Command::CloseLink { .. } | Command::RenewRecord => {}
        }
    }

    /// Does something with a peer, connecting if need be.
    pub(super) async fn run_errand(&mut self, node: NodeId, addresses: &[String], what: What) {
        let Some(peer) = addresses::peer_id(&node) else {
            let errand = Errand::new(what, Vec::new());
            return self.fail(errand, node, "its id is no key".into()).await;
        };
        let errand = Errand::new(what, addresses::dialable(addresses, &peer));
        let errands = self.errands.entry(peer).or_default();
        if errands.len() >= MAX_ERRANDS {
            return self.fail(errand, node, "too much waits for it already".into()).await;
        }
        // The core says again what it wants when it takes long.
        let same = std::mem::discriminant(&errand.what);
        if !matches!(errand.what, What::Ask(..)) {
            errands.retain(|other| std::mem::discriminant(&other.what) != same);
        }
        errands.push(errand);
        if self.peers.contains_key(&peer) {
            self.go_on(peer);
        } else {
            self.dial_for_errands(peer).await;
        }
    }

    /// Does as much of what waits for a connected peer as may be done at once.
    pub(super) fn go_on(&mut self, peer: PeerId) {
        let Some(held) = self.peers.get_mut(&peer) else { return };
        // They wait until it is known to be of this network, or for the next connection.
        if !held.known || held.is_leaving() {
            return;
        }
        held.used = Instant::now();
        let mut free = ASKING_AT_ONCE.saturating_sub(self.asking_of(&peer));
        for errand in self.errands.remove(&peer).unwrap_or_default() {
            match errand.what {
                What::Connect => {}
                What::OpenLink => {
                    if self.opening.insert(peer, Instant::now()).is_none() {
                        self.swarm.behaviour_mut().mail.open(peer);
                    }
                }
                What::Ask(asker, frame) if free > 0 => {
                    free -= 1;
                    let request = self.swarm.behaviour_mut().records.send_request(&peer, frame);
                    let asking = Asking { asker, peer, since: errand.since };
                    self.asking.insert(request, asking);
                }
                what => {
                    let later = Errand { what, ..errand };
                    self.errands.entry(peer).or_default().push(later);
                }
            }
        }
    }

    fn asking_of(&self, peer: &PeerId) -> usize {
        self.asking.values().filter(|asking| asking.peer == *peer).count()
    }

    /// Whatever waits for a peer comes to nothing.
    pub(super) async fn fail_errands(&mut self, peer: PeerId, reason: &str) {
        self.kept.remove(&peer);
        let Some(node) = addresses::node_id(&peer) else { return };
        for errand in self.errands.remove(&peer).unwrap_or_default() {
            self.fail(errand, node, reason.to_owned()).await;
        }
    }

    /// Tells everybody the own record; as soon as somebody is there.
    pub(super) fn publish(&mut self, record: Vec<u8>) {
        let topic = self.topic.hash();
        match self.swarm.behaviour_mut().gossip.publish(topic, record.clone()) {
            Ok(_) | Err(PublishError::Duplicate) => {}
            Err(PublishError::NoPeersSubscribedToTopic) => {
                self.unheard.push_back(record);
                if self.unheard.len() > MAX_UNHEARD {
                    self.unheard.pop_front();
                }
            }
            Err(error) => tracing::warn!(%error, "the node's record is not passed on"),
        }
    }

    pub(super) fn pass_verdict(&mut self, id: GossipId, verdict: Verdict) {
        let Some(Gossip { message, from, .. }) = self.gossip.remove(&id) else { return };
        let verdict = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => MessageAcceptance::Reject,
        };
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.report_message_validation_result(&message, &from, verdict);
    }
}
