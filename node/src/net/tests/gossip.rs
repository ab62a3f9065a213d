//! Gossip without end.

use super::*;

#[tokio::test]
async fn whoever_brings_more_gossip_than_a_network_has_is_not_heard() {
    let (mut a, mut b) = (node(1).await, node(2).await);
    a.connect(&b);
    b.peer_up().await;
    a.peer_up().await;
    let mut heard = 0;
    'heard: loop {
        // One at first: more would be lost before the other has subscribed.
        let some = if heard == 0 { 1 } else { 50 };
        for n in 0..some {
            a.net.perform(Command::Publish { record: Bytes::from(format!("{heard} {n}")) });
        }
        for _ in 0..some {
            let gossip = b.wait_for(|event| match event {
                Event::Gossip { id, .. } => Some(id),
                _ => None,
            });
            let Ok(id) = tokio::time::timeout(Duration::from_secs(2), gossip).await else {
                break 'heard;
            };
            b.net.perform(Command::Verdict { id, verdict: Verdict::Ignore });
            heard += 1;
        }
    }
    assert!((1900..3000).contains(&heard), "{heard}");
}
