//! The library through its public interface.

mod functions;
mod fuzz;
mod properties;
mod vectors;
mod world;
