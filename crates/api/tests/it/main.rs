//! The grammar with kinds of a test, and what does not depend on kinds.

#![allow(clippy::unwrap_used, reason = "tests")]

mod json;
mod kinds;
mod versions;

use api::template::{Face, Kinds, ParseOptions};

use self::kinds::{SHELF, STAMP, Shelf, Stamp};

type Parsed = api::template::Parsed<Stamp, Shelf>;

/// Parses a request to the service with one kind of steps and one of targets.
fn serve(text: &str) -> Parsed {
    parse(text, Face::Service)
}

/// Parses a file on the command line.
fn file(text: &str) -> Parsed {
    parse(text, Face::File)
}

fn parse(text: &str, face: Face) -> Parsed {
    let kinds = Kinds { customizers: &[STAMP], validators: &[STAMP], distributors: &[SHELF] };
    api::template::parse(text, &ParseOptions { api_version: None, face }, &kinds)
}
