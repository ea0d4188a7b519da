use tokio_util::sync::CancellationToken;

use super::{
    super::{
        Save,
        peer::{EXIT, Peer, entry, exists, host, migration, refusal},
    },
    *,
};

async fn begin(peer: &Peer) -> Result<Save, Error> {
    Save::in_background(&peer.qmp, &host(), peer.ram()).await
}

#[tokio::test]
async fn state_is_captured_once_a_page_is_written() {
    let states = [
        json!({ "status": "setup" }),
        migration("active", 0),
        migration("active", 0),
        migration("active", 1),
    ];
    let peer = Peer::new(&[("query-migrate", &states)]).await;
    begin(&peer).await.unwrap();
    assert_eq!(peer.count("query-migrate"), 4);
    assert!(exists(&peer.ram()));
}

#[tokio::test]
async fn refused_and_failed_captures_leave_no_file_and_no_trace() {
    let failed = [migration("active", 0), json!({ "status": "failed", "error-desc": "no uffd" })];
    let scripts: [&[(&str, &[Value])]; 2] =
        [&[("query-migrate", &failed)], &[("migrate", &[refusal()])]];
    for script in scripts {
        let peer = Peer::new(script).await;
        assert!(begin(&peer).await.is_err());
        assert!(!exists(&peer.ram()));
        assert_eq!(peer.count("set-action pause"), 1);
        assert_eq!(peer.count("set-action poweroff"), 1);
        assert_eq!(peer.count("quit"), 0);
    }
}

#[tokio::test]
async fn save_ends_when_qemu_has_cleaned_up() {
    let states = [migration("active", 1), migration("active", 2), migration("completed", 3)];
    let yank = [entry("migration"), entry("migration"), entry("block-node")];
    let peer = Peer::new(&[("query-migrate", &states), ("query-yank", &yank)]).await;
    let save = begin(&peer).await.unwrap();
    save.finish(&peer.qmp, &CancellationToken::new()).await.unwrap();
    assert!(exists(&peer.ram()));
    assert_eq!(peer.count("query-yank"), 3);
    assert_eq!(peer.count("migrate_cancel"), 0);
    assert_eq!(peer.asked.lock().unwrap().last().unwrap(), "query-status");
}

#[tokio::test]
async fn qemu_exits_after_the_save_if_its_guest_powered_off_meanwhile() {
    let states = [migration("active", 1), migration("completed", 3)];
    let status = [json!({ "status": "shutdown" })];
    let peer = Peer::new(&[("query-migrate", &states), ("query-status", &status)]).await;
    let save = begin(&peer).await.unwrap();
    save.finish(&peer.qmp, &CancellationToken::new()).await.unwrap();
    assert!(exists(&peer.ram()));
    assert_eq!(peer.asked.lock().unwrap().last().unwrap(), "quit");
}

#[tokio::test]
async fn file_is_removed_when_qemu_ends_and_when_its_disk_is_full() {
    let full = json!({ "status": "failed", "error-desc": "No space left on device" });
    for end in [json!(EXIT), full] {
        let states = [migration("active", 1), end];
        let peer = Peer::new(&[("query-migrate", &states)]).await;
        let save = begin(&peer).await.unwrap();
        assert!(save.finish(&peer.qmp, &CancellationToken::new()).await.is_err());
        assert!(!exists(&peer.ram()));
    }
}

#[tokio::test]
async fn abandoned_save_is_canceled_and_its_file_removed() {
    let peer = Peer::new(&[("query-migrate", &[migration("active", 1)])]).await;
    let save = begin(&peer).await.unwrap();
    let give_up = CancellationToken::new();
    give_up.cancel();
    assert!(matches!(save.finish(&peer.qmp, &give_up).await, Err(Error::Canceled)));
    assert_eq!(peer.count("migrate_cancel"), 1);
    assert!(!exists(&peer.ram()));
}

#[tokio::test]
async fn unsupported_capability_is_reported_before_anything_happens() {
    let peer = Peer::new(&[("migrate-set-capabilities", &[refusal()])]).await;
    let error = allow(&peer.qmp, &host()).await.unwrap_err();
    assert!(error.to_string().contains("not supported by host kernel"), "{error}");
    assert_eq!(peer.count("migrate"), 0);
}
