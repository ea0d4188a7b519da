//! What an error of the engine means to a client.

use api::ErrorCode;
use arm::ApiError;
use db::Trouble;
use images::error::{Error, chain};

/// An error of the engine that is not the client's: 507 for a full disk, else 500.
pub(crate) fn of_engine(error: &Error) -> ApiError {
    let why = format!("{}; {:?}", chain(error), error.details);
    let mut answer = match error.code {
        ErrorCode::DiskFull => ApiError::of_trouble(Trouble::DiskFull),
        _ => ApiError::internal(""),
    };
    answer.internal = Some(why);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_of_the_engine_is_507() {
        let full = Error::new(ErrorCode::DiskFull, "no room in /srv/images");
        let error = of_engine(&full);
        assert_eq!((error.status.as_u16(), error.code.as_str()), (507, "DiskFull"));
        assert!(!error.body().to_string().contains("/srv"));
        assert!(error.internal.unwrap().contains("/srv/images"));
    }
}
