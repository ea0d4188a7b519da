#![allow(clippy::unwrap_used, reason = "tests")]
mod upgrade;

use super::{compare::Mismatch, *};
use db::Installation;
use service::server_folder;

fn identity(last: u8) -> Identity {
    let uuid =
        |first: u8| uuid::Uuid::from_bytes([first, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    Identity { tenant: uuid(1), subscription: uuid(2) }
}

fn row(id: &str, of: &Identity, mark: i64) -> Inspection {
    Inspection {
        installation: Some(Installation {
            id: id.to_owned(),
            tenant: of.tenant.to_string(),
            subscription: of.subscription.to_string(),
            mark,
        }),
        has_content: true,
        subscriptions: vec![of.subscription.to_string()],
        schema: db::SCHEMA,
    }
}

fn folder(note: Option<(&str, i64)>, identity: Option<Identity>, has_content: bool) -> Folder {
    let note = note.map(|(id, mark)| Note { id: id.to_owned(), mark });
    Folder { note, identity, has_content }
}

#[test]
fn folder_and_database_are_compared() {
    let (own, other) = (identity(1), identity(2));
    let with = |note, has_content| folder(note, Some(own.clone()), has_content);
    let unmarked = |of: &Identity| Inspection { installation: None, ..row("", of, 0) };
    let bare = || folder(None, None, false);
    let cases = [
        ("new", bare(), Inspection::default(), Ok(Match::New)),
        ("same", with(Some(("a", 7)), true), row("a", &own, 7), Ok(Match::Same)),
        ("the folder lags", with(Some(("a", 5)), true), row("a", &own, 7), Ok(Match::Same)),
        (
            "older",
            with(Some(("a", 8)), true),
            row("a", &own, 7),
            Err(Mismatch::Older { database: 7, folder: 8 }),
        ),
        ("other", with(Some(("a", 7)), true), row("b", &own, 9), Err(Mismatch::Other)),
        (
            "lost ids",
            folder(Some(("a", 7)), Some(other.clone()), true),
            row("a", &own, 9),
            Err(Mismatch::Other),
        ),
        ("empty", with(Some(("a", 7)), false), Inspection::default(), Err(Mismatch::EmptyDatabase)),
        (
            "from before the upgrade",
            with(Some(("a", 7)), true),
            unmarked(&own),
            Err(Mismatch::Other),
        ),
        ("an upgrade", with(None, true), unmarked(&own), Ok(Match::New)),
        (
            "an upgrade with the wrong database",
            with(None, true),
            unmarked(&other),
            Err(Mismatch::Other),
        ),
        (
            "an upgrade with an empty one",
            with(None, true),
            Inspection::default(),
            Err(Mismatch::EmptyDatabase),
        ),
        ("a first start that failed", with(None, false), Inspection::default(), Ok(Match::New)),
        (
            "a first start that was killed",
            with(None, false),
            row("a", &own, 0),
            Ok(Match::FolderIsBehind("a".into())),
        ),
        (
            "images of goldsmith build",
            folder(None, None, true),
            Inspection::default(),
            Ok(Match::New),
        ),
        ("an empty folder", bare(), row("a", &own, 7), Err(Mismatch::EmptyFolder)),
        ("an empty folder, an old database", bare(), unmarked(&own), Err(Mismatch::EmptyFolder)),
        ("a young folder", with(None, false), row("a", &other, 7), Err(Mismatch::Other)),
    ];
    for (name, folder, found, expected) in cases {
        assert_eq!(compare(&folder, &found), expected, "{name}");
    }
}

struct Bench {
    dir: tempfile::TempDir,
    layout: Layout,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("cache"), dir.path().join("data"));
        files::make_dir(&server_folder::dir(&layout)).unwrap();
        Self { dir, layout }
    }

    fn url(&self, name: &str) -> String {
        format!("sqlite://{}/{name}.db", self.dir.path().display())
    }

    async fn refusal(&self, name: &str) -> String {
        let before = self.dir.path().join(format!("{name}.db")).exists();
        let error = open(&self.layout, &self.url(name)).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Conflict);
        assert!(error.hint.as_deref().unwrap().contains("goldsmith admin adopt"), "{error:?}");
        assert_eq!(self.dir.path().join(format!("{name}.db")).exists(), before, "a file was made");
        error.message
    }
}

