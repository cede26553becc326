//! Executes a Rust notebook without Jupyter: evcxr compiles and runs the cells, and what they print and show is
//! saved in the notebook. A cell fails if it does not compile, panics, returns an error, or ends its process.
//!
//! - [`Notebook`]: the file, in nbformat 4
//! - [`Engine`]: evcxr; a cell's code in, outputs and perhaps a [`Failure`] out
//! - [`Build`]: where the cells are compiled
//! - [`play_role`], [`run_in_worker`], [`run_as_kernel`]: the processes of a run, which are all the same binary

mod build;
mod engine;
mod failure;
mod notebook;
mod prebuilt;
mod process;

pub use build::Build;
pub use engine::{CellRun, Engine};
pub use failure::Failure;
pub use notebook::{Cell, Notebook};
pub use process::{is_worker, play_role, run_as_kernel, run_in_worker, serve_jupyter};
