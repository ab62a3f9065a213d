//! Names in the DNS: a TXT record at `_postroad.NAME` with the text `postroad=NODE ID`.

use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::RData;
use postroad_proto::ids::NodeId;
use tokio::time::timeout;

use super::NameError;

/// How long a look-up may take, all in all.
const WITHIN: Duration = Duration::from_secs(5);
/// What a record's text begins with.
const KEY: &str = "postroad=";

/// The nodes that the records at `name` name.
pub(super) async fn nodes(name: &str) -> Result<Vec<NodeId>, NameError> {
    let texts = match timeout(WITHIN, texts(name)).await {
        Err(_) => Err(unreachable(name, "the DNS did not answer in time")),
        Ok(Ok(texts)) => Ok(texts),
        Ok(Err(error)) if error.is_no_records_found() => Ok(Vec::new()),
        Ok(Err(error)) => Err(unreachable(name, &error.to_string())),
    }?;
    read(name, &texts)
}

/// All texts there, with the machine's own settings.
async fn texts(name: &str) -> Result<Vec<String>, NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    builder.options_mut().timeout = WITHIN / 2;
    // With a dot at the end it is looked up as it is, and nowhere else.
    let found = builder.build()?.txt_lookup(format!("_postroad.{name}.")).await?;
    let texts = found.answers().iter().filter_map(|record| match &record.data {
        // A long text comes in pieces.
        RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
        _ => None,
    });
    Ok(texts.collect())
}

/// The nodes in the texts that are ours; others may lie beside them.
fn read(name: &str, texts: &[String]) -> Result<Vec<NodeId>, NameError> {
    let ours = texts.iter().filter_map(|text| text.trim().strip_prefix(KEY));
    let nodes = ours.map(|id| {
        id.trim().parse().map_err(|error: postroad_proto::ids::IdError| NameError::BadRecord {
            name: name.to_owned(),
            why: error.to_string(),
        })
    });
    let nodes = nodes.collect::<Result<Vec<NodeId>, _>>()?;
    if nodes.is_empty() { Err(NameError::NoRecord(name.to_owned())) } else { Ok(nodes) }
}

fn unreachable(name: &str, why: &str) -> NameError {
    NameError::Unreachable { name: name.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_texts_count_and_a_wrong_one_is_said_to_be() {
        let node = NodeId([7; 32]);
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let good = format!("postroad={node}");
        let upper = format!(" postroad={}", node.to_string().to_uppercase());
        let found = read("x.example", &texts(&["v=spf1 -all", &good, &upper]));
        assert_eq!(found, Ok(vec![node, node]));
        let none = read("x.example", &texts(&["v=spf1 -all"]));
        assert_eq!(none, Err(NameError::NoRecord("x.example".to_owned())));
        for wrong in ["postroad=", "postroad=abc"] {
            let refused = read("x.example", &texts(&[&good, wrong]));
            assert!(matches!(refused, Err(NameError::BadRecord { .. })), "{refused:?}");
        }
    }
}