#[tokio::test]
async fn empty_older_and_foreign_databases_are_rejected() {
    let bench = Bench::new();
    let (store, identity) = open(&bench.layout, &bench.url("own")).await.unwrap();
    let commit = async |store: &Store, name: &str| {
        crate::principal::create(store, name).await.unwrap();
    };
    commit(&store, "one").await;
    store.close().await;
    std::fs::copy(bench.dir.path().join("own.db"), bench.dir.path().join("older.db")).unwrap();
    let (store, again) = open(&bench.layout, &bench.url("own")).await.unwrap();
    assert_eq!(again, identity);
    commit(&store, "two").await;
    let dir = server_folder::dir(&bench.layout);
    let mark = *store.marks().borrow();
    let id = Note::read(&dir).unwrap().unwrap().id;
    Note { id, mark }.write(&dir).unwrap();
    store.close().await;

    assert!(bench.refusal("empty").await.contains("the database is empty"));
    let older = bench.refusal("older").await;
    assert!(older.contains("it has 1 commits, and the folder has seen 2"), "{older}");
    let stranger = Bench::new();
    open(&stranger.layout, &bench.url("other")).await.unwrap().0.close().await;
    assert!(bench.refusal("other").await.contains("different installations"));
    let bare = Bench::new();
    let error = open(&bare.layout, &bench.url("own")).await.unwrap_err();
    assert!(error.message.contains("was used with another data folder"), "{}", error.message);
    open(&bench.layout, &bench.url("own")).await.unwrap();
}

#[tokio::test]
async fn adopted_database_replaces_the_former_one() {
    let bench = Bench::new();
    open(&bench.layout, &bench.url("own")).await.unwrap().0.close().await;
    assert!(bench.refusal("new").await.contains("empty"));
    let adopted = adopt(&bench.layout, Some(&bench.url("new"))).await.unwrap();
    let (store, identity) = open(&bench.layout, &bench.url("new")).await.unwrap();
    assert_eq!(identity.subscription.to_string(), adopted.subscription);
    store.close().await;
    assert!(bench.refusal("own").await.contains("different installations"));
    // An empty folder that adopts a database gets the ids of its rows.
    let bare = Bench::new();
    let adopted = adopt(&bare.layout, Some(&bench.url("own"))).await.unwrap();
    assert_eq!(adopted.subscription, identity.subscription.to_string());
    open(&bare.layout, &bench.url("own")).await.unwrap();
}

#[tokio::test]
async fn mark_of_folder_follows_the_database() {
    let bench = Bench::new();
    let (store, identity) = open(&bench.layout, &bench.url("own")).await.unwrap();
    let dir = server_folder::dir(&bench.layout);
    let settings = service::Settings {
        layout: bench.layout.clone(),
        dir: dir.clone(),
        regions: vec!["lab1".to_owned()],
        tenant: identity.tenant.to_string(),
        subscription: identity.subscription.to_string(),
    };
    let shutdown = tokio_util::sync::CancellationToken::new();
    let app = App::new(settings, store, shutdown.clone());
    let keeping = tokio::spawn(copy_marks(app.clone()));
    for name in ["one", "two", "three"] {
        crate::principal::create(app.store(), name).await.unwrap();
    }
    shutdown.cancel();
    keeping.await.unwrap();
    let mark = app.store().installation().await.unwrap().unwrap().mark;
    assert_eq!((mark, Note::read(&dir).unwrap().unwrap().mark), (3, 3));
}
