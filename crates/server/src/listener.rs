//! The listening socket and its limits.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use api::ErrorCode;
use axum_server::{
    accept::NoDelayAcceptor,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use images::error::{Coded, Error, Result};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    http,
    limits::{Budgets, Gate},
};

/// How long shutdown waits for open requests.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Streams of one HTTP/2 connection.
const STREAMS: u32 = 32;
/// The maximum size of a request's head, and of hyper's read-ahead of a body.
const HEAD_BYTES: usize = 64 * 1024;
const HEAD_BYTES_HTTP2: u32 = 32 * 1024;
/// The receive windows of HTTP/2, of a stream and of a connection.
const WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 128 * 1024;
const SEND_BUFFER_BYTES: usize = 128 * 1024;
/// Longer than the start of a response takes, and than streams are silent.
const LONGEST_SILENCE: Duration = Duration::from_secs(75);

/// Binds the socket.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another program listens there; choose another port with --listen"
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need privileges; choose another with --listen"
            }
            _ => "choose an address of this machine with --listen",
        };
        Error::new(ErrorCode::HostNotReady, format!("cannot listen on {address}"))
            .target("--listen")
            .hint(hint)
            .caused_by(error)
    })?;
    listener
        .set_nonblocking(true)
        .code(ErrorCode::HostNotReady, || format!("cannot listen on {address}"))?;
    Ok(listener)
}

/// Serves requests until `shutdown` is cancelled.
pub(crate) fn serve(
    site: http::Site,
    listener: TcpListener,
    config: RustlsConfig,
    shutdown: CancellationToken,
) -> Result<JoinHandle<io::Result<()>>> {
    let handle = axum_server::Handle::new();
    let budgets = site.budgets.clone();
    let settings = &budgets.settings;
    // A response needs several small writes: the last would wait some 40 ms for the client's
    // delayed acknowledgement of the first.
    let tls = RustlsAcceptor::new(config)
        .handshake_timeout(settings.header())
        .acceptor(NoDelayAcceptor::new());
    let gate = gate(tls, &budgets);
    let mut server = axum_server::from_tcp(listener)
        .code(ErrorCode::HostNotReady, || "cannot use the listener".to_owned())?
        .acceptor(gate)
        .first_request_timeout(settings.header())
        .handle(handle.clone());
    // The time from the end of a response to the end of the next request's head.
    server.http_builder().http1().header_read_timeout(settings.idle()).max_buf_size(HEAD_BYTES);
    server
        .http_builder()
        .http2()
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES_HTTP2)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES);
    tokio::spawn(async move {
        shutdown.cancelled().await;
        handle.graceful_shutdown(Some(GRACE));
    });
    let service = http::router(site).into_make_service_with_connect_info::<SocketAddr>();
    Ok(tokio::spawn(server.serve(service)))
}

fn gate<A>(inner: A, budgets: &Budgets) -> Gate<A> {
    let quiet = budgets.settings.idle().max(LONGEST_SILENCE);
    Gate::new(inner, budgets.connections.clone(), quiet)
}
