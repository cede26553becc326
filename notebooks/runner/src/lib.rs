//! Executes a Rust notebook without Jupyter: `evcxr` compiles and runs the cells, and what they print and show is saved in the notebook.
//!
//! evcxr reports a panic and a failed `?` as success. Here both fail the cell, as do a compile error and a cell that ends its process.
//!
//! - [`Notebook`]: the file, in nbformat 4
//! - [`Engine`]: evcxr, one cell in, outputs or a [`Failure`] out
//! - [`play_role`], [`run_in_worker`]: the processes of a run, all of them this binary

mod engine;
mod notebook;
mod process;

pub use engine::{CellRun, Engine, Failure};
pub use notebook::{Cell, Notebook};
pub use process::{Build, is_worker, play_role, run_in_worker};
