//! HTTP with NTLM, which encrypts each message.

use async_trait::async_trait;

use crate::{
    Endpoint, Error, Login,
    channel::{Channel, Connect},
};

/// Connects over HTTP.
pub(crate) struct Ntlm {
    endpoint: Endpoint,
    login: Login,
}

impl Ntlm {
    pub(crate) fn new(endpoint: Endpoint, login: Login) -> Self {
        Self { endpoint, login }
    }
}

#[async_trait]
impl Connect for Ntlm {
    async fn connect(&self) -> Result<Box<dyn Channel>, Error> {
        let (user, at) = (&self.login.user, self.endpoint.address);
        Err(Error::Protocol(format!("NTLM for {user} at {at} is not yet written")))
    }
}
