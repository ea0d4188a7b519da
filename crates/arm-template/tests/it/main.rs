//! The library through its public interface.

mod vectors;
mod world;
