//! The metadata service of a run's machine: its answers, and how long its tokens are valid.

use authorization::{Need, Scope, Wanted};
use db::{Run, Write};
use engine::metadata::{Asked, Metadata};
use images::{partition::Partition, region_set::RegionSet};
use providers::image_builder::record::RunInput;
use service::auth::{Audience, Auth, Denied, SigningKey};

use super::{bench::identity, *};
use crate::worker::{Job, metadata::OfRun};

const TENANT: &str = "t";
const ARM: &str = "https%3A%2F%2Fmanagement.azure.com%2F";
const HOUR: Duration = Duration::from_secs(3600);

struct MetadataBench {
    _bench: Bench,
    process: Process,
    run: Run,
}

impl MetadataBench {
    /// An active run, and three identities.
    async fn new() -> Self {
        let bench = Bench::new().await;
        let process = bench.process().await;
        std::fs::create_dir_all(&process.app.settings().dir).unwrap();
        for name in ["one", "two", "other"] {
            process.insert_identity(name).await;
        }
        let id = process.submit("t", managed("made")).await;
        let place = Self { _bench: bench, run: process.run(&id).await, process };
        place.is_now(RunState::Running).await;
        place
    }

    async fn is_now(&self, state: RunState) {
        let run = Run { state, ..self.process.run(&self.run.id).await };
        self.process.app.store().commit(vec![Write::ReplaceRun(run)]).await.unwrap();
    }

    fn service(&self, identities: &[&str]) -> OfRun {
        let ids: Vec<_> = identities.iter().map(|name| identity(name)).collect();
        let mut input = self.run.input.clone();
        input["properties"]["vmProfile"] =
            json!({ "vmSize": "Standard_D2s_v5", "userAssignedIdentities": ids });
        input["properties"]["managedResourceTags"] = json!({ "team": "a", "x": "y" });
        let job = Job {
            worked: std::time::Duration::ZERO,
            run_id: self.run.id.clone(),
            subscription: self.run.subscription.clone(),
            partition: Partition::Whole,
            name: "t".into(),
            input: RunInput::parse(&input).unwrap(),
            account: String::new(),
            region_set: RegionSet::default(),
        };
        OfRun::new(&self.process.app, &job)
    }

    /// The principal of the token, if it is valid.
    async fn caller(&self, token: &Value) -> Result<String, Denied> {
        self.principal(token).await.map(|caller| caller.client_id)
    }

    async fn principal(&self, token: &Value) -> Result<arm::Caller, Denied> {
        let settings = self.process.app.settings();
        let key = SigningKey::obtain(&settings.dir).unwrap();
        let auth = Auth::new(key, TENANT.to_owned(), self.process.app.store().clone());
        let header = format!("Bearer {}", token["access_token"].as_str().unwrap());
        auth.caller(Some(&header), Audience::Arm, &[], "https://here:8443").await
    }
}

fn asked(target: &str) -> Asked {
    Asked { method: "GET".into(), target: target.into(), metadata: true, forwarded: false }
}

async fn get(service: &OfRun, asked: Asked) -> (u16, Value) {
    let answer = service.answer(&asked, HOUR).await;
    let body = serde_json::from_str(&answer.body);
    (answer.status, body.unwrap_or_else(|_| json!(answer.body)))
}

async fn token(service: &OfRun, more: &str) -> (u16, Value) {
    let target =
        format!("/metadata/identity/oauth2/token?api-version=2018-02-01&resource={ARM}{more}");
    get(service, asked(&target)).await
}

// conformance: 106
#[tokio::test]
async fn token_stands_for_its_identity_while_the_run_is_active() {
    let place = MetadataBench::new().await;
    let (status, body) = token(&place.service(&["one"]), "").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!((&body["client_id"], &body["token_type"]), (&json!("c-one"), &json!("Bearer")));
    assert_eq!(body["expires_in"], "3600");
    assert_eq!(place.caller(&body).await.unwrap(), "c-one");
    place.is_now(RunState::Succeeded).await;
    let denied = place.caller(&body).await.unwrap_err();
    assert!(matches!(denied, Denied::BadToken { code: "InvalidAuthenticationToken", .. }));
}

