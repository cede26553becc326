//! Executes a Rust notebook without Jupyter: evcxr compiles and runs the cells, and what they print and show is
//! saved in the notebook. A cell fails if it does not compile, panics, returns an error, or ends its process.
//!
//! - [`Notebook`]: the file, in nbformat 4
//! - [`Engine`]: evcxr; a cell's code in, outputs and perhaps a [`Failure`] out
//! - [`play_role`], [`Build`], [`run_in_worker`]: the processes of a run, which are all the same binary

mod engine;
mod failure;
mod notebook;
mod process;

pub use engine::{CellRun, Engine};
pub use failure::Failure;
pub use notebook::{Cell, Notebook};
pub use process::{Build, is_worker, play_role, run_in_worker};
