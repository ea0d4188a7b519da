//! Chores of the repository: `cargo xtask tidy` checks its rules, `cargo xtask conformance` lists the
//! statements of the contract that tests prove, `cargo xtask templates` evaluates deployment files, and
//! `cargo xtask bench` compares goldsmith with Packer.
//! Uses the product only through its command line, except for the pure libraries `arm-template` and `authorization`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the output is the result")]
#![allow(clippy::disallowed_methods, reason = "not part of the product, and single-threaded")]

mod bench;
mod conformance;
mod finding;
mod templates;
mod tidy;
mod tree;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The error is a sentence.
type Result<T> = std::result::Result<T, String>;

const USAGE: &str = "usage: cargo xtask tidy
       cargo xtask conformance
       cargo xtask templates FOLDER [--parameters FILE] [--group NAME] [--deployment NAME] [--location NAME] [--unknown] [--list]
       cargo xtask bench [--accel tcg|kvm] [--runs N] [--packer-qemu own|goldsmith] [--only packer|floor|goldsmith] [--image QCOW2]
       cargo xtask bench-template [--accel tcg|kvm] [--only SCENARIO] [--goldsmith FILE]
       cargo xtask bench-deployments evaluate [FILE [--parameters FILE]] [--runs N] [--program FILE]
       cargo xtask bench-authorization
       cargo xtask bench-replication [--gib N] [--goldsmith PROGRAM] [--dir FOLDER]
       cargo xtask bench-vhd [--content-gib N] [--goldsmith PROGRAM] [--dir FOLDER]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["tidy"] => tidy::run(&repository()),
        ["conformance"] => conformance::run(&repository()),
        ["templates", options @ ..] => {
            templates::Options::parse(options).and_then(|options| templates::run(&options))
        }
        ["bench", options @ ..] => {
            bench::Options::parse(options).and_then(|options| bench::run(&repository(), &options))
        }
        ["bench-template", options @ ..] => bench::template::Options::parse(options)
            .and_then(|options| bench::template::run(&repository(), &options)),
        ["bench-deployments", "evaluate", options @ ..] => {
            bench::evaluation::Options::parse(options)
                .and_then(|options| bench::evaluation::run(&repository(), &options))
        }
        ["bench-authorization"] => bench::authorization::run(&repository()),
        ["bench-replication", options @ ..] => bench::replication::Options::parse(options)
            .and_then(|options| bench::replication::run(&repository(), &options)),
        ["bench-vhd", options @ ..] => bench::vhd::Options::parse(options)
            .and_then(|options| bench::vhd::run(&repository(), &options)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The repository this program was compiled in.
fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}