#[tokio::test]
async fn token_has_the_rights_of_its_identity_and_no_others() {
    let place = MetadataBench::new().await;
    let (_, body) = token(&place.service(&["one"]), "").await;
    let caller = place.principal(&body).await.unwrap();
    let may = async |action: &'static str| {
        let need = Need::new(Wanted::action(action), Scope::parse(GROUP));
        place.process.app.rights(&caller).await.unwrap().check(&need).is_ok()
    };
    let (read, write) = ("Microsoft.Compute/images/read", "Microsoft.Compute/images/write");
    assert!(!may(read).await, "the identity of the template may, this one may not");
    let reader = authorization::built_in::named("Reader").unwrap();
    place.process.assign("one", reader.id).await;
    assert_eq!((may(read).await, may(write).await), (true, false));
    place.process.revoke("one").await;
    assert!(!may(read).await);
}

#[tokio::test]
async fn token_expires_with_the_build_timeout() {
    let place = MetadataBench::new().await;
    let service = place.service(&["one"]);
    let target = format!("/metadata/identity/oauth2/token?api-version=1&resource={ARM}");
    let answer = service.answer(&asked(&target), Duration::from_secs(90)).await;
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["expires_in"], "90");
}

// conformance: 106
#[tokio::test]
async fn only_listed_identities_answer_and_several_need_a_choice() {
    let place = MetadataBench::new().await;
    let both = place.service(&["one", "two"]);
    let (status, body) = token(&both, "").await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
    assert!(body["error_description"].as_str().unwrap().starts_with("Multiple user assigned"));
    let id = identity("TWO").replace('/', "%2F");
    for more in ["&client_id=C-TWO", "&object_id=p-two", &format!("&msi_res_id={id}")] {
        let (status, body) = token(&both, more).await;
        assert_eq!((status, &body["client_id"]), (200, &json!("c-two")), "{more}");
    }
    for service in [both, place.service(&[])] {
        let (status, body) = token(&service, "&client_id=c-other").await;
        assert_eq!((status, &body["error_description"]), (400, &json!("Identity not found")));
    }
}

#[tokio::test]
async fn wrong_metadata_requests_get_azures_errors() {
    let place = MetadataBench::new().await;
    let service = place.service(&["one"]);
    let path = "/metadata/identity/oauth2/token";
    let good = format!("{path}?api-version=2018-02-01&resource={ARM}");
    let cases = [
        (Asked { metadata: false, ..asked(&good) }, 400, "Required metadata header not specified"),
        (Asked { forwarded: true, ..asked(&good) }, 400, "X-Forwarded-For"),
        (Asked { method: "POST".into(), ..asked(&good) }, 405, "POST"),
        (asked(&format!("{path}?resource={ARM}")), 400, "'api-version' is missing"),
        (asked(&format!("{path}?api-version=1")), 400, "'resource' is missing"),
        (asked(&format!("{path}?api-version=1&resource=https://x.example")), 400, "AADSTS500011"),
        (asked("/metadata/instance"), 400, "'api-version' is missing"),
        (asked("/metadata/instance/compute/nothing?api-version=1"), 404, "isn't found"),
        (asked("/elsewhere"), 404, "isn't found"),
    ];
    for (asked, wanted, text) in cases {
        let (status, body) = get(&service, asked.clone()).await;
        assert_eq!(status, wanted, "{asked:?}: {body}");
        let description = body["error_description"].as_str().unwrap();
        assert!(description.contains(text), "{asked:?}: {body}");
    }
}

#[tokio::test]
async fn machine_gets_its_own_description() {
    let place = MetadataBench::new().await;
    let service = place.service(&["one"]);
    let (status, body) = get(&service, asked("/metadata/instance?api-version=2021-02-01")).await;
    assert_eq!(status, 200, "{body}");
    let compute = &body["compute"];
    assert_eq!(compute["vmSize"], "Standard_D2s_v5", "{body}");
    assert_eq!(compute["location"], "westus2", "{body}");
    assert_eq!(compute["tags"], "team:a;x:y", "{body}");
    let leaf = "/metadata/instance/compute/subscriptionId?api-version=2021-02-01&format=text";
    assert_eq!(get(&service, asked(leaf)).await, (200, json!("s")));
    let (status, body) = get(&service, asked("/metadata/versions")).await;
    assert_eq!((status, body["apiVersions"].is_array()), (200, true));
}
