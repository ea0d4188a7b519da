//! The seed of a machine, if it gets one.
//!
//! Without a NoCloud seed, cloud-init finds no data source and switches itself off, which saves a large part
//! of a first boot; it then runs for the first time on a machine of the image's users.

use std::path::PathBuf;

use images::first_contact::FirstContact;

/// The seed of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seeding {
    /// None.
    Nothing,
    /// One that the machine had before.
    Known(PathBuf),
    /// Lets cloud-init do what it does on a machine of the image's users.
    Plain,
    /// Has cloud-init make the build user. `network`: and set up the network cards.
    User { network: bool },
}

impl Seeding {
    /// For the first boot of a build. `runs_cloud_init`: the template's scripts rely on what
    /// cloud-init does.
    pub(super) fn of_build(image: &FirstContact, runs_cloud_init: bool) -> Self {
        match image {
            FirstContact::CloudInit | FirstContact::Unattend | FirstContact::CloudbaseInit => {
                Self::User { network: true }
            }
            FirstContact::Credentials if runs_cloud_init => Self::User { network: false },
            FirstContact::Credentials | FirstContact::Specialized(_) => Self::Nothing,
        }
    }

    /// For a new machine of a finished image, which boots as its users' machines do.
    pub(super) fn of_image(image: &FirstContact) -> Self {
        match image {
            FirstContact::CloudInit | FirstContact::Unattend | FirstContact::CloudbaseInit => {
                Self::User { network: true }
            }
            FirstContact::Credentials => Self::Plain,
            FirstContact::Specialized(_) => Self::Nothing,
        }
    }

    /// As the first boot of a node did it.
    pub(super) fn of_node(seed: PathBuf) -> Self {
        if vm::may_wait(|| seed.exists()) { Self::Known(seed) } else { Self::Nothing }
    }

    /// The way that is left if this one fails, for a machine that has not booted before.
    pub(super) fn second(&self) -> Option<Self> {
        matches!(self, Self::Nothing | Self::Plain).then_some(Self::User { network: true })
    }
}
