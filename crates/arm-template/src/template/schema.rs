//! The scope and the dialect that a template declares.

use super::reading::{self, wrong};
use arm_expression::{Error, Kind, Node};

/// The scope that a template is written for, by its `$schema`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Schema {
    /// `deploymentTemplate.json`
    ResourceGroup,
    /// `subscriptionDeploymentTemplate.json`
    Subscription,
    /// `managementGroupDeploymentTemplate.json`
    ManagementGroup,
    /// `tenantDeploymentTemplate.json`
    Tenant,
}

impl Schema {
    /// The version dates of a schema do not matter.
    pub(super) fn read(template: &Node) -> Result<Self, Error> {
        let node = reading::required(template, "$schema")?;
        let text = reading::literal_text(node, "$schema").map_err(|e| e.within_key("$schema"))?;
        let file = text.trim_end_matches('#').rsplit('/').next().unwrap_or_default();
        match file.to_ascii_lowercase().as_str() {
            "deploymenttemplate.json" => Ok(Self::ResourceGroup),
            "subscriptiondeploymenttemplate.json" => Ok(Self::Subscription),
            "managementgroupdeploymenttemplate.json" => Ok(Self::ManagementGroup),
            "tenantdeploymenttemplate.json" => Ok(Self::Tenant),
            _ => {
                let message = format!("The template schema '{text}' is not supported");
                Err(wrong(node, message).within_key("$schema"))
            }
        }
    }
}

/// Whether a template uses symbolic names, by its `languageVersion`.
pub(super) fn is_symbolic(template: &Node) -> Result<bool, Error> {
    let Some(node) = template.get("languageVersion").filter(|node| !node.is_null()) else {
        return Ok(false);
    };
    let version = reading::literal_text(node, "languageVersion")?;
    if ["2.0", "1.9-experimental", "1.10-experimental"].contains(&&*version) {
        return Ok(true);
    }
    let message = format!("The template language version '{version}' is not supported");
    Err(Error::new(Kind::Unsupported, message, Some(node.position)).within_key("languageVersion"))
}
