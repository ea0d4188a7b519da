//! The plan of a deployment.

use std::{fmt, sync::Arc};

use super::{
    depend,
    expand::Expansion,
    facts::Facts,
    given::Parameters,
    graph::Graph,
    names::Names,
    read::Template,
    resource::{Resource, Undetermined},
    runtime::Runtime,
    session::{Deployed, Progress, Session, budget},
};
use arm_expression::{Context, Error, Iteration, Kind, Place, Value};

/// What a template means with its parameters: resources whose ids and dependencies are known. A clone shares the
/// contents.
#[derive(Clone)]
pub struct Plan(pub(super) Arc<Parts>);

pub(super) struct Parts {
    /// The names that expressions use: for a nested deployment with an outer scope, those of the deployment around it.
    pub(super) names: Arc<Names>,
    /// The template whose resources and outputs these are.
    pub(super) template: Template,
    pub(super) facts: Facts,
    /// The copy loops that are open around the whole template.
    pub(super) iterations: Vec<Iteration>,
    pub(super) graph: Arc<Graph>,
    order: Vec<usize>,
    undetermined: Vec<Undetermined>,
    parameters: Vec<PlanParameter>,
}

/// A parameter with the value that the deployment uses, as answers show it.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanParameter {
    /// The name as the template spells it.
    pub name: Arc<str>,
    /// The type as Azure's answers spell it, such as `SecureString`.
    pub type_name: &'static str,
    /// The value; absent if it is secure, or not known yet.
    pub value: Option<Value>,
}

impl Template {
    /// Evaluates everything that needs no deployed resource: parameters, loops, conditions, names, scopes, dependencies.
    ///
    /// # Errors
    ///
    /// [`Kind::Parameter`] for parameters that are missing, superfluous, or break a rule of their declaration;
    /// [`Kind::Template`], [`Kind::Syntax`] and [`Kind::Evaluation`] for the template and its expressions;
    /// [`Kind::Unsupported`] for what this library does not have; [`Kind::Limit`] for what is too much.
    pub fn plan(&self, parameters: &Parameters, facts: Facts) -> Result<Plan, Error> {
        let names = Names::new(self.clone(), facts.clone(), parameters.clone())?;
        let parameters = evaluate_parameters(&names)?;
        let plan = Parts::new(Arc::new(names), self.clone(), facts, Vec::new(), None)?;
        Ok(Plan(Arc::new(Parts { parameters, ..plan })))
    }
}

/// Evaluates all parameters, so that the mistakes of unused ones are found.
fn evaluate_parameters(names: &Names) -> Result<Vec<PlanParameter>, Error> {
    let (budget, progress) = (budget(&names.facts), Progress::default());
    let session = Session::new(names, &budget, &progress, Place::Resource, None);
    let definitions = names.template.definitions();
    let shown = names.template.parameters().iter().map(|declared| {
        let value = match session.parameter(&declared.name) {
            Ok(value) if value.secure => None,
            Ok(value) => Some(value.value),
            Err(fault) if names.facts.preview && fault.kind() == Kind::Pending => None,
            Err(fault) => return Err(fault.at(Some(declared.position))),
        };
        let type_name = definitions.type_name(&declared.of);
        Ok(PlanParameter { name: declared.name.clone(), type_name, value })
    });
    shown.collect()
}

impl Parts {
    /// The resources of a template, with no parameters of its own.
    pub(super) fn new(
        names: Arc<Names>,
        template: Template,
        facts: Facts,
        iterations: Vec<Iteration>,
        outer: Option<Arc<Graph>>,
    ) -> Result<Self, Error> {
        let (budget, progress) = (budget(&facts), Progress::default());
        let session = Session::new(&names, &budget, &progress, Place::Resource, None);
        let mut expansion = Expansion::new(&session, &facts);
        for declaration in template.resources() {
            expansion.declare(declaration, &iterations)?;
        }
        let Expansion { resources, undetermined, loops, .. } = expansion;
        let mut graph = Graph::new(resources, &loops, facts.scope.to_string());
        depend::refuse_doubles(&graph)?;
        depend::connect(&mut graph, &session, &undetermined)?;
        let order = depend::order(&graph.resources)?;
        graph.outer = outer;
        drop(session);
        let parameters = Vec::new();
        let graph = Arc::new(graph);
        Ok(Self { names, template, facts, iterations, graph, order, undetermined, parameters })
    }

    /// Evaluates something at the time of deployment.
    pub(super) fn with_session<T>(
        &self,
        place: Place,
        runtime: &dyn Runtime,
        own: Option<&Resource>,
        evaluate: impl FnOnce(&Session<'_>) -> T,
    ) -> T {
        let (budget, progress) = (budget(&self.facts), Progress::default());
        let own = own.map(|resource| (&resource.id, &resource.api_version));
        let deployed = Deployed { runtime, graph: &self.graph, own };
        evaluate(&Session::new(&self.names, &budget, &progress, place, Some(deployed)))
    }
}

impl Plan {
    /// The facts of the deployment.
    pub fn facts(&self) -> &Facts {
        &self.0.facts
    }

    /// The template.
    pub fn template(&self) -> &Template {
        &self.0.template
    }

    /// The parameters in the order of the template. A nested deployment with an outer scope has none.
    pub fn parameters(&self) -> &[PlanParameter] {
        &self.0.parameters
    }

    /// The resources in the order of the template, each iteration of a loop for itself.
    pub fn resources(&self) -> &[Resource] {
        &self.0.graph.resources
    }

    /// The places of all [resources](Self::resources) in an order in which dependencies come first.
    pub fn order(&self) -> &[usize] {
        &self.0.order
    }

    /// What cannot be determined because a parameter is [unknown](super::Given::Unknown), or a fact is.
    pub fn undetermined(&self) -> &[Undetermined] {
        &self.0.undetermined
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("facts", &self.0.facts)
            .field("resources", &self.0.graph.resources)
            .finish_non_exhaustive()
    }
}
