//! The options of commands that evaluate deployment files.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum DeploymentTemplate {
    /// Evaluate an expression of the template language and print its value as JSON
    Eval(Eval),
    /// Evaluate a deployment file and print its resources and outputs, and what only a deployment can
    /// tell; nothing is deployed
    Render(Render),
}

#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// The expression, with or without its square brackets, such as "toUpper('a')"
    #[arg(value_name = "EXPRESSION", allow_hyphen_values = true)]
    pub(crate) expression: String,
    /// Deployment file (ARM template or Bicep) whose parameters, variables and functions the
    /// expression can name
    #[arg(long, value_name = "FILE")]
    pub(crate) template: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) deployment: Deployment,
}

#[derive(Debug, Args)]
pub(crate) struct Render {
    /// Deployment file: an ARM template (JSON), Bicep, or - for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) deployment: Deployment,
}

/// What a deployment file is evaluated with.
#[derive(Debug, Args)]
pub(crate) struct Deployment {
    /// Values for the parameters of a deployment file: a parameters file, NAME=VALUE, or NAME=@FILE;
    /// several may follow, and later ones win
    #[arg(long, value_name = "FILE|NAME=VALUE", num_args = 1..)]
    pub(crate) parameters: Vec<String>,
    /// Subscription of the deployment [default: 00000000-0000-0000-0000-000000000000]
    #[arg(long, value_name = "ID")]
    pub(crate) subscription: Option<String>,
    /// Resource group of the deployment [default: goldsmith]
    #[arg(long, value_name = "NAME")]
    pub(crate) resource_group: Option<String>,
    /// Location of the resource group, or of a deployment to a subscription [default: westus2]
    #[arg(long, value_name = "REGION")]
    pub(crate) location: Option<String>,
}

impl Deployment {
    /// The option that is given, if one is.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let Self { parameters, subscription, resource_group, location } = self;
        [
            (!parameters.is_empty(), "--parameters"),
            (subscription.is_some(), "--subscription"),
            (resource_group.is_some(), "--resource-group"),
            (location.is_some(), "--location"),
        ]
        .into_iter()
        .find_map(|(given, flag)| given.then_some(flag))
    }
}
