//! One HTTP/1.1 connection, on which requests follow each other.

use std::io;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::AbortHandle,
};

use crate::{Endpoint, Error};

/// The path of every service.
pub(crate) const PATH: &str = "/wsman";
/// The content type of an envelope in the clear.
pub(crate) const SOAP: &str = "application/soap+xml;charset=UTF-8";
/// The largest body of an answer in bytes. The envelope in it may have 153,600 bytes, by our own
/// request; encryption adds little, and recorded services exceed it by an eighth.
const LARGEST_ANSWER: usize = 512 * 1024;

/// A connection to a service.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Speaks HTTP on a connected stream.
    pub(crate) async fn open<S>(stream: S) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let opened = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(|error| cut("at its beginning", error))?;
        // Its errors are those of the request in flight.
        let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(Self { sender, driver })
    }

    /// Waits until another request can be sent; false when the connection has ended, as after an answer
    /// that says so.
    pub(crate) async fn is_open(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Sends a request and receives the whole answer.
    pub(crate) async fn send(&mut self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        self.sender.ready().await.map_err(|error| cut("before a request", error))?;
        let answer = self.sender.send_request(request.map(Full::new)).await;
        let answer = answer.map_err(|error| cut("before an answer", error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Error::Protocol(format!("an answer of more than {LARGEST_ANSWER} bytes"))
            } else {
                Error::Cut { during: "within an answer".to_owned(), source: Some(error) }
            }
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

fn cut(during: &str, error: hyper::Error) -> Error {
    if error.is_parse() {
        return Error::Protocol(format!("no HTTP ({error})"));
    }
    Error::Cut { during: during.to_owned(), source: Some(error.into()) }
}

/// A TCP connection that sends small messages at once.
pub(crate) async fn tcp(endpoint: &Endpoint) -> Result<TcpStream, Error> {
    let connected = TcpStream::connect(endpoint.address).await;
    let stream = connected.map_err(|source| unreachable(endpoint, source))?;
    stream.set_nodelay(true).map_err(|source| unreachable(endpoint, source))?;
    Ok(stream)
}

/// The service cannot be reached.
pub(crate) fn unreachable(endpoint: &Endpoint, source: io::Error) -> Error {
    Error::Io { what: format!("reach the guest's WinRM service at {}", endpoint.address), source }
}

/// A request with an envelope, still without authentication.
pub(crate) fn request(
    endpoint: &Endpoint,
    content_type: &str,
    body: Bytes,
) -> Result<Request<Bytes>, Error> {
    Request::post(PATH)
        .header(header::HOST, endpoint.address.to_string())
        .header(header::USER_AGENT, "Goldsmith")
        .header(header::CONTENT_TYPE, content_type)
        .body(body)
        .map_err(|error| Error::Protocol(format!("the request cannot be written: {error}")))
}

/// The ways to authenticate that an answer of 401 offers.
pub(crate) fn offered(headers: &HeaderMap) -> String {
    let offers = headers.get_all(header::WWW_AUTHENTICATE).iter();
    let schemes = offers
        .filter_map(|offer| offer.to_str().ok()?.split_ascii_whitespace().next())
        .take(8)
        .map(|scheme| scheme.trim_end_matches(',').chars().take(40).collect::<String>());
    let offered = schemes.collect::<Vec<_>>().join(", ");
    if offered.is_empty() { "nothing".to_owned() } else { offered }
}
