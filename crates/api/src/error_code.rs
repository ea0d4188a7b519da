//! The closed set of Goldsmith's error codes.
//!
//! Every code has a page under `docs/errors`. Names are part of the interface and never reused.

use serde::Serialize;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// A stable error code. The name of the variant is the name on the wire and of the page under
/// `docs/errors`. Parsing a name respects case.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
pub enum ErrorCode {
    /// The template is not well-formed JSON.
    InvalidRequestContent,
    /// A field of the template is missing, unknown or has a bad value.
    ValidationFailed,
    /// `source.type` is not a known type.
    BadSourceType,
    /// The catalogue does not contain the platform image.
    BadPIRSource,
    /// The managed image in `source` cannot be used.
    BadManagedImageSource,
    /// The gallery image version in `source` cannot be used.
    BadSharedImageVersionSource,
    /// A customizer's `type` is not a known type.
    BadCustomizerType,
    /// A customizer does not support the source's operating system.
    UnsupportedCustomizerType,
    /// A customizer has no script.
    NoCustomizerScript,
    /// A validator's `type` is not a known type.
    BadValidatorType,
    /// A validator does not support the source's operating system.
    UnsupportedValidatorType,
    /// A validator has no script.
    NoValidatorScript,
    /// A distributor's `type` is not a known type.
    BadDistributeType,
    /// A gallery target cannot be written as the template specifies.
    BadSharedImageDistribute,
    /// The template is valid but uses a feature that Goldsmith does not support.
    UnsupportedFeature,
    /// A script or file of the template could not be fetched.
    ScriptUnreachable,
    /// The SHA-256 of a fetched script or file differs from the one in the template.
    ChecksumMismatch,
    /// The gallery version to create already exists.
    VersionConflict,
    /// The subscription has reached a quota.
    QuotaExceeded,
    /// A file, run, image or cached step on the command line does not exist.
    NotFound,
    /// The object to create already exists, or the object to remove is in use.
    Conflict,
    /// An option has an invalid value.
    InvalidArgument,
    /// An image file is unusable or unsafe.
    BadImage,
    /// A service rejected the login or the token of a command.
    AccessDenied,
    /// The host lacks a tool or capability that the build needs.
    HostNotReady,
    /// The host's disk is too full for the build.
    DiskFull,
    /// The source image could not be downloaded or created.
    SourceUnavailable,
    /// The virtual machine did not become reachable within the limit after its start.
    BootTimeout,
    /// The virtual machine ended during a step.
    GuestStopped,
    /// The virtual machine runs but no longer answers.
    GuestUnreachable,
    /// A customizer failed.
    CustomizerFailed,
    /// A validator failed.
    ValidatorFailed,
    /// The image could not be generalized.
    GeneralizeFailed,
    /// Traces of the build remain in the image after generalization.
    LeftoverFound,
    /// The image could not be optimized, or no longer starts after the optimization.
    OptimizationFailed,
    /// A step exceeded its time limit.
    StepTimedOut,
    /// The build exceeded `buildTimeoutInMinutes`.
    BuildTimeout,
    /// The image was built but could not be distributed.
    DistributeFailed,
    /// The image could not be exported to the requested file.
    ExportFailed,
    /// The user canceled the command.
    Canceled,
    /// A fault in Goldsmith.
    InternalError,
}

impl ErrorCode {
    /// All codes, in the order of the documentation.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The process exit code of a command that ends with this error.
    pub const fn exit_code(self) -> u8 {
        self.outcome().0
    }

    /// Whether the same command may succeed if repeated.
    pub const fn retryable(self) -> bool {
        self.outcome().1
    }

    const fn outcome(self) -> (u8, bool) {
        match self {
            Self::InternalError => (1, false),
            Self::InvalidRequestContent
            | Self::ValidationFailed
            | Self::BadSourceType
            | Self::BadPIRSource
            | Self::BadManagedImageSource
            | Self::BadSharedImageVersionSource
            | Self::BadCustomizerType
            | Self::UnsupportedCustomizerType
            | Self::NoCustomizerScript
            | Self::BadValidatorType
            | Self::UnsupportedValidatorType
            | Self::NoValidatorScript
            | Self::BadDistributeType
            | Self::BadSharedImageDistribute
            | Self::UnsupportedFeature
            | Self::ChecksumMismatch
            | Self::VersionConflict
            | Self::QuotaExceeded
            | Self::NotFound
            | Self::Conflict
            | Self::InvalidArgument
            | Self::BadImage => (3, false),
            Self::ScriptUnreachable => (3, true),
            Self::HostNotReady | Self::DiskFull => (4, false),
            Self::SourceUnavailable => (4, true),
            Self::CustomizerFailed
            | Self::ValidatorFailed
            | Self::GeneralizeFailed
            | Self::LeftoverFound
            | Self::OptimizationFailed => (5, false),
            Self::BootTimeout
            | Self::GuestStopped
            | Self::GuestUnreachable
            | Self::StepTimedOut
            | Self::BuildTimeout => (5, true),
            Self::DistributeFailed | Self::ExportFailed => (6, false),
            Self::AccessDenied => (7, false),
            Self::Canceled => (130, true),
        }
    }
}

#[cfg(test)]
mod tests;
