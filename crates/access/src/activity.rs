//! `Microsoft.Insights/eventtypes/management/values`: the activity log. It is only read.

mod filter;

use arm::{ApiError, Call, Method, Position, Reply, page_of};
use authorization::{Need, Scope, Wanted};
use db::{Activity, ActivitySelect};
use serde_json::{Map, Value, json};
use service::{App, activity::type_of, roles::Directory};

use self::filter::Wanted as Filter;

/// Rows of one query.
const AT_ONCE: u32 = 200;
/// Rows that one request reads. A caller who may read few of many events gets short pages.
const ROWS: usize = 5_000;

/// Lists events, newest first. Only those about what the caller may read.
///
/// # Errors
/// `MethodNotAllowed`, `InvalidFilterInQueryString`, `InvalidSkipToken`.
pub async fn activity(app: &App, call: &Call) -> Result<Reply, ApiError> {
    call.only(&[Method::Get])?;
    let Position { after, size } = Position::of(call)?;
    let text = call.query.get("$filter").map(String::as_str).unwrap_or_default();
    let mut wanted = Filter::parse(text)?;
    wanted.caller = match wanted.caller.take() {
        Some(caller) => Some(client_id(app, caller).await?),
        None => None,
    };
    let after = after.map(|token| token.parse::<i64>().map_err(|_| bad_token(call))).transpose()?;
    let mut select = ActivitySelect {
        subscription: call.path.scope.subscription().unwrap_or_default().to_owned(),
        about: wanted.about(),
        caller: wanted.caller.clone(),
        status: wanted.status.clone(),
        from: wanted.from,
        to: wanted.to,
        after,
        limit: AT_ONCE,
    };
    let fields = call.query.get("$select").map(|text| fields(text));
    let (mut found, mut read, mut seen) = (Vec::new(), 0, Seen::default());
    loop {
        let rows = app.store().activity(&select).await?;
        let is_end = rows.len() < AT_ONCE as usize;
        for row in rows {
            read += 1;
            if !wanted.allows(&row) || !seen.may_read(call, &row) {
                select.after = Some(row.seq);
                continue;
            }
            if found.len() == size {
                return Ok(page_of(call, found, select.after.map(|seq| seq.to_string())));
            }
            select.after = Some(row.seq);
            found.push(view(row, fields.as_deref()));
        }
        if is_end {
            return Ok(page_of(call, found, None));
        }
        if read >= ROWS {
            return Ok(page_of(call, found, select.after.map(|seq| seq.to_string())));
        }
    }
}

/// The categories of events: here only one.
///
/// # Errors
/// `MethodNotAllowed`
pub fn event_categories(call: &Call) -> Result<Reply, ApiError> {
    call.only(&[Method::Get])?;
    let one = json!({ "value": "Administrative", "localizedValue": "Administrative" });
    Ok(Reply::ok(json!({ "value": [one] })))
}

/// Events name callers by their client id; people also have the object id at hand.
async fn client_id(app: &App, caller: String) -> Result<String, ApiError> {
    let directory = Directory::read(app.store()).await.map_err(ApiError::internal)?;
    Ok(directory.of_object(&caller).map_or(caller, |named| named.client_id.clone()))
}

fn bad_token(call: &Call) -> ApiError {
    let token = call.query.get("$skiptoken").map(String::as_str).unwrap_or_default();
    ApiError::bad_request(
        "InvalidSkipToken",
        format!("The value '{token}' of $skiptoken is not from a nextLink."),
    )
    .target("$skiptoken")
}

/// The last decision: events of one resource come together.
#[derive(Default)]
struct Seen(Option<(String, String, bool)>);

impl Seen {
    fn may_read(&mut self, call: &Call, row: &Activity) -> bool {
        if let Some((resource, operation, may)) = &self.0
            && *resource == row.resource
            && *operation == row.operation
        {
            return *may;
        }
        let read = format!("{}/read", type_of(&row.operation));
        let need = Need::new(Wanted::Action(read.into()), Scope::parse(&row.resource));
        let may = call.rights().check(&need).is_ok();
        self.0 = Some((row.resource.clone(), row.operation.clone(), may));
        may
    }
}

fn fields(text: &str) -> Vec<String> {
    text.split(',').map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()).collect()
}

/// An event, or the selected fields of it.
fn view(row: Activity, fields: Option<&[String]>) -> Value {
    match (row.body, fields) {
        (Value::Object(body), Some(fields)) if !fields.is_empty() => {
            let is_selected = |name: &String| fields.contains(&name.to_lowercase());
            Value::Object(
                body.into_iter().filter(|(name, _)| is_selected(name)).collect::<Map<_, _>>(),
            )
        }
        (body, _) => body,
    }
}
