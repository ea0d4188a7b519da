//! Whole calls against a database of their own.
