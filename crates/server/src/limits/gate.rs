//! Below TLS: counts connections, and closes one that must make room for another or on which no data moved for too
//! long.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum_server::accept::Accept;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
    time::{Instant, Sleep},
};

use super::connections::{Admitted, Connections};

/// Accepts connections before the TLS handshake of the inner acceptor.
#[derive(Debug, Clone)]
pub(crate) struct Gate<A> {
    inner: A,
    connections: Connections,
    quiet: Duration,
}

impl<A> Gate<A> {
    /// `quiet` is the maximum time without data in either direction.
    pub(crate) fn new(inner: A, connections: Connections, quiet: Duration) -> Self {
        Self { inner, connections, quiet }
    }

    fn admit(&self, stream: &TcpStream) -> io::Result<(Admitted, oneshot::Receiver<()>)> {
        let peer: SocketAddr = stream.peer_addr()?;
        self.connections.admit(peer).ok_or_else(|| {
            metrics::counter!("goldsmith_connections_refused_total").increment(1);
            io::ErrorKind::ConnectionRefused.into()
        })
    }
}

type Accepting<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl<S, A> Accept<TcpStream, S> for Gate<A>
where
    A: Accept<TcpStream, S>,
    A::Future: Send + 'static,
    A::Stream: Send + 'static,
    A::Service: Send + 'static,
{
    type Stream = Watched<A::Stream>;
    type Service = A::Service;
    type Future = Accepting<(Self::Stream, Self::Service)>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let (admitted, mut closed) = match self.admit(&stream) {
            Ok(admitted) => admitted,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let quiet = self.quiet;
        let inner = self.inner.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = tokio::select! {
                accepted = inner => accepted?,
                _ = &mut closed => return Err(made_room()),
            };
            Ok((Watched::new(stream, admitted, closed, quiet), service))
        })
    }
}

fn made_room() -> io::Error {
    metrics::counter!("goldsmith_connections_closed_for_others_total").increment(1);
    io::ErrorKind::ConnectionAborted.into()
}

/// An accepted connection.
pub(crate) struct Watched<S> {
    stream: S,
    _admitted: Admitted,
    /// `None` after its end.
    closed: Option<oneshot::Receiver<()>>,
    moved: Instant,
    quiet: Duration,
    alarm: Pin<Box<Sleep>>,
}

impl<S> Watched<S> {
    fn new(stream: S, admitted: Admitted, closed: oneshot::Receiver<()>, quiet: Duration) -> Self {
        let alarm = Box::pin(tokio::time::sleep(quiet));
        let (closed, moved) = (Some(closed), Instant::now());
        Self { stream, _admitted: admitted, closed, moved, quiet, alarm }
    }

    /// Records that data moved; an error if that was too long ago.
    fn check<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let is_open =
            |closed: &mut oneshot::Receiver<()>| Pin::new(closed).poll(context).is_pending();
        if !self.closed.as_mut().is_some_and(is_open) {
            self.closed = None;
            return Poll::Ready(Err(made_room()));
        }
        if polled.is_ready() {
            self.moved = Instant::now();
            return polled;
        }
        while self.alarm.as_mut().poll(context).is_ready() {
            let end = self.moved + self.quiet;
            if Instant::now() >= end {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.as_mut().reset(end);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.check(context, polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.check(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.check(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A flush without data counts as no movement.
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Pending => self.check(context, Poll::Pending),
            ready @ Poll::Ready(_) => ready,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Pending => self.check(context, Poll::Pending),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn watched(quiet: Duration) -> (Watched<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(64);
        let connections = Connections::new(1, 1);
        let (admitted, closed) = connections.admit("192.0.2.1:1".parse().unwrap()).unwrap();
        (Watched::new(near, admitted, closed, quiet), far)
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connection_is_closed_and_active_one_is_not() {
        let quiet = Duration::from_secs(75);
        let (mut near, mut far) = watched(quiet);
        for _ in 0..5 {
            tokio::time::sleep(quiet - Duration::from_secs(1)).await;
            far.write_all(b"x").await.unwrap();
            assert_eq!(near.read_u8().await.unwrap(), b'x');
        }
        assert_eq!(near.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn connection_of_stalled_reader_is_closed() {
        let (mut near, _far) = watched(Duration::from_secs(75));
        let error = near.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
