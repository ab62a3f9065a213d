//! One session under load: sends as its plan and window permit, takes and acks what comes.

use std::cell::RefCell;
use std::rc::Rc;

use postroad_proto::frame::Frame;
use tokio::time::sleep_until;

use crate::error::LoadError;
use crate::message::{Id, Template, stamp_of};
use crate::run::{Leaves, Run, add};
use crate::session::{Session, refused};

/// Templates of all recipients; several senders use the same.
pub(crate) type Templates = Rc<Vec<RefCell<Template>>>;

/// What a session sends.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) templates: Templates,
    /// The first recipient; the others follow in turn.
    pub(crate) first: usize,
    /// Recipients to go on by after each message; 0 stays with the first.
    pub(crate) step: usize,
    /// Messages in flight.
    pub(crate) window: usize,
    /// Messages in all.
    pub(crate) limit: u64,
    /// The first message's time and the interval, ns; without one as fast as the window permits.
    pub(crate) schedule: Option<(u64, u64)>,
}

/// A session with its plan.
pub(crate) struct Member {
    pub(crate) index: u32,
    pub(crate) session: Session,
    pub(crate) plan: Plan,
    pub(crate) run: Rc<Run>,
    sent: u64,
}

impl Member {
    pub(crate) fn new(index: u32, session: Session, plan: Plan, run: Rc<Run>) -> Self {
        Self { index, session, plan, run, sent: 0 }
    }

    /// Goes on until the connection ends, or the task is ended.
    pub(crate) async fn go(mut self) -> LoadError {
        loop {
            if let Err(error) = self.turn().await {
                return error;
            }
        }
    }

    async fn turn(&mut self) -> Result<(), LoadError> {
        let next = self.fill();
        self.session.settle()?;
        let run = self.run.clone();
        let room = &run.lanes[self.index as usize].room;
        tokio::select! {
            came = self.session.turn() => came?,
            () = room.notified() => {}
            () = sleep_until(run.at(next.unwrap_or_default())), if next.is_some() => {}
        }
        let now = run.now();
        while let Some(frame) = self.session.next_frame()? {
            self.take(frame, now)?;
        }
        Ok(())
    }

    /// Queues what may be sent. Returns when there is more to send, if that is a matter of time.
    fn fill(&mut self) -> Option<u64> {
        let (plan, run) = (&self.plan, &self.run);
        let lane = &run.lanes[self.index as usize];
        let now = run.now();
        while self.sent < plan.limit && !run.stopped.get() && lane.in_flight.get() < plan.window {
            // What waits is late from the moment it should have gone, not from when it could.
            let at = plan.schedule.map_or(now, |(first, every)| first + self.sent * every);
            if at > now {
                return Some(at);
            }
            let recipient = (plan.first + self.sent as usize * plan.step) % plan.templates.len();
            let mut template = plan.templates[recipient].borrow_mut();
            let count = run.first + self.sent as u32;
            template.write(self.index, count, at, &mut self.session.frames);
            self.sent += 1;
            lane.in_flight.set(lane.in_flight.get() + 1);
            add(&run.counts.sent, 1);
        }
        None
    }

    fn take(&mut self, frame: Frame, now: u64) -> Result<(), LoadError> {
        let run = &self.run;
        let lane = &run.lanes[self.index as usize];
        match frame {
            Frame::Push(push) => {
                self.session.took_push(&push);
                if let Some((id, intended)) = stamp_of(&push.body) {
                    run.arrived(id, intended, now);
                }
            }
            Frame::Accepted(accepted) => {
                let ids = accepted.numbers.iter().map(|n| Id::of_number(self.index, *n));
                run.accepted.borrow_mut().extend(ids);
                add(&run.counts.accepted, accepted.numbers.len() as u64);
                if run.leaves == Leaves::Accepted {
                    lane.leave(accepted.numbers.len());
                }
            }
            Frame::Refused(refused) => {
                add(&run.counts.refused, 1);
                run.why.borrow_mut().get_or_insert(refused.detail);
                lane.leave(1);
            }
            Frame::Notice(notice) => {
                self.session.took(notice.seq, 0);
                let receipts = notice.receipts.map_or(0, |receipts| receipts.entries.len());
                add(&run.counts.at_node, receipts as u64);
                if let Some(late) = notice.refused {
                    add(&run.counts.refused, 1);
                    run.why.borrow_mut().get_or_insert(late.detail);
                }
            }
            Frame::Done(done) if done.request == 0 => return Err(refused("the session", *done)),
            _ => {}
        }
        Ok(())
    }
}
