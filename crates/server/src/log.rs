//! Writes the log to standard error in a separate thread. Logging never fails or waits, whatever the state of standard
//! error; lost lines are counted.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

/// The maximum number of queued lines.
const LINES: usize = 4096;
/// The maximum size of queued lines in bytes.
const BYTES: usize = 4 * 1024 * 1024;

/// The lost lines of this process.
static LOST: AtomicU64 = AtomicU64::new(0);

/// The number of lost lines.
pub fn lines_lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Queues lines. Cheap to clone; never fails or waits.
#[derive(Debug, Clone)]
pub struct Writer {
    lines: SyncSender<Line>,
    queued: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum Line {
    Text(Vec<u8>),
    /// Its channel is dropped after all earlier lines are written.
    Flush(SyncSender<()>),
}

impl Writer {
    /// A writer to a file or stream. If its thread cannot start, every line is lost.
    pub fn to(target: impl io::Write + Send + 'static) -> Self {
        let (lines, receiver) = sync_channel(LINES);
        let queued = Arc::new(AtomicUsize::new(0));
        let counted = queued.clone();
        // If this fails, it drops the receiver, and every line counts as lost.
        drop(
            thread::Builder::new()
                .name("log".to_owned())
                .spawn(move || write(target, &receiver, &counted)),
        );
        Self { lines, queued }
    }

    /// Waits for a limited time until the queued lines are written.
    pub fn flush_within(&self, time: Duration) {
        let (done, wait) = sync_channel(0);
        if self.lines.try_send(Line::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(time);
        }
    }
}

fn write(mut target: impl io::Write, lines: &Receiver<Line>, queued: &AtomicUsize) {
    while let Ok(line) = lines.recv() {
        match line {
            Line::Flush(done) => drop(done),
            Line::Text(text) => {
                queued.fetch_sub(text.len(), Ordering::Relaxed);
                if target.write_all(&text).and_then(|()| target.flush()).is_err() {
                    LOST.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

impl io::Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let before = self.queued.fetch_add(line.len(), Ordering::Relaxed);
        let is_room = before.saturating_add(line.len()) <= BYTES;
        if !is_room || self.lines.try_send(Line::Text(line.to_vec())).is_err() {
            self.queued.fetch_sub(line.len(), Ordering::Relaxed);
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, sync::Mutex};

    use super::*;

    /// Blocks until the test releases it, and then fails.
    struct Stuck(Receiver<()>);

    impl io::Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lost_lines_are_counted_and_logging_never_waits() {
        let before = lines_lost();
        let (go_on, stuck) = sync_channel(0);
        let mut writer = Writer::to(Stuck(stuck));
        let many = u64::try_from(LINES * 2).unwrap();
        for _ in 0..many {
            writer.write_all(b"line\n").unwrap();
        }
        assert!(lines_lost() - before >= many / 2 - 1);
        drop(go_on);
        drop(writer);
    }

    #[test]
    fn size_of_queued_lines_is_limited() {
        let before = lines_lost();
        let (go_on, stuck) = sync_channel(0);
        let mut writer = Writer::to(Stuck(stuck));
        let long = vec![b'x'; BYTES / 4];
        for _ in 0..8 {
            writer.write_all(&long).unwrap();
        }
        assert!(lines_lost() - before >= 3);
        drop(go_on);
    }

    #[test]
    fn flush_waits_for_queued_lines() {
        let buffer = Buffer::default();
        let mut writer = Writer::to(buffer.clone());
        writer.write_all(b"one\n").unwrap();
        writer.write_all(b"two\n").unwrap();
        writer.flush_within(Duration::from_secs(60));
        assert_eq!(*buffer.0.lock().unwrap(), b"one\ntwo\n");
    }
}
