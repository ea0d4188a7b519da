//! The library through its public interface.

mod functions;
mod properties;
mod vectors;
mod world;
