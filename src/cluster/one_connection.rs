//! Requests that start together share one connection: the first connects, and the others learn from it whether the server
//! speaks HTTP/2 before they open connections of their own. Each TLS handshake that is spared is a few milliseconds of work
//! on both sides.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::Connection;
use tokio::sync::Mutex;
use tower::Service;

/// How long a request waits for the connection that another one made; it is there a moment after its handshake. Should it
/// never be, the request connects itself.
const SHARED: Duration = Duration::from_secs(2);

/// A connector that lets one connect first.
#[derive(Clone)]
pub(super) struct OneConnection<C> {
    inner: C,
    /// Held by whoever connects first.
    first: Arc<Mutex<()>>,
    /// Whether the last connection speaks HTTP/2.
    shared: Arc<AtomicBool>,
}

impl<C> OneConnection<C> {
    pub(super) fn new(inner: C) -> Self {
        Self { inner, first: Arc::default(), shared: Arc::default() }
    }
}

impl<C> Service<Uri> for OneConnection<C>
where
    C: Service<Uri> + Clone + Send + 'static,
    C::Response: Connection + Send,
    C::Future: Send,
    C::Error: Send,
{
    type Response = C::Response;
    type Error = C::Error;
    type Future = BoxFuture<'static, Result<C::Response, C::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let Self { inner, first, shared } = self.clone();
        // The one that was polled ready is the one to call.
        let mut ready = std::mem::replace(&mut self.inner, inner);
        Box::pin(async move {
            let _first = match first.try_lock() {
                Ok(held) => {
                    shared.store(false, Ordering::SeqCst);
                    Some(held)
                }
                Err(_) => {
                    // Over once the other has connected, or failed to.
                    drop(first.lock().await);
                    if shared.load(Ordering::SeqCst) {
                        // The client drops or ignores this future when the shared connection serves its request.
                        tokio::time::sleep(SHARED).await;
                    }
                    None
                }
            };
            let stream = ready.call(server).await?;
            shared.store(stream.connected().is_negotiated_h2(), Ordering::SeqCst);
            Ok(stream)
        })
    }
}
