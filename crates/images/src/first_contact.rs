//! How goldsmith's build user gets into a machine of an image.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use api::ErrorCode;
use serde::{Deserialize, Serialize};
use vm::{OsType, may_wait};

use crate::error::{Error, Result as CodedResult};

/// The names of the ways, in files and on the command line.
const NAMES: [&str; 5] = ["credentials", "cloud-init", "unattend", "cloudbase-init", "specialized"];
/// Longer logins are not logins.
const MAX_LOGIN: u64 = 4096;
/// The mode bits of group and others.
const OTHERS: u32 = 0o077;

/// What an image can be relied upon for. Every machine with Linux is offered systemd credentials;
/// the question is whether they are enough.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstContact {
    /// Credentials are enough: systemd is 252 or newer, the SSH server includes `sshd_config.d`,
    /// and the image sets up any network card by itself. A build does not need cloud-init.
    Credentials,
    /// Cloud-init lets the user in and sets up the network, from a NoCloud seed.
    #[default]
    CloudInit,
    /// Windows after Sysprep: Setup reads `Unattend.xml` from a CD.
    Unattend,
    /// Windows with cloudbase-init, which reads a NoCloud seed from a CD.
    CloudbaseInit,
    /// Windows that was not generalized. Nothing is set up: WinRM listens already, and lets in an
    /// account that exists already.
    Specialized(LoginFile),
}

impl FirstContact {
    /// For `skip_serializing_if`: records of an earlier goldsmith have no such field.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The system whose images are entered so.
    pub fn os(&self) -> OsType {
        match self {
            Self::Credentials | Self::CloudInit => OsType::Linux,
            Self::Unattend | Self::CloudbaseInit | Self::Specialized(_) => OsType::Windows,
        }
    }

    /// Reads the name of a way into images of that system, with the login that `specialized` needs.
    ///
    /// # Errors
    /// Why the values do not go together, for their author.
    pub fn of_name(os: OsType, name: &str, login: Option<LoginFile>) -> Result<Self, String> {
        let contact = match (name, login) {
            ("specialized", Some(login)) => return Self::Specialized(login).fits(os, name),
            ("specialized", None) => {
                return Err(
                    "a specialized image needs a login: the account that goldsmith uses".to_owned()
                );
            }
            ("credentials", None) => Self::Credentials,
            ("cloud-init", None) => Self::CloudInit,
            ("unattend", None) => Self::Unattend,
            ("cloudbase-init", None) => Self::CloudbaseInit,
            (known, Some(_)) if NAMES.contains(&known) => {
                return Err(format!("a login goes with `specialized`, not with `{known}`"));
            }
            (unknown, _) => {
                let known = NAMES.map(|name| format!("`{name}`")).join(", ");
                return Err(format!("first contact `{unknown}` is not one of {known}"));
            }
        };
        contact.fits(os, name)
    }

    fn fits(self, os: OsType, name: &str) -> Result<Self, String> {
        if self.os() == os {
            return Ok(self);
        }
        Err(format!("first contact `{name}` is for images of {}, not of {os}", self.os()))
    }

    /// What an image of that system is relied upon for if nothing is said about it.
    pub fn usual(os: OsType) -> Self {
        match os {
            OsType::Linux => Self::CloudInit,
            OsType::Windows => Self::Unattend,
        }
    }

    /// The same for the image that a build makes: it is generalized, and a build does not know what
    /// else its customizers changed.
    #[must_use]
    pub fn once_generalized(&self) -> Self {
        match self {
            Self::Specialized(_) => Self::Unattend,
            other => other.clone(),
        }
    }
}

/// A file with the login of an account that exists in the image. Only goldsmith's user can read it,
/// and its first line is `user:password`. No record contains the login itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LoginFile(pub PathBuf);

