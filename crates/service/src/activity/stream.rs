//! The log as files in JSON lines, for systems that collect events.
//!
//! A file is for one day and one part of it: `2026-12-01-001.jsonl`. Each line is an event with its `seq`, or a failed login.
//! After a crash the stream goes on behind the last line that is whole, so each event is in the files once.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    time::Duration,
};

use db::Activity;
use engine::may_wait;
use images::files;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::App;

const EVERY: Duration = Duration::from_secs(1);
/// Events of one read, and of one sync.
const AT_ONCE: u32 = 500;
/// The position up to which all is on disk.
const CURSOR: &str = "cursor.json";
/// The largest file unless a test wants others.
const FILE_BYTES: u64 = 64 << 20;

/// Where the files are.
#[derive(Debug, Clone)]
pub struct Folder {
    /// The folder.
    pub dir: PathBuf,
    /// The size after which the next file begins.
    pub file_bytes: u64,
    /// How long files are kept.
    pub keep: Duration,
}

impl Folder {
    /// A folder for files of the usual size.
    pub fn new(dir: PathBuf, keep: Duration) -> Self {
        Self { dir, file_bytes: FILE_BYTES, keep }
    }
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// The last event in the files.
    seq: i64,
    /// The last file, and its length on disk.
    file: String,
    length: u64,
}

/// Writes new events to the files until the service shuts down.
pub async fn keep_streaming(app: App, folder: Folder) {
    let mut stream = None;
    loop {
        let is_last = tokio::time::timeout(EVERY, app.shutdown().cancelled()).await.is_ok();
        let done = async {
            app.record_counted_refusals(is_last).await.map_err(io::Error::other)?;
            let mut open = match stream.take() {
                Some(open) => open,
                None => may_wait(|| Stream::open(folder.clone()))?,
            };
            open.catch_up(&app).await?;
            stream = Some(open);
            Ok::<(), io::Error>(())
        };
        if let Err(error) = done.await {
            let dir = folder.dir.display();
            tracing::warn!(%error, %dir, "the activity log cannot be written to its files; trying again");
        }
        if is_last {
            return;
        }
    }
}

#[derive(Debug)]
struct Stream {
    folder: Folder,
    cursor: Cursor,
    file: Option<File>,
}

impl Stream {
    /// Continues where the last one ended, however it ended.
    fn open(folder: Folder) -> io::Result<Self> {
        files::make_dir(&folder.dir)?;
        let text = files::read(&folder.dir.join(CURSOR))?.unwrap_or_default();
        let mut cursor: Cursor = serde_json::from_str(&text).unwrap_or_default();
        let first = cursor.file.clone();
        for name in file_names(&folder)?.into_iter().filter(|name| *name >= first) {
            let known = if name == first { cursor.length } else { 0 };
            let mut file =
                OpenOptions::new().read(true).write(true).open(folder.dir.join(&name))?;
            let (seq, length) = whole_lines(&mut file, known)?;
            file.set_len(length)?;
            cursor = Cursor { seq: cursor.seq.max(seq), file: name, length };
        }
        Ok(Self { folder, cursor, file: None })
    }

    /// Writes everything that is new.
    async fn catch_up(&mut self, app: &App) -> io::Result<()> {
        let logins = app.activities().failed_logins();
        if let Err(error) = may_wait(|| self.write_lines(&logins, self.cursor.seq)) {
            app.activities().keep_failed_logins(logins);
            return Err(error);
        }
        loop {
            let events = app.store().activity_after(self.cursor.seq, AT_ONCE).await;
            let events = events.map_err(io::Error::other)?;
            let Some(last) = events.last().map(|event| event.seq) else { return Ok(()) };
            let lines: Vec<Value> = events.iter().map(line).collect();
            may_wait(|| self.write_lines(&lines, last))?;
            if events.len() < AT_ONCE as usize {
                return Ok(());
            }
        }
    }

    /// Appends lines, and returns when they and the position are on disk.
    fn write_lines(&mut self, lines: &[Value], seq: i64) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for line in lines {
            text.push_str(&line.to_string());
            text.push('\n');
        }
        let day = Timestamp::now().strftime("%Y-%m-%d").to_string();
        if !self.cursor.file.starts_with(&day) {
            self.begin(format!("{day}-001.jsonl"))?;
            self.forget()?;
        } else if self.cursor.length >= self.folder.file_bytes {
            let part: u32 = self.cursor.file[day.len() + 1..]
                .strip_suffix(".jsonl")
                .and_then(|part| part.parse().ok())
                .unwrap_or_default();
            self.begin(format!("{day}-{:03}.jsonl", part + 1))?;
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                let path = self.folder.dir.join(&self.cursor.file);
                OpenOptions::new().append(true).create(true).mode(0o600).open(path)?
            }
        };
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        self.cursor.length += text.len() as u64;
        self.cursor.seq = seq;
        self.file = Some(file);
        self.save()
    }

    fn begin(&mut self, name: String) -> io::Result<()> {
        let path = self.folder.dir.join(&name);
        OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?.sync_all()?;
        files::sync_parent(&path)?;
        (self.cursor.file, self.cursor.length, self.file) = (name, 0, None);
        Ok(())
    }

    fn save(&self) -> io::Result<()> {
        files::write_secret(&self.folder.dir.join(CURSOR), serde_json::to_vec(&self.cursor)?)
    }

    /// Removes the files of days that are too old.
    fn forget(&self) -> io::Result<()> {
        let keep = jiff::SignedDuration::try_from(self.folder.keep).unwrap_or_default();
        let Ok(oldest) = Timestamp::now().checked_sub(keep) else { return Ok(()) };
        let oldest = oldest.strftime("%Y-%m-%d").to_string();
        for name in file_names(&self.folder)? {
            if name.get(..oldest.len()).is_some_and(|day| day < oldest.as_str()) {
                fs::remove_file(self.folder.dir.join(name))?;
            }
        }
        Ok(())
    }
}

/// The names of the files, oldest first.
fn file_names(folder: &Folder) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder.dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".jsonl") && name.as_bytes().first().is_some_and(u8::is_ascii_digit) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The last event in the lines behind `known` that a crash left whole, and their end.
fn whole_lines(file: &mut File, known: u64) -> io::Result<(i64, u64)> {
    let known = known.min(file.metadata()?.len());
    file.seek(SeekFrom::Start(known))?;
    let mut rest = Vec::new();
    file.read_to_end(&mut rest)?;
    let (mut seq, mut end) = (0, known);
    for line in rest.split_inclusive(|byte| *byte == b'\n') {
        let whole =
            line.strip_suffix(b"\n").and_then(|text| serde_json::from_slice::<Value>(text).ok());
        let Some(line_value) = whole else { break };
        seq = seq.max(line_value["seq"].as_i64().unwrap_or_default());
        end += line.len() as u64;
    }
    Ok((seq, end))
}

fn line(event: &Activity) -> Value {
    let mut line = json!({ "seq": event.seq });
    if let (Some(line), Some(body)) = (line.as_object_mut(), event.body.as_object()) {
        line.extend(body.clone());
    }
    line
}

#[cfg(test)]
mod tests;
