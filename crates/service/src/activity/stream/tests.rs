use std::path::Path;

use super::*;

fn folder(dir: &Path) -> Folder {
    Folder { dir: dir.to_owned(), file_bytes: 40, keep: Duration::from_secs(24 * 60 * 60) }
}

fn append(stream: &mut Stream, seq: i64) {
    stream.write_lines(&[json!({ "seq": seq })], seq).unwrap();
}

/// The numbers of all lines, in order.
fn lines(dir: &Path) -> Vec<i64> {
    let all = file_names(&folder(dir)).unwrap();
    let texts = all.iter().map(|name| fs::read_to_string(dir.join(name)).unwrap());
    let text: String = texts.collect();
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_i64().unwrap())
        .collect()
}

#[test]
fn full_file_is_followed_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = Stream::open(folder(dir.path())).unwrap();
    for seq in 1..=9 {
        append(&mut stream, seq);
    }
    assert_eq!(lines(dir.path()), (1..=9).collect::<Vec<_>>());
    let all = file_names(&folder(dir.path())).unwrap();
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[1].ends_with("-002.jsonl"), "{all:?}");
}

#[test]
fn stream_goes_on_behind_the_last_whole_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = Stream::open(folder(dir.path())).unwrap();
    append(&mut stream, 1);
    // A crash: one line that the cursor does not know, and half of another.
    let path = dir.path().join(&stream.cursor.file);
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(b"{\"seq\":2}\n{\"se").unwrap();
    drop(stream);
    let mut stream = Stream::open(folder(dir.path())).unwrap();
    assert_eq!(stream.cursor.seq, 2);
    append(&mut stream, 3);
    assert_eq!(lines(dir.path()), [1, 2, 3]);
}

#[test]
fn files_that_were_taken_away_are_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = Stream::open(folder(dir.path())).unwrap();
    append(&mut stream, 7);
    fs::remove_file(dir.path().join(&stream.cursor.file)).unwrap();
    let mut stream = Stream::open(folder(dir.path())).unwrap();
    assert_eq!(stream.cursor.seq, 7);
    append(&mut stream, 8);
    assert_eq!(lines(dir.path()), [8]);
}

#[test]
fn old_files_are_removed_when_a_day_begins() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("2020-01-01-001.jsonl"), "{\"seq\":1}\n").unwrap();
    let mut stream = Stream::open(folder(dir.path())).unwrap();
    assert_eq!(stream.cursor.seq, 1);
    append(&mut stream, 2);
    assert_eq!(lines(dir.path()), [2]);
}
