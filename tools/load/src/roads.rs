//! W4: the road between two nodes is open before anything is measured.

use std::time::Duration;

use postroad_proto::frame::Frame;
use tokio::time::{Instant, sleep};

use crate::error::LoadError;
use crate::message::Template;
use crate::user::{User, register_all};
use crate::world::World;

/// Nodes that do not know each other by then will not.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// Waits until each of the two nodes takes mail for the other.
pub(crate) async fn open(world: &mut World) -> Result<(), LoadError> {
    let [here, there] = [0, 1].map(|place| world.users(1, |_| place));
    register_all(&here).await?;
    register_all(&there).await?;
    for (from, to) in here.iter().chain(&there).zip(there.iter().chain(&here)) {
        passes(world, from, to).await?;
    }
    Ok(())
}

/// Tries until the sender's node knows that of the recipient and took a message for it.
async fn passes(world: &World, from: &User, to: &User) -> Result<(), LoadError> {
    let mut template = Template::new(to.recipient(), &world.filler)?;
    let mut session = from.login().await?;
    session.grant()?;
    let began = Instant::now();
    for count in 0.. {
        template.write(from.index, count, 0, &mut session.frames);
        let mut refusal = None;
        while refusal.is_none() {
            session.turn().await?;
            while let Some(frame) = session.next_frame()? {
                match frame {
                    // Taken by the other node, and known here.
                    Frame::Notice(notice) if notice.receipts.is_some() => return Ok(()),
                    Frame::Refused(refused) => refusal = Some(refused),
                    _ => {}
                }
            }
        }
        if let Some(refused) = refusal.filter(|_| began.elapsed() > PATIENCE) {
            let (what, detail) = ("mail for the other node", refused.detail);
            return Err(LoadError::Refused { what, code: refused.code, detail });
        }
        sleep(PAUSE).await;
    }
    Ok(())
}
