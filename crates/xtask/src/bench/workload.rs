//! The five steps, in the formats of both sides.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{VM_SIZE, write};
use crate::Result;

/// A small version of the example's steps: a setting, a package installation, a file, a script, a page.
#[derive(Clone)]
pub(super) struct Workload {
    pub(super) steps: Vec<Step>,
}

#[derive(Clone)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) work: Work,
}

#[derive(Clone)]
pub(super) enum Work {
    Shell(Vec<String>),
    File { content: String, destination: &'static str },
}

const SITE: &str = "server { listen 80 default_server; root /srv/www; index index.html; }";

impl Workload {
    /// The steps, with a unique first line.
    pub(super) fn new(run: u64) -> Self {
        let shell = |name, lines: &[&str]| Step {
            name,
            work: Work::Shell(lines.iter().map(|line| (*line).to_owned()).collect()),
        };
        let page = format!("<title>bench</title>{}", "<p>All work and no play.</p>\n".repeat(400));
        let mut workload = Self {
            steps: vec![
                shell(
                    "configure",
                    &["echo 'Measured.' | sudo tee /etc/motd", "sudo mkdir -p /srv/www"],
                ),
                shell(
                    "install-nginx",
                    &[
                        "sudo apt-get -q update",
                        "sudo DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 install --no-install-recommends nginx-light",
                        "sudo apt-get clean",
                    ],
                ),
                Step {
                    name: "page",
                    work: Work::File { content: page, destination: "/tmp/index.html" },
                },
                shell(
                    "site",
                    &[
                        "sudo install -D -m 0644 /tmp/index.html /srv/www/index.html",
                        &format!("echo '{SITE}' | sudo tee /etc/nginx/sites-available/www"),
                        "sudo rm -f /etc/nginx/sites-enabled/default",
                        "sudo ln -sf ../sites-available/www /etc/nginx/sites-enabled/www",
                        "sudo nginx -t",
                    ],
                ),
                shell("stamp", &["uname -r | sudo tee /srv/www/kernel.txt"]),
            ],
        };
        workload.touch(0, run);
        workload
    }

    /// Changes the text of a step but not its effect.
    pub(super) fn touch(&mut self, step: usize, run: u64) {
        if let Some(Work::Shell(lines)) = self.steps.get_mut(step).map(|step| &mut step.work) {
            lines.insert(0, format!("# run {run}"));
        }
    }

    /// Writes the files of an Azure image template and returns its text.
    pub(super) fn write_template(&self, path: &Path) -> Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut customize = Vec::new();
        for step in &self.steps {
            customize.push(match &step.work {
                Work::Shell(lines) => json!({ "type": "Shell", "name": step.name, "inline": lines }),
                Work::File { content, destination } => {
                    write(&folder.join(step.name), content)?;
                    json!({ "type": "File", "name": step.name, "sourceUri": step.name, "destination": destination })
                }
            });
        }
        write(path, &format!("{:#}\n", template(&Value::Array(customize), VM_SIZE)))
    }

    /// Packer's provisioners. Their files are written to `folder`.
    pub(super) fn packer_provisioners(&self, folder: &Path) -> Result<Vec<Value>> {
        let mut provisioners = Vec::new();
        for step in &self.steps {
            provisioners.push(match &step.work {
                Work::Shell(lines) => json!({ "type": "shell", "inline": lines }),
                Work::File { content, destination } => {
                    let file = folder.join(step.name);
                    write(&file, content)?;
                    json!({ "type": "file", "source": file, "destination": destination })
                }
            });
        }
        Ok(provisioners)
    }
}

/// A template with these customizers, for a machine of that size; `[]` builds the plain source image.
pub(super) fn template(customize: &Value, vm_size: &str) -> Value {
    let scope =
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/bench/providers";
    json!({
        "type": "Microsoft.VirtualMachineImages/imageTemplates",
        "apiVersion": "2024-02-01",
        "location": "westeurope",
        "identity": {
            "type": "UserAssigned",
            "userAssignedIdentities": {
                format!("{scope}/Microsoft.ManagedIdentity/userAssignedIdentities/bench"): {}
            }
        },
        "properties": {
            "vmProfile": { "vmSize": vm_size },
            "source": {
                "type": "PlatformImage",
                "publisher": "Debian",
                "offer": "debian-12",
                "sku": "12-gen2",
                "version": "latest"
            },
            "customize": customize,
            "distribute": [{
                "type": "ManagedImage",
                "runOutputName": "bench",
                "location": "westeurope",
                "imageId": format!("{scope}/Microsoft.Compute/images/bench")
            }]
        }
    })
}

/// Reads goldsmith's generalization script, so that both sides end with the same work.
pub(super) fn generalization(repository: &Path) -> Result<String> {
    let path = repository.join("crates/guests/src/linux/generalize.sh");
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_told_the_same_five_steps() {
        let folder = tempfile::tempdir().unwrap();
        let workload = Workload::new(7);
        let path = folder.path().join("template.json");
        workload.write_template(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let template: Value = serde_json::from_str(&text).unwrap();
        let customize = template["properties"]["customize"].as_array().unwrap();
        let provisioners = workload.packer_provisioners(folder.path()).unwrap();
        assert_eq!((customize.len(), provisioners.len()), (5, 5));
        for (ours, theirs) in customize.iter().zip(&provisioners) {
            assert_eq!(ours["inline"], theirs["inline"]);
            assert_eq!(ours["destination"], theirs["destination"]);
        }
        assert!(folder.path().join("page").exists());
        assert_eq!(customize[0]["inline"][0], "# run 7");
    }

    #[test]
    fn a_touched_step_is_the_only_one_that_differs() {
        let first = Workload::new(7);
        let mut second = first.clone();
        second.touch(4, 8);
        let folder = tempfile::tempdir().unwrap();
        let before = first.packer_provisioners(folder.path()).unwrap();
        let after = second.packer_provisioners(folder.path()).unwrap();
        assert_eq!(before[..4], after[..4]);
        assert_ne!(before[4], after[4]);
    }
}
