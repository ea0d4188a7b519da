//! Answers to what expressions ask about resources: `reference`, `list*`.

use arm::ApiError;
use arm_template::{Answer, Answers, Error, Fault, Kind, Question, Value};

use crate::manager::Requests;

/// How often an expression may find out that it needs another answer.
const ROUNDS: usize = 100;

/// Evaluates until everything that the evaluation asks is answered.
///
/// # Errors
/// An answer cannot be had now. Errors of the evaluation are in the value.
pub(crate) async fn until_known<T>(
    requests: &Requests,
    evaluate: impl Fn(&Answers) -> Result<T, Error>,
) -> Result<Result<T, Error>, ApiError> {
    let mut answers = Answers::new();
    for _ in 0..ROUNDS {
        let result = evaluate(&answers);
        let open = match &result {
            Err(error) if error.kind == Kind::Pending => answers.open_questions(),
            _ => return Ok(result),
        };
        if open.is_empty() {
            return Ok(result);
        }
        for question in open {
            let answer = answer(requests, &question).await?;
            answers.insert(&question, answer);
        }
    }
    Err(ApiError::internal("an expression asks again and again"))
}

/// The answer to one question. What a client would see as an error fails the expression with its message.
///
/// # Errors
/// The service cannot answer now, for example because its database fails.
pub(crate) async fn answer(
    requests: &Requests,
    question: &Question,
) -> Result<Result<Answer, Fault>, ApiError> {
    let answered = match question {
        Question::State { id, api_version } => requests.get(&url(id), api_version).await,
        Question::List { id, action, api_version, body } => {
            let body = body.as_ref().map(|body| serde_json::Value::from(body).to_string());
            let id = format!("{}/{action}", url(id));
            requests.post(&id, api_version, body.unwrap_or_default()).await
        }
    };
    match answered {
        Ok(body) => Ok(Ok(Answer::Known(Value::from(&body)))),
        Err(error) if error.status == http::StatusCode::NOT_FOUND => Ok(match question {
            Question::State { .. } => Ok(Answer::NotFound),
            Question::List { .. } => Err(Fault::new(error.message)),
        }),
        Err(error) if error.status.is_server_error() => Err(error),
        Err(error) => Ok(Err(Fault::new(error.message))),
    }
}

/// The path at which a resource is. A resource group has a path of its own.
pub(crate) fn url(id: &str) -> String {
    const GROUPS: &str = "/providers/microsoft.resources/resourcegroups/";
    let lower = id.to_lowercase();
    match lower.find(GROUPS) {
        Some(at) if !id[at + GROUPS.len()..].contains('/') => {
            format!("{}/resourceGroups/{}", &id[..at], &id[at + GROUPS.len()..])
        }
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_group_has_a_path_of_its_own() {
        for (id, wanted) in [
            (
                "/subscriptions/s/providers/Microsoft.Resources/resourceGroups/G",
                "/subscriptions/s/resourceGroups/G",
            ),
            ("/subscriptions/s/resourceGroups/G", "/subscriptions/s/resourceGroups/G"),
            (
                "/subscriptions/s/resourceGroups/G/providers/N/t/x",
                "/subscriptions/s/resourceGroups/G/providers/N/t/x",
            ),
        ] {
            assert_eq!(url(id), wanted);
        }
    }
}
