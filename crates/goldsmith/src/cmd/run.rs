//! `goldsmith run`: starts, follows and cancels runs of a service's templates.

use api::ErrorCode;
use images::error::Error;
use reqwest::Method;
use serde_json::Value;

use super::Result;
use crate::{
    cli,
    output::{Output, Table},
    remote::{Client, Followed, Login},
};

pub(super) async fn run(command: cli::Run, output: &Output) -> Result {
    let client = Client::connect(Login::load()?).await?;
    match command {
        cli::Run::Start { template, no_watch } => {
            let template = client.template(&template)?;
            client.call(Method::POST, &format!("{template}/run")).await?;
            let run = newest(&client, &template).await?;
            if no_watch {
                output.result("run", &run, || text(&run["name"]));
                return Ok(0);
            }
            watch(&client, &template, &run, output).await
        }
        cli::Run::Watch(args) => {
            let (template, run) = chosen(&client, &args).await?;
            watch(&client, &template, &run, output).await
        }
        cli::Run::Logs { of, validation } => {
            let run = match is_run_id(&of.template) {
                true => client.run(&of.template),
                false => {
                    let (template, run) = chosen(&client, &of).await?;
                    format!("{template}/runs/{}", text(&run["name"]))
                }
            };
            let which = if validation { "logs/validation.log" } else { "log" };
            let log = client.log(&format!("{run}/{which}")).await?;
            output.result("log", &log, || log.clone());
            Ok(0)
        }
        cli::Run::Ls { template } => list(&client, &template, output).await,
        cli::Run::Schedule { template } => schedule(&client, &template, output).await,
        cli::Run::Cancel { template } => {
            let template = client.template(&template)?;
            client.call(Method::POST, &format!("{template}/cancel")).await?;
            let run = newest(&client, &template).await?;
            let state = text(&run["properties"]["runState"]);
            output.result("canceled", &run, || match state.as_str() {
                "Queued" | "Running" | "Canceling" => "canceling the run".to_owned(),
                ended => format!("no run is active; the last one: {ended}"),
            });
            Ok(0)
        }
    }
}

/// Displays a run like a local build. Its result decides the exit code.
async fn watch(client: &Client, template: &str, run: &Value, output: &Output) -> Result {
    let id = text(&run["name"]);
    let path = format!("{template}/runs/{id}");
    let (events, screen) = output.follow();
    let mut ended = None;
    let followed = client
        .follow(&path, |followed| match followed {
            Followed::Event(event) => events.send(event),
            Followed::Ended(value) => ended = Some(value),
        })
        .await;
    drop(events);
    if let Err(e) = screen.await {
        tracing::error!(error = %e, "the output task failed");
    }
    let run = followed?;
    let state = text(&run["properties"]["runState"]);
    if state == "Succeeded" {
        output.result("run", &run, || format!("run {id}: {state}"));
        return Ok(0);
    }
    let error = ended.map(|value| value["error"].clone()).unwrap_or_default();
    let code = error["code"].as_str().and_then(|code| code.parse::<ErrorCode>().ok());
    let code = match state.as_str() {
        "Canceled" => ErrorCode::Canceled,
        _ => code.unwrap_or(ErrorCode::InternalError),
    };
    // The stored message also contains text for Azure's clients, so the event's is better.
    let why = error["message"].as_str().or_else(|| run["properties"]["message"].as_str());
    let message = format!("run {id}: {state}: {}", why.unwrap_or_default());
    let error = Error::new(code, message.trim_end_matches([':', ' ']).to_owned());
    Err(error.hint(format!("goldsmith run logs {} --run {id}", short(template))).into())
}

async fn list(client: &Client, template: &str, output: &Output) -> Result {
    let template = client.template(template)?;
    let runs = client.call(Method::GET, &format!("{template}/runs")).await?;
    let mut table = Table::new(&["run", "state", "started", "ended", "why"]);
    for run in runs["value"].as_array().into_iter().flatten() {
        let properties = &run["properties"];
        table.row([
            text(&run["name"]),
            text(&properties["runState"]),
            seconds(&properties["startTime"]),
            seconds(&properties["endTime"]),
            why(&properties["cause"]),
        ]);
    }
    output.result("runs", &runs, || table.or("the template has no runs"));
    Ok(0)
}

