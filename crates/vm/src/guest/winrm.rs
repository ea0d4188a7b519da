//! A guest with Windows behind its WinRM service. Each command has its own connections, so that the
//! guest may restart between two commands.

use std::{net::SocketAddr, ops::ControlFlow, sync::Arc};

use async_trait::async_trait;
use winrm::{
    Client, Endpoint, Fingerprint, Input, Login, Output, Recorder, Stream, Transport, clixml,
};

use super::{Exit, Failure, Guest, Sink, Stdin, StreamKind};
use crate::{Access, Door, Error, WindowsAccess};

pub(crate) struct WinrmGuest {
    client: Client,
}

impl WinrmGuest {
    /// A guest whose service is at this address. Connects to nothing yet.
    pub(crate) fn new(
        address: SocketAddr,
        access: &Access,
        windows: &WindowsAccess,
    ) -> Result<Self, Error> {
        let transport = match windows.door {
            Door::WinrmHttp => Transport::Http,
            Door::WinrmHttps | Door::Ssh => Transport::Https { certificate: certificate(windows)? },
        };
        let login = Login { user: access.user.clone(), password: windows.password.clone() };
        Ok(Self { client: Client::new(Endpoint { address, transport }, login) })
    }

    /// Shows each exchange with the service to `recorder`.
    pub(crate) fn recorded(self, recorder: Arc<dyn Recorder>) -> Self {
        Self { client: self.client.recorded(recorder) }
    }

    /// Asks the service who it is; a guest that answers takes commands.
    pub(crate) async fn greet(&self) -> Result<(), Failure> {
        match self.client.identify().await {
            Ok(identity) => {
                tracing::debug!(identity.vendor, identity.version, "the WinRM service answers");
                Ok(())
            }
            Err(error) => Err(classify(error)),
        }
    }
}

fn certificate(windows: &WindowsAccess) -> Result<Fingerprint, Error> {
    let certificate = windows.certificate.as_deref().unwrap_or_default();
    let fail = |_| Error::NoCertificate { known: certificate.chars().take(80).collect() };
    certificate.parse().map_err(fail)
}

fn classify(error: winrm::Error) -> Failure {
    match error {
        error @ winrm::Error::Certificate { .. } => Failure::Final(error.into()),
        error @ winrm::Error::Unauthorized { .. } => Failure::Refused(error.into()),
        other => Failure::NotYet(other.to_string()),
    }
}

#[async_trait]
impl Guest for WinrmGuest {
    async fn run(
        &self,
        command: &str,
        stdin: Stdin<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Exit, Error> {
        let input = match stdin {
            Stdin::Empty => Input::Empty,
            Stdin::Bytes(bytes) => Input::Bytes(bytes),
            Stdin::Reader(reader) => Input::Reader(reader),
        };
        let mut output = Decoded { sink, errors: clixml::Decoder::new() };
        let code = self.client.run(command, input, &mut output).await?;
        let rest = output.errors.finish();
        if !rest.is_empty() && sink.take(StreamKind::Err, &rest).await.is_break() {
            return Err(Error::TooMuchOutput);
        }
        Ok(Exit { code: Some(code), signal: None })
    }
}

/// Passes output on; standard error as text, since `PowerShell` writes XML there.
struct Decoded<'a> {
    sink: &'a mut dyn Sink,
    errors: clixml::Decoder,
}

#[async_trait]
impl Output for Decoded<'_> {
    async fn take(&mut self, stream: Stream, bytes: &[u8]) -> ControlFlow<()> {
        match stream {
            Stream::Out => self.sink.take(StreamKind::Out, bytes).await,
            Stream::Err => match self.errors.push(bytes) {
                text if text.is_empty() => ControlFlow::Continue(()),
                text => self.sink.take(StreamKind::Err, &text).await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(certificate: Option<&str>, door: Door) -> Access {
        let windows = WindowsAccess {
            password: "not shown".into(),
            certificate: certificate.map(str::to_owned),
            door,
        };
        Access { windows: Some(windows), ..Access::generate("goldsmith").unwrap() }
    }

    fn guest(certificate: Option<&str>, door: Door) -> Result<WinrmGuest, Error> {
        let access = access(certificate, door);
        let windows = access.windows.as_ref().unwrap();
        WinrmGuest::new(([127, 0, 0, 1], 5986).into(), &access, windows)
    }

    #[test]
    fn https_needs_the_certificate_and_ntlm_does_not() {
        assert!(guest(Some(&"ab".repeat(32)), Door::WinrmHttps).is_ok());
        assert!(guest(None, Door::WinrmHttp).is_ok());
        for bad in [None, Some("abc")] {
            let error = guest(bad, Door::WinrmHttps).err().unwrap();
            assert!(matches!(error, Error::NoCertificate { .. }), "{error:?}");
        }
    }

    #[test]
    fn wrong_certificate_is_final_and_a_fault_is_not() {
        let (expected, actual) = (winrm::Fingerprint([1; 32]), winrm::Fingerprint([2; 32]));
        let final_error = classify(winrm::Error::Certificate { expected, actual });
        let Failure::Final(Error::Certificate { expected, .. }) = final_error else {
            panic!("{final_error:?}");
        };
        assert_eq!(expected, "01".repeat(32));
        let fault = winrm::Error::Fault { code: Some(5), message: "busy".into() };
        assert!(matches!(classify(fault), Failure::NotYet(_)));
    }
}
