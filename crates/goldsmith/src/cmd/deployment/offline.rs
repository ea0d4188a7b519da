//! What an evaluation without a service knows of its surroundings.

use std::cell::Cell;

use arm_template::{
    Answer, Error, Facts, Fault, Kind, Limits, Link, LinkTarget, Linked, Nested, Parameters,
    Question, Surroundings, Template,
};
use vm::may_wait;

use super::{file::File, place, read::bytes, report};
use crate::{cli, failure::Failure, output::Output};

/// Knows the files beside a deployment file, and nothing that is deployed.
pub(super) struct Offline<'a> {
    file: &'a File,
    location: &'a str,
    /// Whether another file was read. Places of errors may be those of that one.
    followed: Cell<bool>,
}

impl<'a> Offline<'a> {
    pub(super) fn new(file: &'a File, args: &'a cli::Deployment) -> Self {
        Self { file, location: place::location(args), followed: Cell::new(false) }
    }

    /// Prints an error of the evaluation. Returns the failure of the command.
    pub(super) fn report(&self, error: &Error, output: &Output) -> Failure {
        if !self.followed.get() {
            return self.file.report().print(error, output);
        }
        let error = images::error::Error::new(report::code(error.kind), error.to_string());
        error.target(self.file.path.display().to_string()).into()
    }

    /// The text of a linked file; `None` if the link is not a path of this host.
    fn read(&self, link: &Link) -> Result<Option<String>, Error> {
        let LinkTarget::RelativePath(relative) = &link.target else { return Ok(None) };
        self.followed.set(true);
        let path = self.file.folder().join(&**relative);
        let failed = |cause: &dyn std::fmt::Display| {
            let message = format!("The linked file {} can't be read: {cause}", path.display());
            Error::new(Kind::Template, message, None)
        };
        let bytes = may_wait(|| bytes(&path)).map_err(|e| failed(&e))?;
        String::from_utf8(bytes).map(Some).map_err(|e| failed(&e))
    }
}

impl Surroundings for Offline<'_> {
    fn ask(&self, _question: &Question) -> Result<Answer, Fault> {
        Ok(Answer::Pending)
    }

    fn facts(&self, facts: Facts) -> Facts {
        place::with_group(facts, self.location)
    }

    fn linked(&self, nested: &Nested) -> Result<Option<Linked>, Error> {
        let mut linked = Linked::default();
        if let Some(link) = &nested.template_link {
            let Some(text) = self.read(link)? else { return Ok(None) };
            linked.template = Some(Template::parse(&text, &Limits::default())?);
        }
        if let Some(link) = &nested.parameters_link {
            let Some(text) = self.read(link)? else { return Ok(None) };
            linked.parameters = Some(Parameters::parse(&text, &Limits::default())?);
        }
        Ok(Some(linked))
    }
}
