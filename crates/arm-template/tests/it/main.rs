//! The library through its public interface.

mod functions;
mod fuzz;
mod properties;
mod templates;
mod vectors;
mod world;
