//! Prometheus metrics, from the same [`Status`] as everything else.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::status::Status;
use super::{Ctx, Problem};

#[derive(Debug)]
struct Samples {
    gauges: Vec<(&'static str, &'static str, u64)>,
    counters: Vec<(&'static str, &'static str, u64)>,
}

impl From<&Status> for Samples {
    fn from(status: &Status) -> Self {
        let (counters, store) = (&status.counters, &status.store);
        Self {
            gauges: vec![
                ("postroad_accounts", "Accounts homed here", status.accounts),
                ("postroad_sessions", "Connected clients", status.sessions),
                ("postroad_mailbox_messages", "Items waiting", status.mail.messages),
                ("postroad_mailbox_bytes", "Bytes waiting", status.mail.bytes),
                ("postroad_peers", "Connected nodes", status.peers),
                ("postroad_routes", "Known nodes, this one among them", status.routes),
                ("postroad_outbox_messages", "Items for other nodes", status.outbox.messages),
                ("postroad_outbox_bytes", "Bytes for other nodes", status.outbox.bytes),
                ("postroad_links_out", "Mail streams to other nodes", status.links.out),
                ("postroad_links_in", "Mail streams from other nodes", status.links.r#in),
                ("postroad_store_bytes", "Bytes of disk allocated", store.disk_bytes),
                ("postroad_store_segments", "Journal segments", store.segments),
                ("postroad_store_damaged", "Damaged records met", store.damaged),
                ("postroad_store_full", "1 while new mail is refused", u64::from(store.full)),
                ("postroad_uptime_seconds", "Since the start", status.uptime_s),
            ],
            counters: vec![
                ("postroad_accepted", "Parcels taken into custody", counters.accepted),
                ("postroad_repeated", "Parcels known as repeats", counters.repeated),
                ("postroad_refused", "Parcels or envelopes refused", counters.refused),
                ("postroad_pushed", "Items handed to devices", counters.pushed),
                ("postroad_acked", "Items acked by devices", counters.acked),
                ("postroad_expired", "Items past their deadline", counters.expired),
                ("postroad_offered", "Parcels offered to other nodes", counters.offered),
                ("postroad_handed_over", "Parcels taken by other nodes", counters.handed_over),
                ("postroad_receipt_roots", "Receipt roots signed", counters.roots),
                ("postroad_registered", "Accounts made", counters.registered),
                ("postroad_put_off", "Steps between nodes that had to wait", status.put_off),
                ("postroad_store_commits", "Commits", store.commits),
                ("postroad_store_syncs", "Syncs", store.syncs),
            ],
        }
    }
}

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, value) in &self.gauges {
            let gauge = ConstGauge::new(*value);
            let descriptor = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(descriptor)?;
        }
        for (name, help, value) in &self.counters {
            let counter = ConstCounter::new(*value);
            let descriptor = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(descriptor)?;
        }
        Ok(())
    }
}

pub(super) async fn metrics(State(admin): Ctx) -> Result<impl IntoResponse, Problem> {
    let status = admin.gather().await?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Samples::from(&status)));
    let mut body = String::new();
    text::encode(&mut body, &registry)
        .map_err(|e| Problem::bad(e.to_string(), "report this as a bug"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], body))
}
