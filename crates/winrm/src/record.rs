//! Lets a caller see the exchange with a service.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Error,
    channel::{Answer, Channel, Connect},
};

/// Receives each request and its answer: the envelopes in plain text, without the headers of HTTP,
/// so that no authentication is among them. The envelopes themselves may contain secrets: commands
/// with their input and output.
pub trait Recorder: fmt::Debug + Send + Sync {
    /// An envelope was answered. `status` is that of HTTP: 200, or 500 with a fault.
    fn answered(&self, request: &[u8], status: u16, answer: &[u8]);

    /// An envelope was not answered.
    fn unanswered(&self, request: &[u8], error: &Error);
}

/// Makes channels that show their exchange.
pub(crate) struct Recorded {
    pub(crate) connect: Arc<dyn Connect>,
    pub(crate) recorder: Arc<dyn Recorder>,
}

#[async_trait]
impl Connect for Recorded {
    async fn connect(&self) -> Result<Box<dyn Channel>, Error> {
        let (channel, recorder) = (self.connect.connect().await?, self.recorder.clone());
        Ok(Box::new(RecordedChannel { channel, recorder }))
    }
}

struct RecordedChannel {
    channel: Box<dyn Channel>,
    recorder: Arc<dyn Recorder>,
}

#[async_trait]
impl Channel for RecordedChannel {
    async fn post(&mut self, envelope: Bytes) -> Result<Answer, Error> {
        let answer = self.channel.post(envelope.clone()).await;
        match &answer {
            Ok(answer) => {
                self.recorder.answered(&envelope, answer.status.as_u16(), &answer.body);
            }
            Err(error) => self.recorder.unanswered(&envelope, error),
        }
        answer
    }

    async fn is_open(&mut self) -> bool {
        self.channel.is_open().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::StatusCode;

    use super::*;

    /// Answers the first request only.
    struct Once(bool);

    #[async_trait]
    impl Connect for Once {
        async fn connect(&self) -> Result<Box<dyn Channel>, Error> {
            Ok(Box::new(Self(false)))
        }
    }

    #[async_trait]
    impl Channel for Once {
        async fn post(&mut self, _: Bytes) -> Result<Answer, Error> {
            if std::mem::replace(&mut self.0, true) {
                return Err(Error::ShellGone);
            }
            Ok(Answer { status: StatusCode::OK, body: Bytes::from_static(b"fine") })
        }

        async fn is_open(&mut self) -> bool {
            true
        }
    }

    #[derive(Debug, Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Recorder for Lines {
        fn answered(&self, request: &[u8], status: u16, answer: &[u8]) {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            let line = format!("{} {status} {}", text(request), text(answer));
            self.0.lock().unwrap().push(line);
        }

        fn unanswered(&self, request: &[u8], error: &Error) {
            let line = format!("{} {error}", String::from_utf8_lossy(request));
            self.0.lock().unwrap().push(line);
        }
    }

    #[tokio::test]
    async fn answered_and_unanswered_requests_are_recorded() {
        let lines = Arc::new(Lines::default());
        let recorded = Recorded { connect: Arc::new(Once(false)), recorder: lines.clone() };
        let mut channel = recorded.connect().await.unwrap();
        channel.post(Bytes::from_static(b"one")).await.unwrap();
        channel.post(Bytes::from_static(b"two")).await.unwrap_err();
        let expected = ["one 200 fine".to_owned(), format!("two {}", Error::ShellGone)];
        assert_eq!(*lines.0.lock().unwrap(), expected);
    }
}
