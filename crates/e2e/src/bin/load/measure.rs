//! The measurements.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::client::Client;

/// Requests in flight while the subscription is filled.
const AT_ONCE: usize = 8;

/// Durations in milliseconds.
#[derive(Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    fn add(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1000.0);
    }

    /// The percentile in milliseconds.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(rank).copied().unwrap_or(f64::NAN)
    }
}

/// Measures provisioning: from the PUT until the operation has ended, polled without pause.
pub(crate) async fn provision(client: &Client, count: usize) -> Times {
    let mut times = Times::default();
    for number in 0..count {
        let started = Instant::now();
        let operation = client.put_template(&name(number)).await;
        wait(client, &operation).await;
        times.add(started.elapsed());
    }
    times
}

async fn wait(client: &Client, operation: &str) {
    loop {
        let status = client.get(operation).await;
        match status["status"].as_str() {
            Some("InProgress") => tokio::task::yield_now().await,
            Some("Succeeded") => return,
            _ => panic!("{status}"),
        }
    }
}

/// Creates the templates with numbers in a range.
pub(crate) async fn fill(client: &Client, from: usize, to: usize) {
    each(from..to, |number| async move { drop(client.put_template(&name(number)).await) }).await;
}

/// Runs an async function for each number, a few concurrently.
pub(crate) async fn each<F: Future<Output = ()>>(
    numbers: std::ops::Range<usize>,
    work: impl Fn(usize) -> F,
) {
    stream::iter(numbers).map(work).buffer_unordered(AT_ONCE).for_each(|()| async {}).await;
}

pub(crate) fn name(number: usize) -> String {
    format!("template-{number:05}")
}

/// Every page of the list by subscription.
pub(crate) async fn pages(client: &Client, expected: usize) -> Times {
    let mut times = Times::default();
    let mut listed = 0;
    let mut next = client.path("providers/Microsoft.VirtualMachineImages/imageTemplates");
    loop {
        let started = Instant::now();
        let page = client.get(&next).await;
        times.add(started.elapsed());
        listed += page["value"].as_array().map_or(0, Vec::len);
        match &page["nextLink"] {
            Value::String(link) => link.clone_into(&mut next),
            _ => break,
        }
    }
    assert_eq!(listed, expected, "every template is on one page");
    times
}

/// Reads at a fixed rate. Each time starts when the request was due. Returns the times and the
/// answers per second.
pub(crate) async fn mixed_reads(
    client: &Client,
    rate: u32,
    seconds: u32,
    templates: usize,
) -> (Times, f64) {
    let request = move |client: Client, number: usize| async move {
        client.get(&read(&client, number, templates)).await;
    };
    at_rate(client, rate, seconds, request).await
}

/// Like [`mixed_reads`], but each fiftieth request changes the tags of a template.
pub(crate) async fn mixed(
    client: &Client,
    rate: u32,
    seconds: u32,
    templates: usize,
) -> (Times, f64) {
    let request = move |client: Client, number: usize| async move {
        if number % 50 == 49 {
            let path = client.template_path(&name(number * 7919 % templates));
            let scope = format!("{path}/providers/Microsoft.Resources/tags/default");
            let tags = serde_json::json!({
                "operation": "Merge", "properties": { "tags": { "seen": number.to_string() } },
            });
            client.call(reqwest::Method::PATCH, &scope, Some(tags)).await;
        } else {
            client.get(&read(&client, number, templates)).await;
        }
    };
    at_rate(client, rate, seconds, request).await
}

/// Sends requests at a fixed rate. Each time starts when the request was due.
pub(crate) async fn at_rate<F>(
    client: &Client,
    rate: u32,
    seconds: u32,
    request: impl Fn(Client, usize) -> F,
) -> (Times, f64)
where
    F: Future<Output = ()> + Send + 'static,
{
    let total = rate * seconds;
    let began = Instant::now() + Duration::from_millis(100);
    let mut tasks = Vec::new();
    for number in 0..total {
        let due = began + Duration::from_secs(1) / rate * number;
        let request = request(client.clone(), number as usize);
        tasks.push(tokio::spawn(async move {
            tokio::time::sleep_until(due.into()).await;
            request.await;
            due.elapsed()
        }));
    }
    let mut times = Times::default();
    for task in tasks {
        times.add(task.await.unwrap());
    }
    (times, f64::from(total) / began.elapsed().as_secs_f64())
}

/// The path to read: mostly single templates, every tenth time a list.
pub(crate) fn read(client: &Client, number: usize, templates: usize) -> String {
    match number % 10 {
        0 => client.path(
            "resourceGroups/load/providers/Microsoft.VirtualMachineImages/imageTemplates?$top=20",
        ),
        1 => client.path("resourceGroups/load"),
        2 => client.path("resourcegroups"),
        3 => format!("{}/runOutputs", client.template_path(&name(number * 7919 % templates))),
        _ => client.template_path(&name(number * 7919 % templates)),
    }
}
