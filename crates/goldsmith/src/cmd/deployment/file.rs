//! A deployment file with its parameters.

use std::path::{Path, PathBuf};

use arm_template::{Limits, Node, Parameters, Plan, Template};

use super::{parameters, place, read::STANDARD_INPUT, report::Report};
use crate::{cli, cmd::Result, output::Output};

/// A deployment file with the values for its parameters.
pub(in crate::cmd) struct File {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) template: Template,
    pub(super) parameters: Parameters,
}

/// Whether a text is a deployment file rather than the body of one resource. A text that is not JSON counts as one if it
/// names the schema, so that the mistake is reported with the rules of its language, which allows comments.
pub(in crate::cmd) fn is_deployment(text: &str) -> bool {
    match Node::parse(text, &Limits::default()) {
        Ok(node) => ["$schema", "resources"].iter().any(|key| node.get(key).is_some()),
        Err(_) => text.to_ascii_lowercase().contains("deploymenttemplate.json"),
    }
}

impl File {
    /// Parses the text of a file. Prints its mistakes.
    pub(in crate::cmd) fn parse(
        path: &Path,
        text: String,
        args: &cli::Deployment,
        output: &Output,
    ) -> Result<Self> {
        let template = Template::parse(&text, &Limits::default())
            .map_err(|error| Report::of_file(path, &text).print(&error, output))?;
        let parameters = parameters::read(&args.parameters, Some(&template), output)?;
        Ok(Self { path: path.to_owned(), text, template, parameters })
    }

    /// The folder of the file.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The plan of its deployment at the place that `args` name. Prints mistakes.
    pub(super) fn plan(&self, args: &cli::Deployment, output: &Output) -> Result<Plan> {
        let facts = place::facts(args, &self.template, &self.name())?;
        self.template.plan(&self.parameters, facts).map_err(|error| {
            let report = self.report();
            let report = match self.missing() {
                Some(hint) => report.hint(hint),
                None => report,
            };
            report.print(&error, output)
        })
    }

    pub(super) fn report(&self) -> Report<'_> {
        Report::of_file(&self.path, &self.text)
    }

    /// The name of the deployment, as `az deployment` chooses it.
    pub(super) fn name(&self) -> String {
        match self.path == Path::new(STANDARD_INPUT) {
            true => "template".to_owned(),
            false => name(&self.path),
        }
    }

    /// Required parameters without a value.
    pub(super) fn open_parameters(&self) -> Vec<String> {
        let declared = self.template.declared_parameters();
        declared
            .filter(|one| one.required && self.parameters.get(&one.name).is_none())
            .map(|one| one.name.to_string())
            .collect()
    }

    /// Advice for [`open_parameters`](Self::open_parameters).
    fn missing(&self) -> Option<String> {
        let open = self.open_parameters();
        let given: Vec<_> = open.iter().map(|name| format!("{name}=VALUE")).collect();
        (!open.is_empty()).then(|| format!("add --parameters {}", given.join(" ")))
    }
}

/// The file's name without its extension.
pub(in crate::cmd) fn name(path: &Path) -> String {
    path.file_stem().map_or_else(|| "template".to_owned(), |name| name.to_string_lossy().into())
}
