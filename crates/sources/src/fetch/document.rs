//! A small document in memory.

use reqwest::Url;

use super::{
    Limits,
    http::{client, reason},
};

/// The content of a URL, in one attempt and within the limits' addresses and times.
///
/// # Errors
/// Why there is none: the URL or its address is not allowed, the server fails, or the content is larger.
pub async fn document(url: &str, limits: &Limits, most: u64) -> Result<Vec<u8>, String> {
    let parsed = Url::parse(url).map_err(|error| format!("no valid URL: {error}"))?;
    limits.guard.check(&parsed).map_err(|error| error.to_string())?;
    let client = client(limits).map_err(|error| reason(&error))?;
    let response = client.get(parsed).send().await.map_err(|error| reason(&error))?;
    let mut response = response.error_for_status().map_err(|error| reason(&error))?;
    let mut content = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| reason(&error))? {
        content.extend_from_slice(&piece);
        if content.len() as u64 > most {
            return Err(format!("it is larger than {most} bytes"));
        }
    }
    Ok(content)
}
