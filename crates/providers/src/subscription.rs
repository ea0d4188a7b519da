//! The subscriptions and the one tenant.

use arm::{ApiError, Call, Reply, region};
use authorization::Scope;
use db::Subscription;
use serde_json::{Value, json};
use service::App;

/// The form of a subscription's id.
///
/// # Errors
/// `InvalidSubscriptionId`
pub fn check_form(id: &str) -> Result<(), ApiError> {
    if uuid::Uuid::try_parse(id).is_ok() && id.len() == 36 {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "InvalidSubscriptionId",
        format!(
            "The provided subscription identifier '{id}' is malformed or invalid. It is a GUID such as 00000000-1111-2222-3333-444444444444."
        ),
    ))
}

/// The service for the work of a subscription.
///
/// # Errors
/// `InvalidSubscriptionId`, `SubscriptionNotFound`.
pub async fn enter(app: &App, id: &str) -> Result<App, ApiError> {
    check_form(id)?;
    app.enter(id).await?.ok_or_else(|| not_found(id))
}

/// The subscription with that id.
///
/// # Errors
/// `InvalidSubscriptionId`, `SubscriptionNotFound`.
pub async fn find(app: &App, id: &str) -> Result<Subscription, ApiError> {
    check_form(id)?;
    let all = app.subscriptions().await?;
    let found = all.iter().find(|subscription| subscription.id.eq_ignore_ascii_case(id));
    found.cloned().ok_or_else(|| not_found(id))
}

/// 404 for a subscription.
pub fn not_found(id: &str) -> ApiError {
    ApiError::absent("SubscriptionNotFound", format!("The subscription '{id}' could not be found."))
}

/// `GET /subscriptions/{s}`
pub async fn show(app: &App) -> Result<Reply, ApiError> {
    Ok(Reply::ok(body(app, &find(app, app.subscription()).await?)))
}

/// A subscription as clients see it.
pub fn body(app: &App, subscription: &Subscription) -> Value {
    json!({
        "id": format!("/subscriptions/{}", subscription.id),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": subscription.id,
        "tenantId": app.settings().tenant,
        "displayName": subscription.name,
        "state": subscription.state,
        "subscriptionPolicies": {
            "locationPlacementId": "Internal_2014-09-01",
            "quotaId": "Internal_2014-09-01",
            "spendingLimit": "Off",
        },
    })
}

/// `GET /subscriptions`: those in which the caller has a role.
pub async fn list(app: &App, call: &Call) -> Result<Reply, ApiError> {
    let all = app.subscriptions().await?;
    let touched = |subscription: &&Subscription| {
        call.rights().touches(&Scope::parse(&format!("/subscriptions/{}", subscription.id)))
    };
    let value: Vec<_> = all.iter().filter(touched).map(|one| body(app, one)).collect();
    let count = value.len();
    Ok(Reply::ok(json!({ "value": value, "count": { "type": "Total", "value": count } })))
}

/// `GET /tenants`
pub fn tenants(app: &App) -> Reply {
    let tenant = &app.settings().tenant;
    Reply::ok(json!({ "value": [{
        "id": format!("/tenants/{tenant}"),
        "tenantId": tenant,
        "displayName": "Goldsmith",
        "tenantCategory": "Home",
    }] }))
}

/// `GET /subscriptions/{s}/locations`
pub fn locations(app: &App) -> Reply {
    let regions = app.settings().regions.iter();
    let value: Vec<_> = regions.map(|name| region::body(app.subscription(), name)).collect();
    Reply::ok(json!({ "value": value }))
}
