//! `$filter` of the activity log: a range of times, and comparisons. Clients send values with and without quotes.

use arm::{ApiError, is};
use db::{Activity, ActivityAbout};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

const FORM: &str = "It may contain eventTimestamp ge and le TIME, and resourceGroupName, resourceId, resourceUri, resourceProvider, correlationId, caller and status eq 'VALUE', joined by 'and'";

/// What a filter asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) caller: Option<String>,
    pub(super) status: Option<String>,
    group: Option<String>,
    resource: Option<String>,
    provider: Option<String>,
    correlation: Option<String>,
}

impl Wanted {
    /// Parses a filter; an empty one asks for everything.
    ///
    /// # Errors
    /// `InvalidFilterInQueryString`
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        let mut wanted = Self {
            from: Timestamp::MIN,
            to: Timestamp::MAX,
            caller: None,
            status: None,
            group: None,
            resource: None,
            provider: None,
            correlation: None,
        };
        let words = words(text).ok_or_else(|| wrong(text, "a quote is not closed"))?;
        for (at, term) in words.chunks(4).enumerate() {
            let (comparison, and) = term.split_at(term.len().min(3));
            let [field, operator, value] = comparison else {
                return Err(wrong(text, &format!("comparison {} is not complete", at + 1)));
            };
            if and.first().is_some_and(|and| !is(and, "and")) {
                return Err(wrong(text, "only 'and' may follow a comparison"));
            }
            wanted.add(field, operator, value).map_err(|why| wrong(text, &why))?;
        }
        if words.len() % 4 == 0 && !words.is_empty() {
            return Err(wrong(text, "a comparison is missing at the end"));
        }
        Ok(wanted)
    }

    fn add(&mut self, field: &str, operator: &str, value: &str) -> Result<(), String> {
        if is(field, "eventTimestamp") {
            let time = time(value).ok_or_else(|| format!("'{value}' is not a time"))?;
            match operator.to_lowercase().as_str() {
                "ge" | "gt" => self.from = self.from.max(time),
                "le" | "lt" => self.to = self.to.min(time),
                _ => return Err("eventTimestamp is compared with ge and le".to_owned()),
            }
            return Ok(());
        }
        let slot = match field.to_lowercase().as_str() {
            "resourcegroupname" => &mut self.group,
            "resourceid" | "resourceuri" => &mut self.resource,
            "resourceprovider" => &mut self.provider,
            "correlationid" => &mut self.correlation,
            "caller" => &mut self.caller,
            "status" => &mut self.status,
            // All events are of the channels that clients name here.
            "eventchannels" => return Ok(()),
            _ => return Err(format!("it compares an unsupported field, '{field}'")),
        };
        if !is(operator, "eq") {
            return Err(format!("{field} is compared with eq only"));
        }
        *slot = Some(value.trim_end_matches('/').to_owned());
        Ok(())
    }

    /// The comparison that selects the fewest rows by an index.
    pub(super) fn about(&self) -> ActivityAbout {
        let first = [
            self.correlation.clone().map(ActivityAbout::Correlation),
            self.resource.clone().map(ActivityAbout::Resource),
            self.group.clone().map(ActivityAbout::Group),
            self.provider.clone().map(ActivityAbout::Provider),
        ];
        first.into_iter().flatten().next().unwrap_or_default()
    }

    /// Whether an event meets all comparisons of texts.
    pub(super) fn allows(&self, row: &Activity) -> bool {
        let all = [
            (&self.group, &row.group),
            (&self.resource, &row.resource),
            (&self.provider, &row.provider),
            (&self.correlation, &row.correlation),
        ];
        all.into_iter().all(|(wanted, own)| {
            wanted.as_ref().is_none_or(|wanted| wanted.to_lowercase() == own.to_lowercase())
        })
    }
}

fn wrong(text: &str, why: &str) -> ApiError {
    ApiError::bad_request(
        "InvalidFilterInQueryString",
        format!("Invalid $filter '{text}' specified in the query string: {why}. {FORM}."),
    )
    .target("$filter")
}

/// The words, without the quotes around them; `''` in quotes stands for one. `None` if a quote is not closed.
fn words(text: &str) -> Option<Vec<String>> {
    let (mut words, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        let mut word = String::new();
        if first == '\'' {
            rest = &rest[1..];
            loop {
                let (part, after) = rest.split_once('\'')?;
                word.push_str(part);
                rest = after;
                match after.strip_prefix('\'') {
                    Some(more) => (rest, _) = (more, word.push('\'')),
                    None => break,
                }
            }
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            word.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        words.push(word);
        rest = rest.trim_start();
    }
    Some(words)
}

/// A time, in UTC unless it has an offset.
fn time(text: &str) -> Option<Timestamp> {
    // A plus in a query means a space.
    let text = text.replace(' ', "+");
    text.parse::<Timestamp>().ok().or_else(|| {
        let local: DateTime = text.parse().ok()?;
        Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Wanted::parse(text).unwrap_err().code
    }

    #[test]
    fn values_may_be_quoted_or_not() {
        let time = "2026-11-30T01:02:03.000004";
        for text in [
            format!(
                "eventTimestamp ge {time} and eventTimestamp le {time}Z and resourceProvider eq Microsoft.Authorization"
            ),
            format!(
                "eventTimestamp ge '{time}Z' and eventTimestamp LE '{time}' and ResourceProvider eq 'Microsoft.Authorization'"
            ),
            format!(
                "eventTimestamp ge {time}+00:00 and eventTimestamp le '{time} 00:00' and resourceProvider eq 'Microsoft.Authorization'"
            ),
        ] {
            let wanted = Wanted::parse(&text).unwrap();
            assert_eq!(wanted.from.to_string(), format!("{time}Z"), "{text}");
            assert_eq!(wanted.to, wanted.from, "{text}");
            let about = ActivityAbout::Provider("Microsoft.Authorization".to_owned());
            assert_eq!(wanted.about(), about, "{text}");
        }
        let wanted =
            Wanted::parse("caller eq 'it''s' and eventChannels eq 'Admin, Operation'").unwrap();
        assert_eq!(wanted.caller.as_deref(), Some("it's"));
        assert_eq!(Wanted::parse(" ").unwrap().about(), ActivityAbout::Anything);
    }

    #[test]
    fn unsupported_filter_is_rejected() {
        for text in [
            "level eq 'Error'",
            "status ne 'Failed'",
            "status eq",
            "status eq 'Failed' or caller eq 'x'",
            "status eq 'Failed' and",
            "eventTimestamp ge yesterday",
            "eventTimestamp eq 2026-11-30T01:02:03",
            "caller eq 'x",
        ] {
            assert_eq!(code(text), "InvalidFilterInQueryString", "{text}");
        }
    }
}
