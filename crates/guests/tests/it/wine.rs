//! What is for `cmd.exe`, tried with the one that Wine's authors wrote. Wine's PowerShell does nothing
//! and succeeds, so that it is replaced here.

use std::{
    io::Cursor,
    path::{Path, PathBuf},
    time::Duration,
};

use api::ErrorCode;
use guests::windows::script::{Rights, Script};
use tokio_util::sync::CancellationToken;
use vm::proc::{self, Command, find_program};

use crate::stage::Stage;

const JOB: &str = include_str!("../../src/windows/scripts/job.cmd");
/// Where Debian's package has it.
const DEBIAN: &str = "/usr/lib/wine/wine64";
const DEADLINE: Duration = Duration::from_secs(300);

struct Wine {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Wine {
    fn find() -> Option<Self> {
        let debian = PathBuf::from(DEBIAN);
        let program = find_program("wine64").or_else(|| debian.exists().then_some(debian));
        if program.is_none() {
            println!("skipped: there is no wine64; scripts/setup.sh --test installs it");
        }
        Some(Self { program: program?, folder: tempfile::tempdir().unwrap() })
    }

    /// Runs a command line in its `cmd.exe`; returns its exit code, of which Linux has 8 bits, and its
    /// output.
    async fn cmd(&self, line: &str) -> (i32, String) {
        let ran = Command::new(&self.program)
            .args(["cmd", "/d", "/c", line])
            .env("WINEPREFIX", self.folder.path().join("prefix"))
            .env("WINEDEBUG", "-all")
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
            .cwd(self.folder.path())
            .run(&CancellationToken::new(), Some(DEADLINE))
            .await;
        match ran {
            Ok(output) => (0, output.stdout),
            Err(proc::Error::Failed { status, .. }) => (status.code().unwrap(), String::new()),
            Err(error) => panic!("{error}"),
        }
    }

    /// A path of this host as Wine names it.
    fn path(path: &Path) -> String {
        format!("Z:{}", path.display()).replace('/', "\\")
    }

    /// Runs the batch file of a job whose PowerShell is `instead`; returns its output and exit code.
    async fn job(&self, instead: &str) -> (String, String) {
        let job = tempfile::tempdir_in(self.folder.path()).unwrap();
        let (begin, rest) = JOB.split_once("\"%SystemRoot%").unwrap();
        let (_, end) = rest.split_once("\"%~dp0launch.ps1\"").unwrap();
        let batch = format!("{begin}{instead}{end}").replace('\n', "\r\n");
        std::fs::write(job.path().join("job.cmd"), batch).unwrap();
        self.cmd(&Self::path(&job.path().join("job.cmd"))).await;
        let read = |name: &str| std::fs::read_to_string(job.path().join(name)).unwrap();
        assert!(!job.path().join("code").exists(), "the file of the code has its last name");
        (read("output"), read("exit").trim().to_owned())
    }
}

#[tokio::test]
async fn batch_file_of_a_job_keeps_output_and_exit_code() {
    let Some(wine) = Wine::find() else { return };
    for code in ["0", "1", "9", "3010", "-1", "-1073741510"] {
        let instead = format!("cmd /c \"echo out& echo err 1>&2& exit {code}\"");
        let (output, exit) = wine.job(&instead).await;
        assert_eq!(exit, code);
        let lines: Vec<&str> = output.lines().map(str::trim).collect();
        assert_eq!(lines, ["out", "err"]);
    }
}

#[tokio::test]
async fn command_lines_reach_programs_as_they_are_meant() {
    let Some(wine) = Wine::find() else { return };
    let mut stage = Stage::with(|call| call.say(&["starts"])).await;
    let mut content = Cursor::new("exit 0");
    let (rights, failure) = (Rights::Plain, ErrorCode::CustomizerFailed);
    let (at, out) = stage.parts();
    Script { content: &mut content, rights, failure }.run(at, out).await.unwrap();
    let [run, delete] = &stage.fake.commands()[..] else { panic!("two commands") };

    let arguments = run.strip_prefix("powershell.exe ").unwrap();
    let (code, echoed) = wine.cmd(&format!("echo {arguments}")).await;
    assert_eq!((code, echoed.trim_end()), (0, arguments), "nothing in it is for cmd.exe");

    let file = delete.split("%SystemRoot%").nth(1).unwrap();
    let (made, there) =
        (format!("echo x>%SystemRoot%{file}"), format!("if exist %SystemRoot%{file} exit 7"));
    wine.cmd(&made).await;
    assert_eq!(wine.cmd(&there).await.0, 7);
    assert_eq!(wine.cmd(delete).await.0, 0);
    assert_eq!(wine.cmd(&there).await.0, 0, "{delete}");
}
