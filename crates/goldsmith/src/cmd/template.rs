//! Reads a template file and displays its mistakes with excerpts.

use std::path::{Path, PathBuf};

use api::{
    ErrorCode,
    template::{ApiVersion, Face, ParseOptions, Severity},
};
use engine::{
    build::{CLOUD_INIT_TAG, Input},
    template::Template,
};
use images::error::Error;

use super::{
    Failure, Result,
    deployment::{self, Image, STANDARD_INPUT},
};
use crate::{cli, output::Output};

/// Reads the template and prints all its mistakes. Returns a template only if it has no errors.
pub(crate) async fn read(args: &cli::Template, output: &Output) -> Result<Input> {
    // For a template from standard input, paths of scripts are relative to the current folder.
    let file = match args.file == Path::new(STANDARD_INPUT) {
        true => Path::new("template.json"),
        false => &args.file,
    };
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let text = deployment::text(&args.file).await?;
    let image = match deployment::is_deployment(&text) {
        true => {
            let file = deployment::File::parse(&args.file, text, &args.deployment, output)?;
            deployment::image(&file, args.name.as_deref(), &args.deployment, output)?
        }
        false => {
            refuse_options(args)?;
            let title = args.file.display().to_string();
            Image { title, name: deployment::name(&path), text, secure: false }
        }
    };
    let template = template(&image, args, output)?;
    Ok(Input {
        fetch: sources::fetch::Limits::default(),
        metadata: None,
        name: image.name,
        template,
        base_dir: path.parent().map_or_else(PathBuf::new, Path::to_owned),
    })
}

/// Rejects options that mean something for deployment files only.
fn refuse_options(args: &cli::Template) -> Result<()> {
    let flag = args.name.as_ref().map(|_| "--template").or(args.deployment.given());
    let Some(flag) = flag else { return Ok(()) };
    let message = format!("{} is an image template, not a deployment file", args.file.display());
    Err(Error::new(ErrorCode::InvalidArgument, message)
        .target(flag)
        .hint(format!("leave out {flag}: an image template has no parameters"))
        .into())
}

fn template(image: &Image, args: &cli::Template, output: &Output) -> Result<Template> {
    let api_version = match &args.api_version {
        None => None,
        Some(version) => Some(version.parse::<ApiVersion>().map_err(|e| {
            Error::new(ErrorCode::InvalidArgument, e.to_string()).target("--api-version")
        })?),
    };
    let options = ParseOptions { api_version, face: Face::File };
    let parsed = engine::template::parse(&image.text, &options);
    let excerpt = (!image.secure).then_some(&*image.text);
    output.diagnostics(&image.title, excerpt, &parsed.diagnostics);
    let Some(mut template) = parsed.template else {
        let first = parsed.diagnostics.iter().find(|d| d.severity == Severity::Error);
        return Err(Failure::printed(first.map_or(ErrorCode::ValidationFailed, |d| d.code)));
    };
    if args.cloud_init {
        template.tags.retain(|name, _| !name.eq_ignore_ascii_case(CLOUD_INIT_TAG));
        template.tags.insert(CLOUD_INIT_TAG.to_owned(), "true".to_owned());
    }
    Ok(template)
}
