//! Deployment files: ARM templates, and Bicep files that become ones. They are evaluated here, without a service and
//! without Azure.

mod bicep;
mod eval;
mod file;
mod image;
mod json;
mod offline;
mod parameters;
mod place;
mod read;
mod render;
mod report;

pub(super) use self::{
    file::{File, is_deployment, name},
    image::{Image, image},
    read::{STANDARD_INPUT, text},
};

use super::{Result, Session};
use crate::cli;

pub(super) async fn run(command: cli::DeploymentTemplate, session: Session<'_>) -> Result {
    match command {
        cli::DeploymentTemplate::Eval(args) => eval::run(&args, session.output).await,
        cli::DeploymentTemplate::Render(args) => render::run(&args, session.output).await,
    }
}
