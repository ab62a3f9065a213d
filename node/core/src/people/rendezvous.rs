//! Rendezvous: two devices of one person, one of them not linked yet, talk through this node.
//!
//! The node passes on bytes that it cannot read, and writes nothing down: after a restart the device
//! that opened a rendezvous opens it again.

use std::collections::BTreeMap;

use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{
    Frame, RendezvousJoin, RendezvousOpen, RendezvousPeer, RendezvousPush, RendezvousSend,
};
use postroad_proto::ids::{AccountId, Millis};
use postroad_proto::limits::{
    CLOCK_ALLOWANCE_SECONDS, MAX_RENDEZVOUS, MAX_RENDEZVOUS_DATA, RENDEZVOUS_SECONDS,
};

use crate::core::{Core, Output, SessionId};
use crate::reply::{Answer, DONE, Refusal};
use crate::timers::Timer;

/// Rendezvous of all accounts at once: about a MiB of memory, and more devices than a node links in
/// a day.
const MAX_OPEN: usize = 10_000;

type MeetingId = [u8; 16];

/// One side of a rendezvous.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    id: MeetingId,
    /// 0 the opener's, 1 the other's.
    side: usize,
}

struct Meeting {
    account: AccountId,
    /// By the steady clock.
    ends: Millis,
    /// Who is there, by side.
    guests: [Option<SessionId>; 2],
}

/// Every rendezvous that is open.
#[derive(Default)]
pub(crate) struct Meetings {
    open: BTreeMap<MeetingId, Meeting>,
}

impl Core {
    pub(crate) fn rendezvous_open(
        &mut self,
        now: Millis,
        account: AccountId,
        ask: &RendezvousOpen,
    ) -> Answer {
        let id = ask.id.into_array();
        let held = self.meetings.open.get(&id);
        if held.is_some_and(|meeting| meeting.account != account) {
            return Err(Refusal::new(ErrorCode::Denied, "this rendezvous is somebody else's"));
        }
        let ahead = ask.until.saturating_mul(1000).saturating_sub(now);
        if ahead == 0 {
            self.end_meeting(&id);
            return DONE;
        }
        if ahead > (RENDEZVOUS_SECONDS + CLOCK_ALLOWANCE_SECONDS) * 1000 {
            let text = format!("a rendezvous ends within {RENDEZVOUS_SECONDS} s");
            return Err(Refusal::new(ErrorCode::TooLarge, text));
        }
        if held.is_none() {
            self.check_meetings(&account)?;
        }
        let ends = self.steady + ahead;
        let new = Meeting { account, ends, guests: [None; 2] };
        self.meetings.open.entry(id).or_insert(new).ends = ends;
        self.timers.set_by(Timer::Rendezvous, ends);
        DONE
    }

    /// Whether `account` may open one more.
    fn check_meetings(&self, account: &AccountId) -> Result<(), Refusal> {
        let open = &self.meetings.open;
        let own = open.values().filter(|meeting| meeting.account == *account);
        if own.count() >= MAX_RENDEZVOUS {
            let text = format!("at most {MAX_RENDEZVOUS} rendezvous at once; close one first");
            return Err(Refusal::new(ErrorCode::Quota, text));
        }
        if open.len() >= MAX_OPEN {
            let text = "too many devices are being linked at this node";
            return Err(Refusal::after(ErrorCode::Busy, 60, text));
        }
        Ok(())
    }

    pub(crate) fn on_rendezvous_join(&mut self, session: SessionId, ask: &RendezvousJoin) {
        let Some((seat, before, other)) = self.take_seat(session, ask) else {
            // Whatever is wrong: who does not know the id learns nothing by trying.
            let refusal = Refusal::new(ErrorCode::Denied, "there is no such rendezvous");
            self.answer(session, ask.request, Err(refusal));
            return self.count_failure(session);
        };
        if let Some(session) = self.sessions.get_mut(&session) {
            session.seat = Some(seat);
        }
        if let Some(before) = before {
            self.hang_up(before, ErrorCode::Busy, "somebody else took this side");
        }
        self.answer(session, ask.request, DONE);
        self.group.released.push(Output::Known { session });
        if let Some(other) = other {
            self.group.release(session, RendezvousPeer { here: true });
            self.group.release(other, RendezvousPeer { here: true });
        }
    }

    /// The seat that `session` has from now on, who had it, and who sits opposite.
    fn take_seat(
        &mut self,
        session: SessionId,
        ask: &RendezvousJoin,
    ) -> Option<(Seat, Option<SessionId>, Option<SessionId>)> {
        let side = match ask.side {
            1 => 0,
            2 => 1,
            _ => return None,
        };
        let id = ask.id.into_array();
        let meeting = self.meetings.open.get_mut(&id).filter(|m| m.ends > self.steady)?;
        let before = meeting.guests[side].replace(session);
        Some((Seat { id, side }, before, meeting.guests[1 - side]))
    }

    pub(crate) fn on_guest_frame(&mut self, session: SessionId, seat: Seat, frame: Frame) {
        match frame {
            Frame::Ping(ping) => self.on_ping(session, ping.request),
            Frame::RendezvousSend(said) if said.data.len() > MAX_RENDEZVOUS_DATA => {
                let text = format!("at most {MAX_RENDEZVOUS_DATA} bytes at once");
                self.hang_up(session, ErrorCode::TooLarge, &text);
            }
            Frame::RendezvousSend(said) => self.hand_across(seat, *said),
            other => self.hang_up_for(session, &other),
        }
    }

    /// In the order of all that is said to that session; nothing of it waits for a commit of its own.
    fn hand_across(&mut self, seat: Seat, said: RendezvousSend) {
        let meeting = self.meetings.open.get(&seat.id);
        if let Some(other) = meeting.and_then(|meeting| meeting.guests[1 - seat.side]) {
            self.group.release(other, RendezvousPush { data: said.data });
        }
    }

    /// A guest is gone. Nothing happens when its side is somebody else's by now.
    pub(crate) fn leave_meeting(&mut self, session: SessionId, seat: Seat) {
        let Some(meeting) = self.meetings.open.get_mut(&seat.id) else { return };
        if meeting.guests[seat.side] != Some(session) {
            return;
        }
        meeting.guests[seat.side] = None;
        if let Some(other) = meeting.guests[1 - seat.side] {
            self.group.release(other, RendezvousPeer { here: false });
        }
    }

    pub(crate) fn end_overdue_meetings(&mut self) {
        let steady = self.steady;
        self.end_meetings(|meeting| meeting.ends <= steady);
        if let Some(next) = self.meetings.open.values().map(|meeting| meeting.ends).min() {
            self.timers.set(Timer::Rendezvous, next);
        }
    }

    pub(crate) fn end_meetings_of(&mut self, account: &AccountId) {
        self.end_meetings(|meeting| meeting.account == *account);
    }

    fn end_meetings(&mut self, is_over: impl Fn(&Meeting) -> bool) {
        let open = self.meetings.open.iter();
        let over: Vec<MeetingId> =
            open.filter(|(_, meeting)| is_over(meeting)).map(|(id, _)| *id).collect();
        for id in over {
            self.end_meeting(&id);
        }
    }

    fn end_meeting(&mut self, id: &MeetingId) {
        let Some(meeting) = self.meetings.open.remove(id) else { return };
        for guest in meeting.guests.into_iter().flatten() {
            self.hang_up(guest, ErrorCode::Expired, "the rendezvous is over");
        }
    }
}
