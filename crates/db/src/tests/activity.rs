//! The activity log.

use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};

use super::{samples::event, *};

const TIME: &str = "2026-01-01T00:00:00Z";

/// Records one event for each resource that is written.
#[derive(Debug, Default)]
struct Recorder {
    /// How many events were in each successful commit.
    written: Mutex<Vec<usize>>,
}

impl Record for Recorder {
    fn events(&self, writes: &[Write]) -> Vec<Activity> {
        let ids = writes.iter().filter_map(|write| match write {
            Write::Insert(resource) => Some(&resource.id),
            _ => None,
        });
        ids.map(|id| event(id, id, TIME)).collect()
    }

    fn written(&self, writes: &[Write]) {
        let is_event = |write: &&Write| matches!(write, Write::Activity(_));
        self.written.lock().unwrap().push(writes.iter().filter(is_event).count());
    }
}

fn all() -> ActivitySelect {
    ActivitySelect {
        subscription: SUBSCRIPTION.to_uppercase(),
        about: ActivityAbout::Anything,
        caller: None,
        status: None,
        from: Timestamp::MIN,
        to: Timestamp::MAX,
        after: None,
        limit: 1000,
    }
}

fn ids(events: &[Activity]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

/// Whether there is a resource, and whether there is its event.
async fn is_there(store: &crate::Store, resource: &Resource) -> (bool, bool) {
    let about = ActivityAbout::Resource(resource.id.clone());
    let events = store.activity(&ActivitySelect { about, ..all() }).await.unwrap();
    assert!(events.len() < 2, "{events:?}");
    (store.resource(&resource.key()).await.unwrap().is_some(), !events.is_empty())
}

/// On a failing disk, each of these commits fails at each of its calls.
pub(super) async fn event_is_there_if_and_only_if_its_change_is(address: String) {
    let store = Store::open(&address).await.unwrap();
    let recorder = Arc::new(Recorder::default());
    let recording = store.recording(recorder.clone());
    for n in 0..3 {
        let resources = [template("g", &format!("t{n}")), gallery("g", &format!("x{n}"))];
        let writes: Vec<_> = resources.iter().cloned().map(Write::Insert).collect();
        let first = recording.commit(writes.clone()).await;
        for resource in &resources {
            assert_eq!(is_there(&recording, resource).await, (first.is_ok(), first.is_ok()));
        }
        if first.is_err() {
            recording.commit(writes.clone()).await.unwrap();
            for resource in &resources {
                assert_eq!(is_there(&recording, resource).await, (true, true));
            }
        }
        // One write of the commit is rejected.
        let other = template("h", &format!("t{n}"));
        let writes = [vec![Write::Insert(other.clone())], writes].concat();
        stale(twice(store.disk.as_deref(), || recording.commit(writes.clone())).await);
        assert_eq!(is_there(&recording, &other).await, (false, false));
    }
    recording.commit(Vec::new()).await.unwrap();
    assert_eq!(*recorder.written.lock().unwrap(), [2; 3]);
    // A store without a record, of the same database, writes none.
    fill(&store, [group("g")]).await;
    assert_eq!(is_there(&store, &group("g")).await, (true, false));
    assert_eq!(store.activity(&all()).await.unwrap().len(), 6);
}

pub(super) async fn record_is_told_that_abandoned_commit_is_completed(address: String) {
    let store = Store::open(&address).await.unwrap();
    let recorder = Arc::new(Recorder::default());
    let recording = store.recording(recorder.clone());
    let writes = (0..50).map(|n| Write::Insert(template("g", &format!("t{n}")))).collect();
    let commit = Box::pin(recording.commit(writes));
    assert!(futures_util::FutureExt::now_or_never(commit).is_none());
    let told = async {
        while recorder.written.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told).await.unwrap();
    assert_eq!(*recorder.written.lock().unwrap(), [50]);
    assert_eq!(store.activity_after(0, 1000).await.unwrap().len(), 50);
}

pub(super) async fn numbers_of_events_grow_over_processes(address: String) {
    let (one, two) = (Store::open(&address).await.unwrap(), Store::open(&address).await.unwrap());
    let add = async |store: &Store, count: usize| {
        let events = (0..count).map(|n| Write::Activity(event(&format!("e{n}"), "/r", TIME)));
        store.commit(events.collect()).await.unwrap();
    };
    for store in [&one, &two] {
        add(store, 2).await;
    }
    one.set_installation("i", "t", "s").await.unwrap();
    add(&one, 2).await;
    // As if that commit had more events than it has numbers.
    tamper(&one, "UPDATE activity SET seq = 2500 WHERE seq = 1025").await;
    for store in [&two, &one] {
        add(store, 1).await;
    }
    let seen =
        |events: Vec<Activity>| events.into_iter().map(|event| event.seq).collect::<Vec<_>>();
    let all = seen(one.activity_after(0, 9).await.unwrap());
    assert_eq!(all, [1, 2, 3, 4, 1024, 2500, 2501, 3 * 1024]);
    assert_eq!(seen(two.activity_after(4, 2).await.unwrap()), [1024, 2500]);
    // Also once all were forgotten.
    assert_eq!(forget(&one, "2027-01-01T00:00:00Z", 9).await, 8);
    add(&two, 1).await;
    assert_eq!(seen(one.activity_after(3 * 1024, 9).await.unwrap()), [4 * 1024]);
}

pub(super) async fn events_are_paged_newest_first(address: String) {
    let store = Store::open(&address).await.unwrap();
    let start: Timestamp = TIME.parse().unwrap();
    let at = |second: i64| start + SignedDuration::from_secs(second);
    let mut events = Vec::new();
    for n in 0..12_i64 {
        // Two have each time, and a later number may have an earlier time.
        let mut event = event(&format!("e{n}"), &format!("/R{}", n % 3), TIME);
        event.time = at((n / 2) ^ 1);
        event.group = format!("g{}", n % 2);
        event.caller = if n == 4 { "Someone".into() } else { "client".into() };
        event.status = if n < 6 { "Failed".into() } else { "Succeeded".into() };
        event.provider = format!("microsoft.p{}", n % 4);
        event.correlation = format!("C{}", n / 6);
        events.push(event);
    }
    let foreign = Activity { subscription: "other".to_owned(), ..events[0].clone() };
    store.commit(events.into_iter().chain([foreign]).map(Write::Activity).collect()).await.unwrap();
    let expected = ["e9", "e8", "e11", "e10", "e5", "e4", "e7", "e6", "e1", "e0", "e3", "e2"];
    for limit in [1, 5, 12] {
        let mut select = ActivitySelect { limit, ..all() };
        let mut found = Vec::new();
        loop {
            let page = store.activity(&select).await.unwrap();
            assert!(page.len() <= limit as usize);
            select.after = page.last().map(|event| event.seq);
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(ids(&found), expected, "{limit}");
    }
    let text = |text: &str| text.to_owned();
    let about = |about: ActivityAbout| ActivitySelect { about, ..all() };
    for (select, expected) in [
        (about(ActivityAbout::Group(text("G1"))), vec!["e9", "e11", "e5", "e7", "e1", "e3"]),
        (about(ActivityAbout::Resource(text("/r0"))), vec!["e9", "e6", "e0", "e3"]),
        (about(ActivityAbout::Resource(text("/r"))), vec![]),
        (about(ActivityAbout::Provider(text("Microsoft.P3"))), vec!["e11", "e7", "e3"]),
        (about(ActivityAbout::Correlation(text("c0"))), vec!["e5", "e4", "e1", "e0", "e3", "e2"]),
        (ActivitySelect { caller: Some(text("SOMEONE")), ..all() }, vec!["e4"]),
        (
            ActivitySelect {
                status: Some(text("failed")),
                ..about(ActivityAbout::Group(text("g0")))
            },
            vec!["e4", "e0", "e2"],
        ),
        (ActivitySelect { from: at(3), to: at(4), ..all() }, vec!["e11", "e10", "e5", "e4"]),
        (ActivitySelect { from: at(9), ..all() }, vec![]),
        (ActivitySelect { subscription: text("other"), ..all() }, vec!["e0"]),
        (ActivitySelect { after: Some(77), ..all() }, vec![]),
    ] {
        assert_eq!(ids(&store.activity(&select).await.unwrap()), expected, "{select:?}");
    }
    let first = &store.activity(&all()).await.unwrap()[0];
    assert_eq!((first.seq, first.time, first.resource.as_str()), (10, at(5), "/r0"));
    assert_eq!(first.body["properties"]["statusCode"], "Created");
}

async fn forget(store: &Store, before: &str, limit: u32) -> u64 {
    let before = before.parse().unwrap();
    let forget = || store.store.forget_activity_before(before, limit);
    twice(store.disk.as_deref(), forget).await.unwrap()
}

pub(super) async fn old_events_are_forgotten_up_to_the_limit(address: String) {
    let store = Store::open(&address).await.unwrap();
    let events = ["", "a", "b"].into_iter().flat_map(|subscription| {
        (0..3).map(move |second| Activity {
            subscription: subscription.to_owned(),
            ..event(
                &format!("{subscription}{second}"),
                "/r",
                &format!("2026-01-01T00:00:0{second}Z"),
            )
        })
    });
    store.commit(events.map(Write::Activity).collect()).await.unwrap();
    let before = "2026-01-01T00:00:02Z";
    assert_eq!(forget(&store, TIME, 100).await, 0);
    assert_eq!(forget(&store, before, 3).await, 3);
    assert_eq!(
        ids(&store.activity_after(0, 100).await.unwrap()),
        ["2", "a1", "a2", "b0", "b1", "b2"]
    );
    assert_eq!(forget(&store, before, 100).await, 3);
    assert_eq!(ids(&store.activity_after(0, 100).await.unwrap()), ["2", "a2", "b2"]);
    assert_eq!(forget(&store, before, 100).await, 0);
}
