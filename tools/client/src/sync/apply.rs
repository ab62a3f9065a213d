//! Frames that came, taken in one transaction; what promises something (the ack) goes out after it.

use postroad_proto::frame::{Accepted, Done, Frame, Notice, Refused};
use postroad_proto::ids::{Millis, NodeId};
use postroad_proto::receipt::{Receipt, Receipts, split};
use rusqlite::{OptionalExtension, Transaction, params};

use super::{Online, keys, unexpected};
use crate::client::Client;
use crate::clock;
use crate::contacts::{self, Contact};
use crate::db::{Db, part};
use crate::ephemeral;
use crate::error::{ConnectionError, Result};
use crate::events;
use crate::identity::Identity;
use crate::moving;
use crate::outbox::{self, Refusal};
use crate::quotes;
use crate::receive;
use crate::vault::Vault;

impl Client {
    /// Takes all frames that have come. How many of them may have made new work: mailbox items,
    /// answers about contacts, news of nodes.
    pub(super) async fn apply(&mut self) -> Result<usize> {
        let Some(online) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        let count = take_frames(&mut self.db, &self.vault, online).await?;
        if count > 0 {
            self.check_home()?;
        }
        Ok(count)
    }
}

/// As [`Client::apply`], from any node that has mail for this device.
pub(crate) async fn take_frames(db: &mut Db, vault: &Vault, online: &mut Online) -> Result<usize> {
    let frames = online.take()?;
    if frames.is_empty() {
        return Ok(0);
    }
    let now = clock::now();
    let (items, news) = db.write(|tx| Batch::new(tx, vault, online, now)?.run(frames))?;
    let count = items.len();
    if count > 0 {
        online.ack(items).await?;
    }
    Ok(count + news)
}

/// One transaction's worth of frames.
struct Batch<'a> {
    tx: &'a Transaction<'a>,
    vault: &'a Vault,
    own: Identity,
    online: &'a mut Online,
    now: Millis,
    /// Generation and cursor that the database has of this node's mailbox.
    position: (u64, u64),
    /// Mailbox items that are in the database afterwards.
    items: Vec<u64>,
    /// What else there was to learn from.
    news: usize,
}

impl<'a> Batch<'a> {
    fn new(
        tx: &'a Transaction<'a>,
        vault: &'a Vault,
        online: &'a mut Online,
        now: Millis,
    ) -> Result<Self> {
        let own = Identity::load(tx, vault)?;
        let position = moving::position(tx, &own, &online.node())?;
        Ok(Self { tx, vault, own, online, now, position, items: Vec::new(), news: 0 })
    }

    fn run(mut self, frames: Vec<Frame>) -> Result<(Vec<u64>, usize)> {
        for frame in frames {
            let tx = self.tx;
            // Whatever is wrong with one item, those behind it are taken, and it is acked: offered
            // again it would be no better.
            if let Err(error) = part(tx, || self.frame(frame))? {
                events::problem(tx, self.now, "unopened", &error.to_string())?;
            }
        }
        let highest = self.items.iter().max().copied().unwrap_or(0);
        let (generation, cursor) = self.position;
        if highest > cursor && self.online.generation() == generation {
            moving::note_cursor(self.tx, &self.online.node(), highest)?;
        }
        Ok((self.items, self.news))
    }

    fn frame(&mut self, frame: Frame) -> Result<()> {
        match frame {
            Frame::Push(push) => {
                let is_new = self.is_new(push.seq);
                self.items.push(push.seq);
                if is_new {
                    receive::push(self.tx, self.vault, &self.own, &push, self.now)?;
                }
                Ok(())
            }
            Frame::Notice(notice) if notice.seq == 0 => self.news_of_node(&notice),
            Frame::Notice(notice) => {
                let is_new = self.is_new(notice.seq);
                self.items.push(notice.seq);
                if is_new { self.notice(&notice) } else { Ok(()) }
            }
            Frame::Accepted(accepted) => self.accepted(&accepted),
            Frame::Refused(refused) => self.refused(&refused),
            Frame::Done(done) => self.done(&done),
            Frame::EphemeralPush(push) => ephemeral::take(self.tx, &self.own, &push, self.now),
            other => {
                unexpected(&other, &self.online.node());
                Ok(())
            }
        }
    }

