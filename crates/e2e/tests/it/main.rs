//! Real machines, through the executable.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests start programs")]

mod bios;
mod cancel;
mod contact;
mod customizers;
mod data_disks;
mod failure;
mod flood;
mod floods;
mod forge;
mod identity;
mod input;
mod keep;
mod listing;
mod machine;
mod network;
mod optimize;
mod quickstarts;
mod ram;
mod ram_cycles;
mod service;
mod together;
mod trial;
mod trigger;
mod validate;
mod windows;
mod windows_faults;
mod windows_hardware;
