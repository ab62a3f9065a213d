//! What a home that was set back is given again.

use postroad_proto::frame::Frame;

use super::home::{Home, joined, refuses, while_serving};
use super::*;
use crate::client::Client;

/// Sizes of the lists of tokens that were put.
fn put(home: &Home) -> Vec<usize> {
    home.heard(|frame| match frame {
        Frame::TokensPut(ask) => Some(ask.tokens.len()),
        _ => None,
    })
}

fn has_many_contacts(client: &mut Client) {
    let link = testing::join_link().node;
    let sql = "INSERT INTO contact (account, chat, name, phase, home, created_at)
               WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
               SELECT randomblob(32), randomblob(16), 'contact ' || i, 3, ?1, 1 FROM n";
    client.db.write(|tx| Ok(tx.execute(sql, [link.to_string()])?)).unwrap();
}

#[tokio::test]
async fn all_tokens_are_given_again_before_it_is_said_that_these_were_all() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::start().await;
    let mut client = joined(&home, directory.path()).await;
    has_many_contacts(&mut client);
    while_serving(&home, |_| None, client.sync()).await.unwrap();
    assert_eq!(put(&home), [256, 44], "nobody waits to hear that these are all");
    client.disconnect();
    home.set_back();
    // What is refused half-way is not all.
    let full = |frame: &Frame| match frame {
        Frame::TokensPut(ask) if ask.tokens.len() < 256 => {
            Some(vec![refuses(ask.request, ErrorCode::NoSpace)])
        }
        _ => None,
    };
    while_serving(&home, full, client.sync()).await.unwrap();
    assert!(put(&home).iter().all(|size| *size > 0));
    client.disconnect();
    while_serving(&home, |_| None, client.sync()).await.unwrap();
    assert_eq!(put(&home), [44, 0]);
}