    /// Whether an item is not in the database yet: another process may have taken it.
    fn is_new(&self, seq: u64) -> bool {
        let (generation, cursor) = self.position;
        self.online.generation() != generation || seq > cursor
    }

    fn notice(&mut self, notice: &Notice) -> Result<()> {
        for receipt in notice.receipts.clone().into_iter().flat_map(Receipts::split) {
            outbox::apply_receipt(self.tx, &self.own, &receipt, self.now)?;
        }
        // What a home that was left would not hand on is offered again by the present one.
        if let Some(late) =
            notice.refused.as_ref().filter(|_| self.online.node() == self.own.home.node)
            && let Some(row) = row_of(self.tx, &late.parcel.0)?
        {
            let refusal = Refusal {
                by: late.node,
                code: late.code,
                // Our home has tried for as long as it made sense.
                retriable: false,
                retry_after: 0,
                detail: &late.detail,
                record: late.record.as_ref(),
                records: late.records.as_ref(),
                is_late: true,
            };
            outbox::refuse(self.tx, &self.own, row, &refusal, self.now)?;
        }
        Ok(())
    }

    fn accepted(&mut self, accepted: &Accepted) -> Result<()> {
        let receipts: Vec<Receipt> = match split(&accepted.items, &accepted.path, &accepted.root) {
            Ok(receipts) => receipts,
            Err(error) => {
                events::problem(self.tx, self.now, "bad_receipt", &error.to_string())?;
                Vec::new()
            }
        };
        for receipt in &receipts {
            outbox::apply_receipt(self.tx, &self.own, receipt, self.now)?;
        }
        for number in &accepted.numbers {
            if let Some(row) = self.online.answered(*number) {
                outbox::unanswered(self.tx, row, self.now)?;
            }
        }
        Ok(())
    }

    fn refused(&mut self, refused: &Refused) -> Result<()> {
        let Some(row) = self.online.answered(refused.number) else { return Ok(()) };
        let by: NodeId = self.online.node();
        let refusal = Refusal {
            by,
            code: refused.code,
            retriable: refused.retriable,
            retry_after: refused.retry_after,
            detail: &refused.detail,
            record: None,
            records: refused.records.as_ref(),
            is_late: false,
        };
        outbox::refuse(self.tx, &self.own, row, &refusal, self.now)
    }

    /// What is no mailbox item: neither counted nor acked.
    fn news_of_node(&mut self, notice: &Notice) -> Result<()> {
        let Some((node, generation)) = notice.generation else { return Ok(()) };
        self.news += usize::from(new_generation(self.tx, &self.own, &node, generation, self.now)?);
        Ok(())
    }

    fn done(&mut self, done: &Done) -> Result<()> {
        let Some(question) = self.online.asked(done.request) else {
            tracing::debug!(request = done.request, "an answer that nobody waits for");
            return Ok(());
        };
        self.news += 1;
        keys::answered(self.tx, &self.own, &question, done, self.now)
    }
}

/// A node began a new generation, as the home says: what it had taken may be lost, so it is offered
/// again. Whether that was news. Of its own generation the home speaks in its welcome.
pub(crate) fn new_generation(
    tx: &Transaction<'_>,
    own: &Identity,
    node: &NodeId,
    generation: u64,
    now: Millis,
) -> Result<bool> {
    let is_known = |contact: &Contact| contact.home.node == *node;
    if *node == own.home.node || !contacts::all(tx)?.iter().any(is_known) {
        return Ok(false);
    }
    let is_news = quotes::told(tx, node, generation, now)?;
    if is_news {
        outbox::reoffer_node(tx, node)?;
    }
    Ok(is_news)
}

fn row_of(tx: &Transaction<'_>, parcel: &[u8; 16]) -> Result<Option<i64>> {
    let mut query = tx.prepare_cached(
        "SELECT row FROM message WHERE parcel = ?1
         UNION SELECT message FROM former_parcel WHERE parcel = ?1",
    )?;
    Ok(query.query_row(params![parcel], |row| row.get(0)).optional()?)
}
