use russh::{
    ChannelId,
    keys::PrivateKey,
    server::{self, Auth, ChannelOpenHandle, Config, Session},
};
use tokio::net::TcpListener;

use super::*;
use crate::{Answer, Bounded, Door, WindowsAccess};

/// Prints each command line and exits with a code of Windows; `restart` breaks the connection.
struct Echo;

impl server::Handler for Echo {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        _: &str,
        _: russh::server::VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<server::Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if command == b"restart" {
            return Err(russh::Error::Disconnect);
        }
        session.channel_success(channel)?;
        session.data(channel, command.to_vec())?;
        session.exit_status_request(channel, 0x8007_0005)?;
        session.eof(channel)?;
        session.close(channel)
    }
}

/// A server that takes one connection after another.
async fn serve(access: &Access) -> SocketAddr {
    let key = PrivateKey::from_openssh(&access.host_private_key).unwrap();
    let config = Arc::new(Config { keys: vec![key], ..Config::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let session = server::run_stream(config.clone(), stream, Echo).await;
            tokio::spawn(async move {
                if let Ok(session) = session {
                    let _ = session.await;
                }
            });
        }
    });
    address
}

async fn run(guest: &CmdGuest, command: &str) -> Result<(Exit, String), Error> {
    let mut answer = Answer { out: Bounded::new(1000), ..Answer::default() };
    let exit = guest.run(command, Stdin::Empty, &mut answer).await?;
    Ok((exit, answer.out.text()))
}

#[tokio::test]
async fn lost_connection_is_an_error_once_and_then_replaced() {
    let windows = WindowsAccess { password: "-".into(), certificate: None, door: Door::Ssh };
    let access = Access { windows: Some(windows), ..Access::generate("goldsmith").unwrap() };
    let address = serve(&access).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let first = ssh::handshake(stream, &access).await.unwrap();
    let guest = CmdGuest::new(address, &access, first);

    // The line reaches cmd.exe as it is, and all 32 bits of the code come back.
    let line = r#"dir "C:\Program Files" & exit 5"#;
    let exit = Exit { code: Some(0x8007_0005), signal: None };
    assert_eq!(run(&guest, line).await.unwrap(), (exit, line.to_owned()));
    let error = run(&guest, "restart").await.unwrap_err();
    assert!(error.is_lost_connection(), "{error:?}");
    assert_eq!(run(&guest, "ver").await.unwrap().1, "ver");
}

#[tokio::test]
async fn replaced_connection_is_checked_for_the_host_key() {
    let access = Access::generate("goldsmith").unwrap();
    let address = serve(&access).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let first = ssh::handshake(stream, &access).await.unwrap();
    let elsewhere = serve(&Access::generate("goldsmith").unwrap()).await;
    let guest = CmdGuest::new(elsewhere, &access, first);
    run(&guest, "restart").await.unwrap_err();
    let error = run(&guest, "ver").await.unwrap_err();
    assert!(matches!(error, Error::HostKey { .. }), "{error:?}");
}
