//! A small document in memory.

use reqwest::Url;

use super::{
    Limits,
    http::{client, reason},
};

/// Whether nobody between here and there can change the content: `https`, or `http` on this machine.
pub fn is_protected(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => true,
        ("http", Some(host)) => {
            let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
        _ => false,
    })
}

/// The content of a protected URL, in one attempt and within the limits' addresses and times.
///
/// # Errors
/// Why there is none: the URL or its address is not allowed, the server fails, or the content is larger.
pub async fn document(url: &str, limits: &Limits, most: u64) -> Result<Vec<u8>, String> {
    if !is_protected(url) {
        return Err(format!("{url} is not an https:// URL"));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_this_machine_are_protected() {
        for url in
            ["https://a.example", "http://localhost:1/a", "http://127.0.0.1", "http://[::1]:2"]
        {
            assert!(is_protected(url), "{url}");
        }
        for url in [
            "http://a.example",
            "http://localhost.a.example",
            "http://127.0.0.1.a.example",
            "http://localhost@a.example",
            "ftp://localhost",
            "localhost",
            "",
        ] {
            assert!(!is_protected(url), "{url}");
        }
    }
}
