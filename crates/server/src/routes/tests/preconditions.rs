//! `If-Match` and `If-None-Match: *` with concurrent requests.

use arm::ResourceType;
use db::Resource;
use futures_util::future;
use providers::REGISTRY;

use super::*;

/// The number of concurrent writers.
const WRITERS: usize = 16;

fn call(method: Method, path: &str, if_match: &str) -> Request {
    let body = match method {
        Method::Put => json!({ "location": "westus2", "properties": { "kind": "SourceImage" } }),
        _ => json!({ "tags": {} }),
    };
    Request {
        method,
        path: Path::parse(path),
        query: BTreeMap::new(),
        api_version: "2024-02-01".to_owned(),
        body: body.to_string(),
        base_url: "https://localhost:8443".to_owned(),
        request_id: "r".to_owned(),
        correlation_id: None,
        if_match: Some(if_match.to_owned()),
        caller: Caller { client_id: "c".to_owned(), object_id: "o".to_owned() },
        client: arm::Client::default(),
    }
}

/// `…/rg/providers/N/a/one/b/one`
fn path_of(kind: &str) -> String {
    let (namespace, types) = kind.split_once('/').unwrap();
    let below: Vec<String> = types.split('/').map(|name| format!("{name}/one")).collect();
    Server::in_subscription(&format!("resourceGroups/rg/providers/{namespace}/{}", below.join("/")))
}

async fn insert(server: &Server, kind: &str) {
    let now = Timestamp::now();
    let row = Resource {
        id: path_of(kind),
        subscription: S.to_owned(),
        group: "rg".to_owned(),
        kind: kind.to_lowercase(),
        name: "one".to_owned(),
        revision: 0,
        created: now,
        changed: now,
        body: json!({ "location": "westus2", "properties": {} }),
        hidden: json!({}),
    };
    server.app.store().commit(vec![Write::Insert(row)]).await.unwrap();
}

/// The answer of a type to a request whose first check passed, but whose row changed since.
async fn answer(
    server: &Server,
    kind: &dyn ResourceType<App>,
    method: Method,
    if_match: &str,
) -> u16 {
    let call = admitted(call(method, &path_of(kind.name()), if_match));
    let key = ResourceKey::of(&call.path.text);
    let answered = match method {
        Method::Put => kind.put(&server.app, &call, key).await,
        Method::Patch => kind.patch(&server.app, &call, key).await,
        _ => kind.delete(&server.app, &call, key).await,
    };
    match answered {
        Ok(reply) => reply.status.as_u16(),
        Err(error) => error.status.as_u16(),
    }
}

#[tokio::test]
async fn every_type_checks_precondition_of_the_written_row() {
    let mut writable = 0;
    for kind in REGISTRY.types().iter().filter(|kind| kind.read_only().is_none()) {
        let server = Server::with_group().await;
        insert(&server, kind.name()).await;
        for (method, if_match) in [
            (Method::Put, "\"7\""),
            (Method::Put, "!*"),
            (Method::Patch, "\"7\""),
            (Method::Delete, "\"7\""),
        ] {
            let status = answer(&server, *kind, method, if_match).await;
            // 405: the type is read-only.
            assert!(matches!(status, 405 | 412), "{method:?} {}: {status}", kind.name());
            writable += usize::from(status == 412);
        }
    }
    assert!(writable >= 9 * 3, "{writable}");
}

/// The number of successes; the other answers must report the precondition.
fn winners(answers: &[Result<Reply, ApiError>]) -> usize {
    for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        let answer = (error.status.as_u16(), error.code.as_str());
        assert_eq!(answer, (412, "PreconditionFailed"), "{error:?}");
    }
    answers.iter().filter(|answer| answer.is_ok()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn only_one_of_concurrent_writes_with_one_etag_succeeds() {
    let server = Server::with_group().await;
    let path = Server::in_subscription(&format!("resourceGroups/rg/{COMPUTE}/galleries/g"));
    let body = json!({ "location": "westus2" }).to_string();
    let at_once = async |method: Method, if_match: &str| {
        let body = if method == Method::Delete { "" } else { body.as_str() };
        let one = |_| server.send(method, &path, BTreeMap::new(), body, Some(if_match));
        winners(&future::join_all((0..WRITERS).map(one)).await)
    };
    assert_eq!(at_once(Method::Put, "!*").await, 1, "made once");
    let etag = async || {
        let got = server.send(Method::Get, &path, BTreeMap::new(), "", None).await.unwrap();
        header(&got, "etag").unwrap().to_owned()
    };
    let first = etag().await;
    assert_eq!(at_once(Method::Put, &first).await, 1);
    assert_eq!(at_once(Method::Delete, &etag().await).await, 1);
    // A recreated resource never has an ETag of its predecessor.
    assert_eq!(at_once(Method::Put, "!*").await, 1, "made again");
    assert_ne!(etag().await, first);
    assert_eq!(at_once(Method::Put, &first).await, 0);
}
