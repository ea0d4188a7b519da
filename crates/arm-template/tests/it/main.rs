//! The library through its public interface.

mod functions;
mod vectors;
mod world;
