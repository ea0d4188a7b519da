//! The directory: who may read it, and who may register applications.

use service::roles::{CONTRIBUTOR, SERVICE_PRINCIPAL, assignment};

use super::*;

const GRAPH: &str = "https://localhost:1/graph//.default";

impl Bench {
    /// Logs in as a client. `None` if it is refused.
    async fn login(&self, client: &str, secret: &str, scope: &str) -> Option<String> {
        let body = format!(
            "grant_type=client_credentials&client_id={client}&client_secret={secret}&scope={scope}"
        );
        let response = self.send("POST", "/adfs/oauth2/token", "", body).await;
        value(response).await["access_token"].as_str().map(str::to_owned)
    }

    async fn graph(&self, token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = self.send(method, &format!("/graph/v1.0/{path}"), token, body).await;
        (response.status().as_u16(), value(response).await)
    }
}

fn name(name: &str) -> Value {
    serde_json::json!({ "displayName": name, "keyCredentials": [], "signInAudience": "AzureADMyOrg" })
}

#[tokio::test]
async fn application_is_registered_given_a_secret_and_deleted() {
    let place = Bench::new().await;
    let token = place.token(GRAPH).await;
    let ask = async |method: &str, path: &str, body: &Value| {
        place.graph(&token, method, path, body).await
    };
    let (status, made) = ask("POST", "applications", &name("builder")).await;
    assert_eq!((status, &made["displayName"]), (201, &"builder".into()), "{made}");
    assert_eq!(made["passwordCredentials"], Value::Array(Vec::new()));
    let client = made["appId"].as_str().unwrap().to_owned();
    let application = format!("applications/{}", made["id"].as_str().unwrap());
    assert_eq!(place.login(&client, "", ARM).await, None);

    let wanted = serde_json::json!({ "passwordCredential": {
        "displayName": "rbac", "endDateTime": "2999-01-01T00:00:00Z",
    } });
    let (status, secret) = ask("POST", &format!("{application}/addPassword"), &wanted).await;
    assert_eq!((status, &secret["endDateTime"]), (200, &"2999-01-01T00:00:00Z".into()));
    let text = secret["secretText"].as_str().unwrap().to_owned();
    let own = place.login(&client, &text, GRAPH).await.unwrap();
    let (_, shown) = ask("GET", &application, &Value::Null).await;
    assert_eq!(shown["passwordCredentials"][0]["keyId"], secret["keyId"]);
    assert!(!shown.to_string().contains(&text));

    let (status, principal) =
        ask("POST", "servicePrincipals", &serde_json::json!({ "appId": client })).await;
    assert_eq!((status, &principal["appId"]), (201, &client.clone().into()));
    let principal = principal["id"].as_str().unwrap().to_owned();
    let filter = "servicePrincipals?$filter=startswith(displayName,'BUILD')";
    let (_, found) = ask("GET", filter, &Value::Null).await;
    assert_eq!(found["value"][0]["id"], principal);
    let (status, _) = ask("PATCH", &application, &name("painter")).await;
    assert_eq!(status, 204);
    let by_name = "servicePrincipals?$filter=servicePrincipalNames/any(c:c%20eq%20'painter')";
    let (_, found) = ask("GET", by_name, &Value::Null).await;
    assert_eq!(found["value"][0]["id"], principal);

    // Without a role, the new client learns nothing.
    let (status, refused) = place.graph(&own, "GET", "servicePrincipals", &Value::Null).await;
    assert_eq!((status, &refused["error"]["code"]), (403, &"Authorization_RequestDenied".into()));
    let row = assignment("", &principal, SERVICE_PRINCIPAL, CONTRIBUTOR);
    place.store.commit(vec![db::Write::InsertAssignment(row)]).await.unwrap();
    let (status, _) = place.graph(&own, "GET", "servicePrincipals", &Value::Null).await;
    assert_eq!(status, 200);

    let key = serde_json::json!({ "keyId": secret["keyId"] });
    let remove = format!("{application}/removePassword");
    assert_eq!(ask("POST", &remove, &key).await.0, 204);
    assert_eq!(ask("POST", &remove, &key).await.0, 400);
    assert_eq!(place.login(&client, &text, GRAPH).await, None);
    assert_eq!(ask("DELETE", &format!("servicePrincipals/{principal}"), &Value::Null).await.0, 204);
    assert_eq!(ask("GET", &application, &Value::Null).await.0, 404);
    assert_eq!(place.store.assignments_of(&principal).await.unwrap(), []);
}

