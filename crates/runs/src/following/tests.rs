#![allow(clippy::unwrap_used, reason = "tests")]

use std::{fs, io::Write};

use super::tail::Tail;

#[tokio::test]
async fn lines_come_whole_and_from_any_offset() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let mut tail = Tail::new(path.clone(), 0);
    assert_eq!(tail.next().await.unwrap(), None, "no file yet");
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(b"{\"a\":1}\n{\"b\"").unwrap();
    assert_eq!(tail.next().await.unwrap(), Some((8, "{\"a\":1}".to_owned())));
    assert_eq!(tail.next().await.unwrap(), None, "half a line");
    file.write_all(b":2}\nbroken\n{}\n").unwrap();
    assert_eq!(tail.next().await.unwrap(), Some((16, "{\"b\":2}".to_owned())));
    assert_eq!(tail.next().await.unwrap(), Some((26, "{}".to_owned())));

    for (after, first) in [(8, "{\"b\":2}"), (3, "{\"b\":2}"), (16, "{}"), (0, "{\"a\":1}")] {
        let mut again = Tail::new(path.clone(), after);
        assert_eq!(again.next().await.unwrap().unwrap().1, first, "after {after}");
    }
    assert_eq!(Tail::new(path, u64::MAX).next().await.unwrap(), None);
}
