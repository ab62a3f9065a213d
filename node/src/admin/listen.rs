//! HTTP connections, bounded in number and in the time that a request's head may take: axum's own
//! server bounds neither.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at once: an operator, a dashboard and a metrics collector need a handful.
const MAX_CONNECTIONS: usize = 64;
/// Time for the head of a request, also of the next one on a connection that is kept.
const HEAD: Duration = Duration::from_secs(10);
/// Time for everything on one connection.
const CONNECTION: Duration = Duration::from_secs(300);

pub(super) async fn serve(listener: TcpListener, router: Router) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection of the operator's");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), service);
            if let Ok(Err(error)) = tokio::time::timeout(CONNECTION, connection).await {
                tracing::debug!(%error, "an operator's connection failed");
            }
            drop(permit);
        });
    }
}
