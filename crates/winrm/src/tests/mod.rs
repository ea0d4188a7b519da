//! The client against a service that does what a test says.

mod https;
mod input;
mod run;
mod service;