#[tokio::test]
async fn only_who_manages_the_tenant_registers_applications() {
    let place = Bench::new().await;
    let other = principal::create(&place.store, "other").await.unwrap();
    let row = assignment("", &other.client.object_id, SERVICE_PRINCIPAL, CONTRIBUTOR);
    place.store.commit(vec![db::Write::InsertAssignment(row)]).await.unwrap();
    let token = place.login(&other.client.client_id, &other.secret, GRAPH).await.unwrap();
    let own = format!("applications/{}", other.client.client_id);
    let owner = format!("applications/{}", place.ci.client.client_id);
    for (method, path) in [
        ("POST", "applications".to_owned()),
        ("POST", "servicePrincipals".to_owned()),
        ("POST", format!("{own}/addPassword")),
        ("POST", format!("{owner}/addPassword")),
        ("POST", format!("{owner}/removePassword")),
        ("PATCH", own.clone()),
        ("DELETE", own),
    ] {
        let (status, refused) = place.graph(&token, method, &path, &name("mine")).await;
        let code = &refused["error"]["code"];
        assert_eq!((status, code), (403, &"Authorization_RequestDenied".into()), "{method} {path}");
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains("Insufficient privileges"), "{message}");
    }
}

#[tokio::test]
async fn invalid_change_of_the_directory_is_rejected() {
    let place = Bench::new().await;
    let token = place.token(GRAPH).await;
    let owner = format!("servicePrincipals/{}", place.ci.client.object_id);
    let json = |value: &str| serde_json::from_str::<Value>(value).unwrap();
    for (method, path, body, status, code) in [
        ("POST", "applications", "{}", 400, "Request_BadRequest"),
        ("POST", "applications", r#"{"displayName":"a\nb"}"#, 400, "Request_BadRequest"),
        ("POST", "applications", r#"{"displayName":"a","web":{"x":1}}"#, 400, "Request_BadRequest"),
        (
            "POST",
            "applications",
            r#"{"displayName":"a","keyCredentials":[1]}"#,
            400,
            "Request_BadRequest",
        ),
        ("POST", "servicePrincipals", r#"{"appId":"none"}"#, 400, "Request_BadRequest"),
        ("POST", "applications/none/addPassword", "{}", 404, "Request_ResourceNotFound"),
        (
            "POST",
            &format!("{owner}/addPassword"),
            r#"{"passwordCredential":{"endDateTime":"2001-01-01T00:00:00Z"}}"#,
            400,
            "Request_BadRequest",
        ),
        (
            "POST",
            &format!("{owner}/addPassword"),
            r#"{"passwordCredential":{"endDateTime":"soon"}}"#,
            400,
            "Request_BadRequest",
        ),
        // Nobody else is Owner.
        ("DELETE", owner.as_str(), "null", 412, "CannotDeleteLastRbacAdminAssignment"),
        ("DELETE", "users/none", "null", 404, "Request_ResourceNotFound"),
    ] {
        let (found, answer) = place.graph(&token, method, path, &json(body)).await;
        assert_eq!((found, &answer["error"]["code"]), (status, &code.into()), "{path} {body}");
    }
    let (status, me) = place.graph(&token, "GET", "me", &Value::Null).await;
    assert_eq!((status, &me["error"]["code"]), (400, &"Request_BadRequest".into()));
}
