//! HTTP with NTLM: the user is authenticated once for a connection, and each envelope is encrypted.
//!
//! A server proves that it knows the password by the signature of its first answer; until then nothing
//! that it says is believed, and nothing is sent that it could use elsewhere.

mod handshake;
mod message;
mod multipart;
mod primitives;
mod seal;

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{
    Endpoint, Error, Login,
    channel::{Answer, Channel, Connect},
    http::{self as wire, Connection},
};
use handshake::{Chance, Proof};
use seal::Seal;

/// Connects over TCP.
pub(crate) struct Ntlm {
    endpoint: Endpoint,
    login: Login,
}

impl Ntlm {
    pub(crate) fn new(endpoint: Endpoint, login: Login) -> Self {
        Self { endpoint, login }
    }

    /// Sends a message of the authentication with no envelope.
    async fn step(
        &self,
        connection: &mut Connection,
        message: &[u8],
    ) -> Result<(StatusCode, HeaderMap), Error> {
        let mut request = wire::request(&self.endpoint, wire::SOAP, Bytes::new())?;
        let token = format!("Negotiate {}", BASE64_STANDARD.encode(message));
        let mut token =
            HeaderValue::try_from(token).map_err(|_| wrong("the token is no header"))?;
        token.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, token);
        // Windows refuses a POST that does not state its length, and hyper states none for nothing.
        request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(0));
        let (head, _) = connection.send(request).await?.into_parts();
        Ok((head.status, head.headers))
    }

    fn unauthorized(&self, headers: &HeaderMap) -> Error {
        Error::Unauthorized { user: self.login.user.clone(), offered: wire::offered(headers) }
    }
}

#[async_trait]
impl Connect for Ntlm {
    async fn connect(&self) -> Result<Box<dyn Channel>, Error> {
        let mut connection = Connection::open(wire::tcp(&self.endpoint).await?).await?;
        let negotiate = message::negotiate();
        let (status, headers) = self.step(&mut connection, &negotiate).await?;
        if status != StatusCode::UNAUTHORIZED {
            return Err(unexpected(status));
        }
        let challenge = token(&headers).ok_or_else(|| self.unauthorized(&headers))?;
        let Proof { message, out, r#in } =
            handshake::answer(&self.login, &negotiate, &challenge, &chance()?)
                .map_err(|what| wrong(&format!("the challenge of its NTLM {what}")))?;
        let (status, headers) = self.step(&mut connection, &message).await?;
        match status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => return Err(self.unauthorized(&headers)),
            status => return Err(unexpected(status)),
        }
        let (endpoint, user) = (self.endpoint.clone(), self.login.user.clone());
        Ok(Box::new(SealedChannel { connection, endpoint, user, out, r#in }))
    }
}

/// An authenticated connection.
struct SealedChannel {
    connection: Connection,
    endpoint: Endpoint,
    user: String,
    out: Seal,
    r#in: Seal,
}

#[async_trait]
impl Channel for SealedChannel {
    async fn post(&mut self, envelope: Bytes) -> Result<Answer, Error> {
        let sealed = multipart::write(&mut self.out, &envelope);
        let request = wire::request(&self.endpoint, multipart::CONTENT_TYPE, sealed.into())?;
        let (head, body) = self.connection.send(request).await?.into_parts();
        let encrypted = head.headers.get(header::CONTENT_TYPE);
        let encrypted = encrypted.is_some_and(|kind| kind.as_bytes().starts_with(b"multipart/"));
        match head.status {
            StatusCode::UNAUTHORIZED => {
                let offered = wire::offered(&head.headers);
                Err(Error::Unauthorized { user: self.user.clone(), offered })
            }
            status if encrypted => {
                let body = multipart::read(&mut self.r#in, &body).map_err(wrong)?;
                Ok(Answer { status, body: body.into() })
            }
            StatusCode::OK | StatusCode::INTERNAL_SERVER_ERROR => {
                Err(wrong("an answer that is not encrypted"))
            }
            status => Err(unexpected(status)),
        }
    }

    async fn is_open(&mut self) -> bool {
        self.connection.is_open().await
    }
}

/// The message in the header of an answer.
fn token(headers: &HeaderMap) -> Option<Vec<u8>> {
    headers.get_all(header::WWW_AUTHENTICATE).iter().find_map(|offer| {
        let (scheme, token) = offer.to_str().ok()?.split_once(' ')?;
        let token = token.trim();
        if !scheme.eq_ignore_ascii_case("Negotiate") || token.is_empty() {
            return None;
        }
        BASE64_STANDARD.decode(token).ok()
    })
}

fn chance() -> Result<Chance, Error> {
    let mut chance = Chance { challenge: [0; 8], session_key: [0; 16] };
    getrandom::fill(&mut chance.challenge)
        .and_then(|()| getrandom::fill(&mut chance.session_key))
        .map_err(|error| Error::Io {
            what: "make a random key".to_owned(),
            source: std::io::Error::other(error),
        })?;
    Ok(chance)
}

fn wrong(what: &str) -> Error {
    Error::Protocol(what.to_owned())
}

fn unexpected(status: StatusCode) -> Error {
    Error::Protocol(format!("the HTTP status {status}"))
}