/// An account in an image.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl LoginFile {
    /// Reads the login.
    ///
    /// # Errors
    /// `HostNotReady`: the file is not there, others can read it, or it has no `user:password`.
    pub fn read(&self) -> CodedResult<Login> {
        let shown = self.0.display();
        let text = may_wait(|| private_text(&self.0)).map_err(|e| {
            fault(format!("the image's login in {shown} cannot be used: {e}")).caused_by(e)
        })?;
        match text.lines().next().unwrap_or_default().split_once(':') {
            Some((user, password)) if !user.trim().is_empty() && !password.is_empty() => {
                Ok(Login { user: user.trim().to_owned(), password: password.to_owned() })
            }
            _ => Err(fault(format!("the first line of {shown} is not `user:password`"))),
        }
    }
}

fn fault(why: String) -> Error {
    Error::new(ErrorCode::HostNotReady, why).hint(
        "write `user:password` of an administrator of the image on its first line, and give it the \
         mode 0600",
    )
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The content of a file that others cannot read.
fn private_text(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    if file.metadata()?.mode() & OTHERS != 0 {
        return Err(io::Error::other("others can read it"));
    }
    let mut text = String::new();
    file.take(MAX_LOGIN).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn records_of_an_earlier_goldsmith_are_read() {
        for (json, contact) in [
            (r#""credentials""#, FirstContact::Credentials),
            (r#""cloud-init""#, FirstContact::CloudInit),
            (r#""unattend""#, FirstContact::Unattend),
            (
                r#"{"specialized":"/etc/login"}"#,
                FirstContact::Specialized(LoginFile("/etc/login".into())),
            ),
        ] {
            assert_eq!(serde_json::from_str::<FirstContact>(json).unwrap(), contact);
            assert_eq!(serde_json::to_string(&contact).unwrap(), json);
        }
    }

    #[test]
    fn name_is_refused_for_another_system_or_with_the_wrong_login() {
        let login = || Some(LoginFile("login".into()));
        let of = FirstContact::of_name;
        assert_eq!(of(OsType::Windows, "unattend", None), Ok(FirstContact::Unattend));
        assert_eq!(
            of(OsType::Windows, "specialized", login()),
            Ok(FirstContact::Specialized(LoginFile("login".into())))
        );
        for (os, name, login, says) in [
            (OsType::Linux, "unattend", None, "`unattend` is for images of Windows, not of Linux"),
            (OsType::Windows, "cloud-init", None, "is for images of Linux"),
            (OsType::Linux, "specialized", login(), "is for images of Windows"),
            (OsType::Windows, "specialized", None, "needs a login"),
            (OsType::Windows, "unattend", login(), "goes with `specialized`"),
            (OsType::Windows, "telepathy", login(), "`credentials`, `cloud-init`, `unattend`"),
        ] {
            let error = of(os, name, login).unwrap_err();
            assert!(error.contains(says), "{says}: {error}");
        }
    }

    #[test]
    fn built_image_is_generalized_whatever_its_source_was() {
        let login = LoginFile("login".into());
        assert_eq!(FirstContact::Specialized(login).once_generalized(), FirstContact::Unattend);
        for kept in
            [FirstContact::Credentials, FirstContact::CloudInit, FirstContact::CloudbaseInit]
        {
            assert_eq!(kept.once_generalized(), kept);
        }
    }

    #[test]
    fn login_is_read_from_a_private_file_only_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login");
        fs::write(&path, "Administrator:pass:word \nignored\n").unwrap();
        let at = LoginFile(path.clone());
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        let error = at.read().unwrap_err();
        assert_eq!(error.code, ErrorCode::HostNotReady);
        assert!(error.message.contains("others can read it"), "{error}");
        mode(0o600);
        let login = at.read().unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("Administrator", "pass:word "));
        assert!(!format!("{login:?}").contains("pass"), "{login:?}");
    }

    #[test]
    fn malformed_login_names_its_place_and_not_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login");
        fs::write(&path, "hunter2").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = LoginFile(path.clone()).read().unwrap_err();
        assert!(error.message.contains(&path.display().to_string()), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let error = LoginFile(folder.path().join("absent")).read().unwrap_err();
        assert!(
            error.code == ErrorCode::HostNotReady && error.message.contains("absent"),
            "{error}"
        );
    }
}
