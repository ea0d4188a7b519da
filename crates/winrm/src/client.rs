//! The client: what a caller sees.

use std::{fmt, sync::Arc};

use crate::{
    Endpoint, Error, Identity, Input, Login, Output, Transport,
    channel::Connect,
    http,
    https::Https,
    link::{Link, OPERATION},
    ntlm::Ntlm,
    record::{Recorded, Recorder},
    run::run,
    soap::{
        answer,
        request::{self, Letterhead},
    },
};

/// Runs commands in a guest. Cheap to clone; keeps no connection between commands, so that it
/// survives restarts of the guest.
#[derive(Clone)]
pub struct Client {
    connect: Arc<dyn Connect>,
    url: String,
    user: String,
}

impl Client {
    /// A client for this service and user. Connects to nothing yet.
    pub fn new(endpoint: Endpoint, login: Login) -> Self {
        let scheme = match endpoint.transport {
            Transport::Https { .. } => "https",
            Transport::Http => "http",
        };
        let url = format!("{scheme}://{}{}", endpoint.address, http::PATH);
        let user = login.user.clone();
        let connect: Arc<dyn Connect> = match endpoint.transport {
            Transport::Https { certificate } => Arc::new(Https::new(endpoint, login, certificate)),
            Transport::Http => Arc::new(Ntlm::new(endpoint, login)),
        };
        Self { connect, url, user }
    }

    /// This client, but each exchange with the service is shown to `recorder`.
    #[must_use]
    pub fn recorded(self, recorder: Arc<dyn Recorder>) -> Self {
        let connect: Arc<dyn Connect> = Arc::new(Recorded { connect: self.connect, recorder });
        Self { connect, ..self }
    }

    /// Asks the service for its identity, with the user's password.
    pub async fn identify(&self) -> Result<Identity, Error> {
        let mut link = Link::new(self.connect.clone());
        let reply = link.ask(request::identify(), "while it told its identity").await?;
        answer::identity(&reply.body()?)
    }

    /// Runs a command line of `cmd.exe`, at most 8,191 characters, and returns its exit code.
    ///
    /// Dropping the future ends the command and its shell, within seconds if the guest answers. An
    /// error does so too.
    pub async fn run(
        &self,
        command: &str,
        stdin: Input<'_>,
        output: &mut dyn Output,
    ) -> Result<u32, Error> {
        let letterhead = Letterhead::new(self.url.clone(), OPERATION);
        run(&self.connect, letterhead, command, stdin, output).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, user, connect: _ } = self;
        f.debug_struct("Client").field("url", url).field("user", user).finish_non_exhaustive()
    }
}
