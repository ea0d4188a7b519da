//! The closed set of error codes that Goldsmith writes.
//!
//! Every code has a page under `docs/errors`; names are part of the interface and are never reused.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Stable error code; the name of the variant is its name on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum ErrorCode {
    /// The template is not well-formed JSON.
    InvalidRequestContent,
    /// A field of the template is missing, unknown or has a bad value.
    ValidationFailed,
    /// `source.type` is not a type Goldsmith knows.
    BadSourceType,
    /// The catalogue has no such platform image.
    BadPIRSource,
    /// The managed image named as source cannot be used.
    BadManagedImageSource,
    /// The gallery image version named as source cannot be used.
    BadSharedImageVersionSource,
    /// A customizer's `type` is not one that exists.
    BadCustomizerType,
    /// A customizer does not go with the source's operating system.
    UnsupportedCustomizerType,
    /// A customizer has no script.
    NoCustomizerScript,
    /// A validator's `type` is not one that exists.
    BadValidatorType,
    /// A validator does not go with the source's operating system.
    UnsupportedValidatorType,
    /// A validator has no script.
    NoValidatorScript,
    /// A distributor's `type` is not one that exists.
    BadDistributeType,
    /// A gallery target cannot be written as the template asks.
    BadSharedImageDistribute,
    /// The template is valid and asks for something Goldsmith does not do yet.
    UnsupportedFeature,
    /// A script or file named by the template could not be fetched.
    ScriptUnreachable,
    /// A fetched script or file has another SHA-256 than the template says.
    ChecksumMismatch,
    /// The gallery version to write exists already.
    VersionConflict,
    /// The subscription has as many of something as its quota allows.
    QuotaExceeded,
    /// A file, run, image or cached step named on the command line does not exist.
    NotFound,
    /// What is to be made exists, or what is to be removed is in use.
    Conflict,
    /// An option has a value that cannot be used.
    InvalidArgument,
    /// An image file is unusable or unsafe.
    BadImage,
    /// A service refused the login or the token of a command.
    AccessDenied,
    /// This machine lacks a tool or capability that the build needs.
    HostNotReady,
    /// There is no room for the disks of the build.
    DiskFull,
    /// The source image could not be downloaded or made.
    SourceUnavailable,
    /// The virtual machine did not become reachable in time after its start.
    BootTimeout,
    /// The virtual machine went away during a step.
    GuestStopped,
    /// The virtual machine runs but no longer answers.
    GuestUnreachable,
    /// A customizer ended with a failure.
    CustomizerFailed,
    /// A validator ended with a failure.
    ValidatorFailed,
    /// The image could not be generalized.
    GeneralizeFailed,
    /// Generalization left something of the build behind.
    LeftoverFound,
    /// The image could not be optimized, or no longer starts since it was.
    OptimizationFailed,
    /// One step took longer than its limit.
    StepTimedOut,
    /// The build took longer than `buildTimeoutInMinutes`.
    BuildTimeout,
    /// An image was built and could not be delivered to a distributor.
    DistributeFailed,
    /// An image could not be written to the file asked for.
    ExportFailed,
    /// The command was stopped by the user.
    Canceled,
    /// Goldsmith itself is at fault.
    InternalError,
}

impl ErrorCode {
    /// Every code, in the order of the documentation.
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

    /// The name on the wire, which is also the name of the page under `docs/errors`.
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

    /// Whether the same command may succeed when it is simply given again.
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

    /// The code of that name; names are compared with case.
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
