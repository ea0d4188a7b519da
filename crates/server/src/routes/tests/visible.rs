//! Lists show what the caller may read, and cost what they show.

use super::*;

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const IMAGES: &str = "providers/Microsoft.Compute/images";

impl Server {
    /// Images in a group, by the way of the service.
    async fn images(&self, group: &str, count: usize) {
        let here = json!({ "location": "westus2" });
        self.put(group, here.clone()).await.unwrap();
        let image = |number: usize| {
            let id =
                Self::in_subscription(&format!("resourceGroups/{group}/{IMAGES}/i{number:03}"));
            let row = Resource::new(id, "microsoft.compute/images", here.clone(), json!({}));
            Write::Insert(Resource { subscription: S.to_owned(), ..row })
        };
        self.app.store().commit((0..count).map(image).collect()).await.unwrap();
    }

    /// The names in all pages of a list.
    async fn pages(&self, principal: &str, path: &str) -> Vec<Vec<String>> {
        let mut pages = Vec::new();
        let mut path = path.to_owned();
        loop {
            let reply = self.of(principal, Method::Get, &path, &Value::Null).await.unwrap();
            let body = reply.body.unwrap();
            pages.push(names(&body).into_iter().map(str::to_owned).collect());
            match body["nextLink"].as_str() {
                Some(link) => path = link.split_once("8443").unwrap().1.replace("%24", "$"),
                None => return pages,
            }
        }
    }
}

#[tokio::test]
async fn pages_are_full_of_what_is_visible() {
    let server = Server::start().await;
    server.images("many", 230).await;
    server.images("few", 5).await;
    let one = server.principal("one").await;
    for number in [3, 120, 121, 229] {
        let image = format!("resourceGroups/many/{IMAGES}/i{number:03}");
        server.grant(&one, READER, &image).await;
    }
    server.grant(&one, READER, "resourceGroups/few").await;
    // Blobs of an account are no images.
    server.grant(&one, service::roles::BLOB_READER, "resourceGroups/many").await;
    let all = ["i003", "i120", "i121", "i229"];
    let few = ["i000", "i001", "i002", "i003", "i004"];
    let of_few = |list: &[String]| list.iter().filter(|name| few.contains(&name.as_str())).count();
    for path in [IMAGES.to_owned(), "resources".to_owned()] {
        let (before, _) = server.app.store().query_counts();
        let whole = server.pages(&one, &path).await;
        let (after, _) = server.app.store().query_counts();
        assert_eq!(whole.len(), 1, "{path}");
        assert_eq!((whole[0].len(), of_few(&whole[0])), (9, 6), "{path}: {whole:?}");
        assert!(after - before < 20, "{path}: {} reads", after - before);

        let pages = server.pages(&one, &format!("{path}?$top=2")).await;
        let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 2, 2, 2, 1], "{path}");
        assert_eq!(pages.concat(), whole[0], "{path}");
    }
    let many = format!("resourceGroups/many/{IMAGES}");
    assert_eq!(server.listed(&one, &many).await, all);
    assert_eq!(server.listed(&one, "resourceGroups").await, ["few"]);
}

#[tokio::test]
async fn tags_are_counted_and_deployments_listed_if_visible() {
    let server = Server::start().await;
    let tagged = |value: &str| json!({ "location": "westus2", "tags": { "team": value } });
    server.put("a", tagged("red")).await.unwrap();
    server.put("b", tagged("blue")).await.unwrap();
    let one = server.principal("one").await;
    server.grant(&one, READER, "resourceGroups/a").await;
    let tags = server.of(&one, Method::Get, "tagNames", &Value::Null).await.unwrap();
    let tags = tags.body.unwrap()["value"][0]["values"].clone();
    assert_eq!(tags.as_array().unwrap().len(), 1, "{tags}");
    assert_eq!(tags[0]["tagValue"], "red");

    let template = json!({ "properties": { "mode": "Incremental", "template": {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0", "resources": [],
    } } });
    let path = |name: &str| format!("a/providers/Microsoft.Resources/deployments/{name}");
    for name in ["first", "second"] {
        server.put(&path(name), template.clone()).await.unwrap();
    }
    let two = server.principal("two").await;
    server.grant(&two, READER, &format!("resourceGroups/{}", path("second"))).await;
    let list = "resourceGroups/a/providers/Microsoft.Resources/deployments";
    assert_eq!(server.listed(&two, list).await, ["second"]);
    assert_eq!(server.listed(&one, list).await.len(), 2);
}

#[tokio::test]
async fn refusal_comes_before_everything_that_could_tell() {
    let server = Server::with_group().await;
    let none = server.principal("none").await;
    let refused = async |path: &str| {
        let answer = server.of(&none, Method::Get, path, &Value::Null).await;
        code(answer)
    };
    // The subscription that exists and one that does not are told apart by nobody without a role.
    let other = "/subscriptions/22222222-2222-3333-4444-555555555555";
    for at in [format!("/subscriptions/{S}"), other.to_owned()] {
        assert_eq!(refused(&at).await, (404, "SubscriptionNotFound".into()));
        for below in
            ["locations", "resourceGroups", "resourceGroups/Rg", "resourceGroups/none", IMAGES]
        {
            let answer = refused(&format!("{at}/{below}")).await;
            assert_eq!(answer, (403, "AuthorizationFailed".into()), "{below}");
        }
    }
    let answer = server.of(&none, Method::Get, "/subscriptions", &Value::Null).await.unwrap();
    assert_eq!(answer.body.unwrap()["value"], json!([]));
    let bad = server.of(&none, Method::Get, "/subscriptions/x/resourceGroups", &Value::Null).await;
    let bad = bad.unwrap_err();
    assert_eq!(bad.code, "InvalidSubscriptionId");
    assert!(!bad.message.contains(S), "{}", bad.message);
    // The refusal names the action and the scope.
    let path = "resourceGroups/Rg/providers/Microsoft.Compute/images/none";
    let denied = server.of(&none, Method::Delete, path, &Value::Null).await.unwrap_err();
    let scope = Server::in_subscription(path).to_lowercase();
    assert!(denied.message.contains("'Microsoft.Compute/images/delete'"), "{}", denied.message);
    assert!(denied.message.to_lowercase().contains(&scope), "{}", denied.message);
}

#[tokio::test]
async fn removal_of_a_group_is_followed_by_who_began_it() {
    let server = Server::with_group().await;
    let one = server.principal("one").await;
    server.grant(&one, service::roles::CONTRIBUTOR, "resourceGroups/Rg").await;
    let path = "resourceGroups/Rg";
    let begun = server.of(&one, Method::Delete, path, &Value::Null).await.unwrap();
    assert_eq!(begun.status, StatusCode::ACCEPTED);
    let location = header(&begun, "location").unwrap().split_once("8443").unwrap().1.to_owned();
    server.app.tasks().close();
    server.app.tasks().wait().await;
    // Its role went with the group.
    let gone = server.of(&one, Method::Get, path, &Value::Null).await;
    assert_eq!(code(gone), (403, "AuthorizationFailed".into()));
    let over = server.of(&one, Method::Get, &location, &Value::Null).await.unwrap();
    assert_eq!(over.status, StatusCode::OK);
    let other = server.principal("other").await;
    let hidden = server.of(&other, Method::Get, &location, &Value::Null).await;
    assert_eq!(code(hidden), (403, "AuthorizationFailed".into()));
}
