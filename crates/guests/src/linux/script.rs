//! A script of a template.

use images::error::{Result, guest_error};
use tokio::io::AsyncRead;
use vm::{Exit, Guest, Stdin};

use crate::output::StepOutput;

/// Takes the script from standard input, so that one round trip transfers and runs it.
///
/// The script's own standard input is empty. The script is removed afterwards, whatever it did. It
/// is stored in the first place where the build user can write and run a file: the template may
/// have hardened /tmp or the home before. The last place belongs to root. `test -x` is false where
/// the file system is mounted `noexec`.
const RUN: &str = r#"
place() {
    f=$(mktemp "$1/goldsmith-script.XXXXXXXXXXXX" 2> /dev/null) || return 1
    chmod 700 "$f" && test -x "$f" && return 0
    rm -f "$f"
    return 1
}
roots() {
    f=$(sudo mktemp /usr/local/lib/goldsmith-script.XXXXXXXXXXXX) && sudo chown "$(id -u)" "$f" && chmod 700 "$f"
}
if place /tmp || place /var/tmp || place "$HOME" || place "/run/user/$(id -u)" || roots; then
    cat > "$f" && "$f" < /dev/null
    r=$?
    rm -f "$f" 2> /dev/null || sudo rm -f "$f"
    exit $r
fi
echo "goldsmith: the build user can write and run a script neither below /tmp, /var/tmp and its home nor, with sudo, below /usr/local/lib" >&2
exit 126"#;

/// Runs a script as the build user. Its output goes to `out`.
///
/// # Errors
/// The connection broke; a script that fails is not an error.
pub async fn run(
    guest: &dyn Guest,
    script: &mut (dyn AsyncRead + Send + Unpin),
    out: &mut StepOutput,
) -> Result<Exit> {
    let ran = guest.run(RUN, Stdin::Reader(script), out).await;
    out.flush().await;
    ran.map_err(guest_error)
}
