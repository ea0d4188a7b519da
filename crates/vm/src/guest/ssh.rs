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
    time::Instant,
};

use super::{Exit, Failure, Guest, Sink, Stdin, StreamKind, frame::Frame};
use crate::{Access, Error};

/// After a command's end, its background processes may keep its output open. Their output is
/// received until it pauses for this long.
const LINGER: Duration = Duration::from_secs(2);
/// The upper limit of that wait, even if the output does not pause.
const LINGER_IN_ALL: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVES_LOST: usize = 6;
const CHUNK: usize = 32 * 1024;
const STDERR: u32 = 1;

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

/// The algorithms of OpenSSH that are sound, so that hardened SSH servers accept the connection. The
/// first of each list are fast on an emulated processor too. The host key is always the generated
/// Ed25519 key.
fn config() -> client::Config {
    client::Config {
        preferred: Preferred {
            kex: Cow::Borrowed(&[
                kex::CURVE25519,
                kex::CURVE25519_PRE_RFC_8731,
                kex::ECDH_SHA2_NISTP256,
                kex::ECDH_SHA2_NISTP384,
                kex::ECDH_SHA2_NISTP521,
                kex::MLKEM768X25519_SHA256,
                kex::DH_G14_SHA256,
                kex::DH_G15_SHA512,
                kex::DH_G16_SHA512,
                kex::DH_G17_SHA512,
                kex::DH_G18_SHA512,
                kex::DH_GEX_SHA256,
                kex::EXTENSION_SUPPORT_AS_CLIENT,
                kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
            ]),
            key: Cow::Borrowed(&[Algorithm::Ed25519]),
            // An emulated processor takes twice as long for GCM as for ChaCha20.
            cipher: Cow::Borrowed(&[
                cipher::CHACHA20_POLY1305,
                cipher::AES_128_GCM,
                cipher::AES_256_GCM,
                cipher::AES_128_CTR,
                cipher::AES_192_CTR,
                cipher::AES_256_CTR,
            ]),
            mac: Cow::Borrowed(&[
                mac::HMAC_SHA256_ETM,
                mac::HMAC_SHA512_ETM,
                mac::HMAC_SHA256,
                mac::HMAC_SHA512,
            ]),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::default()
        },
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES_LOST,
        nodelay: true,
        ..client::Config::default()
    }
}

pub(crate) struct SshGuest {
    session: client::Handle<Handler>,
}

/// Authenticates both sides over a new connection.
pub(crate) async fn handshake(stream: TcpStream, access: &Access) -> Result<SshGuest, Failure> {
    let broken = |what: &str, e: russh::keys::ssh_key::Error| Failure::Final(Error::ssh(what, e));
    let expected = PublicKey::from_openssh(&access.host_public_key)
        .map_err(|e| broken("cannot parse the expected host key", e))?;
    let key = PrivateKey::from_openssh(&access.private_key)
        .map_err(|e| broken("cannot parse the user's key", e))?;
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
            actual: shown.fingerprint(HashAlg::Sha256).to_string(),
        }),
        // Final, because the server's settings come from the image.
        (russh::Error::NoCommonAlgo { kind, ours, theirs }, _) => {
            let kind = match kind {
                russh::AlgorithmKind::Kex => "key exchange",
                russh::AlgorithmKind::Key => "host key algorithm",
                russh::AlgorithmKind::Cipher => "cipher",
                russh::AlgorithmKind::Compression => "compression",
                russh::AlgorithmKind::Mac => "MAC",
            };
            let (ours, theirs) = (ours.join(", "), theirs.join(", "));
            Failure::Final(Error::NoCommonAlgorithm { kind: kind.to_owned(), ours, theirs })
        }
        (error, _) => Failure::NotYet(error.to_string()),
    }
}

impl SshGuest {
    /// A channel for one command.
    pub(super) async fn channel(&self) -> Result<Channel<Msg>, Error> {
        self.session.channel_open_session().await.map_err(not_started)
    }
}

#[async_trait]
impl Guest for SshGuest {
    async fn run(
        &self,
        command: &str,
        stdin: Stdin<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Exit, Error> {
        let channel = self.channel().await?;
        let frame = Frame::new()?;
        let line = frame.command(command);
        run(channel, &line, frame, stdin, sink).await
    }
}

fn not_started(error: russh::Error) -> Error {
    Error::ssh("cannot start a command", error)
}

/// Runs a line of the login shell. The command's output is what comes after the frame's mark.
pub(super) async fn run(
    channel: Channel<Msg>,
    line: &str,
    mut frame: Frame,
    stdin: Stdin<'_>,
    sink: &mut dyn Sink,
) -> Result<Exit, Error> {
    channel.exec(true, line).await.map_err(not_started)?;
    let (mut output, input) = Open::split(channel);
    let mut feeding = std::pin::pin!(feed(&input, stdin));
    let mut exit = None;
    let mut ended = Instant::now();
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
        let (stream, data) = match message {
            Some(ChannelMsg::Data { data }) => (StreamKind::Out, data),
            Some(ChannelMsg::ExtendedData { data, ext: STDERR }) => (StreamKind::Err, data),
            Some(ChannelMsg::ExitStatus { exit_status }) => {
                exit = Some(Exit { code: Some(exit_status), signal: None });
                ended = Instant::now();
                continue;
            }
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                exit = Some(Exit { code: None, signal: Some(signal_text(&signal_name)) });
                ended = Instant::now();
                continue;
            }
            Some(ChannelMsg::Failure) => return Err(lost("the guest rejected the command")),
            Some(ChannelMsg::Close) | None => break,
            Some(_) => continue,
        };
        // Nothing is read while the sink works. The connection's windows fill up, and the guest's
        // command blocks.
        for piece in frame.output(stream, &data) {
            if sink.take(stream, piece).await.is_break() {
                return Err(Error::TooMuchOutput);
            }
        }
        if exit.is_some() && ended.elapsed() > LINGER_IN_ALL {
            break;
        }
    }
    let exit = exit.ok_or_else(|| lost("the connection broke during a command"))?;
    frame.check_begun()?;
    Ok(exit)
}
pub(super) fn lost(what: &str) -> Error {
    Error::Ssh { what: what.to_owned(), source: None }
}

fn signal_text(signal: &russh::Sig) -> String {
    match signal {
        russh::Sig::Custom(name) => name.clone(),
        standard => format!("{standard:?}"),
    }
}

/// The writing half of a channel. Dropping it closes the channel, so that the guest stops writing.
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

/// Sends the command its input, no faster than the guest reads it.
///
/// It is not an error if the guest stops reading: the command's exit status decides.
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

/// Reads the bytes that are available. Waiting for a full chunk would deadlock a writer that waits
/// for an answer to each message.
async fn read_chunk(reader: &mut (dyn AsyncRead + Send + Unpin)) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(CHUNK);
    reader.read_buf(&mut chunk).await?;
    Ok(chunk)
}
