//! Where the log goes: to standard error, by a thread of its own. Whatever becomes of standard error, who writes
//! a line of log neither fails nor waits; what cannot be written is counted.

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

/// Lines that wait to be written.
const LINES: usize = 4096;
/// Their bytes.
const BYTES: usize = 4 * 1024 * 1024;

/// Lines of this process that were not written.
static LOST: AtomicU64 = AtomicU64::new(0);

/// How many lines were not written.
pub fn lines_lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Takes lines. Cheap to clone; never fails and never waits.
#[derive(Debug, Clone)]
pub struct Writer {
    lines: SyncSender<Line>,
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum Line {
    Text(Vec<u8>),
    /// Everything before it is written when its channel is dropped.
    Flush(SyncSender<()>),
}

impl Writer {
    /// A writer to that file or stream. Without a thread to write, every line is lost.
    pub fn to(target: impl io::Write + Send + 'static) -> Self {
        let (lines, receiver) = sync_channel(LINES);
        let waiting = Arc::new(AtomicUsize::new(0));
        let counted = waiting.clone();
        // Dropping the receiver makes every line a lost one.
        drop(
            thread::Builder::new()
                .name("log".to_owned())
                .spawn(move || write(target, &receiver, &counted)),
        );
        Self { lines, waiting }
    }

    /// Waits until what was taken before is written, but not longer than that.
    pub fn flush_within(&self, time: Duration) {
        let (done, wait) = sync_channel(0);
        if self.lines.try_send(Line::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(time);
        }
    }
}

fn write(mut target: impl io::Write, lines: &Receiver<Line>, waiting: &AtomicUsize) {
    while let Ok(line) = lines.recv() {
        match line {
            Line::Flush(done) => drop(done),
            Line::Text(text) => {
                waiting.fetch_sub(text.len(), Ordering::Relaxed);
                if target.write_all(&text).and_then(|()| target.flush()).is_err() {
                    LOST.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

impl io::Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let before = self.waiting.fetch_add(line.len(), Ordering::Relaxed);
        let is_room = before.saturating_add(line.len()) <= BYTES;
        if !is_room || self.lines.try_send(Line::Text(line.to_vec())).is_err() {
            self.waiting.fetch_sub(line.len(), Ordering::Relaxed);
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

    /// Holds its writer up until the test lets it go, and then fails.
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
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_nobody_takes_are_counted_and_hold_nobody_up() {
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
    fn a_few_long_lines_are_too_much_as_well() {
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
    fn what_was_written_is_there_after_a_flush() {
        let kept = Kept::default();
        let mut writer = Writer::to(kept.clone());
        writer.write_all(b"one\n").unwrap();
        writer.write_all(b"two\n").unwrap();
        writer.flush_within(Duration::from_secs(60));
        assert_eq!(*kept.0.lock().unwrap(), b"one\ntwo\n");
    }
}
