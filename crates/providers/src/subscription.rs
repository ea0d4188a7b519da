//! The one subscription and the one tenant.

use arm::{ApiError, Reply, region};
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

/// The subscription is ours.
///
/// # Errors
/// `InvalidSubscriptionId`, `SubscriptionNotFound`.
pub fn check(app: &App, id: &str) -> Result<(), ApiError> {
    check_form(id)?;
    let is_ours = app.settings().subscription.eq_ignore_ascii_case(id);
    is_ours.then_some(()).ok_or_else(|| not_found(id))
}

/// 404 for a subscription.
pub fn not_found(id: &str) -> ApiError {
    ApiError::absent("SubscriptionNotFound", format!("The subscription '{id}' could not be found."))
}

/// `GET /subscriptions/{s}`
pub fn body(app: &App) -> Value {
    let settings = app.settings();
    json!({
        "id": format!("/subscriptions/{}", settings.subscription),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": settings.subscription,
        "tenantId": settings.tenant,
        "displayName": "Goldsmith",
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Internal_2014-09-01",
            "quotaId": "Internal_2014-09-01",
            "spendingLimit": "Off",
        },
    })
}

/// `GET /subscriptions`
pub fn list(app: &App) -> Reply {
    Reply::ok(json!({ "value": [body(app)], "count": { "type": "Total", "value": 1 } }))
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
    let settings = app.settings();
    let regions = settings.regions.iter();
    let value: Vec<_> = regions.map(|name| region::body(&settings.subscription, name)).collect();
    Reply::ok(json!({ "value": value }))
}
