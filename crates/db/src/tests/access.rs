//! Roles, locks, credentials and the activity log.

/// Reverts the schema version that added them.
pub(super) const UNDO: &[&str] = &[
    "DROP TABLE subscriptions",
    "DROP TABLE role_definitions",
    "DROP TABLE role_assignments",
    "DROP TABLE locks",
    "DROP TABLE credentials",
    "DROP TABLE trusted_issuers",
    "DROP TABLE activity",
    "DROP TABLE access",
    "ALTER TABLE operations DROP COLUMN origin",
];