async fn schedule(client: &Client, template: &str, output: &Output) -> Result {
    let template = client.template(template)?;
    let schedules = client.call(Method::GET, &format!("{template}/schedules")).await?;
    output.result("schedules", &schedules, || match schedules["value"].get(0) {
        Some(schedule) => planned(&schedule["properties"]),
        None => "the template has no schedule: add the tag goldsmith.schedule".to_owned(),
    });
    Ok(0)
}

fn planned(schedule: &Value) -> String {
    let mut lines = vec![
        format!("schedule  {} ({})", text(&schedule["expression"]), text(&schedule["timeZone"])),
        format!("next run  {}", seconds(&schedule["nextRunTime"])),
    ];
    if let Some(run) = schedule["lastRun"]["runId"].as_str() {
        lines.push(format!("last run  {run}, due {}", seconds(&schedule["lastRun"]["due"])));
    }
    lines.push(format!("status    {}", text(&schedule["status"]["message"])));
    lines.join("\n")
}

/// The run that is meant: the named one, else the newest.
async fn chosen(client: &Client, args: &cli::RunOf) -> Result<(String, Value)> {
    let template = client.template(&args.template)?;
    let run = match &args.run {
        Some(id) => client.call(Method::GET, &format!("{template}/runs/{id}")).await?,
        None => newest(client, &template).await?,
    };
    Ok((template, run))
}

async fn newest(client: &Client, template: &str) -> Result<Value> {
    let runs = client.call(Method::GET, &format!("{template}/runs?$top=1")).await?;
    runs["value"].as_array().and_then(|runs| runs.first().cloned()).ok_or_else(|| {
        Error::new(ErrorCode::NotFound, format!("{} has no runs", short(template)))
            .hint(format!("goldsmith run start {}", short(template)))
            .into()
    })
}

/// Whether the argument is a GUID. `GROUP/TEMPLATE` and resource ids never are.
fn is_run_id(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A template's id in the short form, `GROUP/TEMPLATE`.
fn short(template: &str) -> String {
    let parts: Vec<&str> = template.split('/').collect();
    match parts[..] {
        ["", "subscriptions", _, _, group, "providers", _, _, name] => format!("{group}/{name}"),
        _ => template.to_owned(),
    }
}

/// The cause of a run. A newer service may send unknown causes, which are shown unchanged.
fn why(cause: &Value) -> String {
    match cause["kind"].as_str().unwrap_or_default() {
        "trigger" => format!("trigger {} ({})", text(&cause["name"]), text(&cause["version"])),
        "schedule" => format!("schedule ({})", seconds(&cause["due"])),
        kind => kind.to_owned(),
    }
}

/// A time without fractions of a second.
fn seconds(time: &Value) -> String {
    let text = text(time);
    text.split_once('.').map_or_else(|| text.clone(), |(whole, _)| format!("{whole}Z"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{is_run_id, seconds, short, why};

    #[test]
    fn ids_and_times_are_shortened() {
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.VirtualMachineImages/imageTemplates/t";
        assert_eq!(short(id), "g/t");
        assert_eq!(short("/else"), "/else");
        assert!(is_run_id("01890a5d-ac96-774b-bcce-b302099a8057"));
        assert!(!is_run_id("g/t") && !is_run_id("01890a5d-ac96-774b-bcce-b302099a805x"));
        assert_eq!(seconds(&json!("2026-01-02T03:04:05.678Z")), "2026-01-02T03:04:05Z");
        assert_eq!(seconds(&json!("2026-01-02T03:04:05Z")), "2026-01-02T03:04:05Z");
        assert_eq!(seconds(&json!(null)), "");
    }

    #[test]
    fn cause_is_described_briefly() {
        assert_eq!(why(&json!({ "kind": "autoRun" })), "autoRun");
        let trigger = json!({ "kind": "trigger", "name": "new", "version": "1.0.1" });
        assert_eq!(why(&trigger), "trigger new (1.0.1)");
        let schedule = json!({ "kind": "schedule", "due": "2026-01-02T03:04:00Z" });
        assert_eq!(why(&schedule), "schedule (2026-01-02T03:04:00Z)");
        assert_eq!(why(&json!(null)), "");
    }
}
