//! Connections of devices to their homes, and what passes over them: in order while they last, up
//! to some point when they break.

use std::collections::BTreeMap;

use postroad_core::{Input, SessionId};
use postroad_proto::frame::Frame;

use super::{Event, SECOND, World};

const NODE: usize = 0;
const DEVICE: usize = 1;

#[derive(Default)]
pub struct Clients {
    sessions: BTreeMap<SessionId, Session>,
    last: SessionId,
}

/// Everything in pairs is by the receiving side: the node, the device.
struct Session {
    person: usize,
    node: usize,
    arrival: [u64; 2],
    lost_after: [u64; 2],
    open: [bool; 2],
}

#[derive(Debug)]
pub enum Passing {
    Up { session: SessionId },
    Frame { session: SessionId, side: usize, frame: Frame },
    Broken { session: SessionId, side: usize },
}

impl Clients {
    /// Whose session it is.
    fn held(&self, session: SessionId) -> Option<&Session> {
        self.sessions.get(&session)
    }
}

impl World {
    /// A device shakes hands with its home; nothing when nobody is there.
    pub(super) fn dial_home(&mut self, person: usize) -> Option<SessionId> {
        let node = self.people[person].home;
        if !self.hosts[node].is_up() || self.dice.once_in(20) {
            return None;
        }
        self.clients.last += 1;
        let session = self.clients.last;
        let held = Session {
            person,
            node,
            arrival: [self.now; 2],
            lost_after: [u64::MAX; 2],
            open: [true; 2],
        };
        self.clients.sessions.insert(session, held);
        let at = self.arrival(session, NODE);
        self.at(at, Event::Client(Passing::Up { session }));
        Some(session)
    }

    fn arrival(&mut self, session: SessionId, side: usize) -> u64 {
        let usual = 3 + self.dice.below(60);
        let wait = if self.dice.once_in(50) { usual + self.dice.below(3 * SECOND) } else { usual };
        let Some(held) = self.clients.sessions.get_mut(&session) else { return self.now };
        held.arrival[side] = held.arrival[side].max(self.now + wait);
        held.arrival[side]
    }

    pub(super) fn tell_device(&mut self, session: SessionId, frame: Frame) {
        // What was sent behind it is on its way already, and overtakes it.
        if let Frame::Refused(refused) = &frame {
            self.checker.disordered(refused.number);
        }
        let at = self.arrival(session, DEVICE);
        self.at(at, Event::Client(Passing::Frame { session, side: DEVICE, frame }));
    }

    pub(super) fn tell_node(&mut self, session: SessionId, frame: impl Into<Frame>) {
        let at = self.arrival(session, NODE);
        let frame = frame.into();
        self.at(at, Event::Client(Passing::Frame { session, side: NODE, frame }));
    }

    /// The node closes a session, once all before is said.
    pub(super) fn hang_up(&mut self, session: SessionId) {
        let at = self.arrival(session, DEVICE) + 1;
        let Some(held) = self.clients.sessions.get_mut(&session) else { return };
        held.open[NODE] = false;
        self.at(at, Event::Client(Passing::Broken { session, side: DEVICE }));
    }

    /// A session breaks; the device is the one who notices first.
    pub(super) fn part(&mut self, session: SessionId) {
        let lost_after = self.now + self.dice.below(100);
        let notice = lost_after + if self.dice.once_in(4) { 30 * SECOND } else { 100 };
        let Some(held) = self.clients.sessions.get_mut(&session) else { return };
        held.lost_after[NODE] = lost_after;
        held.open[DEVICE] = false;
        self.at(notice, Event::Client(Passing::Broken { session, side: NODE }));
    }

    pub(super) fn on_client(&mut self, passing: Passing) {
        match passing {
            Passing::Up { session } => {
                let Some(held) = self.clients.held(session).filter(|held| held.open[NODE]) else {
                    return;
                };
                let (node, person) = (held.node, held.person);
                let key = self.people[person].persona.noise(1);
                self.input(node, Input::Connected { session, key });
            }
            Passing::Frame { session, side, frame } => self.on_client_frame(session, side, frame),
            Passing::Broken { session, side } => self.on_client_gone(session, side),
        }
    }

    fn on_client_frame(&mut self, session: SessionId, side: usize, frame: Frame) {
        let Some(held) = self.clients.held(session) else { return };
        if self.now > held.lost_after[side] || !held.open[side] {
            return;
        }
        let (node, person) = (held.node, held.person);
        match side {
            NODE => self.input(node, Input::Frame { session, frame }),
            _ => self.hear(person, session, frame),
        }
    }

    fn on_client_gone(&mut self, session: SessionId, side: usize) {
        let Some(held) = self.clients.sessions.get_mut(&session) else { return };
        let was_open = core::mem::replace(&mut held.open[side], false);
        let (node, person, over) = (held.node, held.person, held.open == [false; 2]);
        if over {
            self.clients.sessions.remove(&session);
        }
        if was_open && side == NODE {
            self.input(node, Input::Disconnected { session });
        } else if was_open {
            self.lost_home(person, session);
        }
    }

    /// A node is gone.
    pub(super) fn forget_clients_of(&mut self, node: usize) {
        let now = self.now;
        let mut broken = Vec::new();
        for (session, held) in &mut self.clients.sessions {
            if held.node == node && held.open[NODE] {
                held.open[NODE] = false;
                held.lost_after[DEVICE] = now + 50;
                broken.push(*session);
            }
        }
        for session in broken {
            let notice = if self.dice.once_in(4) { 30 * SECOND } else { 100 };
            self.after(notice, Event::Client(Passing::Broken { session, side: DEVICE }));
        }
        self.clients.sessions.retain(|_, held| held.open != [false; 2]);
    }
}
