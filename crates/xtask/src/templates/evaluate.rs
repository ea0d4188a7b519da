//! One deployment file, evaluated with everything nested in it, without anything deployed.

use std::path::{Path, PathBuf};

use arm_template::{
    Answer, Error, Facts, Fault, Given, Kind, Limits, Link, LinkTarget, Linked, Nested, Object,
    Parameters, Question, Rendered, RenderedNested, Schema, Scope, Surroundings, Template, Value,
};

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";
/// The instant of `utcNow()`. It is fixed, so that two runs can be compared.
const NOW: &str = "2026-01-02T03:04:05Z";

/// Where the files are deployed in theory.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) group: String,
    pub(crate) deployment: String,
    pub(crate) location: String,
}

impl Default for Place {
    fn default() -> Self {
        Self { group: "images".into(), deployment: "d1".into(), location: "westus".into() }
    }
}

/// How much a deployment file contains.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Resources that would be deployed, at all levels, without nested deployments.
    pub(crate) resources: usize,
    pub(crate) nested: usize,
    pub(crate) outputs: usize,
    /// Nested deployments whose template is not there, or not known yet.
    pub(crate) absent: usize,
    /// Resources of which it is not known whether, how often or with which name they would be deployed.
    pub(crate) undetermined: usize,
}

impl Counts {
    pub(crate) fn of(rendered: &Rendered) -> Self {
        let mut counts = Self { outputs: rendered.outputs.len(), ..Self::default() };
        for deployment in rendered.deployments() {
            counts.undetermined += deployment.plan.undetermined().len();
            for resource in &deployment.resources {
                match &resource.nested {
                    None => counts.resources += 1,
                    Some(RenderedNested::Tree(_)) => counts.nested += 1,
                    Some(RenderedNested::Linked(_) | RenderedNested::Pending(_)) => {
                        counts.nested += 1;
                        counts.absent += 1;
                    }
                }
            }
        }
        counts
    }
}

/// Evaluates a file. Links are read relative to `folder`. Secrets of key vaults are not known; neither are
/// parameters without a value, if `unknown` is set.
pub(crate) fn evaluate(
    text: &str,
    mut parameters: Parameters,
    unknown: bool,
    place: &Place,
    folder: &Path,
) -> Result<Rendered, Error> {
    let template = Template::parse(text, &Limits::default())?;
    let secrets = parameters.iter().filter(|(_, given)| matches!(given, Given::Secret(_)));
    let mut hidden: Vec<_> = secrets.map(|(name, _)| name.clone()).collect();
    if unknown {
        let required = template.declared_parameters().filter(|declared| declared.required);
        let names = required.map(|declared| declared.name.clone());
        hidden.extend(names.filter(|name| parameters.get(name).is_none()));
    }
    for name in hidden {
        parameters.set(name, Given::Unknown);
    }
    let facts = facts(template.schema(), place)?;
    let surroundings = Folder { path: folder.to_owned(), location: place.location.clone() };
    let rendered = template.plan(&parameters, surroundings.facts(facts))?.render(&surroundings)?;
    // A mistake in an output is a mistake of the file.
    let mut errors = rendered.deployments().into_iter().flat_map(|one| &one.output_errors);
    match errors.next() {
        Some(wrong) => Err(wrong.error.clone()),
        None => Ok(rendered),
    }
}

fn facts(schema: Schema, place: &Place) -> Result<Facts, Error> {
    let scope = match schema {
        Schema::ResourceGroup => Scope::ResourceGroup {
            subscription: SUBSCRIPTION.into(),
            name: place.group.as_str().into(),
        },
        Schema::Subscription => Scope::Subscription(SUBSCRIPTION.into()),
        Schema::ManagementGroup => Scope::ManagementGroup("mg".into()),
        Schema::Tenant => Scope::Tenant,
    };
    let now = NOW.parse().map_err(|_| Error::new(Kind::Evaluation, "NOW is no instant", None))?;
    let location = (schema != Schema::ResourceGroup).then(|| place.location.as_str().into());
    let facts = Facts::new(&place.deployment, scope, now);
    Ok(Facts { location, preview: true, ..facts })
}

/// A folder, and resource groups in one location.
struct Folder {
    path: PathBuf,
    location: String,
}

impl Surroundings for Folder {
    fn ask(&self, _question: &Question) -> Result<Answer, Fault> {
        Ok(Answer::Pending)
    }

    fn facts(&self, facts: Facts) -> Facts {
        if facts.resource_group.is_some() {
            return facts;
        }
        let group = facts.scope.resource_group().map(|name| {
            let members = [
                ("id", facts.scope.to_string()),
                ("name", name.to_string()),
                ("type", "Microsoft.Resources/resourceGroups".to_owned()),
                ("location", self.location.clone()),
            ];
            members.into_iter().map(|(key, text)| (key, Value::from(text))).collect::<Object>()
        });
        Facts { resource_group: group.map(Value::Object), ..facts }
    }

    fn linked(&self, nested: &Nested) -> Result<Option<Linked>, Error> {
        let limits = Limits::default();
        let (mut linked, mut found) = (Linked::default(), true);
        if let Some(link) = &nested.template_link {
            match self.read(link)? {
                Some(text) => linked.template = Some(Template::parse(&text, &limits)?),
                None => found = false,
            }
        }
        if let Some(link) = &nested.parameters_link {
            match self.read(link)? {
                Some(text) => linked.parameters = Some(Parameters::parse(&text, &limits)?),
                None => found = false,
            }
        }
        Ok(found.then_some(linked))
    }
}

impl Folder {
    /// The text of a linked file of this folder; `None` for other links, which nothing fetches.
    fn read(&self, link: &Link) -> Result<Option<String>, Error> {
        let LinkTarget::RelativePath(path) = &link.target else { return Ok(None) };
        let text = std::fs::read_to_string(self.path.join(&**path));
        text.map(Some)
            .map_err(|error| Error::new(Kind::Unsupported, format!("{path}: {error}"), None))
    }
}
