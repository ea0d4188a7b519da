//! A guest behind an SSH connection: one connection, a channel for each command.

use std::{
    borrow::Cow,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use russh::{
    Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Preferred, cipher,
    client::{self, Msg},
    compression, kex,
    keys::{
        Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate,
    },
    mac,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpStream,
};

use super::{Exit, Guest, Sink, Stdin, StreamKind};
use crate::{Access, Error};

/// After a command's end, processes it left behind may hold its output open. Output is still taken
/// while it keeps coming; after this much silence the command counts as done.
const LINGER: Duration = Duration::from_secs(2);
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVES_LOST: usize = 6;
const CHUNK: usize = 32 * 1024;
const STDERR: u32 = 1;

/// Why no connection came about.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No use in trying again.
    Final(Error),
    /// A guest that is still starting does this.
    NotYet(String),
}

struct Handler {
    expected: PublicKey,
    shown: Arc<Mutex<Option<PublicKey>>>,
}

impl client::Handler for Handler {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        key: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            return Ok(false);
        };
        let same = key.key_data() == self.expected.key_data();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
        Ok(same)
    }
}

/// Few algorithms, all quick on an emulated processor too.
fn config() -> client::Config {
    client::Config {
        preferred: Preferred {
            kex: Cow::Borrowed(&[
                kex::CURVE25519,
                kex::CURVE25519_PRE_RFC_8731,
                kex::EXTENSION_SUPPORT_AS_CLIENT,
                kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
            ]),
            key: Cow::Borrowed(&[Algorithm::Ed25519]),
            // An emulated processor takes twice as long for GCM as for ChaCha20.
            cipher: Cow::Borrowed(&[
                cipher::CHACHA20_POLY1305,
                cipher::AES_128_GCM,
                cipher::AES_256_GCM,
            ]),
            mac: Cow::Borrowed(&[mac::HMAC_SHA256_ETM, mac::HMAC_SHA256]),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::default()
        },
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES_LOST,
        nodelay: true,
        ..client::Config::default()
    }
}

/// The connected guest.
pub(crate) struct SshGuest {
    session: client::Handle<Handler>,
}

/// Proves both sides to each other over a fresh connection.
pub(crate) async fn handshake(stream: TcpStream, access: &Access) -> Result<SshGuest, Failure> {
    let broken = |what: &str, e: russh::keys::ssh_key::Error| Failure::Final(Error::ssh(what, e));
    let expected = PublicKey::from_openssh(&access.host_public_key)
        .map_err(|e| broken("the host key to expect cannot be read", e))?;
    let key = PrivateKey::from_openssh(&access.private_key)
        .map_err(|e| broken("the user's key cannot be read", e))?;
    let shown = Arc::new(Mutex::new(None));
    let handler = Handler { expected: expected.clone(), shown: shown.clone() };
    let _ = stream.set_nodelay(true);
    let connected = client::connect_stream(Arc::new(config()), stream, handler).await;
    let mut session = connected.map_err(|error| refusal(error, &expected, &shown))?;
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    let authenticated = session
        .authenticate_publickey(&access.user, key)
        .await
        .map_err(|error| Failure::NotYet(error.to_string()))?;
    if authenticated.success() {
        Ok(SshGuest { session })
    } else {
        Err(Failure::NotYet(format!("the key of {} is not accepted", access.user)))
    }
}

fn refusal(error: russh::Error, expected: &PublicKey, shown: &Mutex<Option<PublicKey>>) -> Failure {
    let shown = shown.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (error, shown) {
        (russh::Error::UnknownKey, Some(shown)) => Failure::Final(Error::HostKey {
            expected: expected.fingerprint(HashAlg::Sha256).to_string(),
            found: shown.fingerprint(HashAlg::Sha256).to_string(),
        }),
        (error, _) => Failure::NotYet(error.to_string()),
    }
}

#[async_trait]
impl Guest for SshGuest {
    async fn run(
        &self,
        command: &str,
        stdin: Stdin<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<Exit, Error> {
        let fail = |e| Error::ssh("a command could not be started", e);
        let channel = self.session.channel_open_session().await.map_err(fail)?;
        channel.exec(true, command).await.map_err(fail)?;
        let (mut output, input) = Open::split(channel);
        let mut feeding = std::pin::pin!(feed(&input, stdin));
        let mut exit = None;
        let mut fed = false;
        loop {
            let message = tokio::select! {
                message = output.wait() => message,
                done = &mut feeding, if !fed => {
                    fed = true;
                    done?;
                    continue;
                }
                () = tokio::time::sleep(LINGER), if exit.is_some() => break,
            };
            match message {
                Some(ChannelMsg::Data { data }) => sink(StreamKind::Out, &data),
                Some(ChannelMsg::ExtendedData { data, ext: STDERR }) => {
                    sink(StreamKind::Err, &data);
                }
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    exit = Some(Exit { code: i32::try_from(exit_status).ok(), signal: None });
                }
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                    exit = Some(Exit { code: None, signal: Some(signal_text(&signal_name)) });
                }
                Some(ChannelMsg::Failure) => return Err(lost("the guest refused the command")),
                Some(ChannelMsg::Close) | None => break,
                Some(_) => {}
            }
        }
        exit.ok_or_else(|| lost("the connection broke off in the middle of a command"))
    }
}

fn lost(what: &str) -> Error {
    Error::Ssh { what: what.to_owned(), source: None }
}

fn signal_text(signal: &russh::Sig) -> String {
    match signal {
        russh::Sig::Custom(name) => name.clone(),
        known => format!("{known:?}"),
    }
}

/// The writing half of a channel; closes the channel when it is dropped, so that the guest learns
/// that nobody listens any more.
struct Open(Option<ChannelWriteHalf<Msg>>);

impl Open {
    fn split(channel: Channel<Msg>) -> (ChannelReadHalf, Self) {
        let (read, write) = channel.split();
        (read, Self(Some(write)))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let (Some(write), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                let _ = write.close().await;
            });
        }
    }
}

/// Hands the command its input, no faster than the guest takes it.
///
/// A guest that stops reading is no error: the command's exit says what that was worth.
async fn feed(input: &Open, stdin: Stdin<'_>) -> Result<(), Error> {
    let Some(write) = &input.0 else { return Ok(()) };
    match stdin {
        Stdin::Empty => {}
        Stdin::Bytes(bytes) => {
            let _ = write.data(bytes).await;
        }
        Stdin::Reader(reader) => loop {
            let chunk = read_chunk(reader).await.map_err(Error::Input)?;
            if chunk.is_empty() || write.data_bytes(chunk).await.is_err() {
                break;
            }
        },
    }
    let _ = write.eof().await;
    Ok(())
}

/// What is there by now: who writes an answer and waits for the next question must not wait for a full
/// chunk.
async fn read_chunk(reader: &mut (dyn AsyncRead + Send + Unpin)) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(CHUNK);
    reader.read_buf(&mut chunk).await?;
    Ok(chunk)
}
