//! The closed set of Goldsmith's error codes.
//!
//! Every code has a page under `docs/errors`. Names are part of the interface and never reused.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A stable error code. The name of the variant is the name on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
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
    pub const ALL: &[Self] = &[
        Self::InvalidRequestContent,
        Self::ValidationFailed,
        Self::BadSourceType,
        Self::BadPIRSource,
        Self::BadManagedImageSource,
        Self::BadSharedImageVersionSource,
        Self::BadCustomizerType,
        Self::UnsupportedCustomizerType,
        Self::NoCustomizerScript,
        Self::BadValidatorType,
        Self::UnsupportedValidatorType,
        Self::NoValidatorScript,
        Self::BadDistributeType,
        Self::BadSharedImageDistribute,
        Self::UnsupportedFeature,
        Self::ScriptUnreachable,
        Self::ChecksumMismatch,
        Self::VersionConflict,
        Self::QuotaExceeded,
        Self::NotFound,
        Self::Conflict,
        Self::InvalidArgument,
        Self::BadImage,
        Self::AccessDenied,
        Self::HostNotReady,
        Self::DiskFull,
        Self::SourceUnavailable,
        Self::BootTimeout,
        Self::GuestStopped,
        Self::GuestUnreachable,
        Self::CustomizerFailed,
        Self::ValidatorFailed,
        Self::GeneralizeFailed,
        Self::LeftoverFound,
        Self::OptimizationFailed,
        Self::StepTimedOut,
        Self::BuildTimeout,
        Self::DistributeFailed,
        Self::ExportFailed,
        Self::Canceled,
        Self::InternalError,
    ];

    /// The name on the wire and of the page under `docs/errors`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequestContent => "InvalidRequestContent",
            Self::ValidationFailed => "ValidationFailed",
            Self::BadSourceType => "BadSourceType",
            Self::BadPIRSource => "BadPIRSource",
            Self::BadManagedImageSource => "BadManagedImageSource",
            Self::BadSharedImageVersionSource => "BadSharedImageVersionSource",
            Self::BadCustomizerType => "BadCustomizerType",
            Self::UnsupportedCustomizerType => "UnsupportedCustomizerType",
            Self::NoCustomizerScript => "NoCustomizerScript",
            Self::BadValidatorType => "BadValidatorType",
            Self::UnsupportedValidatorType => "UnsupportedValidatorType",
            Self::NoValidatorScript => "NoValidatorScript",
            Self::BadDistributeType => "BadDistributeType",
            Self::BadSharedImageDistribute => "BadSharedImageDistribute",
            Self::UnsupportedFeature => "UnsupportedFeature",
            Self::ScriptUnreachable => "ScriptUnreachable",
            Self::ChecksumMismatch => "ChecksumMismatch",
            Self::VersionConflict => "VersionConflict",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::NotFound => "NotFound",
            Self::Conflict => "Conflict",
            Self::InvalidArgument => "InvalidArgument",
            Self::BadImage => "BadImage",
            Self::AccessDenied => "AccessDenied",
            Self::HostNotReady => "HostNotReady",
            Self::DiskFull => "DiskFull",
            Self::SourceUnavailable => "SourceUnavailable",
            Self::BootTimeout => "BootTimeout",
            Self::GuestStopped => "GuestStopped",
            Self::GuestUnreachable => "GuestUnreachable",
            Self::CustomizerFailed => "CustomizerFailed",
            Self::ValidatorFailed => "ValidatorFailed",
            Self::GeneralizeFailed => "GeneralizeFailed",
            Self::LeftoverFound => "LeftoverFound",
            Self::OptimizationFailed => "OptimizationFailed",
            Self::StepTimedOut => "StepTimedOut",
            Self::BuildTimeout => "BuildTimeout",
            Self::DistributeFailed => "DistributeFailed",
            Self::ExportFailed => "ExportFailed",
            Self::Canceled => "Canceled",
            Self::InternalError => "InternalError",
        }
    }

    /// The process exit code of a command that ends with this error.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::InternalError => 1,
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
            | Self::ScriptUnreachable
            | Self::ChecksumMismatch
            | Self::VersionConflict
            | Self::QuotaExceeded
            | Self::NotFound
            | Self::Conflict
            | Self::InvalidArgument
            | Self::BadImage => 3,
            Self::HostNotReady | Self::DiskFull | Self::SourceUnavailable => 4,
            Self::BootTimeout
            | Self::GuestStopped
            | Self::GuestUnreachable
            | Self::CustomizerFailed
            | Self::ValidatorFailed
            | Self::GeneralizeFailed
            | Self::LeftoverFound
            | Self::OptimizationFailed
            | Self::StepTimedOut
            | Self::BuildTimeout => 5,
            Self::DistributeFailed | Self::ExportFailed => 6,
            Self::AccessDenied => 7,
            Self::Canceled => 130,
        }
    }

    /// Whether the same command may succeed if repeated.
    pub const fn retryable(self) -> bool {
        match self {
            Self::ScriptUnreachable
            | Self::SourceUnavailable
            | Self::BootTimeout
            | Self::GuestStopped
            | Self::GuestUnreachable
            | Self::StepTimedOut
            | Self::BuildTimeout
            | Self::Canceled => true,
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
            | Self::BadImage
            | Self::AccessDenied
            | Self::HostNotReady
            | Self::DiskFull
            | Self::CustomizerFailed
            | Self::ValidatorFailed
            | Self::GeneralizeFailed
            | Self::LeftoverFound
            | Self::OptimizationFailed
            | Self::DistributeFailed
            | Self::ExportFailed
            | Self::InternalError => false,
        }
    }

    /// The code with that name. Case is significant.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of an error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an error code")]
pub struct UnknownErrorCode(pub String);

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_name(text).ok_or_else(|| UnknownErrorCode(text.to_owned()))
    }
}

#[cfg(test)]
mod tests;
