//! The way into a guest by systemd credentials (systemd 252 or newer), without any software of
//! the guest that is made for first boots.
//!
//! The machine's firmware tables (SMBIOS, type 11) carry two credentials: `sysusers.extra` defines
//! the build user, and `tmpfiles.extra` writes the files that let it in, at each boot, before any
//! service starts. The keys are in `/run`, in memory. On the disk are only the user, its home, its
//! sudo rule and the settings for the SSH server, all of which generalization removes.

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{Access, Error, may_wait, private_file::private_file};

/// Raised when the credentials' content changes, since machines that were entered by older ones
/// differ.
pub const VERSION: u32 = 1;
/// The file in the guest that makes its SSH server use the keys.
pub const SSH_SETTINGS: &str = "/etc/ssh/sshd_config.d/00-goldsmith.conf";
/// The file in the guest that lets the build user become root.
pub const SUDO_RULE: &str = "/etc/sudoers.d/90-goldsmith";
/// The files in the run folder with one credential each, which QEMU reads when it starts.
pub(crate) const FILES: [&str; 2] = ["sysusers.smbios", "tmpfiles.smbios"];

/// Writes the files with the credentials, readable by their owner only. A process list does not
/// show them, since QEMU's arguments only name the files.
pub(crate) fn write(folder: &Path, access: &Access) -> Result<(), Error> {
    let contents = [("sysusers.extra", users(access)), ("tmpfiles.extra", files(access))];
    for (file, (name, text)) in FILES.iter().zip(contents) {
        let text = format!("io.systemd.credential.binary:{name}={}", STANDARD.encode(text));
        private_file(folder.join(file), &text)?;
    }
    Ok(())
}

/// Removes the files, if they exist.
pub(crate) fn remove(folder: &Path) {
    may_wait(|| {
        for name in FILES {
            let _ = fs::remove_file(folder.join(name));
        }
    });
}

/// Lines of sysusers.d. The number is that of the first user on most systems, as cloud-init would
/// give it; if it is taken, the user gets another one.
fn users(access: &Access) -> String {
    let user = &access.user;
    format!("u {user} 1000 \"image build\" /home/{user} /bin/bash\n")
}

/// Lines of tmpfiles.d, with the files' contents in base64.
fn files(access: &Access) -> String {
    let user = &access.user;
    // The host keys of the image come after ours: they are used if ours cannot be read.
    let settings = format!(
        "# by goldsmith, for the time of the build\n\
         HostKey /run/goldsmith/host_key\n\
         HostKey /etc/ssh/ssh_host_ed25519_key\n\
         HostKey /etc/ssh/ssh_host_ecdsa_key\n\
         HostKey /etc/ssh/ssh_host_rsa_key\n\
         Match User {user}\n    \
             AuthorizedKeysFile /run/goldsmith/authorized_keys .ssh/authorized_keys\n"
    );
    let file = |path: &str, mode: &str, content: &str| {
        format!("f+~ {path} {mode} root root - {}\n", STANDARD.encode(content))
    };
    [
        "d /run/goldsmith 0755 root root -\n".to_owned(),
        file("/run/goldsmith/host_key", "0600", &access.host_private_key),
        file("/run/goldsmith/authorized_keys", "0644", &format!("{}\n", access.public_key)),
        file(SSH_SETTINGS, "0644", &settings),
        file(SUDO_RULE, "0440", &format!("{user} ALL=(ALL) NOPASSWD:ALL\n")),
        // Copied only if the folder does not exist.
        format!("C /home/{user} 0700 {user} {user} - /etc/skel\n"),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(folder: &Path, name: &str) -> (String, String) {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        let (key, value) = text.split_once('=').unwrap();
        (key.to_owned(), String::from_utf8(STANDARD.decode(value).unwrap()).unwrap())
    }

    #[test]
    fn credentials_define_the_user_and_its_way_in() {
        let folder = tempfile::tempdir().unwrap();
        let access = Access::generate("builder").unwrap();
        write(folder.path(), &access).unwrap();
        write(folder.path(), &access).unwrap();
        let (key, users) = read(folder.path(), FILES[0]);
        assert_eq!(key, "io.systemd.credential.binary:sysusers.extra");
        assert_eq!(users, "u builder 1000 \"image build\" /home/builder /bin/bash\n");
        let (key, files) = read(folder.path(), FILES[1]);
        assert_eq!(key, "io.systemd.credential.binary:tmpfiles.extra");
        let content = |path: &str| {
            let line = files.lines().find(|line| line.contains(path)).unwrap();
            String::from_utf8(STANDARD.decode(line.rsplit(' ').next().unwrap()).unwrap()).unwrap()
        };
        assert_eq!(content("/run/goldsmith/host_key"), access.host_private_key);
        assert_eq!(content("/authorized_keys"), format!("{}\n", access.public_key));
        assert!(content(SSH_SETTINGS).contains("HostKey /run/goldsmith/host_key\n"));
        assert!(!content(SSH_SETTINGS).contains("PRIVATE"));
        assert_eq!(content(SUDO_RULE), "builder ALL=(ALL) NOPASSWD:ALL\n");
    }

    #[test]
    fn credentials_are_readable_by_their_owner_only_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &Access::generate("builder").unwrap()).unwrap();
        for name in FILES {
            let meta = fs::metadata(folder.path().join(name)).unwrap();
            assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{name}");
        }
        remove(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
